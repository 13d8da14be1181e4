//! `GET /trust/...`, before, while and after a CA and a log's key are rotated.

use std::time::Duration;

use mayfly::clock::{Clock, SystemClock};
use reqwest::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use serde_json::Value;

use super::{URL, written};
use crate::{
    installation::{Installation, Serving},
    rotation::IN_FORCE,
};

impl Serving<'_> {
    async fn trusted_root(&self) -> Value {
        let answer = self.client.get("/trust/trusted_root.json").await;
        assert_eq!(answer.status, 200);
        answer.body
    }

    fn url(&self, file: &str) -> String {
        format!("http://{}/trust/{file}.json", self.address)
    }
}

/// The issuing certificate of each CA, base64, and its end.
fn authorities(root: &Value) -> Vec<(String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = root["certificateAuthorities"].as_array().unwrap().iter();
    list.map(|ca| {
        let issuing = text(&ca["certChain"]["certificates"][0]["rawBytes"]).unwrap();
        (issuing, text(&ca["validFor"]["end"]))
    })
    .collect()
}

/// Where each log is.
fn logs(root: &Value) -> Vec<String> {
    let list = root["ctlogs"].as_array().unwrap().iter();
    list.map(|log| log["baseUrl"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_a_rotation_is_in_the_next_answer() {
    let installation = Installation::new().await;
    let now = SystemClock.now();
    let at = |days: u64| written(now.plus(Duration::from_secs(days * 86_400)));
    installation.make_ca_as("next", now, None).await;
    let one = format!(
        "log:\n  shards:\n    - {{origin: ca.example.com/one, directory: one, key: one.pem, not-after: {{from: {}, until: {}}}}}\n",
        at(0),
        at(100)
    );
    installation.configure(
        "log:\n  directory: log\n  origin: ca.example.com/log\n  key: log-key.pem\n",
        &one,
    );
    let serving = installation.serve();
    let before = authorities(&serving.trusted_root().await);
    assert_eq!(before.len(), 1);
    assert_eq!(
        logs(&serving.trusted_root().await),
        ["https://ca.example.com/one"]
    );

    // Announced: the CA and, with it, the next shard and the public URL.
    installation.configure(
        "  key: ca-key.pem",
        "  key: ca-key.pem\n  also-trusted: [next.pem]",
    );
    let two = format!(
        "{one}    - {{origin: ca.example.com/two, directory: two, key: two.pem, not-after: {{from: {}, until: {}}}}}\n",
        at(100),
        at(200)
    );
    installation.configure(&one, &two);
    installation.configure("listen: 1", "url: https://sign.example.com\nlisten: 1");
    serving.reconfigure(IN_FORCE).await;
    let root = serving.trusted_root().await;
    let announced = authorities(&root);
    assert_eq!(announced.len(), 2);
    assert_eq!(announced[0], before[0]);
    assert_eq!(
        logs(&root),
        ["https://sign.example.com/one", "https://sign.example.com/two"]
    );

    // Used.
    installation.configure("  chain: ca.pem", "  chain: next.pem");
    installation.configure(
        "  key: ca-key.pem\n  also-trusted: [next.pem]",
        "  key: next-key.pem\n  also-trusted: [ca.pem]",
    );
    serving.reconfigure(IN_FORCE).await;
    let used = authorities(&serving.trusted_root().await);
    assert_eq!(used, [announced[1].clone(), announced[0].clone()]);

    // Believed until a moment ago: out of the trust bundle, and in the trusted root with its end.
    installation.configure(
        "also-trusted: [ca.pem]",
        &format!("also-trusted: [{{chain: ca.pem, until: {}}}]", written(now)),
    );
    serving.reconfigure(IN_FORCE).await;
    let ended = authorities(&serving.trusted_root().await);
    let end = (before[0].0.clone(), Some(written(now)));
    assert_eq!(ended, [announced[1].clone(), end]);
    assert_eq!(serving.bundle().await.len(), 1);

    // Retired.
    installation.configure(
        &format!("\n  also-trusted: [{{chain: ca.pem, until: {}}}]", written(now)),
        "",
    );
    serving.reconfigure(IN_FORCE).await;
    assert_eq!(authorities(&serving.trusted_root().await), [announced[1].clone()]);
    let mut serving = serving;
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_url_the_endpoints_that_need_one_name_the_key() {
    let installation = Installation::new().await;
    let mut serving = installation.serve();
    for (file, status) in [
        ("trusted_root", 200),
        ("signing_config", 404),
        ("trust_config", 404),
    ] {
        let answer = serving.client.get(&format!("/trust/{file}.json")).await;
        assert_eq!(answer.status, status, "{file}");
        if status == 404 {
            let text = answer.body.to_string();
            assert!(
                text.contains("public_url_missing") && text.contains("`url`"),
                "{text}"
            );
        }
    }
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_what_an_export_writes_and_is_sent_again_only_if_it_changed() {
    let installation = Installation::new().await;
    installation.configure("listen: 1", &format!("url: {URL}\nlisten: 1"));
    let mut serving = installation.serve();
    installation.exported(&[]);
    let http = reqwest::Client::builder()
        .tls_certs_only([])
        .no_proxy()
        .build()
        .unwrap();
    for (file, media_type) in [
        (
            "trusted_root",
            "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        ),
        (
            "signing_config",
            "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        ),
        (
            "trust_config",
            "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        ),
    ] {
        let answer = http.get(serving.url(file)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CONTENT_TYPE], media_type);
        assert_eq!(answer.headers()[CACHE_CONTROL], "public, max-age=60");
        let tag = answer.headers()[ETAG].clone();
        let text = answer.text().await.unwrap();
        let exported = std::fs::read_to_string(installation.path(&format!("clients/{file}.json")));
        assert_eq!(text, exported.unwrap());
        let answer = http.get(serving.url(file)).header(IF_NONE_MATCH, &tag).send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer.headers()[ETAG], tag);
        assert_eq!(answer.text().await.unwrap(), "");
    }
    serving.program.stop();
}
