//! A certification authority for tests, made by a library that shares no code with the log.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod http;
pub(crate) mod web;

use std::fs;
use std::path::{Path, PathBuf};

use ct_log::chain::{Endpoint, Policy};
use ct_log::{Entry, Log, LogKey, LogPublicKey, LogSettings, Origin, PendingEntry, Submitter};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SerialNumber,
    SignatureAlgorithm,
};

const POISON: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 3];
const NULL: [u8; 2] = [5, 0];

/// One CA certificate with its key.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn root(name: &str) -> Ca {
        Ca::root_with(name, KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap())
    }

    pub(crate) fn root_with(name: &str, key: KeyPair) -> Ca {
        Ca(CertifiedIssuer::self_signed(ca_params(name), key).unwrap())
    }

    pub(crate) fn intermediate(&self, name: &str) -> Ca {
        let mut params = ca_params(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        self.issue_ca(params)
    }

    pub(crate) fn issue_ca(&self, params: CertificateParams) -> Ca {
        Ca(CertifiedIssuer::signed_by(params, p256_key(), &self.0).unwrap())
    }

    pub(crate) fn issue(&self, params: &CertificateParams) -> Vec<u8> {
        params.signed_by(&p256_key(), &self.0).unwrap().der().to_vec()
    }

    pub(crate) fn issue_for(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        params.signed_by(key, &self.0).unwrap().der().to_vec()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }
}

/// Root, intermediate for code signing.
pub(crate) struct Pki {
    pub(crate) root: Ca,
    pub(crate) intermediate: Ca,
}

impl Pki {
    pub(crate) fn new() -> Pki {
        let root = Ca::root("Test Root");
        let intermediate = root.intermediate("Test Intermediate");
        Pki { root, intermediate }
    }

    /// The issuers of every leaf: intermediate, root.
    pub(crate) fn issuers(&self) -> Vec<Vec<u8>> {
        vec![self.intermediate.der(), self.root.der()]
    }

    /// A chain to the root with a new precertificate of these parameters in front.
    pub(crate) fn chain(&self, params: &CertificateParams) -> Vec<Vec<u8>> {
        [vec![self.intermediate.issue(params)], self.issuers()].concat()
    }

    pub(crate) fn precertificate(&self, serial: u64) -> Vec<u8> {
        self.intermediate.issue(&precertificate_params(serial))
    }

    pub(crate) fn certificate(&self, serial: u64) -> Vec<u8> {
        self.intermediate.issue(&leaf_params(serial))
    }
}

pub(crate) fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

pub(crate) fn p256_key() -> KeyPair {
    key(&PKCS_ECDSA_P256_SHA256)
}

pub(crate) fn ca_params(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub(crate) fn leaf_params(serial: u64) -> CertificateParams {
    let mut params = named("Leaf");
    params.serial_number = Some(SerialNumber::from(serial));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(crate) fn precertificate_params(serial: u64) -> CertificateParams {
    let mut params = leaf_params(serial);
    params.custom_extensions.push(poison());
    params
}

pub(crate) fn poison() -> CustomExtension {
    poison_with(true, &NULL)
}

pub(crate) fn poison_with(critical: bool, value: &[u8]) -> CustomExtension {
    let mut poison = CustomExtension::from_oid_content(&POISON, value.to_vec());
    poison.set_criticality(critical);
    poison
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// An entry for this log, accepted from the precertificate with that serial number.
pub(crate) fn pending(log: &Log, pki: &Pki, serial: u64) -> PendingEntry {
    let policy = Policy::new([pki.root.der().as_slice()]).unwrap();
    let chain = pki.chain(&precertificate_params(serial));
    let accepted = policy.accept(&chain, Endpoint::AddPreChain).unwrap();
    let issuers: Vec<&[u8]> = accepted.issuers().iter().map(Vec::as_slice).collect();
    let issuers = log.store_issuers(&issuers).unwrap();
    let Entry::Precertificate {
        issuer_key_hash,
        tbs,
        precertificate,
    } = accepted.into_entry()
    else {
        unreachable!("add-pre-chain makes precertificate entries");
    };
    PendingEntry::precertificate(tbs, precertificate, issuer_key_hash, issuers)
}

/// Logs `count` precertificates, many at a time.
pub(crate) async fn grow(log: &Log, pki: &Pki, count: u64) {
    let mut submissions = tokio::task::JoinSet::new();
    for serial in 0..count {
        let (log, entry) = (log.clone(), pending(log, pki, serial));
        submissions.spawn(async move { log.submit(entry, Submitter::Internal).await });
    }
    for answer in submissions.join_all().await {
        answer.unwrap();
    }
}

pub(crate) fn origin() -> Origin {
    Origin::new("log.example/ct").unwrap()
}

/// A closed log in a directory, its last checkpoint covering everything: all its entries are in the write-ahead log, the full tiles as well.
pub(crate) async fn finished_directory(size: u64) -> (tempfile::TempDir, LogPublicKey) {
    let (directory, key) = (tempfile::tempdir().unwrap(), LogKey::generate().unwrap());
    let public = key.public().clone();
    let log = Log::create(LogSettings::new(directory.path(), origin()), key).unwrap();
    grow(&log, &Pki::new(), size).await;
    log.shutdown().await;
    (directory, public)
}

/// The same after another opening: the entries of full tiles are in those tiles only.
pub(crate) async fn reopened_directory(size: u64) -> (tempfile::TempDir, LogPublicKey) {
    let (directory, key) = (tempfile::tempdir().unwrap(), LogKey::generate().unwrap());
    let (public, again) = (
        key.public().clone(),
        LogKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap(),
    );
    let settings = LogSettings::new(directory.path(), origin());
    let log = Log::create(settings.clone(), key).unwrap();
    grow(&log, &Pki::new(), size).await;
    log.shutdown().await;
    Log::open(settings, again).unwrap().shutdown().await;
    (directory, public)
}

/// The files of a log's directory, without the lock, which is empty, and the index, which is derived and believed by nobody.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if !path.ends_with("lock") && !path.ends_with("index.redb") {
            files.push(path);
        }
    }
    files.sort();
    files
}
