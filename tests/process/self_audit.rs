//! The self-audit: what got an SCT is looked up in the log as the world reads it, and missing entries are an alarm.

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::installation::Installation;

/// What the self-audit counted so far.
async fn metric(url: &str, name: &str) -> u64 {
    let page = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = page.lines().find(|line| line.starts_with(&format!("{name}{{")));
    line.map_or(0, |line| line.split(' ').next_back().unwrap().parse().unwrap())
}

fn alarms(log: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["level"] == "ERROR" && line["alarm"].is_string())
        .collect()
}

/// A proxy in front of a log that loses its data tiles.
async fn forgetful_proxy(State(server): State<String>, request: Request) -> Response {
    let path = request.uri().path();
    if path.contains("/tile/data/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let answer = reqwest::get(format!("http://{server}{path}")).await.unwrap();
    (answer.status(), answer.bytes().await.unwrap()).into_response()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_found_at_the_servers_own_listener() {
    let installation = Installation::new().await;
    installation.configure("metrics-listen: off", "metrics-listen: 127.0.0.1:0");
    installation.configure("issuers: ", "  self-audit-interval: 1s\nissuers: ");
    let mut serving = installation.serve();
    let metrics = serving.program.serving_metrics();
    for _ in 0..3 {
        serving.request().await.issued();
    }
    while metric(&metrics, "mayfly_log_self_audit_found_total").await < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(metric(&metrics, "mayfly_log_self_audit_alarms_total").await, 0);
    assert_eq!(metric(&metrics, "mayfly_log_self_audit_failing").await, 0);
    serving.program.stop();
    let said = serving.program.stderr();
    assert!(alarms(&said).is_empty());
    // It looks once a second here: its own requests would be most of what is said.
    assert!(
        !said.contains("/checkpoint") && !said.contains("/tile/"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_the_world_cannot_read_are_an_alarm_and_issuance_goes_on() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let installation = Installation::new().await;
    installation.configure("metrics-listen: off", "metrics-listen: 127.0.0.1:0");
    let keys = format!("  self-audit: {proxy}\n  self-audit-interval: 1s\nissuers: ");
    installation.configure("issuers: ", &keys);
    let mut serving = installation.serve();
    let router = Router::new()
        .fallback(forgetful_proxy)
        .with_state(serving.address.clone());
    let proxy = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    serving.request().await.issued();
    serving.program.wait_for(|log| !alarms(log).is_empty());
    let metrics = serving.program.serving_metrics();
    assert_eq!(metric(&metrics, "mayfly_log_self_audit_failing").await, 1);
    assert_eq!(metric(&metrics, "mayfly_log_self_audit_found_total").await, 0);
    serving.request().await.issued();
    serving.program.stop();
    proxy.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_place_to_read_a_log_is_refused_before_the_start() {
    let installation = Installation::new().await;
    let keys = "  self-audit: http://ca.example.com\n  self-audit-interval: 60s\nissuers: ";
    installation.configure("issuers: ", keys);
    let (code, said) = installation.refusal();
    assert_eq!(code, Some(2));
    assert!(
        said.contains("self-audit") && said.contains("from 1s to 15s"),
        "{said}"
    );
}
