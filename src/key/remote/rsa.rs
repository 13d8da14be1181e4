//! RSA public keys as tokens and services give them: two numbers.

use const_oid::db::rfc5912;
use der::{
    Encode, Sequence,
    asn1::{AnyRef, BitStringRef, UintRef},
};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

/// RFC 8017 A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// The DER SubjectPublicKeyInfo (RFC 3279 2.3.1) of a modulus and a public exponent, both in big-endian.
#[must_use]
pub fn spki_of_rsa(modulus: &[u8], public_exponent: &[u8]) -> Option<Vec<u8>> {
    let key = RsaPublicKey {
        modulus: UintRef::new(modulus).ok()?,
        public_exponent: UintRef::new(public_exponent).ok()?,
    };
    let key = key.to_der().ok()?;
    let spki = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid: rfc5912::RSA_ENCRYPTION,
            parameters: Some(AnyRef::NULL),
        },
        subject_public_key: BitStringRef::from_bytes(&key).ok()?,
    };
    spki.to_der().ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, PublicKeyX509Der},
        rsa::{KeyPair, KeySize},
        signature::KeyPair as _,
    };

    use super::*;

    #[test]
    fn numbers_become_the_library_s_own_form() {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = key.public_key();
        let numbers = (public.modulus(), public.exponent());
        let spki = spki_of_rsa(
            numbers.0.big_endian_without_leading_zero(),
            numbers.1.big_endian_without_leading_zero(),
        );
        let expected = AsDer::<PublicKeyX509Der<'_>>::as_der(public).unwrap();
        assert_eq!(spki.as_deref(), Some(expected.as_ref()));
    }
}
