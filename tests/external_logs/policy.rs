//! Whose SCTs a certificate carries.

use std::{net::Ipv4Addr, time::Duration};

use axum::Router;
use ct_log::{Entry, ExternalLogKey, Log, LogKey, LogSpec, Origin, Sct, chain::Policy};
use der::Decode;
use mayfly::{
    issue::IssueError,
    issuer::IssuedCertificate,
    log::{EMBEDDED, Embedding, ExternalLogSettings, LogError, Use},
};
use tokio::net::TcpListener;
use x509_cert::{Certificate, ext::pkix::SignedCertificateTimestampList};

use crate::{
    external,
    fake_log::{FakeLog, Key, Mood},
    instance::Instance,
    settings, submissions, without_own_log,
};

/// The logs of the SCTs that the certificate carries, as a client finds them (RFC 6962 section 3.3).
fn logs_in(issued: &IssuedCertificate) -> Vec<Vec<u8>> {
    let certificate = Certificate::from_der(issued.der()).unwrap();
    let (_, list) = certificate
        .tbs_certificate()
        .get_extension::<SignedCertificateTimestampList>()
        .unwrap()
        .unwrap();
    let scts = list.parse_timestamps().unwrap();
    scts.iter()
        .map(|sct| sct.parse_timestamp().unwrap().log_id.key_id.to_vec())
        .collect()
}

/// C20: every kind of log and key that RFC 6962 knows.
#[tokio::test]
async fn each_kind_of_log_gives_scts_that_certificates_carry() {
    for (key, mood, spec) in [
        (Key::p256(), Mood::Honest, LogSpec::StaticCtApi),
        (Key::p256(), Mood::NoExtensions, LogSpec::Rfc6962),
        (Key::p256(), Mood::GarbageExtensions, LogSpec::Rfc6962),
        (Key::rsa(), Mood::NoExtensions, LogSpec::Rfc6962),
    ] {
        let log = FakeLog::start_with(key, mood).await;
        let mut settings = settings(&log, "fake", Use::Embed);
        settings.spec = spec;
        let ca = without_own_log(external(Embedding::First, vec![settings])).await;
        let issued = ca.issue().await.unwrap();
        assert_eq!(logs_in(&issued), [log.log_id()]);
        let record = &ca.audit_records()[1];
        assert_eq!(record["external"][0]["log"], "fake");
        assert_eq!(record["external"][0]["log_id"], hex::encode(log.log_id()));
        assert_eq!(
            record["external"][0]["leaf_index"].is_u64(),
            spec == LogSpec::StaticCtApi
        );
        assert!(record["sct"].is_null(), "there is no embedded log");
        assert_eq!(ca.log.size(), 0);
    }
}

#[tokio::test]
async fn with_first_the_own_log_answers_first_and_nobody_else_is_told() {
    let log = FakeLog::start(Mood::Honest).await;
    let external = external(Embedding::First, vec![settings(&log, "fake", Use::Embed)]);
    let ca = Instance::start_with(|wishes| wishes.external = Some(external)).await;
    let issued = ca.issue().await.unwrap();
    assert_eq!(issued.logged().scts()[0].log(), EMBEDDED);
    assert_eq!((ca.log.size(), log.asked()), (1, 0));

    ca.log.shutdown().await;
    let issued = ca.issue().await.unwrap();
    assert_eq!(issued.logged().scts()[0].log(), "fake");
    assert!(ca.authority.readiness().log.is_ok());
}

