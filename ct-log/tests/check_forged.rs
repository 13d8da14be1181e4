//! Logs that are signed and hash right, but break a rule: only the audit can tell. They are made by hand
//! from the specifications, so they also show that the audit reads what the log's own encoder did not write.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::chain::{Endpoint, Policy};
use ct_log::check::{Depth, Problem, Report, Source, SourceError, check};
use ct_log::{Entry, Fingerprint, LogPublicKey, Origin, Tile};
use support::{Pki, leaf_params, precertificate_params};

const ORIGIN: &str = "log.example/ct";
const PUBLISHED: u64 = 1_700_000_000_000;

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest(&SHA256, &parts.concat()).as_ref().try_into().unwrap()
}

#[derive(Clone)]
struct Leaf {
    timestamp: u64,
    entry: Entry,
    extensions: Vec<u8>,
    issuers: Vec<[u8; 32]>,
}

fn leaf_index(index: u8) -> Vec<u8> {
    vec![0, 0, 5, 0, 0, 0, 0, index]
}

fn vector24(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[1..], bytes].concat()
}

fn vector16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

impl Leaf {
    /// The part of a `TileLeaf` that is hashed, and the rest.
    fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let (kind, signed, rest) = match &self.entry {
            Entry::Certificate { der } => (vec![0, 0], vector24(der), vec![]),
            Entry::Precertificate {
                issuer_key_hash,
                tbs,
                precertificate,
            } => (
                vec![0, 1],
                [issuer_key_hash, &vector24(tbs)[..]].concat(),
                vector24(precertificate),
            ),
        };
        let timestamp = self.timestamp.to_be_bytes();
        let hashed = [&timestamp[..], &kind, &signed, &vector16(&self.extensions)].concat();
        (hashed, [rest, vector16(&self.issuers.concat())].concat())
    }
}

/// MTH as RFC 6962 section 2.1 defines it.
fn tree_hash(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            sha256(&[&[1], &tree_hash(left), &tree_hash(right)])
        }
    }
}

/// A log of fewer than 256 entries, as its readers would find it.
struct Forged {
    key: EcdsaKeyPair,
    note: String,
    files: HashMap<String, Vec<u8>>,
}

impl Forged {
    fn new(leaves: &[Leaf], issuers: &[Vec<u8>]) -> Forged {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let encoded: Vec<_> = leaves.iter().map(Leaf::encode).collect();
        let hashes: Vec<_> = encoded
            .iter()
            .map(|(hashed, _)| sha256(&[&[0, 0, 0], hashed]))
            .collect();
        let data = encoded
            .into_iter()
            .flat_map(|(hashed, rest)| [hashed, rest])
            .collect::<Vec<_>>()
            .concat();
        let mut files = HashMap::from([
            (format!("tile/data/000.p/{}", leaves.len()), data),
            (format!("tile/0/000.p/{}", leaves.len()), hashes.concat()),
        ]);
        for issuer in issuers {
            files.insert(
                format!("issuer/{}", hex::encode(sha256(&[issuer]))),
                issuer.clone(),
            );
        }
        let note = sign(&key, leaves.len(), tree_hash(&hashes));
        Forged { key, note, files }
    }

    fn public_key(&self) -> LogPublicKey {
        LogPublicKey::from_spki_der(&spki(&self.key)).unwrap()
    }

    async fn check(&self, depth: Depth) -> Report {
        check(self, (&Origin::new(ORIGIN).unwrap(), &self.public_key()), depth).await
    }

    fn file(&self, path: String) -> Result<Vec<u8>, SourceError> {
        self.files.get(&path).cloned().ok_or(SourceError::Missing(path))
    }
}

fn spki(key: &EcdsaKeyPair) -> Vec<u8> {
    let spki: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    spki.as_ref().to_vec()
}

