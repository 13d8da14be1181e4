//! Submitting over HTTP: every answer that a submitter can get.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ct_log::Entry;
use ct_log::chain::{Endpoint, Policy};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa};
use serde_json::{Value, json};
use spki::SubjectPublicKeyInfoRef;
use support::http::{ADD_CHAIN, ADD_PRE_CHAIN, Answer, Harness, body_of};
use support::{Pki, leaf_params, poison_with, precertificate_params};

const MAX_BODY: usize = 64 * 1024;

fn base64_member(answer: &Value, member: &str) -> Vec<u8> {
    STANDARD.decode(answer[member].as_str().unwrap()).unwrap()
}

/// Verifies an answer of add-chain by hand, from RFC 6962 section 3.2, and gives its leaf index.
fn verify_sct(answer: &Value, entry: &Entry, spki: &[u8]) -> u64 {
    assert_eq!(answer.as_object().unwrap().len(), 5, "{answer}");
    assert_eq!(answer["sct_version"], 0);
    assert_eq!(base64_member(answer, "id"), digest(&SHA256, spki).as_ref());
    let extensions = base64_member(answer, "extensions");
    assert_eq!(extensions[..3], [0, 0, 5]);
    assert_eq!(extensions.len(), 8);
    let mut signed = vec![0, 0];
    signed.extend(answer["timestamp"].as_u64().unwrap().to_be_bytes());
    match entry {
        Entry::Certificate { der } => {
            signed.extend([0, 0]);
            signed.extend(&u32::try_from(der.len()).unwrap().to_be_bytes()[1..]);
            signed.extend(der);
        }
        Entry::Precertificate {
            issuer_key_hash, tbs, ..
        } => {
            signed.extend([0, 1]);
            signed.extend(issuer_key_hash);
            signed.extend(&u32::try_from(tbs.len()).unwrap().to_be_bytes()[1..]);
            signed.extend(tbs);
        }
    }
    signed.extend([0, 8]);
    signed.extend(&extensions);
    let signature = base64_member(answer, "signature");
    assert_eq!(signature[..2], [4, 3]);
    assert_eq!(
        usize::from(u16::from_be_bytes([signature[2], signature[3]])),
        signature.len() - 4
    );
    let spki = SubjectPublicKeyInfoRef::try_from(spki).unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, spki.subject_public_key.raw_bytes());
    key.verify(&signed, &signature[4..]).unwrap();
    extensions[3..]
        .iter()
        .fold(0, |index, byte| index << 8 | u64::from(*byte))
}

#[tokio::test]
async fn submissions_are_answered_with_an_sct_over_the_entry() {
    let harness = Harness::new();
    let policy = Policy::new([harness.pki.root.der().as_slice()]).unwrap();
    let cases = [
        (ADD_CHAIN, Endpoint::AddChain, leaf_params(1)),
        (ADD_PRE_CHAIN, Endpoint::AddPreChain, precertificate_params(1)),
    ];
    for (index, (path, endpoint, params)) in cases.into_iter().enumerate() {
        let chain = harness.pki.chain(&params);
        let answer = harness.submit(path, &chain).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header(CONTENT_TYPE), "application/json");
        assert_eq!(answer.header(CACHE_CONTROL), "no-store");
        let entry = policy.accept(&chain, endpoint).unwrap().into_entry();
        let leaf_index = verify_sct(&answer.json(), &entry, harness.log.public_key().spki_der());
        assert_eq!(leaf_index, u64::try_from(index).unwrap());
    }
}

/// C11.
#[tokio::test]
async fn duplicates_get_the_same_bytes() {
    let harness = Harness::new();
    let chain = harness.pki.chain(&precertificate_params(1));
    let first = harness.submit(ADD_PRE_CHAIN, &chain).await;
    for chain in [&chain[..], &chain[..2]] {
        assert_eq!(harness.submit(ADD_PRE_CHAIN, chain).await.body, first.body);
    }
    assert_eq!(harness.log.size(), 1);
}

/// C11.
#[tokio::test]
async fn concurrent_duplicates_get_one_index() {
    let harness = Harness::new();
    let chain = harness.pki.chain(&precertificate_params(1));
    let submit = || harness.submit(ADD_PRE_CHAIN, &chain);
    let (a, b, c, d) = tokio::join!(submit(), submit(), submit(), submit());
    let answers: HashSet<_> = [a, b, c, d].map(|answer| answer.body).into();
    assert_eq!(answers.len(), 1);
    assert_eq!(harness.log.size(), 1);
}

