//! `--csr` and `--chain`: under a root that is somebody else's.

use std::{fs, path::Path, process::Output};

use const_oid::{AssociatedOid, db::rfc5280::ID_KP_TIME_STAMPING};
use der::{Decode, Encode};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData,
};
use x509_cert::{ext::pkix::ExtendedKeyUsage, request::CertReq};

use super::{Ceremony, made, refusal};

/// The public half of a request, for a root made here.
struct Requested(Vec<u8>);

impl Requested {
    fn read(path: &Path) -> Self {
        let pem = pem::parse(fs::read(path).unwrap()).unwrap();
        let request = CertReq::from_der(pem.contents()).unwrap();
        Self(request.info.public_key.subject_public_key.raw_bytes().to_vec())
    }
}

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P384_SHA384
    }
}

fn authority(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(constraints);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

/// What a root elsewhere makes of a certificate for a key: PEM, with the root.
fn signed(certificate: &CertificateParams, key: &impl PublicKeyData) -> String {
    let root_key = KeyPair::generate().unwrap();
    let root = authority("Corporate root", BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let issuer = Issuer::new(root, root_key);
    certificate.signed_by(key, &issuer).unwrap().pem() + &root_pem
}

fn intermediate(key: &impl PublicKeyData, constraints: BasicConstraints) -> String {
    let mut intermediate = authority("Intermediate", constraints);
    intermediate.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    signed(&intermediate, key)
}

/// With the extended key usage as an extension of its own, since rcgen does not make that critical.
fn timestamp_authority(key: &impl PublicKeyData) -> String {
    let mut authority = CertificateParams::default();
    authority
        .distinguished_name
        .push(DnType::CommonName, "Corporate time");
    authority.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let time_stamping = ExtendedKeyUsage(vec![ID_KP_TIME_STAMPING]).to_der().unwrap();
    let oid: Vec<u64> = ExtendedKeyUsage::OID.arcs().map(u64::from).collect();
    let mut usage = CustomExtension::from_oid_content(&oid, time_stamping);
    usage.set_criticality(true);
    authority.custom_extensions = vec![usage];
    signed(&authority, key)
}

impl Ceremony {
    fn install(&self, chain: &str, arguments: &str) -> Output {
        fs::write(self.path("chain.pem"), chain).unwrap();
        self.run(&format!("--json --chain chain.pem {arguments} ca"))
    }

    fn assert_not_installed(&self, (code, stderr): (Option<i32>, String), said: &str) {
        assert_eq!(code, Some(1));
        assert!(stderr.contains(said), "{said}: {stderr}");
        for name in ["ca.pem", "timestamp.pem", "mayfly.yaml"] {
            assert!(!self.path("ca/server").join(name).exists(), "{said}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_elsewhere_signs_the_request_and_what_comes_back_is_installed() {
    let ceremony = Ceremony::new().await;
    let summary = ceremony.make("ca --csr --ca-passphrase file:ca-secret --no-timestamp-authority");
    assert!(
        summary.get("root").is_none() && summary.get("configuration").is_none(),
        "{summary}"
    );
    assert!(!ceremony.path("ca/root").exists() && !ceremony.path("ca/server/mayfly.yaml").exists());

    let key = Requested::read(&ceremony.path("ca/request/ca.csr.pem"));
    let install = |text: &str| ceremony.install(text, "");
    for (text, said) in [
        (
            intermediate(&KeyPair::generate().unwrap(), BasicConstraints::Constrained(0)),
            "is for another key than that of",
        ),
        (
            intermediate(&key, BasicConstraints::Unconstrained),
            "no basicConstraints pathlen:0",
        ),
        ("nothing".to_owned(), "must hold PEM certificates"),
    ] {
        ceremony.assert_not_installed(refusal(&install(&text)), said);
    }
    let good = intermediate(&key, BasicConstraints::Constrained(0));
    let unasked = refusal(&ceremony.install(&good, "--timestamp-chain chain.pem"));
    ceremony.assert_not_installed(unasked, "leave --timestamp-chain out");
    // As an interrupted run leaves it.
    fs::write(
        ceremony.path("ca/server/ca.pem"),
        intermediate(&key, BasicConstraints::Constrained(0)),
    )
    .unwrap();
    let (code, stderr) = refusal(&install(&good));
    assert!(
        code == Some(1) && stderr.contains("is there already, with other certificates"),
        "{stderr}"
    );
    fs::remove_file(ceremony.path("ca/server/ca.pem")).unwrap();

    let summary = made(&install(&good));
    assert_eq!(summary["root"]["subject"], "CN=Corporate root");
    let (code, stderr) = refusal(&install(&good));
    assert!(
        code == Some(1) && stderr.contains("has a chain already"),
        "{stderr}"
    );
    ceremony.assert_serves(&ceremony.path("ca/server"), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timestamp_authority_is_requested_and_installed_with_it() {
    let ceremony = Ceremony::new().await;
    let summary = ceremony.make("ca --csr --ca-passphrase file:ca-secret");
    let place = ceremony.path("ca/server/timestamp-key.pem");
    assert_eq!(summary["timestamp_key"]["place"], place.to_str().unwrap());
    let chain = intermediate(
        &Requested::read(&ceremony.path("ca/request/ca.csr.pem")),
        BasicConstraints::Constrained(0),
    );
    let key = Requested::read(&ceremony.path("ca/request/timestamp.csr.pem"));
    let without = refusal(&ceremony.install(&chain, ""));
    ceremony.assert_not_installed(without, "say with --timestamp-chain what came back for it");
    for (text, said) in [
        (
            timestamp_authority(&KeyPair::generate().unwrap()),
            "is for another key than that of",
        ),
        (chain.clone(), "the first certificate of the chain is a CA"),
    ] {
        fs::write(ceremony.path("times.pem"), text).unwrap();
        let refused = refusal(&ceremony.install(&chain, "--timestamp-chain times.pem"));
        ceremony.assert_not_installed(refused, said);
    }
    let times = timestamp_authority(&key);
    // The configuration cannot be used, so nothing stays.
    let settings = ceremony.path("ca/server/mayfly.yaml.waiting-for-chain");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(
        &settings,
        text.replace("issuers: issuers.yaml", "issuers: gone.yaml"),
    )
    .unwrap();
    fs::write(ceremony.path("times.pem"), &times).unwrap();
    let refused = refusal(&ceremony.install(&chain, "--timestamp-chain times.pem"));
    ceremony.assert_not_installed(refused, "gone.yaml");
    fs::write(&settings, text).unwrap();

    let summary = made(&ceremony.install(&chain, "--timestamp-chain times.pem"));
    assert_eq!(summary["timestamp"]["subject"], "CN=Corporate time");
    assert_eq!(
        fs::read_to_string(ceremony.path("ca/server/timestamp.pem")).unwrap(),
        times.replace("\r\n", "\n")
    );
    ceremony.assert_serves(&ceremony.path("ca/server"), &[]).await;
}

#[tokio::test]
async fn a_chain_without_a_request_is_refused() {
    let ceremony = Ceremony::new().await;
    fs::write(ceremony.path("chain.pem"), "").unwrap();
    let (code, stderr) = refusal(&ceremony.run("--chain chain.pem nowhere"));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("is no folder that mayfly init --csr made"),
        "{stderr}"
    );
}
