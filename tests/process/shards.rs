//! A log in shards: the one before is over, one is in use, the next one waits. And what others may submit.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::installation::{Installation, Serving};

const SIMPLE: &str = "log:\n  directory: log\n  origin: ca.example.com/log\n  key: log-key.pem\n";

/// So many days from now, as the configuration wants it.
fn day(days: i64) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let then = now.checked_add_signed(days * 24 * 60 * 60).unwrap();
    der::DateTime::from_unix_duration(Duration::from_secs(then))
        .unwrap()
        .to_string()
}

impl Serving<'_> {
    async fn log(&self, path: &str) -> Value {
        let answer = self.client.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        answer.body
    }

    /// A submission of something that is no chain.
    async fn submitted(&self, log: &str) -> u16 {
        let url = format!("http://{}{log}/ct/v1/add-pre-chain", self.address);
        let http = reqwest::Client::builder()
            .tls_certs_only([])
            .no_proxy()
            .build()
            .unwrap();
        let request = http.post(url).json(&json!({ "chain": [] }));
        request.send().await.unwrap().status().as_u16()
    }

    async fn roots(&self) -> usize {
        let roots = self.log("/log/ct/v1/get-roots").await;
        roots["certificates"].as_array().unwrap().len()
    }
}

/// C13, C14: a log that was one becomes the first of three shards; what it holds stays readable when its key is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_shards_are_served_and_the_current_one_is_written() {
    let installation = Installation::new().await;
    let mut serving = installation.serve();
    let old = serving.request().await.issued();
    serving.request().await.issued();
    serving.program.stop();

    let shards = |retired: &str| {
        format!(
            "log:
  shards:
    - origin: ca.example.com/log
      directory: log
      {retired}
      not-after: {{from: 2020-01-01T00:00:00Z, until: {}}}
    - origin: ca.example.com/this
      directory: this
      key: this.pem
      not-after: {{from: {}, until: {}}}
    - origin: ca.example.com/next
      directory: next
      key: next.pem
      not-after: {{from: {}, until: {}}}
",
            day(-8),
            day(-8),
            day(10),
            day(10),
            day(100)
        )
    };
    installation.configure(SIMPLE, &shards("key: log-key.pem"));
    installation.configure("metrics-listen: off", "metrics-listen: 127.0.0.1:0");
    let mut serving = installation.serve();
    let issued = serving.request().await.issued();
    let [past, this, next] = ["log", "this", "next"].map(|name| serving.published(&installation.path(name)));
    let entries = this.audited_entries_of(1).await;
    issued.assert_is_logged_as(&entries[0], &this.key);
    assert!(
        next.audited_entries().await.is_empty(),
        "it is there before its first SCT"
    );
    let kept = past.audited_entries_of(2).await;
    old.assert_is_logged_as(&kept[0], &past.key);

    let statuses = [
        serving.submitted("/log").await,
        serving.submitted("/this").await,
        serving.submitted("/next").await,
    ];
    assert_eq!(statuses, [410, 400, 400]);
    let key = |info: &Value| STANDARD.decode(info["key"].as_str().unwrap()).unwrap();
    let info = serving.log("/next/log.v3.json").await;
    assert_eq!(key(&info), next.key.spki_der());
    assert!(info.get("state").is_none());
    let info = serving.log("/log/log.v3.json").await;
    assert_eq!(info["state"]["readonly"]["final_tree_head"]["tree_size"], 2);
    let metrics = reqwest::get(serving.program.serving_metrics())
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for line in [
        r#"mayfly_log_usable{log="ca.example.com/this"} 1"#,
        r#"mayfly_log_entries{log="ca.example.com/this"} 1"#,
        r#"mayfly_log_window_end_timestamp_seconds{log="ca.example.com/next"}"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let alarming = r#"mayfly_log_usable{log="ca.example.com/log"}"#;
    assert!(!metrics.contains(alarming), "it is over, not broken: {metrics}");
    assert!(
        !serving.program.stderr().contains("no shard of the log"),
        "the next shard is there"
    );
    serving.program.stop();

    fs::remove_file(installation.path("log-key.pem")).unwrap();
    let text = fs::read_to_string(installation.path("mayfly.yaml")).unwrap();
    installation.write("mayfly.yaml", &text.replace("key: log-key.pem", "retired: true"));
    let mut serving = installation.serve();
    let issued = serving.request().await.issued();
    let this = serving.published(&installation.path("this"));
    issued.assert_is_logged_as(&this.audited_entries_of(2).await[1], &this.key);
    let past = serving.published(&installation.path("log"));
    assert_eq!(past.audited_entries().await, kept);
    assert_eq!(serving.submitted("/log").await, 410);
    serving.program.stop();
}

