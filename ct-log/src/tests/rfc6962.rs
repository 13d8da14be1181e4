//! C12: what RFC 6962's endpoints say is what a naive tree over the tiles says, for every size that was published.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::Value;
use tower::ServiceExt as _;

use super::support::{ISSUER, checkpoint, entries, in_memory, submit};
use super::tree::{proof, reference_root};
use crate::chain::Policy;
use crate::http::router;
use crate::leaf::{LeafIndex, SequencedEntry};
use crate::log::Log;
use crate::tile::{Tile, TileKind};
use crate::tree::{Hash, consistency_ranges, inclusion_ranges, leaf_hash};
use crate::wire::Reader;

const SIZE: u64 = 600;

/// A log behind its router, and everything in it as its tiles have it.
pub(super) struct Served {
    log: Log,
    router: Router,
    entries: Vec<SequencedEntry>,
    leaves: Vec<Hash>,
}

impl Served {
    fn new() -> Served {
        Served::of(in_memory())
    }

    pub(super) fn of(log: Log) -> Served {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let policy = Policy::new([root.der().as_ref()]).unwrap();
        Served {
            router: router(log.clone(), policy),
            log,
            entries: Vec::new(),
            leaves: Vec::new(),
        }
    }

    async fn grow_to(&mut self, size: u64) {
        for number in self.log.size()..size {
            submit(&self.log, number).await;
        }
        while self.log.published_size() < size {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        self.entries = entries(&self.log).await;
        self.leaves.clear();
        for first in (0..size).step_by(256) {
            let width = u16::try_from((size - first).min(256)).unwrap();
            let tile = Tile::new(TileKind::Hashes { level: 0 }, first / 256, width).unwrap();
            let bytes = self.log.read_tile(tile).await.unwrap().unwrap();
            self.leaves
                .extend(bytes.as_chunks().0.iter().copied().map(Hash::new));
        }
    }

    async fn ask(&self, path_and_query: &str) -> (StatusCode, Value) {
        let request = Request::get(format!("/ct/v1/{path_and_query}"));
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        assert_eq!(
            parts.headers[header::CACHE_CONTROL],
            "no-store",
            "{path_and_query}"
        );
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, serde_json::from_slice(&body).unwrap())
    }

    async fn get(&self, path_and_query: &str) -> Value {
        let (status, body) = self.ask(path_and_query).await;
        assert_eq!(status, StatusCode::OK, "{path_and_query}: {body}");
        body
    }

    /// The message of a 400, which names the parameter.
    async fn refused(&self, path_and_query: &str, parameter: &str) {
        let (status, body) = self.ask(path_and_query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path_and_query}: {body}");
        let message = body["error_message"].as_str().unwrap();
        assert!(message.contains(parameter), "{path_and_query}: {message}");
    }

    async fn check_tree_head(&self) {
        let answer = self.get("get-sth").await;
        let published = checkpoint(&self.log);
        let size = answer["tree_size"].as_u64().unwrap();
        assert_eq!(size, published.size());
        let root = reference_root(&self.leaves[..size as usize]);
        assert_eq!(answer["sha256_root_hash"], STANDARD.encode(root.as_bytes()));
        let timestamp = answer["timestamp"].as_u64().unwrap();
        assert!(timestamp <= published.timestamp().get());
        let signature = STANDARD
            .decode(answer["tree_head_signature"].as_str().unwrap())
            .unwrap();
        assert_eq!(signature[..2], [4, 3]);
        let signed = [
            &[0, 1][..],
            &timestamp.to_be_bytes(),
            &size.to_be_bytes(),
            root.as_bytes(),
        ];
        let key = self.log.public_key();
        key.verify(&signed.concat(), &signature[4..]).unwrap();
    }

    async fn check_consistency(&self, first: u64, second: u64) {
        let query = format!("get-sth-consistency?first={first}&second={second}");
        let expected = proof(
            &self.leaves[..second as usize],
            consistency_ranges(first, second).unwrap(),
        );
        assert_eq!(self.get(&query).await["consistency"], json(&expected), "{query}");
    }

    async fn check_proof_by_hash(&self, leaf: u64, size: u64) {
        let query = self.by_hash(self.leaves[leaf as usize], size);
        let answer = self.get(&query).await;
        assert_eq!(answer["leaf_index"], leaf, "{query}");
        assert_eq!(
            answer["audit_path"],
            json(&self.audit_path(leaf, size)),
            "{query}"
        );
    }

