//! The whole path, from a token to a certificate that others can verify; and that nothing is signed, logged
//! or recorded where a step refuses.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

#[path = "support/fake_issuer.rs"]
mod fake_issuer;
#[path = "support/instance.rs"]
mod instance;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use der::{Decode, Encode};
use futures_util::future::join_all;
use instance::{Holder, Instance};
use mayfly::{
    issue::{IssueError, IssueRequest},
    issuer::{IssuedCertificate, ceremony::KeyKind},
    key::{SignatureAlgorithm, SignatureFuture, SigningKey},
    token::RawToken,
};
use serde_json::json;
use tokio::{sync::Barrier, time::timeout};
use x509_cert::Certificate;

fn parsed(issued: &IssuedCertificate) -> Certificate {
    Certificate::from_der(issued.der()).unwrap()
}

#[tokio::test]
async fn a_token_and_a_proof_become_a_logged_certificate() {
    for kind in [KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Rsa4096] {
        let instance = Instance::start_with(|wishes| wishes.kind = kind).await;
        let issued = instance.issue().await.unwrap();

        let certificate = parsed(&issued);
        let validity = certificate.tbs_certificate().validity();
        let lifetime = validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration();
        assert_eq!(lifetime, Duration::from_secs(600));
        assert!(certificate.tbs_certificate().subject().is_empty());
        assert_eq!(issued.to_pem().len(), 3, "leaf, intermediate, root");

        let [sct] = issued.logged().scts() else {
            panic!("not exactly one SCT")
        };
        assert_eq!(
            (instance.log.size(), sct.leaf_index()),
            (1, ct_log::LeafIndex::new(0))
        );
        assert_eq!(sct.log_id(), instance.log.public_key().log_id());
    }
}

#[tokio::test]
async fn each_signature_is_in_the_audit_record_before_the_answer() {
    let instance = Instance::start().await;
    let issued = instance.issue().await.unwrap();

    let records = instance.audit_records();
    assert_eq!(records.len(), 2);
    let (intent, certificate) = (&records[0], &records[1]);
    let serial = hex::encode(parsed(&issued).tbs_certificate().serial_number().as_bytes());
    assert_eq!(
        (&intent["event"], &intent["serial"]),
        (&json!("precertificate"), &json!(serial))
    );
    assert_eq!(intent["name"], json!({"email": "alice@example.com"}));
    assert_eq!(intent["extensions"]["issuer"], instance.issuer.url());
    assert_eq!(intent["extensions"]["subject"], "alice");
    assert_eq!(intent["proof"], "challenge");
    assert_eq!(
        (&certificate["event"], &certificate["serial"]),
        (&json!("certificate"), &json!(serial))
    );
    assert_eq!(certificate["leaf_index"], 0);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, issued.der());
    assert_eq!(certificate["sha256"], hex::encode(hash));
}

#[tokio::test]
async fn a_record_that_was_torn_spoils_none_that_follows() {
    let torn = r#"{"event":"precert"#;
    let instance = Instance::start_with(|wishes| std::fs::write(&wishes.audit, torn).unwrap()).await;
    instance.issue().await.unwrap();
    let text = std::fs::read_to_string(instance.folder.path().join("audit.jsonl")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(torn));
    let whole = lines.map(|line| serde_json::from_str(line).unwrap());
    assert_eq!(whole.collect::<Vec<serde_json::Value>>().len(), 2);
}

#[tokio::test]
async fn a_refusal_at_any_step_signs_logs_and_records_nothing() {
    let instance = Instance::start().await;
    let holder = Holder::new();
    let mut expired = instance.claims();
    expired["exp"] = 1.into();
    let mut unverified = instance.claims();
    unverified["email_verified"] = false.into();
    let requests = [
        (expired, "alice@example.com", "token_expired"),
        (unverified, "alice@example.com", "email_not_verified"),
        (
            instance.claims(),
            "mallory@example.com",
            "proof_signature_invalid",
        ),
    ];
    for (claims, signed, expected) in requests {
        let request = IssueRequest {
            token: RawToken::new(instance.issuer_key.token(&claims)),
            proof: holder.proof(signed),
        };
        let reason = match instance.authority.issue(request).await {
            Err(IssueError::Token(error)) => error.reason(),
            Err(IssueError::Identity(error)) => error.reason(),
            Err(IssueError::Proof(error)) => error.reason(),
            other => panic!("{other:?}"),
        };
        assert_eq!(reason, expected);
    }
    assert_eq!(instance.log.size(), 0);
    assert!(instance.audit_records().is_empty());
    instance.issue().await.unwrap();
}

#[tokio::test]
async fn nothing_is_issued_when_the_audit_record_cannot_be_written() {
    let full = PathBuf::from("/dev/full");
    let instance = Instance::start_with(|wishes| wishes.audit = full).await;
    assert!(matches!(instance.issue().await, Err(IssueError::Audit(_))));
    assert!(matches!(instance.issue().await, Err(IssueError::Audit(_))));
    assert!(instance.authority.readiness().audit.is_err());
    assert!(!instance.authority.readiness().is_ready());
}