/// C14: no certificate without a shard for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_issued_without_a_shard() {
    let installation = Installation::new().await;
    let shard = format!(
        "log:
  shards:
    - origin: ca.example.com/next
      directory: next
      key: next.pem
      not-after: {{from: {}, until: {}}}
",
        day(1),
        day(100)
    );
    installation.configure(SIMPLE, &shard);
    let mut serving = installation.serve();
    assert_eq!(serving.request().await.reason(), (503, "log_has_no_shard"));
    let ready = serving.client.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.body["log"]["usable"]),
        (503, &Value::Bool(false))
    );
    assert!(
        ready.body["log"]["problem"]
            .as_str()
            .unwrap()
            .starts_with("no shard of the log")
    );
    let next = serving.published(&installation.path("next"));
    assert!(next.audited_entries().await.is_empty());
    assert!(
        serving
            .program
            .stderr()
            .contains("no shard of the log takes certificates that are issued now")
    );
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_over_is_not_made_anew() {
    let installation = Installation::new().await;
    let shard = format!(
        "log:
  shards:
    - origin: ca.example.com/past
      directory: past
      key: past.pem
      not-after: {{from: 2020-01-01T00:00:00Z, until: {}}}
",
        day(-8)
    );
    installation.configure(SIMPLE, &shard);
    let (code, said) = installation.refusal();
    assert_ne!(code, Some(0));
    assert!(
        said.contains("its window is over and its directory is empty"),
        "{said}"
    );
    assert!(!installation.path("past.pem").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_roots_are_read_again_on_sighup() {
    let installation = Installation::new().await;
    let own = fs::read_to_string(installation.path("ca.pem")).unwrap();
    let other = Installation::new().await;
    let other = fs::read_to_string(other.path("ca.pem")).unwrap();
    installation.write("roots.pem", &own);
    installation.configure("log:\n", "log:\n  accept: roots.pem\n");
    let mut serving = installation.serve();
    let own_roots = serving.roots().await;
    let reload = |serving: &Serving<'_>, said: &str| {
        let before = serving.program.stderr().matches(said).count();
        kill_process(serving.program.pid(), Signal::HUP).unwrap();
        serving
            .program
            .wait_for(|text| text.matches(said).count() > before);
    };
    installation.write("roots.pem", &other);
    reload(&serving, "the log accepts these roots");
    assert_eq!(
        serving.roots().await,
        own_roots + 1,
        "the CA's own is always accepted"
    );
    installation.write("roots.pem", "nothing of the kind");
    reload(&serving, "the log's accepted roots stay what they were");
    assert_eq!(serving.roots().await, own_roots + 1);
    serving.request().await.issued();
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_of_others_can_be_off() {
    let installation = Installation::new().await;
    installation.configure("log:\n", "log:\n  external-submissions: off\n");
    let mut serving = installation.serve();
    assert_eq!(serving.submitted("/log").await, 403);
    serving.request().await.issued();
    assert_eq!(
        serving
            .published(&installation.path("log"))
            .audited_entries_of(1)
            .await
            .len(),
        1
    );
    serving.program.stop();
}
