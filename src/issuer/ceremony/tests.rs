//! What the ceremony makes is what Fulcio's certificate specification asks for, with every kind of key.

use der::{Encode, referenced::OwnedToRef};
use x509_cert::{Certificate, ext::pkix::SubjectKeyIdentifier, request::CertReq};

use super::*;
use crate::issuer::CertificateChain;

const NOW: Timestamp = Timestamp::from_unix(Duration::from_secs(1_800_000_000));
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn names() -> AuthorityNames {
    AuthorityNames::of("Acme", "Acme code signing").unwrap()
}

fn key(kind: KeyKind) -> SoftwareKey {
    SoftwareKey::from_pkcs8_der(&generate_key(kind).unwrap()).unwrap()
}

fn extension_of<'a, T: Decode<'a, Error = der::Error> + const_oid::AssociatedOid>(
    certificate: &'a Certificate,
) -> Option<(bool, T)> {
    let mut all = certificate.tbs_certificate().extensions().unwrap().iter();
    let found = all.find(|extension| extension.extn_id == T::OID)?;
    Some((found.critical, T::from_der(found.extn_value.as_bytes()).unwrap()))
}

#[tokio::test]
async fn every_kind_of_key_makes_a_chain_by_the_specification() {
    for kind in [KeyKind::EcdsaP384, KeyKind::EcdsaP256, KeyKind::Rsa4096] {
        let keys = (key(kind), key(kind));
        let chain = certify(names(), (&keys.0, &keys.1), Lifetimes::default(), NOW).await;
        let chain = CertificateChain::from_der(chain.unwrap(), NOW).unwrap();
        let [intermediate, root] = [0, 1].map(|at: usize| Certificate::from_der(&chain.der()[at]).unwrap());
        let usage = (true, authority_usage());
        for certificate in [&intermediate, &root] {
            assert_eq!(extension_of::<KeyUsage>(certificate), Some(usage));
            assert!(certificate.tbs_certificate().serial_number().as_bytes().len() <= 20);
        }
        assert_eq!(extension_of(&root), Some((true, authority(None))));
        assert!(extension_of::<ExtendedKeyUsage>(&root).is_none());
        assert_eq!(extension_of(&intermediate), Some((true, authority(Some(0)))));
        let code_signing = ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]);
        assert_eq!(extension_of(&intermediate), Some((false, code_signing)));
        let (_, own) = extension_of::<SubjectKeyIdentifier>(&root).unwrap();
        let (_, above) = extension_of::<AuthorityKeyIdentifier>(&intermediate).unwrap();
        assert_eq!(above.key_identifier, Some(own.0));
    }
}

#[tokio::test]
async fn the_intermediate_never_outlives_its_root() {
    let keys = (key(KeyKind::EcdsaP256), key(KeyKind::EcdsaP256));
    for (root, intermediate, years) in [(5, 10, 5), (10, 3, 3), (7, 7, 7)] {
        let lifetimes = Lifetimes {
            root: root * YEAR,
            intermediate: intermediate * YEAR,
        };
        let chain = certify(names(), (&keys.0, &keys.1), lifetimes, NOW)
            .await
            .unwrap();
        let validity = *Certificate::from_der(&chain[0])
            .unwrap()
            .tbs_certificate()
            .validity();
        let until = validity.not_after.to_unix_duration();
        assert_eq!(until, NOW.plus(years * YEAR).since_epoch());
    }
}

#[tokio::test]
async fn two_keys_of_one_scheme_are_needed() {
    let keys = (key(KeyKind::EcdsaP384), key(KeyKind::Rsa4096));
    let mixed = certify(names(), (&keys.0, &keys.1), Lifetimes::default(), NOW).await;
    assert!(matches!(mixed, Err(CeremonyError::Schemes)));
    let once = certify(names(), (&keys.0, &keys.0), Lifetimes::default(), NOW).await;
    assert!(matches!(once, Err(CeremonyError::OneKey)));
}

#[tokio::test]
async fn a_request_proves_its_key_and_asks_for_what_its_certificate_must_have() {
    let of_ca: &[&str] = &["2.5.29.15", "2.5.29.19", "2.5.29.37"];
    let of_times: &[&str] = &["2.5.29.15", "2.5.29.37"];
    for (kind, is_ca, oids) in [
        (KeyKind::EcdsaP384, true, of_ca),
        (KeyKind::Rsa4096, true, of_ca),
        (KeyKind::EcdsaP256, false, of_times),
    ] {
        let key = key(kind);
        let name = names().intermediate;
        let request = match is_ca {
            true => request(name, &key).await,
            false => request_timestamp_authority(name, &key).await,
        };
        let request = CertReq::from_der(&request.unwrap()).unwrap();
        let signature = request.signature.as_bytes().unwrap();
        let signed = request.info.to_der().unwrap();
        let public = request.info.public_key.owned_to_ref();
        assert!(key.algorithm().verifies(&public, &signed, signature));
        assert_eq!(request.info.public_key.to_der().unwrap(), key.spki_der());
        let attributes = format!("{:?}", request.info.attributes);
        for oid in oids {
            let oid: const_oid::ObjectIdentifier = oid.parse().unwrap();
            let bytes = oid.to_der().unwrap();
            let whole = request.info.attributes.to_der().unwrap();
            assert!(
                whole.windows(bytes.len()).any(|part| part == bytes),
                "{attributes}"
            );
        }
    }
}
