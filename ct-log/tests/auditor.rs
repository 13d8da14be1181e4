//! The auditor of one's own SCTs: it finds what a log loses or changes after it gave out SCTs.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use ct_log::auditor::{Alarm, Auditor};
use ct_log::check::Problem;
use ct_log::remote::{RemoteLog, TlsTrust};
use ct_log::{Log, LogKey, Submitter};
use support::web::{Fault, Web};
use support::{Pki, grow, origin, pending};

struct Scene {
    pki: Pki,
    log: Log,
    web: Web,
    auditor: Auditor<RemoteLog>,
}

impl Scene {
    async fn new() -> Scene {
        let (pki, log) = (
            Pki::new(),
            Log::in_memory(origin(), LogKey::generate().unwrap()).unwrap(),
        );
        let web = Web::serve(&log, &pki).await;
        let source = RemoteLog::new(&web.url, TlsTrust::System).unwrap();
        let auditor = Auditor::new(log.clone(), source.uncompressed());
        Scene {
            pki,
            log,
            web,
            auditor,
        }
    }

    async fn grow(&self, by: u64) {
        grow(&self.log, &self.pki, by).await;
        while self.log.published_size() < self.log.size() {
            tokio::task::yield_now().await;
        }
    }
}

/// C2, as the world sees it.
#[tokio::test]
async fn every_entry_is_found_where_its_sct_says_and_asked_for_once() {
    let mut scene = Scene::new().await;
    scene.grow(300).await;
    let (round, alarms) = scene.auditor.round().await;
    assert!(alarms.is_empty(), "{alarms:?}");
    assert_eq!((round.found, round.waiting), (300, 0));
    scene.web.asked();
    scene.grow(2).await;
    let (round, alarms) = scene.auditor.round().await;
    assert!(alarms.is_empty(), "{alarms:?}");
    assert_eq!((round.found, round.waiting), (2, 0));
    let asked = scene.web.asked();
    assert!(!asked.iter().any(|path| path == "/tile/data/000"), "{asked:?}");
    let (round, alarms) = scene.auditor.round().await;
    assert!(alarms.is_empty() && round.found == 0);
}

/// A proxy, a cache or a storage that loses or changes an entry, a hash or the checkpoint.
#[tokio::test]
async fn lost_and_changed_entries_are_alarms_until_they_are_back() {
    let mut scene = Scene::new().await;
    scene.grow(3).await;
    let data = "tile/data/000.p/3";
    let truth = reqwest::get(format!("{}/{data}", scene.web.url)).await.unwrap();
    let truth = truth.bytes().await.unwrap().to_vec();
    let entries = ct_log::SequencedEntry::decode_all(&truth).unwrap();
    let first = entries.first().unwrap().tile_leaf().unwrap();
    let (flipped, shorter) = (
        {
            // Within the first certificate.
            let mut bytes = truth.clone();
            *bytes.get_mut(100).unwrap() ^= 1;
            bytes
        },
        truth.get(first.len()..).unwrap().to_vec(),
    );
    for (path, fault) in [
        (data, Fault::Status(404)),
        (data, Fault::Body(flipped)),
        (data, Fault::Body(shorter)),
        ("checkpoint", Fault::Body(b"nonsense".to_vec())),
    ] {
        scene.web.fault(path, fault);
        let (round, alarms) = scene.auditor.round().await;
        assert!(!alarms.is_empty(), "{path}");
        assert_eq!((round.found, round.waiting), (0, 3), "{path}");
        scene.web.mend();
    }
    let (round, alarms) = scene.auditor.round().await;
    assert!(alarms.is_empty(), "{alarms:?}");
    assert_eq!(round.found, 3);
}

/// The same log, key and all, from which an entry was taken and another put in its place: everything it serves fits together.
#[tokio::test]
async fn consistent_log_with_another_entry_is_an_alarm() {
    let key = LogKey::generate().unwrap();
    let again = LogKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
    let (pki, log) = (Pki::new(), Log::in_memory(origin(), key).unwrap());
    let liar = Log::in_memory(origin(), again).unwrap();
    let web = Web::serve(&liar, &pki).await;
    let source = RemoteLog::new(&web.url, TlsTrust::System).unwrap();
    let mut auditor = Auditor::new(log.clone(), source);
    let entry = pending(&log, &pki, 1);
    log.submit(entry, Submitter::Internal).await.unwrap();
    grow(&liar, &pki, 1).await;
    while liar.published_size() < 1 {
        tokio::task::yield_now().await;
    }
    let (round, alarms) = auditor.round().await;
    assert!(
        matches!(alarms.as_slice(), [Alarm::Other { index: 0, .. }]),
        "{alarms:?}"
    );
    assert_eq!((round.found, round.waiting), (0, 1));
}

/// C1: a checkpoint that was seen is remembered.
#[tokio::test]
async fn rolled_back_checkpoint_is_an_alarm_and_silence_is_none_at_first() {
    let mut scene = Scene::new().await;
    scene.grow(3).await;
    assert!(scene.auditor.round().await.1.is_empty());
    scene.grow(1).await;
    scene.web.fault("checkpoint", Fault::Status(403));
    let (round, alarms) = scene.auditor.round().await;
    assert!(alarms.is_empty(), "the next round may come through: {alarms:?}");
    assert_eq!(round.waiting, 1);
    let key = LogKey::generate().unwrap();
    let other = Log::in_memory(origin(), key).unwrap();
    let foreign = other.checkpoint();
    scene
        .web
        .fault("checkpoint", Fault::Body(foreign.as_bytes().to_vec()));
    let (_, alarms) = scene.auditor.round().await;
    assert!(
        matches!(alarms.as_slice(), [Alarm::Log(Problem::Checkpoint(_))]),
        "{alarms:?}"
    );
}
