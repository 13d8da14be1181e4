//! The issuer file changes while the program serves: on SIGHUP at once, otherwise when it is noticed.

use std::fs;

use rustix::process::{Signal, kill_process};

use crate::installation::{Installation, Serving};

/// What the log says of a reading.
const IN_FORCE: &str = "the issuer file is in force";
const REFUSED: &str = "the issuer file is refused";

impl Installation {
    fn issuer_file(&self) -> String {
        fs::read_to_string(self.path("issuers.yaml")).unwrap()
    }
}

impl Serving<'_> {
    /// Asks for a reading of the issuer file, and waits until it has happened.
    fn reload(&self, outcome: &str) {
        let before = self.program.stderr().matches(outcome).count();
        kill_process(self.program.pid(), Signal::HUP).unwrap();
        self.program
            .wait_for(|text| text.matches(outcome).count() > before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sighup_the_new_rules_count_and_a_bad_file_is_refused_whole() {
    let installation = Installation::new().await;
    installation.configure("metrics-listen: off", "metrics-listen: 127.0.0.1:0");
    let mut serving = installation.serve();
    let metrics = serving.program.serving_metrics();
    serving.request().await.issued();

    let good = installation.issuer_file();
    installation.write(
        "issuers.yaml",
        &format!("{good}    allow: claims.sub == \"nobody\"\n"),
    );
    serving.reload(IN_FORCE);
    assert_eq!(serving.request().await.reason(), (403, "not_admitted"));
    let said = serving.program.stderr();
    assert!(said.contains(r#""altered":"[\"http://127.0.0.1"#), "{said}");

    installation.write(
        "issuers.yaml",
        &format!("{good}    alow: claims.sub == \"alice\"\n    type: emial\n"),
    );
    serving.reload(REFUSED);
    assert_eq!(serving.request().await.reason(), (403, "not_admitted"));
    let said = serving.program.stderr();
    assert!(
        said.contains("issuers.yaml:6") && said.contains("Did you mean `allow`?"),
        "{said}"
    );
    let scraped = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
    for line in [
        r#"mayfly_issuer_file_reloads_total{outcome="applied"} 1"#,
        r#"mayfly_issuer_file_reloads_total{outcome="refused"} 1"#,
        "mayfly_issuer_file_refused 1",
    ] {
        assert!(scraped.contains(line), "{scraped}");
    }

    installation.write("issuers.yaml", &good);
    serving.reload(IN_FORCE);
    serving.request().await.issued();
    let scraped = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
    assert!(scraped.contains("mayfly_issuer_file_refused 0"), "{scraped}");
    // The same issuer: its keys were not fetched again.
    assert!(scraped.contains(r#"outcome="succeeded"} 1"#), "{scraped}");
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_noticed_also_behind_a_link_that_moves() {
    let installation = Installation::new().await;
    // As Kubernetes mounts a ConfigMap.
    let good = installation.issuer_file();
    for (folder, text) in [
        ("..v1", good.clone()),
        ("..v2", format!("{good}    allow: \"false\"\n")),
    ] {
        fs::create_dir(installation.path(folder)).unwrap();
        installation.write(&format!("{folder}/issuers.yaml"), &text);
    }
    fs::remove_file(installation.path("issuers.yaml")).unwrap();
    let link =
        |target: &str, name: &str| std::os::unix::fs::symlink(target, installation.path(name)).unwrap();
    link("..v1", "..data");
    link("..data/issuers.yaml", "issuers.yaml");
    let mut serving = installation.serve();
    serving.request().await.issued();

    link("..v2", "..data_tmp");
    fs::rename(installation.path("..data_tmp"), installation.path("..data")).unwrap();
    serving.program.wait_for(|text| text.contains(IN_FORCE));
    assert_eq!(serving.request().await.reason(), (403, "not_admitted"));

    fs::remove_file(installation.path("issuers.yaml")).unwrap();
    serving.program.wait_for(|text| text.contains(REFUSED));
    assert_eq!(serving.request().await.reason(), (403, "not_admitted"));
    serving.program.stop();
}
