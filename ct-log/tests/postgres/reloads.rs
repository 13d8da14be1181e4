//! What changes under replicas that run: settings of the server, and rows that only another replica would write.

use std::time::Duration;

use ct_log::{SubmitError, Unavailable};

use super::replica::{Site, submit, submit_at_last, submit_for, until, verify};
use super::server::Server;

/// Sets a parameter of the server, and waits until sessions have it.
async fn reload(server: &Server, setting: &str, value: &str) {
    let client = server.client().await;
    let set = format!("ALTER SYSTEM SET {setting} = {value}");
    client.batch_execute(&set).await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    for _ in 0..1_000 {
        let shown = client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap();
        if shown.get::<_, &str>(0) == value {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{setting} is never {value}");
}

/// Sessions that are open when `synchronous_commit` is turned off go on to wait for the disk. The server's own writer of its
/// write-ahead log is so slow here that whatever did not wait is lost with the crash.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c2_a_reload_that_turns_synchronous_commit_off_loses_nothing() {
    for value in ["off", "local"] {
        let mut server = Server::start_with(&["wal_writer_delay=10s"]).await;
        let site = Site::born(&server).await;
        let logs = ["a", "b"].map(|name| site.open(name, server.settings()));
        let mut acks = vec![submit(&logs[0]).await.unwrap(), submit(&logs[1]).await.unwrap()];
        reload(&server, "synchronous_commit", value).await;
        let load = logs
            .clone()
            .map(|log| tokio::spawn(async move { submit_for(&log, 4, Duration::from_secs(2)).await }));
        for load in load {
            let (acknowledged, refused) = load.await.unwrap();
            assert_eq!(refused, [], "the session's own setting counts");
            acks.extend(acknowledged);
        }
        server.stop("QUIT");
        server.run(&[]).await;
        for log in &logs {
            until("it is healthy", || log.health().is_ok()).await;
            acks.push(submit_at_last(log).await);
        }
        for log in &logs {
            verify(log, &acks).await;
        }
    }
}

/// While the server would lose entries in a crash, none are taken, and an idle log says so; afterwards it goes on.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c3_a_reload_that_makes_the_server_unsafe_stops_entries() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    let mut acks = vec![submit(&log).await.unwrap()];
    for setting in ["fsync", "full_page_writes"] {
        reload(&server, setting, "off").await;
        until("an idle log notices", || {
            matches!(log.health(), Err(Unavailable::Unreachable))
        })
        .await;
        assert_eq!(
            submit(&log).await.unwrap_err(),
            SubmitError::Unreachable,
            "{setting}"
        );
        reload(&server, setting, "on").await;
        acks.push(submit_at_last(&log).await);
        until("it is healthy", || log.health().is_ok()).await;
    }
    verify(&log, &acks).await;
}

/// A replica whose clock is behind that of another, which published a checkpoint without adding an entry.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c4_no_entry_is_dated_before_the_checkpoint_of_another_replica() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    let ack = submit(&log).await.unwrap();
    verify(&log, &[ack]).await;
    server.tamper("UPDATE ct_checkpoint SET ts = ts + 64700").await;
    assert_eq!(submit(&log).await.unwrap_err(), SubmitError::ClockBehind);
    assert!(matches!(log.health(), Err(Unavailable::ClockBehind)));
    // Its time is waited for if it is near.
    let newest = "(SELECT ts FROM ct_head) + 1500";
    server
        .tamper(&format!("UPDATE ct_checkpoint SET ts = {newest}"))
        .await;
    let log = site.open("b", server.settings());
    let client = server.client().await;
    let newest = client
        .query_one("SELECT ts FROM ct_checkpoint", &[])
        .await
        .unwrap();
    let (_, sct) = submit(&log).await.unwrap();
    assert!(sct.timestamp().get() >= newest.get::<_, i64>(0).try_into().unwrap());
}

/// A batch whose commit is under way was dated already: a checkpoint without it must not be dated later. A start needs none.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c4_no_checkpoint_is_published_while_an_append_is_under_way() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    let mut acks = vec![submit(&log).await.unwrap()];
    verify(&log, &acks).await;
    let appending = server.client().await;
    appending
        .batch_execute("BEGIN; SELECT * FROM ct_head FOR UPDATE")
        .await
        .unwrap();
    let newest = async || -> i64 {
        let query = "SELECT ts FROM ct_checkpoint";
        appending.query_one(query, &[]).await.unwrap().get(0)
    };
    let before = newest().await;
    let other = site.open("b", server.settings());
    assert_eq!(newest().await, before);
    appending.batch_execute("ROLLBACK").await.unwrap();
    acks.push(submit(&other).await.unwrap());
    verify(&other, &acks).await;
    assert!(newest().await > before);
}
