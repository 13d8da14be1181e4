//! How fast a log in a database is, beside the database alone. Prints; asserts nothing about time.

use std::time::{Duration, Instant};

use super::replica::{Site, submit, verify};
use super::server::Server;

const TIME: Duration = Duration::from_secs(5);

fn report(what: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{what:<28} {:>7.0}/s  p50 {:>7.2?}  p99 {:>7.2?}",
        latencies.len() as f64 / TIME.as_secs_f64(),
        at(0.5),
        at(0.99),
    );
}

/// One row and a commit, again and again, on one connection.
async fn bare(server: &Server) {
    let client = server.client().await;
    client
        .batch_execute("CREATE TABLE bare (id bigserial PRIMARY KEY, body bytea)")
        .await
        .unwrap();
    let insert = client
        .prepare("INSERT INTO bare (body) VALUES ($1)")
        .await
        .unwrap();
    let (end, mut latencies) = (Instant::now() + TIME, Vec::new());
    while Instant::now() < end {
        let began = Instant::now();
        client
            .execute(&insert, &[&[7_u8; 1500].as_slice()])
            .await
            .unwrap();
        latencies.push(began.elapsed());
    }
    report("bare insert and commit", latencies);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; needs PostgreSQL"]
async fn submissions_beside_bare_commits() {
    let server = Server::start().await;
    let site = Site::born(&server).await;
    bare(&server).await;
    let log = site.open("a", server.settings());
    let mut acks = Vec::new();
    for submitters in [1, 16, 256] {
        let end = Instant::now() + TIME;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..submitters {
            let log = log.clone();
            tasks.spawn(async move {
                let (mut latencies, mut acks) = (Vec::new(), Vec::new());
                while Instant::now() < end {
                    let began = Instant::now();
                    acks.push(submit(&log).await.unwrap());
                    latencies.push(began.elapsed());
                }
                (latencies, acks)
            });
        }
        let (latencies, acknowledged): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().unzip();
        report(&format!("{submitters} submitters"), latencies.concat());
        acks.extend(acknowledged.concat());
    }
    verify(&log, &acks).await;
}
