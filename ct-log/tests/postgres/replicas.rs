//! Several replicas, one tree.

use std::time::Duration;

use super::replica::{Site, checkpoint, submit_all, submit_for, until, verify};
use super::server::Server;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c16_three_replicas_make_one_tree() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let replicas = ["a", "b", "c"].map(|name| site.open(name, server.settings()));
    let [a, b, c] = &replicas;
    let (one, two, three) = tokio::join!(submit_all(a, 500), submit_all(b, 500), submit_all(c, 500));
    let acks = [one, two, three].concat();
    for replica in &replicas {
        until("all is published", || checkpoint(replica).size() == 1500).await;
        verify(replica, &acks).await;
    }
    for replica in &replicas {
        replica.shutdown().await;
    }
    // One that comes later finds it all, one that comes back too.
    for name in ["d", "a"] {
        let replica = site.open(name, server.settings());
        assert_eq!(replica.size(), 1500, "C10");
        verify(&replica, &acks).await;
        replica.shutdown().await;
    }
}

/// C4 across replicas: whichever publishes, the time goes forward, and no checkpoint is of a smaller tree.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c4_checkpoints_of_replicas_go_forward() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let (a, b) = (
        site.open("a", server.settings()),
        site.open("b", server.settings()),
    );
    let load = tokio::join!(
        submit_for(&a, 4, Duration::from_secs(3)),
        submit_for(&b, 4, Duration::from_secs(3)),
        async {
            let mut seen = [checkpoint(&a), checkpoint(&b)];
            for _ in 0..300 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                for (last, log) in seen.iter_mut().zip([&a, &b]) {
                    let next = checkpoint(log);
                    assert!(next.size() >= last.size() && next.timestamp() >= last.timestamp());
                    assert!(next == *last || next.timestamp() > last.timestamp());
                    *last = next;
                }
            }
        }
    );
    let ((one, refused), (two, also_refused), ()) = load;
    assert_eq!((refused, also_refused), (vec![], vec![]));
    let acks = [one, two].concat();
    verify(&a, &acks).await;
    verify(&b, &acks).await;
}

/// A replica that only follows serves what the others append, from the database and from its own memory.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn c6_an_idle_replica_follows() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    let (busy, idle) = (
        site.open("busy", server.settings()),
        site.open("idle", server.settings()),
    );
    let mut acks = Vec::new();
    for count in [1, 255, 1, 600, 3] {
        acks.extend(submit_all(&busy, count).await);
        until("the idle one follows", || {
            checkpoint(&idle).size() == acks.len() as u64
        })
        .await;
        verify(&idle, &acks).await;
    }
    assert!(idle.health().is_ok());
}
