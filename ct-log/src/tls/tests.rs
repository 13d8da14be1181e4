use der::EncodePem;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};

use super::*;

/// 2027-01-15
const NOW: Duration = Duration::from_secs(1_800_000_000);

fn params(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = is_ca;
    params.not_before = date_time_ymd(2027, 1, 1);
    params.not_after = date_time_ymd(2028, 1, 1);
    params
}

/// As `openssl req -x509` makes it.
fn authority(name: &str, key: &KeyPair) -> CertificateDer<'static> {
    let params = params(name, IsCa::Ca(BasicConstraints::Unconstrained));
    params.self_signed(key).unwrap().der().clone()
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let certificate = Certificate::from_der(certificate).unwrap();
    certificate.to_pem(der::pem::LineEnding::LF).unwrap()
}

/// What is wrong with a certificate for a host at a time, in words.
fn refusal(
    trusted: &CertificateDer<'_>,
    presented: &CertificateDer<'_>,
    host: &str,
    time: Duration,
) -> Option<String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let given = read(pem(trusted).as_bytes()).unwrap();
    let verifier = OrItself::alone(given, &provider).unwrap();
    let name = ServerName::try_from(host).unwrap();
    let time = UnixTime::since_unix_epoch(time);
    let verified = verifier.verify_server_cert(presented, &[], &name, &[], time);
    // As it arrives through an HTTP client.
    let error = io::Error::other(io::Error::other(verified.err()?));
    Some(certificate_refused(&error).unwrap())
}

#[test]
fn a_certificate_that_is_given_is_accepted_itself() {
    let key = KeyPair::generate().unwrap();
    let given = authority("log.example", &key);
    assert_eq!(refusal(&given, &given, "log.example", NOW), None);
    let address = authority("127.0.0.1", &key);
    assert_eq!(refusal(&address, &address, "127.0.0.1", NOW), None);

    // One that another authority issued.
    let ca_key = KeyPair::generate().unwrap();
    let ca_params = params("ca.example", IsCa::Ca(BasicConstraints::Unconstrained));
    let ca = ca_params.self_signed(&ca_key).unwrap().der().clone();
    let issuer = Issuer::from_params(&ca_params, &ca_key);
    let leaf = params("log.example", IsCa::NoCa)
        .signed_by(&key, &issuer)
        .unwrap();
    assert_eq!(refusal(leaf.der(), leaf.der(), "log.example", NOW), None);
    assert_eq!(refusal(&ca, leaf.der(), "log.example", NOW), None);
}

#[test]
fn its_name_and_dates_are_checked_and_nobody_else_passes_for_it() {
    let key = KeyPair::generate().unwrap();
    let given = authority("log.example", &key);
    let says = |presented, host, time, words: &str| {
        let said = refusal(&given, presented, host, time).unwrap();
        assert!(said.contains(words), "{said}");
    };
    let year = Duration::from_secs(366 * 24 * 60 * 60);
    says(&given, "other.example", NOW, "is not for other.example");
    says(&given, "log.example", NOW + year, "has expired");
    says(&given, "log.example", NOW - year, "is not valid yet");

    // The same names and the same key, but other bytes.
    let again = authority("log.example", &key);
    assert_ne!(again, given);
    says(
        &again,
        "log.example",
        NOW,
        "give this very certificate as `ca-cert`",
    );
    let stranger = params("log.example", IsCa::NoCa);
    let stranger = stranger.self_signed(&KeyPair::generate().unwrap()).unwrap();
    says(
        stranger.der(),
        "log.example",
        NOW,
        "give the certificate of its authority",
    );
}

#[test]
fn a_servers_certificate_vouches_for_itself_only() {
    let key = KeyPair::generate().unwrap();
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let own = params("other.example", is_ca);
        let given = own.self_signed(&key).unwrap();
        let issuer = Issuer::from_params(&own, &key);
        let signed = params("log.example", IsCa::NoCa)
            .signed_by(&KeyPair::generate().unwrap(), &issuer)
            .unwrap();
        assert_eq!(refusal(given.der(), given.der(), "other.example", NOW), None);
        let said = refusal(given.der(), signed.der(), "log.example", NOW).unwrap();
        assert!(said.contains("no authority that is trusted here"), "{said}");
    }
}

#[test]
fn a_certificate_that_is_given_is_for_servers() {
    let key = KeyPair::generate().unwrap();
    for (usage, accepted) in [
        (ExtendedKeyUsagePurpose::ServerAuth, true),
        (ExtendedKeyUsagePurpose::Any, true),
        (ExtendedKeyUsagePurpose::ClientAuth, false),
    ] {
        let mut params = params("log.example", IsCa::NoCa);
        params.extended_key_usages = vec![usage];
        let given = params.self_signed(&key).unwrap();
        let said = refusal(given.der(), given.der(), "log.example", NOW);
        assert_eq!(said.is_none(), accepted, "{said:?}");
    }
}

#[test]
fn what_is_no_certificate_is_refused() {
    for pem in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
        assert!(
            matches!(only(pem.as_bytes()), Err(TrustError::NoCertificate)),
            "{pem}"
        );
    }
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(only(garbage.as_bytes()), Err(TrustError::Unusable(_))));
}