#[tokio::test]
async fn nothing_is_issued_when_the_log_is_shut_down() {
    let instance = Instance::start().await;
    instance.log.shutdown().await;
    assert!(matches!(instance.issue().await, Err(IssueError::Log(_))));
    assert!(instance.authority.readiness().log.is_err());
}

#[tokio::test]
async fn a_certificate_never_outlives_its_issuer() {
    let instance = Instance::start().await;
    let signing = instance.authority.signing();
    let end = signing
        .issuer()
        .chain()
        .issuing()
        .tbs_certificate()
        .validity()
        .not_after
        .to_unix_duration();
    for (before_end, lifetime) in [(601, 600), (600, 600), (599, 599), (1, 1)] {
        let now = end - Duration::from_secs(before_end);
        let issued = issue_at(&instance, now).await.unwrap();
        let validity = parsed(&issued);
        let validity = validity.tbs_certificate().validity();
        assert_eq!(
            validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration(),
            Duration::from_secs(lifetime)
        );
    }
    assert!(matches!(
        issue_at(&instance, end).await,
        Err(IssueError::Profile(_))
    ));
    assert!(instance.authority.readiness().key.is_err());
}

async fn issue_at(instance: &Instance, now: Duration) -> Result<IssuedCertificate, IssueError> {
    instance.clock.set(mayfly::clock::Timestamp::from_unix(now));
    let mut claims = instance.claims();
    claims["iat"] = now.as_secs().into();
    claims["exp"] = (now.as_secs() + 600).into();
    let token = RawToken::new(instance.issuer_key.token(&claims));
    let request = IssueRequest {
        token,
        proof: Holder::new().proof("alice@example.com"),
    };
    instance.authority.issue(request).await
}

#[tokio::test]
async fn a_caller_that_hangs_up_loses_no_record() {
    let instance = Instance::start().await;
    // The issuer's keys are cached from here on, so that the first poll gets as far as signing.
    instance.issue().await.unwrap();
    for _ in 0..20 {
        assert!(poll_once(instance.issue()).await.is_none());
    }
    let certificates = || {
        instance
            .audit_records()
            .iter()
            .filter(|record| record["event"] == "certificate")
            .count()
    };
    while certificates() < 21 {
        tokio::task::yield_now().await;
    }
    assert_eq!(instance.log.size(), 21);
}

/// Polls until the first wait, then drops, as when a connection closes.
async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_get_serials_and_indices_of_their_own() {
    let instance = std::sync::Arc::new(Instance::start().await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let instance = std::sync::Arc::clone(&instance);
        tasks.spawn(async move { instance.issue().await.unwrap() });
    }
    let issued = tasks.join_all().await;
    let serials: BTreeSet<Vec<u8>> = issued
        .iter()
        .map(|one| parsed(one).tbs_certificate().serial_number().to_der().unwrap())
        .collect();
    let indices: BTreeSet<u64> = issued
        .iter()
        .map(|one| one.logged().scts()[0].leaf_index().unwrap().get())
        .collect();
    assert_eq!(serials.len(), 64);
    assert_eq!(indices, (0..64).collect());
}

/// Requests at the same time.
const CONCURRENT: usize = 16;

/// Passed by that many at once only, again and again.
static TOGETHER: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(CONCURRENT));
static SIGNATURES: AtomicUsize = AtomicUsize::new(0);

/// Signs only when as many signatures are under way as requests.
struct SlowKey(Arc<dyn SigningKey>);

impl SigningKey for SlowKey {
    fn spki_der(&self) -> &[u8] {
        self.0.spki_der()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> SignatureFuture<'a> {
        Box::pin(async move {
            // But for the self-test at the start.
            if SIGNATURES.fetch_add(1, Ordering::Relaxed) > 0 {
                TOGETHER.wait().await;
            }
            self.0.sign(message).await
        })
    }
}

/// A key in a key management service takes its time, and holds up nobody but who waits for it.
///
/// Both signatures of each request wait for those of all the others: one lock round the key, and this would hang. And there are two
/// round trips for a certificate, not three.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_run_side_by_side_two_for_each_certificate() {
    let instance = Instance::start_with(|wishes| wishes.key = |key| Arc::new(SlowKey(key))).await;
    assert_eq!(SIGNATURES.load(Ordering::Relaxed), 1);
    let all = join_all((0..CONCURRENT).map(|_| instance.issue()));
    let issued = timeout(Duration::from_secs(60), all).await.unwrap();
    assert!(issued.iter().all(Result::is_ok));
    assert_eq!(SIGNATURES.load(Ordering::Relaxed), 1 + 2 * CONCURRENT);
    assert_eq!(instance.log.size(), 16);
}
