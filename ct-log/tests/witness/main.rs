//! Witnesses, good ones and others (C2SP tlog-witness), and SCTs that wait (C3, C22).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod fake;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::chain::Policy;
use ct_log::witness::{NoteKey, Witness, WitnessKey, WitnessOutcome, Witnesses, WitnessesError};
use ct_log::{Checkpoint, Log, LogKey, LogSettings, OpenError, SctAfter, SubmitError, Submitter};
use fake::{Behaviour, Fake, until};
use support::{Pki, grow, origin, pending, precertificate_params};
use tower::ServiceExt as _;

/// A log in a directory, and the means to open it again.
struct Setup {
    directory: tempfile::TempDir,
    key: Vec<u8>,
    note_key: Vec<u8>,
    pki: Pki,
}

impl Setup {
    fn new() -> Setup {
        Setup {
            directory: tempfile::tempdir().unwrap(),
            key: LogKey::generate().unwrap().to_pkcs8_der().unwrap().to_vec(),
            note_key: NoteKey::generate().unwrap().to_pkcs8_der().unwrap().to_vec(),
            pki: Pki::new(),
        }
    }

    fn key(&self) -> LogKey {
        LogKey::from_pkcs8_der(&self.key).unwrap()
    }

    fn note_key(&self) -> NoteKey {
        NoteKey::from_pkcs8_der(&self.note_key).unwrap()
    }

    fn settings(&self) -> LogSettings {
        LogSettings::new(self.directory.path().join("log"), origin()).index_in_memory()
    }

    fn witnesses(&self, fakes: &[&Fake], quorum: usize) -> Witnesses {
        let witnesses = fakes.iter().map(|fake| fake.witness()).collect();
        Witnesses::new(witnesses, quorum, self.note_key()).unwrap()
    }

    async fn fake(&self, name: &str, behaviour: Behaviour) -> Fake {
        let (fake, server) = Fake::start(name, behaviour).await;
        server.serve(&fake, &self.note_key().verifier_key(&origin()));
        fake
    }

    fn create(&self, settings: LogSettings) -> Log {
        Log::create(settings, self.key()).unwrap()
    }
}

