//! What changes under replicas that run: settings of the server, and rows that only another replica would write.

use ct_log::{SubmitError, Unavailable};

use super::replica::{Site, submit, verify};
use super::server::Server;

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
