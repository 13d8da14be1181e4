//! A log in a database, written by servers that know nothing of each other.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tokio::time;
use tokio_postgres::Client;

use crate::{
    bucket::{self, keep_in, with_credentials},
    installation::Installation,
    load::{ENOUGH, Load, assert_holds, one_of_two_is_killed},
    moto::Moto,
    postgres_server::Server,
    program::HANG,
};

/// Between two looks at the database.
const PAUSE: Duration = Duration::from_millis(20);

/// The folder with the log's identity, which in a database is a row.
async fn identity(server: &Server, folder: &Path) -> PathBuf {
    let sql = "SELECT log_id, origin, public_key, created FROM ct_head";
    let row = server.client().await.query_one(sql, &[]).await.unwrap();
    let identity = json!({
        "version": 1,
        "log_id": hex::encode(row.get::<_, Vec<u8>>(0)),
        "origin": row.get::<_, String>(1),
        "public_key": STANDARD.encode(row.get::<_, Vec<u8>>(2)),
        "created": row.get::<_, i64>(3),
    });
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("log.json"), identity.to_string()).unwrap();
    folder.to_owned()
}

async fn in_database(server: &Server) -> Installation {
    let installation = Installation::new().await;
    let socket = server.socket();
    let host = socket.parent().unwrap().display();
    let postgres = format!("  postgres: {{url: \"host={host} user=postgres dbname=postgres\"}}\n");
    installation.configure("  key: log-key.pem\n", &format!("  key: log-key.pem\n{postgres}"));
    installation
}

/// C2, C16: two servers issue at once, one is killed, and every certificate that left either of them is in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn servers_with_one_database_share_one_log() {
    let server = Server::start().await;
    let installation = in_database(&server).await;
    let mut first = installation.serve();
    // Another machine: nothing of the first one is there but the key.
    installation.configure("directory: log", "directory: elsewhere");
    installation.configure("audit.jsonl", "audit-elsewhere.jsonl");
    let second = installation.serve();
    let left = one_of_two_is_killed(&installation, &mut first, &second).await;
    let identity = identity(&server, &installation.path("identity")).await;
    assert_holds(&second, &identity, &left).await;
}

/// The same with the log's files in a bucket, which is nothing without the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL and moto"]
async fn servers_with_one_database_and_one_bucket_share_one_log() {
    let (server, moto) = (Server::start().await, Moto::start());
    let installation = in_database(&server).await;
    keep_in(&installation, &moto);
    let mut first = installation.serve_as(&mut with_credentials());
    installation.configure("directory: log", "directory: elsewhere");
    installation.configure("audit.jsonl", "audit-elsewhere.jsonl");
    let mut second = installation.serve_as(&mut with_credentials());
    let left = one_of_two_is_killed(&installation, &mut first, &second).await;
    let identity = bucket::identity(&moto, &installation.path("identity"));
    assert_holds(&second, &identity, &left).await;
    second.program.stop();
    installation.configure("  postgres:", "  # postgres:");
    let (code, said) = installation.refusal_as(&mut with_credentials());
    assert_ne!(code, Some(0));
    assert!(said.contains("whose entries are in a database"), "{said}");
}

/// How many sessions of logs are in this state.
async fn sessions(client: &Client, state: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ct-log' AND {state}");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

/// Waits for as many as that.
async fn reached(client: &Client, count: i64, state: &str) {
    let reached = async {
        while sessions(client, state).await != count {
            time::sleep(PAUSE).await;
        }
    };
    time::timeout(HANG, reached).await.unwrap();
}

/// C2, C16: a server stops with the log's lock in its hand. The other one goes on when the database has ended the turn, and the
/// first finds on waking that its batch came to nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_server_that_sleeps_through_its_turn_takes_nobodys_place() {
    let server = Server::start().await;
    let installation = in_database(&server).await;
    let first = installation.serve();
    let identity = identity(&server, &installation.path("identity")).await;
    installation.configure("directory: log", "directory: elsewhere");
    installation.configure("audit.jsonl", "audit-elsewhere.jsonl");
    let second = installation.serve();
    let (mut on_first, mut on_second) = (Load::on(&installation, &first), Load::on(&installation, &second));
    let (lock, watch) = (server.client().await, server.client().await);
    for _ in 0..2 {
        on_first.issues(ENOUGH).await;
        // Both stand in the queue for the lock when the first is stopped, so it gets the lock, and never hears of it.
        let take = "BEGIN; SELECT * FROM ct_head FOR UPDATE";
        let waiting = "wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'";
        loop {
            lock.batch_execute(take).await.unwrap();
            reached(&watch, 2, waiting).await;
            first.program.pause();
            let both = sessions(&watch, waiting).await == 2;
            lock.batch_execute("ROLLBACK").await.unwrap();
            if both {
                break;
            }
            // One had waited too long just then, and left the queue.
            first.program.resume();
        }
        let asleep = "state = 'idle in transaction' AND state_change < now() - interval '1 s'";
        reached(&watch, 1, asleep).await;
        on_second.issues(ENOUGH).await;
        first.program.resume();
        on_first.issues(ENOUGH).await;
        on_second.issues(1).await;
    }
    let (mut left, _) = on_first.end().await;
    left.extend(on_second.end().await.0);
    assert_holds(&first, &identity, &left).await;
    assert_holds(&second, &identity, &left).await;
}

/// The birth rule: a key without its database, and a database without its key, are refused, and no key is made in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_database_and_a_key_belong_together() {
    let (server, other) = (Server::start().await, Server::start().await);
    let installation = in_database(&server).await;
    installation.serve().program.stop();

    let key = installation.path("log-key.pem");
    fs::rename(&key, installation.path("kept.pem")).unwrap();
    installation.configure("directory: log", "directory: elsewhere");
    let (code, said) = installation.refusal();
    assert_ne!(code, Some(0));
    assert!(said.contains("the database"), "{said}");
    assert!(!key.exists());

    fs::rename(installation.path("kept.pem"), &key).unwrap();
    let host = |server: &Server| server.socket().parent().unwrap().display().to_string();
    installation.configure(&host(&server), &host(&other));
    let (code, said) = installation.refusal();
    assert_ne!(code, Some(0));
    assert!(said.contains("there is no log"), "{said}");
}
