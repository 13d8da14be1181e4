//! An identity provider that is down keeps nobody from starting, and is noticed when it comes up.

use std::time::Duration;

use tokio::{net::TcpSocket, time};

use crate::{
    fake_issuer::{FakeIssuer, SigningKey},
    installation::Installation,
    program::{HANG, mayfly},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_before_its_issuer_does() {
    // A port that is taken, and refuses connections until it listens.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let installation = Installation::trusting(&url, SigningKey::generate("ES256", "key-1")).await;
    let serving = installation.serve();

    let ready = serving.client.get("/readyz").await;
    assert_eq!(ready.status, 503);
    let issuer = &ready.body["issuers"][0];
    assert_eq!(issuer["issuer"], url);
    assert_eq!(issuer["usable"], false);
    assert!(issuer["problem"].is_string());
    for part in ["key", "log", "audit"] {
        assert_eq!(ready.body[part]["usable"], true, "{part}");
    }
    assert_eq!(serving.client.get("/healthz").await.status, 200);
    // What a load balancer asks: another replica would not do better.
    for part in ["issuing", "log", "submissions", "trust"] {
        assert_eq!(
            serving.client.get(&format!("/readyz/{part}")).await.status,
            200,
            "{part}"
        );
    }
    assert_eq!(serving.request().await.reason(), (503, "issuer_unavailable"));

    let _up = FakeIssuer::start_on(socket.listen(16).unwrap(), &[&installation.issuer_key]);
    let issued = time::timeout(HANG, async {
        loop {
            match serving.request().await {
                refused if refused.status == 503 => time::sleep(PAUSE).await,
                answer => return answer.issued(),
            }
        }
    });
    assert_eq!(issued.await.unwrap().sct.leaf_index().get(), 0);
    assert_eq!(serving.client.get("/readyz").await.status, 200);
}

/// A proxy would resolve the names of issuers itself, past the check of their addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_asked_without_the_proxy_of_the_environment() {
    // A port that is taken, and refuses connections.
    let proxy = TcpSocket::new_v4().unwrap();
    proxy.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let installation = Installation::new().await;
    let mut command = mayfly();
    for variable in ["http_proxy", "https_proxy", "all_proxy"] {
        command.env(variable, &url).env(variable.to_uppercase(), &url);
    }
    let serving = installation.serve_as(command.env_remove("no_proxy").env_remove("NO_PROXY"));
    serving.request().await.issued();
}