    /// C12: 503 and when to come back, not 404, while nobody knows.
    pub(super) async fn check_not_indexed(&self, hash: Hash, size: u64) {
        let request = Request::get(format!("/ct/v1/{}", self.by_hash(hash, size)));
        let request = request.body(Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    }

    async fn check_unknown_hash(&self, hash: Hash, size: u64) {
        let (status, body) = self.ask(&self.by_hash(hash, size)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    }

    fn by_hash(&self, hash: Hash, size: u64) -> String {
        let hash = STANDARD.encode(hash.as_bytes()).replace('+', "%2B");
        format!("get-proof-by-hash?hash={hash}&tree_size={size}")
    }

    async fn check_entry_and_proof(&self, leaf: u64, size: u64) {
        let query = format!("get-entry-and-proof?leaf_index={leaf}&tree_size={size}");
        let answer = self.get(&query).await;
        assert_eq!(
            answer["audit_path"],
            json(&self.audit_path(leaf, size)),
            "{query}"
        );
        self.check_entry(&answer, leaf);
    }

    async fn check_entries(&self, start: u64, end: u64) {
        let answer = self.get(&format!("get-entries?start={start}&end={end}")).await;
        let answered = answer["entries"].as_array().unwrap();
        let last = end.min(start | 255).min(self.leaves.len() as u64 - 1);
        assert_eq!(answered.len() as u64, last - start + 1, "{start} to {end}");
        for (index, entry) in (start..).zip(answered) {
            self.check_entry(entry, index);
        }
    }

    fn check_entry(&self, answer: &Value, index: u64) {
        let bytes = |name: &str| STANDARD.decode(answer[name].as_str().unwrap()).unwrap();
        assert_eq!(
            leaf_hash(&[&bytes("leaf_input")]),
            self.leaves[index as usize],
            "entry {index}"
        );
        let crate::leaf::Entry::Precertificate { precertificate, .. } = self.entries[index as usize].entry()
        else {
            panic!("the tests log precertificates")
        };
        let extra = bytes("extra_data");
        let mut reader = Reader::new(&extra);
        assert_eq!(reader.bytes24().unwrap(), precertificate);
        let mut chain = Reader::new(reader.bytes24().unwrap());
        assert_eq!(chain.bytes24().unwrap(), ISSUER);
        assert!(chain.finish().is_ok() && reader.finish().is_ok());
    }

    fn audit_path(&self, leaf: u64, size: u64) -> Vec<Hash> {
        let ranges = inclusion_ranges(LeafIndex::new(leaf).unwrap(), size).unwrap();
        proof(&self.leaves[..size as usize], ranges)
    }
}

fn json(hashes: &[Hash]) -> Value {
    let encoded = hashes.iter().map(|hash| STANDARD.encode(hash.as_bytes()));
    encoded.collect::<Vec<_>>().into()
}

/// Numbers that tell one size, tile or proof from the next.
fn sample(size: u64) -> Vec<u64> {
    let mut sample: Vec<_> = [0, 1, 2, 255, 256, 257, 511, 512]
        .into_iter()
        .chain([size / 3, size / 2, size.saturating_sub(2), size - 1])
        .filter(|number| *number < size)
        .collect();
    sample.sort_unstable();
    sample.dedup();
    sample
}

#[tokio::test]
async fn answers_agree_with_the_tiles_while_the_log_grows() {
    let mut served = Served::new();
    served.check_tree_head().await;
    for size in (1..=9).chain([31, 100, 254, 255, 256, 257, 258, 400, 511, 512, 513, SIZE]) {
        served.grow_to(size).await;
        served.check_tree_head().await;
        for number in sample(size) {
            served.check_consistency(number, size).await;
            served.check_entry_and_proof(number, size).await;
            served.check_proof_by_hash(number, size).await;
            served.check_entries(number, size - 1).await;
            served.check_entries(number, u64::MAX).await;
            served.check_entries(number, number).await;
        }
        served.check_consistency(size, size).await;
        served
            .refused(&format!("get-entries?start={size}&end={size}"), "start")
            .await;
    }
}

#[tokio::test]
async fn answers_for_every_earlier_size_agree_with_the_tiles() {
    let mut served = Served::new();
    served.grow_to(SIZE).await;
    for size in 1..=SIZE {
        let number = size * 7919 % size.max(2);
        for number in [number.min(size - 1), size / 2, size - 1] {
            served.check_consistency(number, size).await;
            served.check_entry_and_proof(number, size).await;
            served.check_proof_by_hash(number, size).await;
        }
        if size < SIZE {
            served
                .check_unknown_hash(served.leaves[size as usize], size)
                .await;
        }
        served.check_unknown_hash(leaf_hash(&[&[7]]), size).await;
    }
    let cases = proptest::collection::vec((0..SIZE, 0..SIZE), 300);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for (a, b) in cases.new_tree(&mut runner).unwrap().current() {
        let (low, high) = (a.min(b), a.max(b));
        served.check_consistency(low, high).await;
        served.check_entries(low, high).await;
        served.check_entry_and_proof(low, high + 1).await;
    }
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused_by_name() {
    let mut served = Served::new();
    served.refused("get-entries?start=0&end=0", "start").await;
    served
        .refused("get-sth-consistency?first=0&second=1", "second")
        .await;
    served.grow_to(5).await;
    for (query, parameter) in [
        ("get-entries", "start"),
        ("get-entries?start=0", "end"),
        ("get-entries?end=0", "start"),
        ("get-entries?start=&end=1", "start"),
        ("get-entries?start=0&end=", "end"),
        ("get-entries?start=0&start=0&end=1", "start"),
        ("get-entries?start=0&end=1&end=2", "end"),
        ("get-entries?start=-1&end=1", "start"),
        ("get-entries?start=%2B1&end=1", "start"),
        ("get-entries?start=+1&end=1", "start"),
        ("get-entries?start=0x1&end=1", "start"),
        ("get-entries?start=1.0&end=1", "start"),
        ("get-entries?start=one&end=1", "start"),
        ("get-entries?start=%FF&end=1", "start"),
        ("get-entries?start=%D9%A1&end=1", "start"),
        ("get-entries?start=0&end=18446744073709551616", "end"),
        ("get-entries?start=2&end=1", "start"),
        ("get-entries?start=5&end=5", "start"),
        ("get-entries?start=1099511627776&end=1099511627776", "start"),
        (
            "get-entries?start=18446744073709551615&end=18446744073709551615",
            "start",
        ),
        ("get-sth-consistency?first=0", "second"),
        ("get-sth-consistency?second=1", "first"),
        ("get-sth-consistency?first=3&second=2", "first"),
        ("get-sth-consistency?first=1&second=6", "second"),
        ("get-sth-consistency?first=-1&second=2", "first"),
        (
            "get-sth-consistency?first=1&second=18446744073709551615",
            "second",
        ),
        ("get-sth-consistency?first=1&first=1&second=2", "first"),
        ("get-proof-by-hash?tree_size=5", "hash"),
        ("get-proof-by-hash?tree_size=5&hash=", "hash"),
        ("get-proof-by-hash?tree_size=5&hash=AAAA", "hash"),
        ("get-proof-by-hash?tree_size=5&hash=%", "hash"),
        (
            &format!("get-proof-by-hash?tree_size=5&hash={}", "A".repeat(43)),
            "hash",
        ),
        (
            &format!("get-proof-by-hash?tree_size=5&hash={}", "00".repeat(32)),
            "hash",
        ),
        (
            &format!("get-proof-by-hash?hash={}=", "A".repeat(43)),
            "tree_size",
        ),
        (
            &format!("get-proof-by-hash?tree_size=0&hash={}=", "A".repeat(43)),
            "tree_size",
        ),
        (
            &format!("get-proof-by-hash?tree_size=6&hash={}=", "A".repeat(43)),
            "tree_size",
        ),
        (
            &format!("get-proof-by-hash?tree_size=-5&hash={}=", "A".repeat(43)),
            "tree_size",
        ),
        ("get-entry-and-proof?leaf_index=0", "tree_size"),
        ("get-entry-and-proof?tree_size=1", "leaf_index"),
        ("get-entry-and-proof?leaf_index=0&tree_size=0", "tree_size"),
        ("get-entry-and-proof?leaf_index=0&tree_size=6", "tree_size"),
        ("get-entry-and-proof?leaf_index=3&tree_size=3", "leaf_index"),
        ("get-entry-and-proof?leaf_index=x&tree_size=3", "leaf_index"),
        (
            "get-entry-and-proof?leaf_index=18446744073709551615&tree_size=3",
            "leaf_index",
        ),
    ] {
        served.refused(query, parameter).await;
    }
    // Not known to RFC 6962, so not ours to judge.
    served.get("get-sth?x=1").await;
    served.get("get-entries?start=0&end=0&x=1").await;
}