/// A signed note with the signature type 0x05 (C2SP static-ct-api).
fn sign(key: &EcdsaKeyPair, size: usize, root: [u8; 32]) -> String {
    let (size, timestamp) = (u64::try_from(size).unwrap(), PUBLISHED.to_be_bytes());
    let tree_head = [&[0, 1], &timestamp[..], &size.to_be_bytes(), &root].concat();
    let signature = key.sign(&SystemRandom::new(), &tree_head).unwrap();
    let log_id = sha256(&[&spki(key)]);
    let key_id = &sha256(&[ORIGIN.as_bytes(), b"\n\x05", &log_id])[..4];
    let blob = [key_id, &timestamp, &[4, 3], &vector16(signature.as_ref())].concat();
    let (root, blob) = (STANDARD.encode(root), STANDARD.encode(blob));
    format!("{ORIGIN}\n{size}\n{root}\n\n\u{2014} other.example 3q2+7w==\n\u{2014} {ORIGIN} {blob}\n")
}

impl Source for Forged {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        Ok(self.note.clone())
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        self.file(tile.to_string())
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        self.file(format!("issuer/{fingerprint}"))
    }
}

struct Workshop {
    pki: Pki,
    issuers: Vec<Vec<u8>>,
    /// A certificate and a precertificate, all as it should be.
    leaves: Vec<Leaf>,
}

impl Workshop {
    fn new() -> Workshop {
        let pki = Pki::new();
        let policy = Policy::new([pki.root.der().as_slice()]).unwrap();
        let issuers = pki.issuers();
        let entry = |params, endpoint| policy.accept(&pki.chain(&params), endpoint).unwrap().into_entry();
        let entries = [
            entry(leaf_params(1), Endpoint::AddChain),
            entry(precertificate_params(2), Endpoint::AddPreChain),
        ];
        let fingerprints: Vec<_> = issuers.iter().map(|issuer| sha256(&[issuer])).collect();
        let leaf = |(entry, index)| Leaf {
            timestamp: PUBLISHED - 1,
            entry,
            extensions: leaf_index(index),
            issuers: fingerprints.clone(),
        };
        let leaves = entries.into_iter().zip(0..).map(leaf).collect();
        Workshop { pki, issuers, leaves }
    }

    /// The audit of the log after `change` to its precertificate.
    async fn with(&self, change: impl FnOnce(&mut Leaf)) -> Report {
        let mut leaves = self.leaves.clone();
        change(&mut leaves[1]);
        Forged::new(&leaves, &self.issuers)
            .check(Depth::Certificates)
            .await
    }
}

#[tokio::test]
async fn unchanged_log_is_sound() {
    let workshop = Workshop::new();
    let report = workshop.with(|_| ()).await;
    assert!(report.is_sound(), "{report}");
    let report = workshop.with(|leaf| leaf.timestamp = PUBLISHED).await;
    assert!(report.is_sound(), "as new as the checkpoint: {report}");
}

/// C5.
#[tokio::test]
async fn index_must_be_the_position() {
    let report = Workshop::new().with(|leaf| leaf.extensions = leaf_index(2)).await;
    assert!(
        matches!(report.problems(), [Problem::Index { position: 1, .. }]),
        "{report}"
    );
}

/// C5.
#[tokio::test]
async fn extensions_must_be_the_index_alone() {
    for extensions in [
        vec![],
        vec![0, 0, 4, 0, 0, 0, 1],
        [leaf_index(1), leaf_index(1)].concat(),
        vec![1, 0, 0],
    ] {
        let report = Workshop::new().with(|leaf| leaf.extensions = extensions).await;
        assert!(matches!(report.problems(), [Problem::DataTile(_)]), "{report}");
    }
}

/// C4.
#[tokio::test]
async fn entry_must_not_be_newer_than_its_checkpoint() {
    let report = Workshop::new().with(|leaf| leaf.timestamp = PUBLISHED + 1).await;
    assert!(
        matches!(report.problems(), [Problem::Timestamp { position: 1 }]),
        "{report}"
    );
}

