//! What a replica refuses: another log, an unsafe server, a database that lost entries, a hand that tampers.

use std::error::Error;
use std::time::Duration;

use ct_log::{Log, LogKey, LogSettings, OpenError, Origin, SubmitError};
use tokio_postgres::error::SqlState;

use super::replica::{Site, checkpoint, origin, submit, submit_all, until, verify};
use super::server::Server;

/// The error and its causes.
fn text(error: &OpenError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_log_is_born_once_and_opened_by_its_key_and_name_only() {
    let server = Server::start().await;
    let site = Site::new();
    // Before birth a key finds nothing, and makes nothing.
    let missing = site.try_open("a", server.settings()).unwrap_err();
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    site.create(server.settings()).unwrap().shutdown().await;
    let again = site.create(server.settings()).unwrap_err();
    assert!(matches!(again, OpenError::Taken { .. }), "{again}");
    // Whoever lost the key must not begin anew under the same name.
    let other = Site::new();
    let taken = other.create(server.settings()).unwrap_err();
    assert!(matches!(taken, OpenError::Taken { .. }), "{taken}");
    let other_key = other.try_open("a", server.settings()).unwrap_err();
    assert!(matches!(other_key, OpenError::OtherKey { .. }), "{other_key}");
    let renamed = LogSettings::new(site.directory.path().join("b"), Origin::new("other").unwrap());
    let renamed = Log::open(renamed.in_postgres(server.settings()), site.key()).unwrap_err();
    assert!(matches!(renamed, OpenError::OtherOrigin { .. }), "{renamed}");
    // Another log in the same database is no trouble.
    let second = LogSettings::new(other.directory.path().join("c"), Origin::new("other").unwrap());
    let second = Log::create(second.in_postgres(server.settings()), LogKey::generate().unwrap()).unwrap();
    let ack = submit(&second).await.unwrap();
    verify(&second, &[ack]).await;
    site.open("a", server.settings());
}

/// Two replicas of one machine would share what each must remember by itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn two_replicas_do_not_share_a_directory() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let _open = site.open("a", server.settings());
    let second = site.try_open("a", server.settings()).unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c3_a_server_that_could_lose_entries_is_refused() {
    let mut server = Server::start().await;
    let site = Site::born(&server).await;
    let cases = [
        ("fsync=off", "fsync is off"),
        ("full_page_writes=off", "full_page_writes is off"),
        ("default_transaction_read_only=on", "read-only"),
    ];
    for (option, refusal) in cases {
        server.stop("INT");
        server.run(&[option]).await;
        let refused = text(&site.try_open("a", server.settings()).unwrap_err());
        assert!(refused.contains(refusal), "{option}: {refused}");
    }
    server.stop("INT");
    let standby = server.data().join("standby.signal");
    std::fs::write(&standby, "").unwrap();
    server.run(&["hot_standby=on"]).await;
    let refused = text(&site.try_open("a", server.settings()).unwrap_err());
    assert!(refused.contains("standby"), "{refused}");
    server.stop("INT");
    std::fs::remove_file(standby).unwrap();

    // What the session can set right is set right.
    for option in ["synchronous_commit=off", "synchronous_commit=local"] {
        server.run(&[option, "statement_timeout=1ms"]).await;
        let log = site.open("a", server.settings());
        let ack = submit(&log).await.unwrap();
        verify(&log, &[ack]).await;
        log.shutdown().await;
        server.stop("INT");
    }
}

/// A failover to a standby that lagged, or a restored backup, while a replica runs and when it starts.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c10_a_database_that_lost_entries_is_refused() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    let mut acks = vec![submit(&log).await.unwrap()];
    verify(&log, &acks).await;
    server
        .execute("CREATE TABLE old AS TABLE ct_head; CREATE TABLE old_checkpoint AS TABLE ct_checkpoint")
        .await;
    acks.push(submit(&log).await.unwrap());
    verify(&log, &acks).await;
    server
        .tamper(
            "DELETE FROM ct_head; INSERT INTO ct_head SELECT * FROM old; DELETE FROM ct_batch WHERE first_index > 0; \
             DELETE FROM ct_checkpoint; INSERT INTO ct_checkpoint SELECT * FROM old_checkpoint",
        )
        .await;
    tokio::time::timeout(Duration::from_secs(10), log.failed())
        .await
        .expect("an idle replica notices");
    assert_eq!(submit(&log).await.unwrap_err(), SubmitError::Unavailable);
    log.shutdown().await;
    let refused = site.try_open("a", server.settings()).unwrap_err();
    assert!(matches!(refused, OpenError::RolledBack { seen: 2 }), "{refused}");

    // Another history of the same size.
    let naive = site.open("without a memory", server.settings());
    submit(&naive).await.unwrap();
    naive.shutdown().await;
    let refused = site.try_open("a", server.settings()).unwrap_err();
    assert!(matches!(refused, OpenError::RolledBack { seen: 2 }), "{refused}");
}

