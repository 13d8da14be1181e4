//! `--csr` and `--chain`: under a root that is somebody else's.

use std::{fs, path::Path};

use der::Decode;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use x509_cert::request::CertReq;

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

/// What a root elsewhere makes of a key: PEM, with the root.
fn signed(key: &impl PublicKeyData, constraints: BasicConstraints) -> String {
    let root_key = KeyPair::generate().unwrap();
    let root = authority("Corporate root", BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let mut intermediate = authority("Intermediate", constraints);
    intermediate.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let issuer = Issuer::new(root, root_key);
    intermediate.signed_by(key, &issuer).unwrap().pem() + &root_pem
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_elsewhere_signs_the_request_and_what_comes_back_is_installed() {
    let ceremony = Ceremony::new().await;
    let summary = ceremony.make("ca --csr --ca-passphrase file:ca-secret");
    assert!(
        summary.get("root").is_none() && summary.get("configuration").is_none(),
        "{summary}"
    );
    let (request, chain) = (ceremony.path("ca/request/ca.csr.pem"), ceremony.path("chain.pem"));
    assert!(!ceremony.path("ca/root").exists() && !ceremony.path("ca/server/mayfly.yaml").exists());

    let key = Requested::read(&request);
    let install = |text: &str| {
        fs::write(&chain, text).unwrap();
        ceremony.run("--json --chain chain.pem ca")
    };
    for (text, said) in [
        (
            signed(&KeyPair::generate().unwrap(), BasicConstraints::Constrained(0)),
            "is for another key than that of",
        ),
        (
            signed(&key, BasicConstraints::Unconstrained),
            "must have basicConstraints pathlen:0",
        ),
        ("nothing".to_owned(), "must hold PEM certificates"),
    ] {
        let (code, stderr) = refusal(&install(&text));
        assert_eq!(code, Some(1));
        assert!(stderr.contains(said), "{said}: {stderr}");
        assert!(
            !ceremony.path("ca/server/ca.pem").exists() && !ceremony.path("ca/server/mayfly.yaml").exists()
        );
    }
    let good = signed(&key, BasicConstraints::Constrained(0));
    // As an interrupted run leaves it.
    fs::write(
        ceremony.path("ca/server/ca.pem"),
        signed(&key, BasicConstraints::Constrained(0)),
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