#[tokio::test]
async fn logged_part_must_be_the_precertificates() {
    let workshop = Workshop::new();
    let report = workshop
        .with(|leaf| {
            let Entry::Precertificate { tbs, .. } = &mut leaf.entry else {
                unreachable!()
            };
            *tbs.last_mut().unwrap() ^= 1;
        })
        .await;
    assert!(
        matches!(report.problems(), [Problem::Content { position: 1 }]),
        "{report}"
    );
    let report = workshop
        .with(|leaf| {
            let Entry::Precertificate { issuer_key_hash, .. } = &mut leaf.entry else {
                unreachable!()
            };
            issuer_key_hash[0] ^= 1;
        })
        .await;
    assert!(
        matches!(report.problems(), [Problem::Content { position: 1 }]),
        "{report}"
    );
    let report = workshop
        .with(|leaf| {
            let Entry::Precertificate { precertificate, .. } = &leaf.entry else {
                unreachable!()
            };
            leaf.entry = Entry::Certificate {
                der: precertificate.clone(),
            };
        })
        .await;
    assert!(
        matches!(report.problems(), [Problem::Content { position: 1 }]),
        "{report}"
    );
}

#[tokio::test]
async fn issuers_must_vouch_for_the_entry() {
    let workshop = Workshop::new();
    let certificate =
        |report: &Report| matches!(report.problems(), [Problem::Certificate { position: 1, .. }]);
    let none = workshop.with(|leaf| leaf.issuers.clear()).await;
    assert!(certificate(&none), "{none}");
    let without_root = workshop.with(|leaf| leaf.issuers.truncate(1)).await;
    assert!(certificate(&without_root), "{without_root}");
    let reversed = workshop.with(|leaf| leaf.issuers.reverse()).await;
    assert!(certificate(&reversed), "{reversed}");
    let garbage = workshop
        .with(|leaf| {
            leaf.entry = Entry::Certificate {
                der: b"garbage".to_vec(),
            }
        })
        .await;
    assert!(certificate(&garbage), "{garbage}");
}

/// C8.
#[tokio::test]
async fn issuers_must_be_there_and_hash_to_their_names() {
    let workshop = Workshop::new();
    let root = format!("issuer/{}", hex::encode(sha256(&[&workshop.pki.root.der()])));
    let mut log = Forged::new(&workshop.leaves, &workshop.issuers);
    log.files.get_mut(&root).unwrap().push(0);
    for depth in [Depth::Structure, Depth::Certificates] {
        let report = log.check(depth).await;
        assert!(matches!(report.problems(), [Problem::Issuer(_)]), "{report}");
    }
    log.files.remove(&root);
    for depth in [Depth::Structure, Depth::Certificates] {
        let report = log.check(depth).await;
        assert!(matches!(report.problems(), [Problem::Unreadable(_)]), "{report}");
    }
}

#[tokio::test]
async fn checkpoint_must_sign_the_tree_of_the_entries() {
    let workshop = Workshop::new();
    let mut log = Forged::new(&workshop.leaves, &workshop.issuers);
    log.note = sign(&log.key, 2, [0; 32]);
    let report = log.check(Depth::Certificates).await;
    assert!(matches!(report.problems(), [Problem::Root]), "{report}");
    log.note = sign(&log.key, 3, [0; 32]);
    let report = log.check(Depth::Certificates).await;
    assert!(matches!(report.problems(), [Problem::Unreadable(_)]), "{report}");
    assert!(!report.is_sound());
}

#[tokio::test]
async fn hash_tiles_must_be_those_of_the_entries() {
    let workshop = Workshop::new();
    let mut log = Forged::new(&workshop.leaves, &workshop.issuers);
    log.files.get_mut("tile/0/000.p/2").unwrap()[40] ^= 1;
    let report = log.check(Depth::Certificates).await;
    assert!(matches!(report.problems(), [Problem::HashTile(_)]), "{report}");
}
