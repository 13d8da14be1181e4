//! What an SCT costs more when it waits for more than the disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::Router;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::witness::{NoteKey, Witness, Witnesses};
use ct_log::{Log, LogKey, LogSettings, SctAfter};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::disk::percentile;
use crate::load::{machine, settings, submit};

const NAME: &str = "w.example";

pub(crate) fn run(submitters: &[usize], during: Duration, mirror: Option<PathBuf>, away: Duration) {
    let runtime = Runtime::new().unwrap();
    let (directory, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mirror = mirror.unwrap_or_else(|| beside.path().join("mirror"));
    let witness = runtime.block_on(witness(away));
    let witnesses = Witnesses::new(vec![witness], 1, NoteKey::generate().unwrap()).unwrap();
    println!("{}; the witness is {} ms away", machine(), away.as_millis());
    println!("sct after   submitters  entries/s  p50 ms  p99 ms");
    for after in [
        SctAfter::Durable,
        SctAfter::Published,
        SctAfter::Replicated,
        SctAfter::Witnessed,
    ] {
        let settings = settings(&directory.path().join(after.to_string())).sct_after(after);
        let settings: LogSettings = match after {
            SctAfter::Replicated => settings.mirror(&mirror),
            SctAfter::Witnessed => settings.witnesses(witnesses.clone()),
            SctAfter::Durable | SctAfter::Published => settings,
        };
        let log = Log::create(settings, LogKey::generate().unwrap()).unwrap();
        for count in submitters {
            let mut times = runtime.block_on(submit(&log, *count, during, 1200));
            let rate = times.len() as f64 / during.as_secs_f64();
            let [p50, p99] = [0.5, 0.99].map(|share| percentile(&mut times, share));
            println!(
                "{after:<10}  {count:10}  {rate:9.0}  {p50:6.2}  {p99:6.2}",
                after = after.to_string()
            );
        }
        runtime.block_on(log.shutdown());
    }
}

/// One that believes everything and answers as late as one that is so far away.
async fn witness(away: Duration) -> Witness {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let key = Ed25519KeyPair::generate().unwrap();
    let public = key.public_key().as_ref();
    let id = digest(&SHA256, &[NAME.as_bytes(), b"\n\x04", public].concat()).as_ref()[..4].to_vec();
    let material = STANDARD.encode([&[4], public].concat());
    let verifier_key = format!("{NAME}+{}+{material}", hex::encode(&id));
    let (key, id) = (Arc::new(key), Arc::new(id));
    let answer = move |body: String| {
        let (key, id) = (Arc::clone(&key), Arc::clone(&id));
        async move {
            let (_, note) = body.split_once("\n\n").unwrap();
            let text = &note[..=note.find("\n\n").unwrap()];
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let signature = key.sign(format!("cosignature/v1\ntime {seconds}\n{text}").as_bytes());
            let value = [id.as_slice(), &seconds.to_be_bytes(), signature.as_ref()].concat();
            tokio::time::sleep(away).await;
            format!("\u{2014} {NAME} {}\n", STANDARD.encode(value))
        }
    };
    let routes = Router::new().route("/add-checkpoint", post(answer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Witness {
        url,
        key: verifier_key.parse().unwrap(),
    }
}
