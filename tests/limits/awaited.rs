//! Clients whose bodies are awaited, and what others get meanwhile.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use axum::Router;
use mayfly::server::{ConnectionLimits, ServerSettings, proto::GetTrustBundleRequest};
use serde_json::json;
use tokio::{io::AsyncReadExt, task::JoinSet, time};
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    V2, connections, half_a_request, never_ending,
    running::{Reply, Running, builder, send, start_with},
};

/// Of all clients together; each has a quarter.
const AWAITED: usize = 64;

async fn start(connection: ConnectionLimits) -> Running {
    let settings = ServerSettings {
        limits: connections(connection),
        trusted_proxies: Vec::new(),
        ..ServerSettings::default()
    };
    start_with(settings, Router::new()).await
}

/// From four networks, half as many again as all together may have: the statuses of those that are
/// refused, and the others, which go on.
async fn strangers(server: &Running, is_http2: bool) -> JoinSet<Reply> {
    let mut strangers = JoinSet::new();
    for host in 2..=5 {
        let client = builder().local_address(Some(Ipv4Addr::new(127, 0, 0, host).into()));
        let client = match is_http2 {
            true => client.http2_prior_knowledge(),
            false => client.http1_only(),
        };
        let client = Arc::new(client.build().unwrap());
        for _ in 0..AWAITED / 4 * 3 / 2 {
            let request = client
                .post(server.url(V2))
                .header("content-type", "application/json");
            let request = request.body(never_ending());
            strangers.spawn(async move { Reply::of(request.send().await.unwrap()).await });
        }
    }
    for _ in 0..AWAITED / 2 {
        let refused = strangers.join_next().await.unwrap().unwrap();
        assert_eq!((refused.status, refused.reason().as_str()), (503, "overloaded"));
    }
    strangers
}

#[tokio::test]
async fn bodies_that_never_come_keep_nobody_out() {
    for is_http2 in [false, true] {
        let server = start(ConnectionLimits {
            awaited: AWAITED,
            requests: AWAITED,
            ..ConnectionLimits::standard()
        })
        .await;
        let mut strangers = strangers(&server, is_http2).await;
        let held = server.metric("mayfly_requests_in_flight").await.unwrap();
        assert!(held >= 64.0, "{held} are awaited");
        for path in ["/healthz", "/readyz"] {
            assert_eq!(server.get(path).await.status, 200, "{path}");
        }
        let request = json!({"publicKeyRequest": server.challenge()});
        assert_eq!(server.post_as_alice(V2, &request).await.status, 200);
        server
            .ca()
            .await
            .get_trust_bundle(GetTrustBundleRequest {})
            .await
            .unwrap();
        // A body that takes its time.
        let mut slow = half_a_request(&server).await;
        time::sleep(Duration::from_millis(50)).await;
        send(&mut slow, "{}").await;
        let mut answer = [0; 12];
        slow.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400");
        // Each of these was in the place of a stranger.
        let made_room = strangers.join_next().await.unwrap();
        assert_eq!(made_room.unwrap().status, 503);
    }
}

/// A certificate that is made, and logged, is one that can be handed over.
#[tokio::test]
async fn nothing_is_issued_for_an_answer_that_cannot_be_held() {
    let server = start(ConnectionLimits {
        answers: 0,
        ..ConnectionLimits::standard()
    })
    .await;
    let request = json!({"publicKeyRequest": server.challenge()});
    let reply = server.post_as_alice(V2, &request).await;
    assert_eq!(reply.status, 503);
    assert_eq!(server.metric("mayfly_issued_total").await, Some(0.0));
}

#[tokio::test]
async fn a_request_without_a_place_is_refused_when_its_body_is_there() {
    let server = start(ConnectionLimits {
        requests: 0,
        ..ConnectionLimits::standard()
    })
    .await;
    let reply = server.post(V2, "{}").await;
    assert_eq!((reply.status, reply.reason().as_str()), (503, "overloaded"));
    assert_eq!(reply.header("retry-after"), "1");
    let mut ca = server.ca().await;
    let refused = ca.get_trust_bundle(GetTrustBundleRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "overloaded");
}
