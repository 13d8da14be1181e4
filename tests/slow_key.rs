//! A CA key that takes its time, as one in a key management service does: it holds up nobody but who waits for it.
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
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use instance::Instance;
use mayfly::key::{SignatureAlgorithm, SignatureFuture, SigningKey};
use tokio::{sync::Barrier, time::timeout};

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
