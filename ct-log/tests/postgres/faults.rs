//! The server crashes, replies are lost, locks are stuck, space runs out: the log goes on, and nothing acknowledged is lost.

use std::time::{Duration, Instant};

use ct_log::{SubmitError, Unavailable};

use super::proxy::{Cut, Proxy};
use super::replica::{
    Site, occurrences, pending, submit, submit_all, submit_at_last, submit_for, until, verify,
};
use super::server::Server;

/// In the middle of load, in order and as a crash.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c2_a_restart_of_the_server_loses_nothing_acknowledged() {
    let mut server = Server::start().await;
    let site = Site::born(&server).await;
    let logs = ["a", "b"].map(|name| site.open(name, server.settings()));
    let load = logs
        .clone()
        .map(|log| tokio::spawn(async move { submit_for(&log, 8, Duration::from_secs(12)).await }));
    for signal in ["INT", "QUIT", "INT", "QUIT"] {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        server.stop(signal);
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.run(&[]).await;
    }
    let mut acks = Vec::new();
    for load in load {
        let (acknowledged, refused) = load.await.unwrap();
        assert!(
            refused.iter().all(|error| *error == SubmitError::Unreachable),
            "{refused:?}"
        );
        assert!(!acknowledged.is_empty() && !refused.is_empty());
        acks.extend(acknowledged);
    }
    for log in &logs {
        until("it is healthy", || log.health().is_ok()).await;
        acks.push(submit_at_last(log).await);
    }
    for log in &logs {
        verify(log, &acks).await;
        assert!(log.health().is_ok());
    }
}

/// The outcome of a commit is looked up: whether the server heard of it or not, the entry is logged once and gets its SCT.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c2_a_lost_commit_reply_is_looked_up() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let proxy = Proxy::start(&server);
    let log = site.open("a", proxy.settings());
    let mut acks = submit_all(&log, 3).await;
    for (number, cut) in [Cut::After, Cut::Before, Cut::After, Cut::Before]
        .into_iter()
        .enumerate()
    {
        proxy.cut(cut);
        let ack = submit(&log).await.unwrap();
        assert_eq!(proxy.cuts(), number + 1, "{cut:?}");
        acks.push(ack);
        acks.extend(submit_all(&log, 3).await);
    }
    verify(&log, &acks).await;
    for (entry, _) in &acks {
        assert_eq!(occurrences(&log, entry).await, 1, "C16");
    }
}

/// The same for several replicas at once, again and again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c16_replicas_that_lose_commit_replies_at_once_agree() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let proxies = [Proxy::start(&server), Proxy::start(&server)];
    let logs = [
        site.open("a", proxies[0].settings()),
        site.open("b", proxies[1].settings()),
    ];
    let load = logs
        .clone()
        .map(|log| tokio::spawn(async move { submit_for(&log, 8, Duration::from_secs(6)).await }));
    for round in 0..40 {
        tokio::time::sleep(Duration::from_millis(130)).await;
        for (number, proxy) in proxies.iter().enumerate() {
            proxy.cut(if (round + number) % 3 == 0 {
                Cut::Before
            } else {
                Cut::After
            });
        }
    }
    proxies.iter().for_each(|proxy| proxy.cut(Cut::Never));
    assert!(proxies.iter().all(|proxy| proxy.cuts() > 5));
    let mut acks = Vec::new();
    for load in load {
        acks.extend(load.await.unwrap().0);
    }
    for log in &logs {
        acks.push(submit_at_last(log).await);
        verify(log, &acks).await;
        until("it is healthy", || log.health().is_ok()).await;
    }
}