/// Less is in the head than in the batches, or less in the batches than in the head.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c10_tables_that_do_not_agree_are_refused() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    submit_all(&log, 5).await;
    submit(&log).await.unwrap();
    until("published", || checkpoint(&log).size() == 6).await;
    log.shutdown().await;
    server.execute("CREATE TABLE batch AS TABLE ct_batch").await;
    let tampered = [
        "UPDATE ct_head SET size = size - 1",
        "UPDATE ct_head SET root = ct_batch.hash FROM ct_batch",
        "DELETE FROM ct_batch WHERE first_index = 0",
        "DELETE FROM ct_batch WHERE first_index = 5",
        "UPDATE ct_batch SET record = set_byte(record, 300, 0)",
    ];
    server.execute("CREATE TABLE head AS TABLE ct_head").await;
    for (number, tampering) in tampered.into_iter().enumerate() {
        server.tamper(tampering).await;
        // Each in a directory of its own, whose lock nobody has.
        let opened = site.try_open(&format!("no memory {number}"), server.settings());
        assert!(opened.is_err(), "{tampering}");
        server
            .tamper(
                "DELETE FROM ct_batch; INSERT INTO ct_batch SELECT * FROM batch; DELETE FROM ct_head; \
                 INSERT INTO ct_head SELECT * FROM head",
            )
            .await;
    }
    site.open("no memory", server.settings());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c7_the_tables_refuse_every_change_that_is_not_growth() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    let acks = submit_all(&log, 300).await;
    verify(&log, &acks).await;
    log.shutdown().await;
    let client = server.client().await;
    let forbidden = [
        "UPDATE ct_batch SET record = ''",
        "DELETE FROM ct_batch",
        "TRUNCATE ct_batch",
        "UPDATE ct_object SET bytes = ''",
        "DELETE FROM ct_object",
        "TRUNCATE ct_object",
        "UPDATE ct_head SET size = size - 1, number = number + 1",
        "UPDATE ct_head SET size = size + 1, ts = ts - 1, number = number + 1",
        "UPDATE ct_head SET root = previous",
        "UPDATE ct_head SET origin = 'other', size = size + 1, number = number + 1",
        "DELETE FROM ct_head",
        "TRUNCATE ct_head CASCADE",
        "UPDATE ct_checkpoint SET size = size - 1, ts = ts + 1",
        "UPDATE ct_checkpoint SET size = size + 1",
        "UPDATE ct_checkpoint SET root = decode(repeat('00', 32), 'hex'), ts = ts + 1",
        "DELETE FROM ct_checkpoint",
        "TRUNCATE ct_checkpoint",
    ];
    for statement in forbidden {
        let error = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(
            error.code(),
            Some(&SqlState::INTEGRITY_CONSTRAINT_VIOLATION),
            "{statement}"
        );
    }
    verify(&site.open("a", server.settings()), &acks).await;
}

/// The role of the log needs no right to change what is written, nor to make tables once they are there.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_role_with_few_rights_is_enough() {
    let server = Server::start().await;
    server.execute("CREATE ROLE ct LOGIN").await;
    server
        .execute(include_str!("../../src/storage/postgres/schema.sql"))
        .await;
    server
        .execute(
            "GRANT SELECT, INSERT ON ct_schema, ct_head, ct_batch, ct_object, ct_checkpoint TO ct; \
             GRANT UPDATE ON ct_head, ct_checkpoint TO ct",
        )
        .await;
    let site = Site::new();
    let host = server.socket();
    let host = host.parent().unwrap().display();
    let as_ct = || ct_log::PostgresSettings::new(&format!("host={host} user=ct dbname=postgres")).unwrap();
    let log = site.create(as_ct()).unwrap();
    let acks = submit_all(&log, 300).await;
    verify(&log, &acks).await;
    log.shutdown().await;
    assert_eq!(origin(), *log.origin());
    verify(&site.open("a", as_ct()), &acks).await;
}

/// The database loses what was acknowledged and not published yet, as in a crash that forgets its last commits: the replica says so
/// when it sees it, and at its next start.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c15_a_database_that_lost_what_was_not_published_is_refused() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    let published = submit(&log).await.unwrap();
    verify(&log, &[published]).await;
    server.execute("CREATE TABLE old AS TABLE ct_head").await;
    let publishing = server.client().await;
    publishing
        .batch_execute("BEGIN; SELECT * FROM ct_checkpoint FOR UPDATE")
        .await
        .unwrap();
    submit(&log).await.unwrap();
    server
        .tamper(
            "DELETE FROM ct_head; INSERT INTO ct_head SELECT * FROM old; DELETE FROM ct_batch WHERE first_index > 0",
        )
        .await;
    tokio::time::timeout(Duration::from_secs(10), log.failed())
        .await
        .expect("an idle replica notices");
    // At once, as a supervisor may.
    let remembered = site.directory.path().join("a/high-water.json");
    let remembered = std::fs::read_to_string(remembered).unwrap();
    assert!(remembered.contains("\"size\":2"), "{remembered}");
    publishing.batch_execute("ROLLBACK").await.unwrap();
    log.shutdown().await;
    let refused = site.try_open("a", server.settings()).unwrap_err();
    assert!(matches!(refused, OpenError::RolledBack { seen: 2 }), "{refused}");
    assert!(refused.to_string().contains("retire the log"), "{refused}");
}
