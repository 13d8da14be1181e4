//! `kill -9` at random moments: every certificate that left is in the log and in the audit record.

use std::{collections::BTreeSet, path::Path, thread, time::Duration};

use mayfly::{
    clock::{Clock, SystemClock},
    dev::{CLIENT_ID, Issuers, Minter, ProviderKey, data_dir::DataDir},
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    audit::AuditRecord,
    certificate::{Issued, logged_serial},
    client::Client,
    program::Program,
    published::Published,
};

const BURSTS: usize = 6;
const CONNECTIONS: usize = 8;
/// A burst is killed after at most this many certificates.
const LONGEST_BURST: u16 = 120;
/// A start is killed within this time, which the slowest machine needs to start.
const LONGEST_START_MS: u16 = 400;

const EMAIL: &str = "alice@example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_left_before_a_kill_is_in_the_log_and_in_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = DataDir::at(folder.path().join("data"));
    let mut left = Vec::new();
    for _ in 0..BURSTS {
        kill_a_start(data_dir.path());
        let mut dev = Program::dev(data_dir.path());
        let api = dev.ready()["api"].as_str().unwrap().to_owned();
        verify(&api, &data_dir, &left).await;
        left.extend(burst(&mut dev, minter(&data_dir, &api), random(LONGEST_BURST)).await);
    }
    let mut dev = Program::dev(data_dir.path());
    let api = dev.ready()["api"].as_str().unwrap().to_owned();
    verify(&api, &data_dir, &left).await;
    assert!(left.len() >= BURSTS, "almost nothing was issued");
    dev.stop();
}

fn minter(data_dir: &DataDir, api: &str) -> Minter {
    let key = ProviderKey::open(&data_dir.oidc_key()).unwrap();
    Minter::new(key, Issuers::at(api))
}

/// The first of them in the middle of the birth, the others in recovery.
fn kill_a_start(data_dir: &Path) {
    let mut dev = Program::dev(data_dir);
    thread::sleep(Duration::from_millis(random(LONGEST_START_MS).into()));
    dev.kill();
}

/// Requests on all connections without end, killed when `enough` certificates have arrived; everything that arrived.
async fn burst(dev: &mut Program, minter: Minter, enough: u16) -> Vec<Issued> {
    let api = dev.ready()["api"].as_str().unwrap().to_owned();
    let token = minter
        .email(&EMAIL.parse().unwrap(), CLIENT_ID, SystemClock.now())
        .unwrap();
    let (arrived, mut arriving) = mpsc::unbounded_channel();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (client, token, arrived) = (Client::new(&api), token.clone(), arrived.clone());
        connections.spawn(async move {
            while let Ok(answer) = client.request(&token, EMAIL).await {
                arrived.send(answer.issued()).unwrap();
            }
        });
    }
    drop(arrived);
    let mut left = Vec::new();
    for _ in 0..=enough {
        left.push(arriving.recv().await.unwrap());
    }
    dev.kill();
    while let Some(issued) = arriving.recv().await {
        left.push(issued);
    }
    connections.join_all().await;
    left
}

async fn verify(api: &str, data_dir: &DataDir, left: &[Issued]) {
    let published = Published::at(api, &data_dir.log());
    let entries = published.audited_entries().await;
    let serials: BTreeSet<String> = entries.iter().map(logged_serial).collect();
    assert_eq!(serials.len(), entries.len(), "a serial number was used twice");
    let record = AuditRecord::read(&data_dir.audit());
    let mut indices = BTreeSet::new();
    for issued in left {
        let index = issued.sct.leaf_index().get();
        assert!(indices.insert(index), "index {index} was given twice");
        let entry = entries.get(usize::try_from(index).unwrap());
        let size = entries.len();
        let entry = entry.unwrap_or_else(|| panic!("certificate {index} left, the log has {size} entries"));
        issued.assert_is_logged_as(entry, &published.key);
        record.assert_holds(issued);
    }
    assert!(record.torn <= 2 * BURSTS, "a kill tears one line at most");
}

/// Below `bound`.
fn random(bound: u16) -> u16 {
    let mut bytes = [0; 2];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    u16::from_be_bytes(bytes) % bound
}
