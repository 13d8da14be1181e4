//! RSA keys that others can break: the checks that Let's Encrypt's Boulder makes of every key it certifies.

use std::{iter, ops::RangeInclusive, sync::LazyLock};

use der::{Sequence, asn1::UintRef};
use num_bigint::BigUint;

use super::ProofError;

/// Bits of the modulus: the floor is NIST SP 800-131A's, the range Fulcio's certificate specification's.
const MODULUS_BITS: RangeInclusive<u64> = 2048..=4096;

/// 65537, the one exponent that Fulcio's certificate specification allows.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// Boulder tries all primes below this one.
const SMALL_PRIME_LIMIT: u64 = 752;

/// The largest prime of the ROCA fingerprint (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017).
const ROCA_PRIME_LIMIT: u64 = 167;

/// What primes of the ROCA library are powers of, modulo each small prime (same paper).
const ROCA_GENERATOR: u64 = 65537;

/// Rounds of Fermat's factorisation, as many as Boulder makes: enough for primes that were made too close together.
const FERMAT_ROUNDS: u64 = 100;

/// As many odd primes as have a product of 64 bits. Modulo one of them, all but 1 in 16,000 non-squares show.
const SQUARE_FILTER: [u64; 14] = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47];

/// The primes below [`SMALL_PRIME_LIMIT`] in products of 64 bits, so that 18 divisions of the modulus do for 133 primes.
static SMALL_PRIMES: LazyLock<Vec<PrimeProduct>> = LazyLock::new(prime_products);

/// A modulus of the ROCA library is in all of these sets (2 tells nothing); of other moduli, 1 in 2^27.
static ROCA_FINGERPRINT: LazyLock<Vec<ResidueSet>> = LazyLock::new(|| {
    let powers = |p| {
        iter::successors(Some(1), move |x| {
            Some(x * ROCA_GENERATOR % p).filter(|power| *power != 1)
        })
    };
    primes_below(ROCA_PRIME_LIMIT + 1)
        .skip(1)
        .map(|p| ResidueSet::new(p, powers(p)))
        .collect()
});

/// The squares modulo each prime of [`SQUARE_FILTER`].
static SQUARES: LazyLock<Vec<ResidueSet>> = LazyLock::new(|| {
    let squares = |p| (0..p).map(move |x| x * x % p);
    SQUARE_FILTER
        .into_iter()
        .map(|p| ResidueSet::new(p, squares(p)))
        .collect()
});

/// `RSAPublicKey` (RFC 8017 appendix A.1.1).
#[derive(Sequence)]
pub(super) struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

impl RsaPublicKey<'_> {
    /// Modulus and exponent, big-endian without leading zeros.
    pub(super) fn numbers(&self) -> (Vec<u8>, Vec<u8>) {
        (
            self.modulus.as_bytes().to_vec(),
            self.public_exponent.as_bytes().to_vec(),
        )
    }

    /// Refuses sizes and exponents that policy does not allow, and moduli that are easy to factor.
    pub(super) fn check(&self) -> Result<(), ProofError> {
        let modulus = BigUint::from_bytes_be(self.modulus.as_bytes());
        check_size(modulus.bits())?;
        if self.public_exponent.as_bytes() != EXPONENT {
            return Err(ProofError::KeyTooWeak("its RSA exponent is not 65537"));
        }
        if has_small_factor(&modulus) {
            return Err(ProofError::KeyTooWeak("its RSA modulus has a small factor"));
        }
        if has_roca_fingerprint(&modulus) {
            return Err(ProofError::KeyTooWeak(
                "it was made by a device with the ROCA fault (CVE-2017-15361)",
            ));
        }
        if has_close_factors(&modulus) {
            return Err(ProofError::KeyTooWeak(
                "the primes of its RSA modulus are too close together",
            ));
        }
        Ok(())
    }
}

fn check_size(bits: u64) -> Result<(), ProofError> {
    if bits < *MODULUS_BITS.start() {
        return Err(ProofError::KeyTooWeak("its RSA modulus has fewer than 2048 bits"));
    }
    if bits > *MODULUS_BITS.end() {
        return Err(ProofError::KeyUnsupported(
            "its RSA modulus has more than 4096 bits",
        ));
    }
    if !bits.is_multiple_of(8) {
        return Err(ProofError::KeyUnsupported(
            "the size of its RSA modulus is not a multiple of 8 bits",
        ));
    }
    Ok(())
}

fn has_small_factor(modulus: &BigUint) -> bool {
    SMALL_PRIMES.iter().any(|chunk| {
        let rest = remainder(modulus, chunk.product);
        chunk.primes.iter().any(|prime| rest.is_multiple_of(*prime))
    })
}

fn has_roca_fingerprint(modulus: &BigUint) -> bool {
    ROCA_FINGERPRINT
        .iter()
        .all(|powers| powers.contains(remainder(modulus, powers.prime)))
}

/// Fermat: n = a² − b² with a = ⌈√n⌉, ⌈√n⌉ + 1, … until a² − n is a square.
fn has_close_factors(modulus: &BigUint) -> bool {
    let floor = modulus.sqrt();
    let first = if &floor * &floor == *modulus {
        floor
    } else {
        floor + 1u32
    };
    let filter = SQUARE_FILTER.iter().product();
    let [first_rest, modulus_rest] = [&first, modulus].map(|n| u128::from(remainder(n, filter)));

    (0..FERMAT_ROUNDS).any(|round| {
        let a = first_rest + u128::from(round);
        let candidate = (a * a + u128::from(filter) - modulus_rest) % u128::from(filter);
        let may_be_square =
            u64::try_from(candidate).is_ok_and(|rest| SQUARES.iter().all(|set| set.contains(rest)));
        may_be_square && is_square(&((&first + round).pow(2) - modulus))
    })
}

fn is_square(n: &BigUint) -> bool {
    n.sqrt().pow(2) == *n
}

fn remainder(n: &BigUint, divisor: u64) -> u64 {
    (n % divisor).iter_u64_digits().next().unwrap_or(0)
}

/// Which residues modulo a prime have some property.
struct ResidueSet {
    prime: u64,
    residues: Vec<u64>,
}

impl ResidueSet {
    fn new(prime: u64, residues: impl Iterator<Item = u64>) -> Self {
        Self {
            prime,
            residues: residues.collect(),
        }
    }

    fn contains(&self, n: u64) -> bool {
        self.residues.contains(&(n % self.prime))
    }
}

struct PrimeProduct {
    product: u64,
    primes: Vec<u64>,
}

fn prime_products() -> Vec<PrimeProduct> {
    let mut products: Vec<PrimeProduct> = Vec::new();
    for prime in primes_below(SMALL_PRIME_LIMIT) {
        match products
            .last_mut()
            .and_then(|last| Some((last.product.checked_mul(prime)?, last)))
        {
            Some((product, last)) => {
                last.product = product;
                last.primes.push(prime);
            }
            None => products.push(PrimeProduct {
                product: prime,
                primes: vec![prime],
            }),
        }
    }
    products
}

fn primes_below(limit: u64) -> impl Iterator<Item = u64> {
    (2..limit).filter(|n| (2..*n).all(|d| !n.is_multiple_of(d)))
}