fn outcome(log: &Log, name: &str, wanted: WitnessOutcome) -> u64 {
    let statistics = log.statistics();
    let witness = statistics.witnesses.iter().find(|witness| witness.name == name);
    let outcomes = &witness.unwrap().outcomes;
    outcomes.iter().find(|(outcome, _)| *outcome == wanted).unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn the_served_checkpoint_gets_the_cosignatures_of_all_that_give_one() {
    let setup = Setup::new();
    let fakes = [
        setup.fake("w.example/1", Behaviour::Good).await,
        setup.fake("w.example/2", Behaviour::Good).await,
    ];
    let log = setup.create(
        setup
            .settings()
            .witnesses(setup.witnesses(&[&fakes[0], &fakes[1]], 2)),
    );
    for size in [1, 300, 301] {
        grow(&log, &setup.pki, size - log.size()).await;
        let note = until(|| {
            let note = log.checkpoint();
            fakes.iter().all(|fake| fake.cosigned(&note)).then_some(note)
        })
        .await;
        // What others make of it: the log's own signature still counts (C22), and the note keeps its form.
        let checkpoint = Checkpoint::verify(&note, log.origin(), log.public_key()).unwrap();
        assert!(checkpoint.size() <= size);
        assert_eq!(note.lines().count(), 4 + 4, "{note}");
        assert!(!note.contains("stranger"), "{note}");
        let witnessed = log.witnessed_checkpoint().unwrap();
        assert!(fakes.iter().all(|fake| fake.cosigned(&witnessed)));
        Checkpoint::verify(&witnessed, log.origin(), log.public_key()).unwrap();
    }
    assert!(log.statistics().witnessed_at.is_some());
    for fake in &fakes {
        fake.seen(|seen| assert!(!seen.refused.contains(&"inconsistent"), "{:?}", seen.refused));
    }
    let routes = ct_log::http::router(log.clone(), Policy::accepting_nothing());
    let request = Request::get("/checkpoint/witnessed").body(Body::empty()).unwrap();
    assert_eq!(routes.oneshot(request).await.unwrap().status(), StatusCode::OK);
    log.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_witnesses_are_seen_and_hold_nobody_up() {
    use Behaviour::{Answer, Conflict, Garbage, Hangs, Huge, Old, OtherRoot, Redirects, WrongKey};
    use WitnessOutcome::{Ahead, Inconsistent, Invalid, Refused};
    let cases = [
        (Conflict(1 << 30), Some(Ahead)),
        (Answer(422), Some(Inconsistent)),
        (Answer(403), Some(Refused)),
        (Answer(404), Some(Refused)),
        (Answer(500), Some(Refused)),
        (Redirects, Some(Refused)),
        (WrongKey, Some(Invalid)),
        (OtherRoot, Some(Invalid)),
        (Old(3600), Some(Invalid)),
        (Garbage, Some(Invalid)),
        (Huge, Some(Invalid)),
        (Hangs, None),
    ];
    let setup = Setup::new();
    let good = setup.fake("good", Behaviour::Good).await;
    let mut bad = Vec::new();
    for (number, (behaviour, expected)) in cases.into_iter().enumerate() {
        let name = format!("bad-{number}");
        bad.push((setup.fake(&name, behaviour).await, name, expected));
    }
    let fakes: Vec<&Fake> = bad.iter().map(|(fake, ..)| fake).chain([&good]).collect();
    let settings = setup.settings().witnesses(setup.witnesses(&fakes, 1));
    let log = setup.create(settings.sct_after(SctAfter::Witnessed));
    // The SCTs come, and so do checkpoints with the one good line.
    grow(&log, &setup.pki, 3).await;
    for (fake, name, expected) in &bad {
        until(|| (fake.seen(|seen| seen.requests) > 0).then_some(())).await;
        if let Some(expected) = expected {
            until(|| (outcome(&log, name, *expected) > 0).then_some(())).await;
        }
        assert_eq!(outcome(&log, name, WitnessOutcome::Cosigned), 0, "{name}");
    }
    let note = until(|| Some(log.checkpoint()).filter(|note| good.cosigned(note))).await;
    // C22: two lines of the log, and one that holds.
    assert_eq!(note.lines().count(), 4 + 3, "{note}");
    log.health().unwrap();
    log.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_is_behind_gets_the_proof_from_where_it_is() {
    let setup = Setup::new();
    let fake = setup.fake("w", Behaviour::Good).await;
    let settings = setup.settings().witnesses(setup.witnesses(&[&fake], 1));
    let log = setup.create(settings.clone());
    grow(&log, &setup.pki, 3).await;
    until(|| log.witnessed_checkpoint()).await;
    log.shutdown().await;
    drop(log);
    let before = fake.seen(|seen| seen.size);
    // Meanwhile it grows unseen.
    let log = Log::open(setup.settings(), setup.key()).unwrap();
    grow(&log, &setup.pki, 600).await;
    log.shutdown().await;
    drop(log);
    let log = Log::open(settings, setup.key()).unwrap();
    until(|| (fake.seen(|seen| seen.size) > before).then_some(())).await;
    fake.seen(|seen| {
        assert_eq!(seen.size, log.size());
        assert!(seen.refused.contains(&"conflict") && !seen.refused.contains(&"inconsistent"));
    });
    log.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cosignatures_outlive_a_restart() {
    let setup = Setup::new();
    let fake = setup.fake("w", Behaviour::Good).await;
    let settings = setup.settings().witnesses(setup.witnesses(&[&fake], 1));
    let log = setup.create(settings.clone());
    grow(&log, &setup.pki, 3).await;
    until(|| Some(log.checkpoint()).filter(|note| fake.cosigned(note) && log.published_size() == 3)).await;
    log.shutdown().await;
    drop(log);
    fake.seen(|seen| seen.behaviour = Behaviour::Hangs);
    let log = Log::open(settings.clone(), setup.key()).unwrap();
    assert!(fake.cosigned(&log.checkpoint()));
    assert!(fake.cosigned(&log.witnessed_checkpoint().unwrap()));
    log.shutdown().await;
    drop(log);
    // A line that somebody else put into the file is not taken over (C22).
    let path = setup.directory.path().join("log/checkpoint");
    let note = std::fs::read_to_string(&path).unwrap();
    let line = note.lines().find(|line| line.starts_with("\u{2014} w ")).unwrap();
    let mut value = STANDARD.decode(line.rsplit_once(' ').unwrap().1).unwrap();
    value[20] ^= 1;
    let forged = note.replace(line, &format!("\u{2014} w {}", STANDARD.encode(value)));
    std::fs::write(&path, forged).unwrap();
    let log = Log::open(settings, setup.key()).unwrap();
    assert!(!log.checkpoint().contains("\u{2014} w "));
    log.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sct_waits_for_what_the_log_promises() {
    let setup = Setup::new();
    let log = setup.create(setup.settings().sct_after(SctAfter::Published));
    for serial in 0..20 {
        let entry = pending(&log, &setup.pki, serial);
        let sct = log.submit(entry, Submitter::Internal).await.unwrap();
        assert!(log.published_size() > sct.leaf_index().get(), "C3");
    }
    log.shutdown().await;
    drop(log);

    let fakes = [
        setup.fake("1", Behaviour::Good).await,
        setup.fake("2", Behaviour::Good).await,
        setup.fake("3", Behaviour::Good).await,
    ];
    let witnesses = setup.witnesses(&[&fakes[0], &fakes[1], &fakes[2]], 2);
    let settings = setup
        .settings()
        .witnesses(witnesses)
        .sct_after(SctAfter::Witnessed);
    let log = Log::open(settings, setup.key()).unwrap();
    for serial in 100..110 {
        let entry = pending(&log, &setup.pki, serial);
        let sct = log.submit(entry, Submitter::Internal).await.unwrap();
        let index = sct.leaf_index().get();
        let note = log.witnessed_checkpoint().unwrap();
        let checkpoint = Checkpoint::verify(&note, log.origin(), log.public_key()).unwrap();
        assert!(checkpoint.size() > index, "C3");
        assert!(
            fakes.iter().filter(|fake| fake.cosigned(&note)).count() >= 2,
            "C3"
        );
    }
    log.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_whose_sct_does_not_come_in_time_keeps_its_place() {
    let setup = Setup::new();
    let fake = setup.fake("w", Behaviour::Hangs).await;
    let settings = setup.settings().witnesses(setup.witnesses(&[&fake], 1));
    let settings = settings
        .sct_after(SctAfter::Witnessed)
        .sct_within(Duration::from_millis(50));
    let log = setup.create(settings);
    let chain = setup.pki.chain(&precertificate_params(7));
    let routes = ct_log::http::router(
        log.clone(),
        Policy::new([setup.pki.root.der().as_slice()]).unwrap(),
    );
    let submit = || {
        let body = Body::from(support::http::body_of(&chain));
        routes
            .clone()
            .oneshot(Request::post("/ct/v1/add-pre-chain").body(body).unwrap())
    };
    let refused = submit().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    let missing = SctAfter::Witnessed;
    let entry = pending(&log, &setup.pki, 8);
    assert_eq!(
        log.submit(entry, Submitter::Internal).await,
        Err(SubmitError::NotYet { after: missing })
    );
    assert_eq!(log.size(), 2);
    until(|| (log.published_size() == 2).then_some(())).await;
    fake.seen(|seen| seen.behaviour = Behaviour::Good);
    until(|| log.witnessed_checkpoint()).await;
    // C11: the same entry, and from now on the same SCT.
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let answer = submit().await.unwrap();
        if answer.status() == StatusCode::OK {
            answers.push(axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap());
        }
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(log.size(), 2);
    log.shutdown().await;
}

#[test]
fn a_log_that_cannot_keep_its_promise_does_not_start() {
    let setup = Setup::new();
    for after in [SctAfter::Witnessed, SctAfter::Replicated] {
        let error = Log::create(setup.settings().sct_after(after), setup.key()).unwrap_err();
        assert!(matches!(error, OpenError::SctAfter { .. }), "{error}");
    }
}

#[tokio::test]
async fn witnesses_that_make_no_sense_are_refused() {
    let setup = Setup::new();
    let fake = setup.fake("w", Behaviour::Good).await;
    let same = || vec![fake.witness(), fake.witness()];
    let make =
        |witnesses: Vec<Witness>, quorum| Witnesses::new(witnesses, quorum, setup.note_key()).unwrap_err();
    assert_eq!(make(Vec::new(), 1), WitnessesError::Number(0));
    assert!(matches!(
        make(vec![fake.witness()], 2),
        WitnessesError::Quorum { .. }
    ));
    assert!(matches!(
        make(vec![fake.witness()], 0),
        WitnessesError::Quorum { .. }
    ));
    assert_eq!(make(same(), 1), WitnessesError::SameName("w".to_owned()));

    let good = fake.verifier_key();
    assert_eq!(good.parse::<WitnessKey>().unwrap().name(), "w");
    for wrong in [
        "",
        "w",
        "w+00000000",
        &good.replacen('w', "v", 1),
        &good[..good.len() - 4],
    ] {
        assert!(wrong.parse::<WitnessKey>().is_err(), "{wrong}");
    }
    // The example of C2SP signed-note: type 0x01, taken as the same key.
    let example = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    assert_eq!(example.parse::<WitnessKey>().unwrap().name(), "example.com/foo");
}
