//! Points of elliptic curves that are no keys.

use curve25519_dalek::{constants::EIGHT_TORSION, edwards::CompressedEdwardsY};
use num_bigint::BigUint;

use crate::{KEY_ACCEPTED, OID_EC_PUBLIC_KEY, OID_ED25519, OID_P256, key_refusal, spki};

const WEAK: &str = "key_too_weak";
const MALFORMED: &str = "public_key_malformed";

fn p256_key(point: &[u8]) -> Vec<u8> {
    spki(&[OID_EC_PUBLIC_KEY, OID_P256].concat(), point)
}

fn uncompressed(x: &BigUint, y: &BigUint) -> Vec<u8> {
    let fixed = |n: &BigUint| {
        let bytes = n.to_bytes_be();
        [vec![0; 32 - bytes.len()], bytes].concat()
    };
    [vec![4], fixed(x), fixed(y)].concat()
}

/// P-256: y² = x³ - 3x + b modulo a prime that is 3 modulo 4 (SEC 2 section 2.4.2).
struct P256 {
    p: BigUint,
    b: BigUint,
}

impl P256 {
    fn new() -> Self {
        let hex = |digits: &[u8]| BigUint::parse_bytes(digits, 16).unwrap();
        Self {
            p: hex(b"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
            b: hex(b"5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"),
        }
    }

    fn right_side(&self, x: &BigUint) -> BigUint {
        (x.pow(3) + &self.b + &self.p * 3u32 - x * 3u32) % &self.p
    }

    /// The square root, if there is one.
    fn root(&self, n: &BigUint) -> Option<BigUint> {
        let root = n.modpow(&((&self.p + 1u32) / 4u32), &self.p);
        (root.modpow(&2u32.into(), &self.p) == *n).then_some(root)
    }
}

#[test]
fn points_off_the_curve_are_refused() {
    let curve = P256::new();
    let (x, y) = (0u32..)
        .map(BigUint::from)
        .find_map(|x| curve.root(&curve.right_side(&x)).map(|y| (x, y)))
        .unwrap();
    assert_eq!(key_refusal(&p256_key(&uncompressed(&x, &y))), KEY_ACCEPTED);

    let (twist_x, twist_y) = (0u32..)
        .map(BigUint::from)
        .find_map(|x| {
            let right = curve.right_side(&x);
            curve
                .root(&right)
                .is_none()
                .then(|| (x, curve.root(&(&curve.p - right)).unwrap()))
        })
        .unwrap();
    for (what, point) in [
        ("off the curve", uncompressed(&x, &(&y + 1u32))),
        ("on the twist", uncompressed(&twist_x, &twist_y)),
        ("x not below the prime", uncompressed(&(&x + &curve.p), &y)),
        ("y is the prime", uncompressed(&x, &curve.p)),
        ("all zero", [&[4][..], &[0; 64]].concat()),
        ("infinity", vec![0]),
    ] {
        assert_eq!(key_refusal(&p256_key(&point)), WEAK, "{what}");
    }
    let good = uncompressed(&x, &y);
    for (what, point) in [
        ("a byte short", good[..64].to_vec()),
        ("a byte long", [&good[..], &[0]].concat()),
        ("unknown form", [&[5], &good[1..]].concat()),
        ("infinity, padded", vec![0; 65]),
        ("nothing", vec![]),
    ] {
        assert_eq!(key_refusal(&p256_key(&point)), MALFORMED, "{what}");
    }
}

#[test]
fn a_point_of_another_curve_is_refused() {
    let p384 = crate::EcKey::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_ASN1_SIGNING);
    assert_eq!(
        key_refusal(&p256_key(&p384.spki[p384.spki.len() - 97..])),
        MALFORMED
    );
}

fn ed25519_refusal(encoded: &[u8]) -> &'static str {
    key_refusal(&spki(OID_ED25519, encoded))
}

#[test]
fn ed25519_points_of_small_order_are_refused() {
    for point in EIGHT_TORSION {
        assert_eq!(ed25519_refusal(point.compress().as_bytes()), WEAK);
    }
}

#[test]
fn ed25519_keys_are_canonical() {
    // y + p for every y < 19, with either sign: the encodings that are not canonical.
    let p: BigUint = (BigUint::from(1u32) << 255) - 19u32;
    let mut points = 0;
    for y in 0u32..19 {
        for sign in [0, 0x80] {
            let mut encoded: [u8; 32] = (&p + y).to_bytes_le().try_into().unwrap();
            encoded[31] |= sign;
            points += usize::from(CompressedEdwardsY(encoded).decompress().is_some());
            assert_eq!(ed25519_refusal(&encoded), WEAK, "p + {y}");
        }
    }
    assert!(
        points > 4,
        "some of them are points, and not only those of small order"
    );
}

#[test]
fn ed25519_keys_have_32_bytes_and_are_points() {
    for len in [0, 31, 33, 64] {
        assert_eq!(ed25519_refusal(&vec![9; len]), MALFORMED);
    }
    let no_point = (2u8..)
        .map(|y| [y; 32])
        .find(|y| CompressedEdwardsY(*y).decompress().is_none())
        .unwrap();
    assert_eq!(ed25519_refusal(&no_point), WEAK);
}