/// A session that holds the lock and does not end: refusals in bounded time, a bounded queue (C17), and then it goes on.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c17_a_stuck_lock_costs_refusals_only() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    let mut acks = vec![submit(&log).await.unwrap()];
    let stuck = server.client().await;
    stuck
        .batch_execute("BEGIN; SELECT * FROM ct_head FOR UPDATE")
        .await
        .unwrap();
    let began = Instant::now();
    assert_eq!(submit(&log).await.unwrap_err(), SubmitError::Unreachable);
    // Far more than the lock timeout, far less than for ever.
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(matches!(log.health(), Err(Unavailable::Unreachable)));
    // The queue holds 2048, and the batch that waits for the lock up to 1024 more.
    let many: Vec<_> = (0..6000).map(|_| pending(&log).unwrap()).collect();
    let waiting: Vec<_> = many
        .into_iter()
        .map(|pending| {
            let log = log.clone();
            tokio::spawn(async move { log.submit(pending, ct_log::Submitter::Internal).await })
        })
        .collect();
    let mut busy = 0;
    for answer in waiting {
        match answer.await.unwrap() {
            Err(SubmitError::Busy { .. }) => busy += 1,
            Err(SubmitError::Unreachable) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(busy > 0, "the queue is bounded");
    stuck.batch_execute("ROLLBACK").await.unwrap();
    acks.push(submit(&log).await.unwrap());
    verify(&log, &acks).await;
}

/// A replica that stops in its turn, as under SIGSTOP: the server ends its transaction, and the others go on.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c16_a_turn_that_is_not_used_ends() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    let stuck = server.client().await;
    stuck
        .batch_execute(
            "SET idle_in_transaction_session_timeout = '5s'; BEGIN; SELECT * FROM ct_head FOR UPDATE",
        )
        .await
        .unwrap();
    let began = Instant::now();
    let ack = loop {
        match submit(&log).await {
            Ok(ack) => break ack,
            Err(SubmitError::Unreachable) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(60));
    };
    verify(&log, &[ack]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_full_disk_refuses_entries_until_there_is_space() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    let mut acks = vec![submit(&log).await.unwrap()];
    server
        .execute(
            "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$; \
             CREATE TRIGGER no_space BEFORE INSERT ON ct_batch FOR EACH ROW EXECUTE FUNCTION no_space()",
        )
        .await;
    assert_eq!(submit(&log).await.unwrap_err(), SubmitError::DiskFull);
    server.execute("DROP TRIGGER no_space ON ct_batch").await;
    acks.push(submit(&log).await.unwrap());
    verify(&log, &acks).await;
    assert!(log.health().is_ok());
}

/// No SCT leaves before the standby has the entry (C3): not while a commit waits, and not when an administrator ends the wait, which
/// lets the commit succeed with a warning.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c3_a_commit_that_did_not_wait_for_its_standby_is_not_acknowledged() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let log = site.open("a", server.settings());
    let mut acks = vec![submit(&log).await.unwrap()];
    // Published: otherwise the checkpoint would wait for the standby, and the next batch for it.
    verify(&log, &acks).await;
    set_standby(&server, "gone").await;
    let pending = pending(&log).unwrap();
    let entry = pending.entry().clone();
    let waiting = {
        let log = log.clone();
        tokio::spawn(async move { log.submit(pending, ct_log::Submitter::Internal).await })
    };
    let client = server.client().await;
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
        WHERE wait_event = 'SyncRep' AND query = 'COMMIT' AND application_name = 'ct-log'";
    let mut cancelled = false;
    for _ in 0..200 {
        cancelled = cancelled || !client.query(cancel, &[]).await.unwrap().is_empty();
        if cancelled {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(cancelled, "the commit waits for its standby");
    assert_eq!(waiting.await.unwrap().unwrap_err(), SubmitError::Unreachable);
    set_standby(&server, "").await;
    // The entry is there all the same; nobody has an SCT for it.
    acks.push(submit(&log).await.unwrap());
    verify(&log, &acks).await;
    assert_eq!(occurrences(&log, &entry).await, 1);
}

async fn set_standby(server: &Server, name: &str) {
    let client = server.client().await;
    client
        .batch_execute("SET synchronous_commit = local")
        .await
        .unwrap();
    client
        .batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"))
        .await
        .unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
}