/// One request that must be refused: what it is, where it goes, its body, and the answer.
type Refusal = (&'static str, &'static str, Vec<u8>, u16, &'static str);

fn bad_bodies(good: &str) -> Vec<Refusal> {
    let pre = |name, body: &str, message| (name, ADD_PRE_CHAIN, body.as_bytes().to_vec(), 400, message);
    let chain = |certificate: &str| json!({ "chain": [certificate] }).to_string();
    let url_safe = URL_SAFE.encode([0xfb, 0xff, 0xff]);
    let json = "not a JSON object";
    vec![
        pre("empty body", "", json),
        pre("not JSON", "chain=x", json),
        pre("JSON null", "null", json),
        pre(
            "JSON array",
            &format!("[{}]", &good["{\"chain\":".len()..good.len() - 1]),
            json,
        ),
        pre("no chain", "{}", json),
        pre("chain is null", r#"{"chain":null}"#, json),
        pre("chain is a string", r#"{"chain":"AAAA"}"#, json),
        pre("chain of numbers", r#"{"chain":[1]}"#, json),
        pre("chain twice", &good.replacen('{', r#"{"chain":[],"#, 1), json),
        pre("trailing data", &format!("{good}x"), json),
        pre("trailing object", &format!("{good}{good}"), json),
        pre("cut short", &good[..good.len() - 1], json),
        pre("EmptyChain", r#"{"chain":[]}"#, "empty"),
        pre("InvalidBase64", &chain("!!!!"), "base64"),
        pre("URL-safe base64", &chain(&url_safe), "base64"),
        pre("unpadded base64", &chain("AAA"), "base64"),
        pre("base64 with a line feed", &chain("AAAA\nAAAA"), "base64"),
        pre("base64 with stray bits", &chain("AAF="), "base64"),
        pre("UnparsableCert", &chain("AAAA"), "cannot be parsed"),
        pre("empty certificate", &chain(""), "cannot be parsed"),
        pre(
            "too many certificates",
            &json!({ "chain": ["", "", "", "", ""] }).to_string(),
            "longer than 4",
        ),
        (
            "invalid UTF-8",
            ADD_PRE_CHAIN,
            b"{\"chain\":[\"\xff\"]}".to_vec(),
            400,
            json,
        ),
        pre("deep nesting", &format!("{{\"x\":{}", "[".repeat(60_000)), json),
    ]
}

fn bad_chains(pki: &Pki) -> Vec<Refusal> {
    let foreign = Pki::new();
    let mut refusals = Vec::new();
    let mut refuse = |name, path, chain: &[Vec<u8>], message| {
        refusals.push((name, path, body_of(chain).into_bytes(), 400, message));
    };
    let (certificate, precertificate) = (pki.chain(&leaf_params(1)), pki.chain(&precertificate_params(1)));
    refuse(
        "CertNotPrecert",
        ADD_PRE_CHAIN,
        &certificate,
        "submit it to add-chain",
    );
    refuse(
        "PrecertNotCert",
        ADD_CHAIN,
        &precertificate,
        "submit it to add-pre-chain",
    );
    refuse(
        "NoChainToRoot",
        ADD_PRE_CHAIN,
        &foreign.chain(&precertificate_params(1)),
        "see get-roots",
    );
    refuse(
        "no intermediate",
        ADD_PRE_CHAIN,
        &precertificate[..1],
        "see get-roots",
    );
    let mut trailing = precertificate.clone();
    trailing[0].push(0);
    refuse(
        "data after a certificate",
        ADD_PRE_CHAIN,
        &trailing,
        "cannot be parsed",
    );
    let mut swapped = precertificate.clone();
    swapped.swap(1, 2);
    refuse(
        "wrong order",
        ADD_PRE_CHAIN,
        &swapped,
        "not issued by the one after it",
    );
    let mut params = precertificate_params(1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    refuse("CA leaf", ADD_PRE_CHAIN, &pki.chain(&params), "CA certificates");
    let mut params = precertificate_params(1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    refuse("wrong EKU", ADD_PRE_CHAIN, &pki.chain(&params), "code signing");
    let mut params = leaf_params(1);
    params.custom_extensions = vec![poison_with(false, &[5, 0])];
    refuse(
        "poison not critical",
        ADD_PRE_CHAIN,
        &pki.chain(&params),
        "poison",
    );
    refuse(
        "poison not critical, add-chain",
        ADD_CHAIN,
        &pki.chain(&params),
        "poison",
    );
    refusals
}

/// The choices of the CT hammer and more. None of them changes the log, and the next good one works.
#[tokio::test]
async fn bad_submissions_are_refused() {
    let harness = Harness::new();
    let good = body_of(&harness.pki.chain(&precertificate_params(1)));
    let mut refusals = bad_bodies(&good);
    refusals.extend(bad_chains(&harness.pki));
    let padded = padded_to(&good, MAX_BODY + 1).into_bytes();
    refusals.push((
        "oversized body",
        ADD_PRE_CHAIN,
        padded,
        413,
        "larger than 65536 bytes",
    ));
    for (name, path, body, status, message) in refusals {
        let answer = harness.post(path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{name}");
        let said = answer.json()["error_message"].as_str().unwrap().to_owned();
        assert!(said.contains(message), "{name}: {said}");
        assert_eq!(answer.header(CACHE_CONTROL), "no-store", "{name}");
    }
    assert_eq!(harness.log.size(), 0);
    assert_eq!(
        harness
            .post(ADD_PRE_CHAIN, padded_to(&good, MAX_BODY))
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(harness.log.size(), 1);
}

/// The same request, made longer by a member that RFC 6962 tells the log to ignore.
fn padded_to(body: &str, length: usize) -> String {
    let start = r#"{"padding":""#;
    let rest = format!("\",{}", &body[1..]);
    let padding = "x".repeat(length - start.len() - rest.len());
    format!("{start}{padding}{rest}")
}

#[tokio::test]
async fn no_flipped_byte_of_a_request_makes_an_internal_error() {
    let harness = Harness::new();
    let good = body_of(&harness.pki.chain(&precertificate_params(1))).into_bytes();
    for position in 0..good.len() {
        let mut body = good.clone();
        body[position] ^= 0x10;
        let answer = harness.post(ADD_PRE_CHAIN, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "byte {position}");
    }
}

/// Starts every one of them before any can finish.
async fn all_at_once<F: Future<Output = Answer>>(futures: Vec<F>) -> Vec<Answer> {
    let mut waiting: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut answers = Vec::new();
    poll_fn(|context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    answers
}

#[tokio::test]
async fn more_submissions_at_once_than_the_log_takes_are_refused_fast() {
    let harness = Harness::new();
    let body = body_of(&harness.pki.chain(&precertificate_params(1)));
    let requests = (0..300)
        .map(|_| harness.post(ADD_PRE_CHAIN, body.clone()))
        .collect();
    let (taken, refused): (Vec<_>, Vec<_>) = all_at_once(requests)
        .await
        .into_iter()
        .partition(|answer| answer.status == StatusCode::OK);
    assert_eq!(taken.len(), 256);
    assert_eq!(refused.len(), 44);
    for answer in refused {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header(RETRY_AFTER), "1");
    }
    assert_eq!(harness.post(ADD_PRE_CHAIN, body).await.status, StatusCode::OK);
}

/// A submitter that goes away leaves its work behind, and that counts until it is done (C17).
#[test]
fn abandoned_submissions_count_until_they_are_done() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.max_blocking_threads(1).build().unwrap().block_on(async {
        let harness = Harness::new();
        let (release, held) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        let body = body_of(&harness.pki.chain(&precertificate_params(1)));
        for _ in 0..256 {
            let mut abandoned = Box::pin(harness.post(ADD_PRE_CHAIN, body.clone()));
            assert!(poll_once(&mut abandoned).await.is_pending());
        }
        let mut crowded = Box::pin(harness.post(ADD_PRE_CHAIN, body.clone()));
        let Poll::Ready(answer) = poll_once(&mut crowded).await else {
            panic!("it waits behind 256 others");
        };
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        drop(release);
        // The one thread works in order: after this, all of them are done.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!(harness.post(ADD_PRE_CHAIN, body).await.status, StatusCode::OK);
    });
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}

#[tokio::test]
async fn submissions_to_a_log_that_stopped_are_told_to_come_back() {
    let harness = Harness::new();
    harness.add(1).await;
    harness.log.shutdown().await;
    let answer = harness
        .submit(ADD_PRE_CHAIN, &harness.pki.chain(&precertificate_params(2)))
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header(RETRY_AFTER), "30");
    assert!(answer.json()["error_message"].is_string());
}
