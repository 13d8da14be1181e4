//! What clients are told to trust: `mayfly trust export`, and the same from a server, which is true at every moment.

mod served;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
    time::Duration,
};

use mayfly::clock::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};

use crate::{installation::Installation, program::mayfly};

const URL: &str = "https://ca.example.com";

/// RFC 3339.
fn written(time: Timestamp) -> String {
    let seconds = Duration::from_secs(time.unix_seconds());
    der::DateTime::from_unix_duration(seconds).unwrap().to_string()
}

impl Installation {
    fn export(&self, arguments: &[&str]) -> Output {
        let mut command: Command = mayfly();
        command
            .args(["trust", "export", "--config"])
            .arg(self.path("mayfly.yaml"));
        command.arg("--output").arg(self.path("clients")).args(arguments);
        command.output().unwrap()
    }

    pub(crate) fn exported(&self, arguments: &[&str]) -> String {
        let output = self.export(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    }

    fn refused(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.export(arguments);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("clients")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(&format!("clients/{name}"))).unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_needs_neither_a_server_nor_a_private_key() {
    let installation = Installation::new().await;
    let (code, said) = installation.refused(&["--url", URL]);
    assert_eq!(code, Some(1));
    assert!(said.contains("start the server once"), "{said}");
    installation.serve().program.stop();

    for key in ["ca-key.pem", "log-key.pem"] {
        installation.write(key, "nobody reads this");
    }
    let (code, said) = installation.refused(&[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("--url"), "{said}");
    let said = installation.exported(&["--url", URL]);
    assert!(said.contains("log.json"), "{said}");
    let names = [
        "ca.pem",
        "ctlog-1.pem",
        "signing_config.json",
        "trust_config.json",
        "trusted_root.json",
    ];
    assert_eq!(installation.names(), names);
    for name in names {
        let metadata = fs::metadata(installation.path(&format!("clients/{name}"))).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o644);
    }
    let (root, config) = (
        installation.json("trusted_root.json"),
        installation.json("signing_config.json"),
    );
    assert_eq!(root["ctlogs"][0]["baseUrl"], format!("{URL}/log"));
    assert_eq!(config["caUrls"][0]["url"], URL);
    let both = installation.json("trust_config.json");
    assert_eq!((&both["trustedRoot"], &both["signingConfig"]), (&root, &config));
    let key = fs::read_to_string(installation.path("clients/ctlog-1.pem")).unwrap();
    let published = fs::read_to_string(installation.path("log/log.json")).unwrap();
    let published: Value = serde_json::from_str(&published).unwrap();
    assert_eq!(
        root["ctlogs"][0]["publicKey"]["rawBytes"], published["public_key"],
        "{key}"
    );

    // Where the configuration says it, --url says it louder.
    installation.configure("listen: 1", &format!("url: {URL}\nlisten: 1"));
    installation.exported(&["--force"]);
    assert_eq!(installation.json("signing_config.json"), config);
    installation.exported(&["--force", "--url", "https://other.example.com"]);
    assert_eq!(
        installation.json("signing_config.json")["caUrls"][0]["url"],
        "https://other.example.com"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_replaces_nothing_unless_it_is_told_to() {
    let installation = Installation::new().await;
    installation.configure("listen: 1", &format!("url: {URL}\nlisten: 1"));
    installation.serve().program.stop();
    fs::create_dir(installation.path("clients")).unwrap();
    for (name, text) in [("ctlog-7.pem", "of an earlier export"), ("index.html", "ours")] {
        installation.write(&format!("clients/{name}"), text);
    }
    let (code, said) = installation.refused(&[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("ctlog-7.pem") && said.contains("--force"), "{said}");
    assert_eq!(installation.names(), ["ctlog-7.pem", "index.html"]);
    installation.exported(&["--force"]);
    let names = [
        "ca.pem",
        "ctlog-1.pem",
        "index.html",
        "signing_config.json",
        "trust_config.json",
        "trusted_root.json",
    ];
    assert_eq!(installation.names(), names);
    assert_eq!(installation.refused(&[]).0, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_cas_and_two_logs_overlap_and_each_counts_for_its_time() {
    let installation = Installation::new().await;
    let now = SystemClock.now();
    let at = |days: u64| written(now.plus(Duration::from_secs(days * 86_400)));
    let (year, yesterday) = (
        Duration::from_secs(365 * 86_400),
        written(now.minus(Duration::from_secs(86_400))),
    );
    installation.make_ca_as("old", now.minus(year), None).await;
    installation.make_ca_as("next", now.plus(year), None).await;
    installation.configure(
        "  key: ca-key.pem",
        &format!(
            "  key: ca-key.pem\n  also-trusted:\n    - {{chain: old.pem, until: {yesterday}}}\n    - next.pem"
        ),
    );
    let shard = |name: &str, from: String, until: String, more: &str| {
        format!(
            "    - {{origin: ca.example.com/{name}, directory: {name}, key: {name}.pem, not-after: {{from: {from}, until: {until}}}{more}}}\n"
        )
    };
    let until = format!(", trusted-until: {}", at(3));
    let (one, two) = (
        shard("one", at(0), at(100), &until),
        shard("two", at(100), at(200), ""),
    );
    installation.configure(
        "log:\n  directory: log\n  origin: ca.example.com/log\n  key: log-key.pem\n",
        &format!("log:\n  shards:\n{one}{two}"),
    );
    installation.serve().program.stop();
    installation.exported(&["--url", URL]);

    let root = installation.json("trusted_root.json");
    let periods = |list: &str, period: &str| -> Vec<Value> {
        let list = root[list].as_array().unwrap().iter();
        list.map(|entry| entry.pointer(period).unwrap().clone()).collect()
    };
    assert_eq!(
        periods("certificateAuthorities", "/validFor"),
        [
            json!({"start": written(now)}),
            json!({"start": written(now.minus(year)), "end": yesterday}),
            json!({"start": written(now.plus(year))}),
        ]
    );
    assert_eq!(
        periods("ctlogs", "/publicKey/validFor"),
        [
            json!({"start": yesterday, "end": at(3)}),
            json!({"start": at(99), "end": at(200)})
        ]
    );
    let bundle = fs::read_to_string(installation.path("clients/ca.pem")).unwrap();
    assert_eq!(
        pem::parse_many(bundle).unwrap().len(),
        4,
        "the old CA cannot be there"
    );
    assert!(installation.names().contains(&"ctlog-2.pem".to_owned()));
}

/// As of a log in a bucket or a database, of which this machine has nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_elsewhere_is_known_by_a_file_or_else_by_its_key() {
    let installation = Installation::new().await;
    installation.serve().program.stop();
    installation.exported(&["--url", URL]);
    let known = installation.json("trusted_root.json");
    fs::remove_dir_all(installation.path("log")).unwrap();

    // A private key that is called as the public one would be is not read for it.
    fs::copy(installation.path("log-key.pem"), installation.path("log.pem")).unwrap();
    let said = installation.exported(&["--url", URL, "--force"]);
    assert!(
        said.contains("the private key") && said.contains("log-key.pem"),
        "{said}"
    );
    assert_eq!(installation.json("trusted_root.json"), known);

    fs::copy(
        installation.path("clients/ctlog-1.pem"),
        installation.path("log.pem"),
    )
    .unwrap();
    installation.write("log-key.pem", "nobody reads this");
    let said = installation.exported(&["--url", URL, "--force"]);
    assert!(
        !said.contains("the private key") && said.contains("log.pem"),
        "{said}"
    );
    assert_eq!(installation.json("trusted_root.json"), known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_another_log_is_refused() {
    let installation = Installation::new().await;
    installation.serve().program.stop();
    installation.configure("ca.example.com/log", "ca.example.com/other");
    let (code, said) = installation.refused(&["--url", URL]);
    assert_eq!(code, Some(1));
    assert!(said.contains("holds the log ca.example.com/log"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_that_signs_cannot_have_an_end() {
    let installation = Installation::new().await;
    let until = written(SystemClock.now());
    installation.configure(
        "  key: ca-key.pem",
        &format!("  key: ca-key.pem\n  also-trusted: [{{chain: ca.pem, until: {until}}}]"),
    );
    let (code, said) = installation.refusal();
    assert_eq!(code, Some(1));
    assert!(said.contains("nobody would believe what it signs"), "{said}");
}
