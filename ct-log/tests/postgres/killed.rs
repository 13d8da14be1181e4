//! Replicas in processes of their own, killed at random moments (C1, C2, C16).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use ct_log::tree::sha256;
use ct_log::{Entry, Log, PostgresSettings, SequencedEntry};

use super::replica::{Site, entries, open_in, submit, submit_for, until, verify};
use super::server::Server;

const ROUNDS: u64 = 6;

/// Set for a process that is to be killed: what it needs to open the log, joined by `|`.
const CHILD: &str = "CT_LOG_POSTGRES_CHILD";

/// What replicas that were killed had acknowledged: by index, the time and a hash of the entry.
pub(crate) type Promised = BTreeMap<u64, (u64, String)>;

fn digest(entry: &Entry) -> String {
    let Entry::Precertificate { tbs, .. } = entry else {
        unreachable!("only precertificates are submitted")
    };
    sha256(tbs).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What this process is to open and submit to, if it is to be killed.
pub(crate) fn child<const PARTS: usize>() -> Option<[String; PARTS]> {
    let place = std::env::var(CHILD).ok()?;
    let parts: Vec<_> = place.split('|').map(str::to_owned).collect();
    Some(parts.try_into().unwrap())
}

/// Runs that test again in a process that is to be killed.
pub(crate) fn spawn(test: &str, place: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(CHILD, place.join("|"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the child says until it is killed; returns once it has said something, however long its start takes.
pub(crate) fn listen(child: &mut Child) -> JoinHandle<Promised> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    while !first.starts_with("entry ") {
        first.clear();
        assert!(output.read_line(&mut first).unwrap() > 0, "the child ended");
    }
    std::thread::spawn(move || read(Cursor::new(first).chain(output)))
}

/// Prints `entry <index> <time> <digest>` after each acknowledgement, without end.
pub(crate) async fn submit_without_end(log: &Log) {
    println!("\nopen");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let log = log.clone();
        tasks.spawn(async move {
            loop {
                let Ok((entry, sct)) = submit(&log).await else {
                    continue;
                };
                let (index, time) = (sct.leaf_index().get(), sct.timestamp().get());
                let line = format!("entry {index} {time} {}\n", digest(&entry));
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    tasks.join_next().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c2_c16_replicas_that_are_killed_lose_nothing_acknowledged() {
    if let Some([site, name, host]) = child() {
        let database = PostgresSettings::new(&format!("host={host} user=postgres dbname=postgres"));
        let log = open_in(site.as_ref(), &name, database.unwrap()).unwrap();
        return submit_without_end(&log).await;
    }
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let survivor = site.open("survivor", server.settings());
    let mut acks = Vec::new();
    let mut promised = Promised::new();
    let test = "killed::c2_c16_replicas_that_are_killed_lose_nothing_acknowledged";
    let (socket, directory) = (server.socket(), site.directory.path().to_str().unwrap());
    let host = socket.parent().unwrap().to_str().unwrap();
    for round in 0..ROUNDS {
        let mut children = ["one", "two"].map(|name| spawn(test, &[directory, name, host]));
        let readers = children.each_mut().map(listen);
        let load = submit_for(&survivor, 4, Duration::from_millis(1500 + 137 * round));
        acks.extend(load.await.0);
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        for reader in readers {
            for (index, promise) in reader.join().unwrap() {
                assert!(
                    promised.insert(index, promise).is_none(),
                    "C16: two SCTs for {index}"
                );
            }
        }
    }
    acks.push(submit(&survivor).await.unwrap());
    let last = *promised.keys().last().unwrap();
    until("published", || {
        super::replica::checkpoint(&survivor).size() > last
    })
    .await;
    verify(&survivor, &acks).await;
    assert_kept(&promised, &entries(&survivor).await);
    for (_, sct) in &acks {
        assert!(!promised.contains_key(&sct.leaf_index().get()), "C16");
    }
    // A replica that was killed comes back.
    let again = site.open("one", server.settings());
    verify(&again, &acks).await;
}

/// C2, C5: every entry that was acknowledged is there, at its place and with its time.
pub(crate) fn assert_kept(promised: &Promised, held: &[SequencedEntry]) {
    for (index, (time, digest_said)) in promised {
        let entry = &held[*index as usize];
        assert_eq!(
            (entry.timestamp().get(), digest(entry.entry())),
            (*time, digest_said.clone())
        );
    }
}

fn read(output: impl BufRead) -> Promised {
    let mut said = Promised::new();
    // The last line may be torn.
    for line in output.lines().map_while(Result::ok) {
        let words: Vec<_> = line.split(' ').collect();
        if let ["entry", index, time, digest] = words[..]
            && digest.len() == 64
        {
            said.insert(index.parse().unwrap(), (time.parse().unwrap(), digest.to_owned()));
        }
    }
    said
}
