//! Chains that Mayfly must not start on.

use std::str::FromStr;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use const_oid::AssociatedOid;
use x509_cert::{ext::Extension, name::Name};

use super::*;
use crate::issuer::ceremony::{self, AuthorityNames, KeyKind};

const NOW: Timestamp = Timestamp::from_unix(std::time::Duration::from_secs(1_800_000_000));
const YEAR: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 60 * 60);

fn new_chain() -> Vec<Vec<u8>> {
    let names = AuthorityNames {
        root: Name::from_str("CN=root,O=test").unwrap(),
        intermediate: Name::from_str("CN=intermediate,O=test").unwrap(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime
        .block_on(ceremony::generate(names, KeyKind::EcdsaP384, NOW))
        .unwrap()
        .chain
}

#[test]
fn accepts_what_the_ceremony_makes_in_pem_and_der() {
    let der = new_chain();
    let chain = CertificateChain::from_der(der.clone(), NOW).unwrap();
    let again = CertificateChain::from_pem(chain.pem().concat().as_bytes(), NOW).unwrap();
    assert_eq!(again.der(), der);
}

#[test]
fn refuses_chains_that_clients_would_refuse() {
    let [intermediate, root] = <[Vec<u8>; 2]>::try_from(new_chain()).unwrap();
    let [_, stranger] = <[Vec<u8>; 2]>::try_from(new_chain()).unwrap();
    let check =
        |chain: &[&Vec<u8>]| CertificateChain::from_der(chain.iter().map(|der| der.to_vec()).collect(), NOW);

    assert!(matches!(check(&[]), Err(ChainError::TooShort)));
    assert!(matches!(check(&[&intermediate]), Err(ChainError::NoRoot)));
    assert!(matches!(
        check(&[&intermediate, &intermediate]),
        Err(ChainError::NotIssuedByNext { at: 0 })
    ));
    assert!(matches!(
        check(&[&root, &intermediate]),
        Err(ChainError::NotIssuedByNext { at: 0 })
    ));
    assert!(matches!(
        check(&[&intermediate, &stranger]),
        Err(ChainError::NotIssuedByNext { at: 0 })
    ));
    assert!(matches!(
        check(&[&root, &root]),
        Err(ChainError::NotForCodeSigning)
    ));
    assert!(matches!(
        check(&[&intermediate, &vec![0x30]]),
        Err(ChainError::Malformed { at: 1, .. })
    ));
}

#[test]
fn refuses_a_chain_out_of_its_time() {
    let later = CertificateChain::from_der(new_chain(), NOW.plus(11 * YEAR));
    assert!(matches!(later, Err(ChainError::Expired { at: 0, .. })));
    let earlier = CertificateChain::from_der(new_chain(), NOW.minus(YEAR));
    assert!(matches!(earlier, Err(ChainError::NotYetValid { at: 0, .. })));
}

#[test]
fn is_valid_while_all_its_certificates_are() {
    let of = |pair: [Certificate; 2]| common_validity(&pair);
    let at = |now| {
        let names = AuthorityNames {
            root: Name::from_str("CN=root,O=test").unwrap(),
            intermediate: Name::from_str("CN=intermediate,O=test").unwrap(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let made = runtime.block_on(ceremony::generate(names, KeyKind::EcdsaP256, now));
        Certificate::from_der(&made.unwrap().chain[0]).unwrap()
    };
    let (early, late) = (at(NOW), at(NOW.plus(YEAR)));
    let until = early.tbs_certificate().validity().not_after.to_unix_duration();
    let expected = NOW.plus(YEAR).since_epoch()..=until;
    assert_eq!(of([early.clone(), late.clone()]), expected);
    assert_eq!(of([late, early]), expected);
}

#[test]
fn refuses_more_authorities_than_a_certificate_allows_under_it() {
    let constraints = BasicConstraints {
        ca: true,
        path_len_constraint: Some(0),
    };
    let certificate = issuing_with(&constraints, &ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]));
    assert!(matches!(
        check_path_length(&certificate, 1, 1),
        Err(ChainError::TooManyBelow { at: 1 })
    ));
    assert!(check_path_length(&certificate, 0, 0).is_ok());
}

/// What `openssl x509 -req` makes of a P-384 key unless told otherwise.
#[test]
fn a_signature_may_have_another_hash_than_its_curves() {
    let chain = CertificateChain::from_der(new_chain(), NOW).unwrap();
    let spki = chain
        .issuing()
        .tbs_certificate()
        .subject_public_key_info()
        .clone();
    for oid in [
        const_oid::db::rfc5912::ECDSA_WITH_SHA_256,
        const_oid::db::rfc5912::ECDSA_WITH_SHA_384,
        const_oid::db::rfc5912::ECDSA_WITH_SHA_512,
    ] {
        assert!(key::verification(oid, &spki.owned_to_ref()).is_some(), "{oid}");
    }
    let shorter = const_oid::db::rfc5912::ECDSA_WITH_SHA_224;
    assert!(key::verification(shorter, &spki.owned_to_ref()).is_none());
}

#[test]
fn refuses_an_altered_certificate() {
    let mut chain = new_chain();
    let last = chain[0].last_mut().unwrap();
    *last ^= 1;
    assert!(matches!(
        CertificateChain::from_der(chain, NOW),
        Err(ChainError::NotIssuedByNext { at: 0 })
    ));
}

#[test]
fn refuses_pem_that_holds_anything_else() {
    let chain = CertificateChain::from_der(new_chain(), NOW).unwrap();
    let key = pem::encode(&pem::Pem::new("PRIVATE KEY", vec![1, 2, 3]));
    let with_key = chain.pem().concat() + &key;
    assert!(matches!(
        CertificateChain::from_pem(with_key.as_bytes(), NOW),
        Err(ChainError::NotPem)
    ));
    assert!(matches!(
        CertificateChain::from_pem(b"-----BEGIN CERTIFICATE-----\n!", NOW),
        Err(ChainError::NotPem)
    ));
}

#[test]
fn an_intermediate_is_for_code_signing_and_should_be_for_nothing_else() {
    use const_oid::db::rfc5280::ID_KP_TIME_STAMPING;
    let checked = |path_len_constraint, usages: &[ObjectIdentifier]| {
        let constraints = BasicConstraints {
            ca: true,
            path_len_constraint,
        };
        check_intermediate(&issuing_with(&constraints, &ExtendedKeyUsage(usages.to_vec())))
    };
    let both = [ID_KP_TIME_STAMPING, ID_KP_CODE_SIGNING];
    assert_eq!(checked(Some(0), &[ID_KP_CODE_SIGNING]).unwrap(), [""; 0]);
    assert_eq!(checked(None, &[ID_KP_CODE_SIGNING]).unwrap(), [NO_PATH_LENGTH]);
    assert_eq!(checked(Some(1), &[ID_KP_CODE_SIGNING]).unwrap(), [NO_PATH_LENGTH]);
    assert_eq!(checked(Some(0), &both).unwrap(), [OTHER_USAGES]);
    assert!(matches!(
        checked(Some(0), &[ID_KP_TIME_STAMPING]),
        Err(ChainError::NotForCodeSigning)
    ));
}

#[test]
fn a_root_may_sign_certificates_itself() {
    let [_, root] = <[Vec<u8>; 2]>::try_from(new_chain()).unwrap();
    let chain = CertificateChain::from_der(vec![root], NOW).unwrap();
    assert_eq!(chain.warnings(), [ROOT_SIGNS]);
    assert_eq!(
        CertificateChain::from_der(new_chain(), NOW).unwrap().warnings(),
        [""; 0]
    );
}

/// An unsigned intermediate: what is tested here comes after its signature was checked.
fn issuing_with(constraints: &BasicConstraints, usages: &ExtendedKeyUsage) -> Certificate {
    use crate::{
        issuer::tbs::{self, Contents, Names, PublicHalf},
        profile::{Critical, extension, random_serial},
    };
    let chain = CertificateChain::from_der(new_chain(), NOW).unwrap();
    let old = chain.issuing().tbs_certificate();
    let identifier = old
        .extensions()
        .unwrap()
        .iter()
        .find(|e| e.extn_id == SubjectKeyIdentifier::OID);
    let extensions: Vec<Extension> = vec![
        extension(constraints, Critical::Yes).unwrap(),
        extension(usages, Critical::No).unwrap(),
        identifier.unwrap().clone(),
    ];
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
    let key = key::SoftwareKey::from_pkcs8_der(pkcs8.as_ref()).unwrap();
    let contents = Contents {
        serial: random_serial().unwrap(),
        validity: *old.validity(),
        key: old.subject_public_key_info().clone(),
        names: Names {
            issuer: old.issuer().clone(),
            subject: old.subject().clone(),
        },
        extensions,
    };
    let tbs = tbs::encode(contents, &PublicHalf::of(&key).unwrap()).unwrap();
    let der = tbs::assemble(&tbs, key::SignatureAlgorithm::EcdsaP256Sha256, &[0]).unwrap();
    Certificate::from_der(&der).unwrap()
}
