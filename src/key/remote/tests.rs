use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use futures_util::future::join_all;

use super::*;
use crate::{key::SoftwareKey, telemetry::KeyMetrics};

const MESSAGE: &[u8] = b"to be signed";

/// What the service does with one request.
#[derive(Clone, Copy)]
enum Act {
    Sign,
    SignOther,
    Garble,
    Hang,
    Fail(Trouble),
}

/// A service that follows a script, then signs. It signs the message, since software keys take no digests.
struct Service {
    key: SoftwareKey,
    other: SoftwareKey,
    script: Arc<Mutex<VecDeque<Act>>>,
    asked: Arc<AtomicUsize>,
    takes: Duration,
}

impl Service {
    async fn answer(&self, digest: &[u8]) -> Result<Vec<u8>, RemoteError> {
        assert_eq!(digest, self.key.algorithm().digest(MESSAGE).as_ref());
        self.asked.fetch_add(1, Ordering::Relaxed);
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Sign);
        sleep(self.takes).await;
        match act {
            Act::Sign => Ok(self.key.sign(MESSAGE).await.unwrap()),
            Act::SignOther => Ok(self.other.sign(MESSAGE).await.unwrap()),
            Act::Garble => Ok(vec![0; 70]),
            Act::Hang => std::future::pending().await,
            Act::Fail(trouble) => Err(RemoteError::new(trouble, io::Error::other("scripted"))),
        }
    }
}

impl RemoteSigner for Service {
    fn backend(&self) -> &'static str {
        "test"
    }

    fn sign_digest<'a>(&'a self, digest: &'a [u8]) -> RemoteFuture<'a> {
        Box::pin(self.answer(digest))
    }
}

struct Fixture {
    key: RemoteKey,
    asked: Arc<AtomicUsize>,
}

fn new_key() -> SoftwareKey {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    SoftwareKey::from_pkcs8_der(pkcs8.unwrap().as_ref()).unwrap()
}

fn fixture(script: &[Act], takes: Duration, limits: Limits) -> Fixture {
    let (key, asked) = (new_key(), Arc::new(AtomicUsize::new(0)));
    let found = FoundKey {
        spki_der: key.spki_der().to_vec(),
        signer: Box::new(Service {
            key,
            other: new_key(),
            script: Arc::new(Mutex::new(script.iter().copied().collect())),
            asked: Arc::clone(&asked),
            takes,
        }),
    };
    let metrics = KeyMetrics::new().unwrap().of("test", "test");
    let key = RemoteKey::new(found, limits, metrics).unwrap();
    Fixture { key, asked }
}

fn scripted(script: &[Act]) -> Fixture {
    fixture(script, Duration::ZERO, Limits::default())
}

impl Fixture {
    async fn sign(&self) -> Result<Vec<u8>, SignError> {
        self.key.sign_in_time(MESSAGE).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again() {
    for act in [
        Act::Hang,
        Act::SignOther,
        Act::Garble,
        Act::Fail(Trouble::Passing),
        Act::Fail(Trouble::Throttled(None)),
        Act::Fail(Trouble::Throttled(Some(Duration::from_secs(1)))),
    ] {
        let service = scripted(&[act]);
        service.sign().await.unwrap();
        assert_eq!(service.asked(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_signature_never_leaves() {
    for wrong in [Act::SignOther, Act::Garble] {
        let service = scripted(&[wrong; 3]);
        assert!(matches!(service.sign().await, Err(SignError::WrongSignature)));
        assert_eq!(service.asked(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_repeated() {
    let service = scripted(&[Act::Fail(Trouble::Refused)]);
    assert!(matches!(service.sign().await, Err(SignError::Remote(_))));
    assert_eq!(service.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_ends_in_time_whatever_the_service_does() {
    let hour = Duration::from_secs(3600);
    for act in [Act::Hang, Act::Fail(Trouble::Throttled(Some(hour)))] {
        let service = scripted(&[act; 9]);
        let started = Instant::now();
        service.sign().await.unwrap_err();
        assert!(
            started.elapsed() <= Limits::default().whole,
            "{:?}",
            started.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_keeps_failing_is_left_alone_and_then_tried_again() {
    let service = scripted(&[Act::Fail(Trouble::Passing); 5]);
    service.sign().await.unwrap_err();
    assert!(matches!(service.sign().await, Err(SignError::LeftAlone(_))));
    let asked = service.asked();
    assert!(matches!(service.sign().await, Err(SignError::LeftAlone(_))));
    assert_eq!(service.asked(), asked, "nothing was sent");
    sleep(RESTS.first).await;
    service.sign().await.unwrap();
}

/// The figure: a signer that takes 10 ms gives (concurrency / 10 ms) signatures a second.
#[tokio::test(start_paused = true)]
async fn slow_signatures_run_side_by_side_up_to_the_limit() {
    let takes = Duration::from_millis(10);
    let limits = Limits {
        concurrent: 8,
        ..Limits::default()
    };
    let service = fixture(&[], takes, limits);
    let started = Instant::now();
    let signed = join_all((0..80).map(|_| service.sign())).await;
    assert!(signed.iter().all(Result::is_ok));
    // The clock moves in whole milliseconds.
    let least = takes * 80 / 8;
    assert!((least..least + Duration::from_millis(20)).contains(&started.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_turn_is_told_so() {
    let limits = Limits {
        concurrent: 1,
        ..Limits::default()
    };
    let service = fixture(&[Act::Hang; 9], Duration::ZERO, limits);
    let (first, second) = futures_util::join!(service.sign(), service.sign());
    assert!(matches!(first, Err(SignError::Late)));
    assert!(matches!(second, Err(SignError::Busy | SignError::Late)));
}