/// The first log hangs: the second is asked meanwhile, and the first attempt given up.
#[tokio::test]
async fn a_slow_log_is_overtaken_by_the_next() {
    let (slow, quick) = (
        FakeLog::start(Mood::Hang).await,
        FakeLog::start(Mood::Honest).await,
    );
    let logs = vec![
        settings(&slow, "slow", Use::Embed),
        settings(&quick, "quick", Use::Embed),
    ];
    let external = external(Embedding::First, logs);
    let metrics = external.metrics.clone();
    let ca = without_own_log(external).await;
    assert_eq!(logs_in(&ca.issue().await.unwrap()), [quick.log_id()]);
    assert_eq!((slow.asked(), quick.asked()), (1, 1));
    for (log, outcome) in [("slow", "given_up"), ("quick", "accepted")] {
        assert!(
            (submissions(&metrics, log, outcome) - 1.0).abs() < f64::EPSILON,
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_log_is_asked_only_for_certificates_that_end_in_its_interval() {
    let (past, present) = (
        FakeLog::start(Mood::Honest).await,
        FakeLog::start(Mood::Honest).await,
    );
    let mut over = settings(&past, "past", Use::Embed);
    over.not_after = Duration::ZERO..Duration::from_secs(1_700_000_000);
    let both = vec![over.clone(), settings(&present, "present", Use::Embed)];
    let ca = without_own_log(external(Embedding::First, both)).await;
    assert_eq!(logs_in(&ca.issue().await.unwrap()), [present.log_id()]);
    assert_eq!(past.asked(), 0);

    let ca = without_own_log(external(Embedding::First, vec![over])).await;
    match ca.issue().await {
        Err(IssueError::Log(LogError::NoSct(nothing))) => {
            assert!(nothing.to_string().contains("no configured log takes"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(past.asked(), 0);
}

/// C18.
#[tokio::test]
async fn with_all_one_log_that_fails_is_enough_for_no_certificate() {
    let (good, bad) = (
        FakeLog::start(Mood::Honest).await,
        FakeLog::start(Mood::WrongKey).await,
    );
    let logs = vec![
        settings(&good, "good", Use::Embed),
        settings(&bad, "bad", Use::Embed),
    ];
    let external = external(Embedding::All, logs);
    let ca = Instance::start_with(|wishes| wishes.external = Some(external)).await;
    assert!(matches!(
        ca.issue().await,
        Err(IssueError::Log(LogError::NoSct(_)))
    ));
    bad.set(Mood::Honest);
    let issued = ca.issue().await.unwrap();
    let own = ca.log.public_key().log_id().as_bytes().to_vec();
    assert_eq!(logs_in(&issued), [own, good.log_id(), bad.log_id()]);
}

/// C18, C20: one of our own logs as others run it, beside the CA's own. Its SCT is for the entry that it holds.
#[tokio::test]
async fn another_mayfly_is_an_external_log() {
    let origin = Origin::new("other.example/log").unwrap();
    let other = Log::in_memory(origin, LogKey::generate().unwrap()).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let settings = ExternalLogSettings {
        name: "other".into(),
        url: format!("http://{}/log", listener.local_addr().unwrap())
            .parse()
            .unwrap(),
        key: ExternalLogKey::from_spki_der(other.public_key().spki_der()).unwrap(),
        spec: LogSpec::StaticCtApi,
        purpose: Use::Embed,
        not_after: Duration::ZERO..Duration::MAX,
        roots: None,
    };
    let external = external(Embedding::All, vec![settings]);
    let ca = Instance::start_with(|wishes| wishes.external = Some(external)).await;
    let signing = ca.authority.signing();
    let roots = signing.issuer().chain().der().iter().map(Vec::as_slice);
    let routes = ct_log::http::router(other.clone(), Policy::new(roots).unwrap());
    let routes = Router::new().nest("/log", routes);
    let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });

    for index in 0..3 {
        let issued = ca.issue().await.unwrap();
        let id = |log: &Log| log.public_key().log_id().as_bytes().to_vec();
        assert_eq!(logs_in(&issued), [id(&ca.log), id(&other)]);
        let precertificate = issued.logged().precertificate();
        let entry = Entry::Precertificate {
            issuer_key_hash: precertificate.issuer_key_hash(),
            tbs: precertificate.bare_tbs().to_vec(),
            precertificate: precertificate.der().to_vec(),
        };
        for (sct, log) in issued.logged().scts().iter().zip([&ca.log, &other]) {
            let read = Sct::from_tls(sct.tls()).unwrap();
            read.verify(&entry, log.public_key()).unwrap();
            assert_eq!(read.leaf_index().get(), index);
        }
        assert_eq!((ca.log.size(), other.size()), (index + 1, index + 1));
    }
    server.abort();
}
