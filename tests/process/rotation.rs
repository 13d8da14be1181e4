//! The CA's key, its chain, and the log's key change while the program serves and clients ask: nobody notices but by the trust
//! bundle, which knew before.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use der::{Decode, Encode, referenced::OwnedToRef};
use mayfly::{
    clock::{Clock, SystemClock},
    key::{SignatureAlgorithm, passphrase::Passphrase},
};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use x509_cert::Certificate;
use zeroize::Zeroizing;

use crate::{
    certificate::Issued,
    installation::{Installation, Serving},
    load::Load,
};

pub(crate) const IN_FORCE: &str = "the CA, the timestamp authority and the shards of the log are in force";
pub(crate) const REFUSED: &str = "the configuration is refused, what was in force stays";

impl Serving<'_> {
    /// Asks for a reading of the configuration, and waits until it has happened.
    pub(crate) async fn reconfigure(&self, outcome: &str) {
        let before = self.program.stderr().matches(outcome).count();
        kill_process(self.program.pid(), Signal::HUP).unwrap();
        self.after(outcome, before).await;
    }

    pub(crate) async fn after(&self, outcome: &str, before: usize) {
        for _ in 0..400 {
            if self.program.stderr().matches(outcome).count() > before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not within 20 s: {outcome}\n{}", self.program.stderr());
    }

    /// The issuing certificates of the trust bundle.
    pub(crate) async fn bundle(&self) -> Vec<Certificate> {
        let bundle = self.client.get("/api/v2/trustBundle").await;
        let first = |chain: &Value| {
            let text = chain["certificates"][0].as_str().unwrap();
            Certificate::from_der(&pem::parse(text).unwrap().into_contents()).unwrap()
        };
        bundle.body["chains"]
            .as_array()
            .unwrap()
            .iter()
            .map(first)
            .collect()
    }
}

/// Whether this CA signed it.
fn is_by(issued: &Issued, ca: &Certificate) -> bool {
    let certificate = Certificate::from_der(&issued.der).unwrap();
    let key = ca.tbs_certificate().subject_public_key_info().owned_to_ref();
    let tbs = certificate.tbs_certificate().to_der().unwrap();
    let signature = certificate.signature().as_bytes().unwrap();
    SignatureAlgorithm::of(&key)
        .unwrap()
        .verifies(&key, &tbs, signature)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ca_is_announced_takes_over_and_the_old_one_is_retired() {
    let installation = Installation::new().await;
    let an_hour_ago = SystemClock.now().minus(Duration::from_secs(3600));
    installation.make_ca_as("next", an_hour_ago, None).await;
    installation.configure("metrics-listen: off", "metrics-listen: 127.0.0.1:0");
    let mut serving = installation.serve();
    let metrics = serving.program.serving_metrics();
    let before = serving.bundle().await;
    let load = Load::on(&installation, &serving);

    // Announced.
    installation.configure(
        "  key: ca-key.pem",
        "  key: ca-key.pem\n  also-trusted: [next.pem]",
    );
    serving.reconfigure(IN_FORCE).await;
    let announced = serving.bundle().await;
    assert_eq!((before.len(), announced.len()), (1, 2));
    assert_eq!(announced[0], before[0]);
    assert!(is_by(&serving.request().await.issued(), &announced[0]));

    // Used.
    installation.configure("  chain: ca.pem", "  chain: next.pem");
    installation.configure(
        "  key: ca-key.pem\n  also-trusted: [next.pem]",
        "  key: next-key.pem\n  also-trusted: [ca.pem]",
    );
    serving.reconfigure(IN_FORCE).await;
    let used = serving.bundle().await;
    assert_eq!(used, [announced[1].clone(), announced[0].clone()]);
    assert!(is_by(&serving.request().await.issued(), &used[0]));

    // Retired.
    installation.configure("\n  also-trusted: [ca.pem]", "");
    serving.reconfigure(IN_FORCE).await;
    assert_eq!(serving.bundle().await, [announced[1].clone()]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let issued = load.end_unrefused().await;

    let by = |ca: &Certificate| issued.iter().filter(|issued| is_by(issued, ca)).count();
    let (old, new) = (by(&announced[0]), by(&announced[1]));
    assert!(old > 0 && new > 0, "{old} {new}");
    assert_eq!(old + new, issued.len(), "each verifies with what was announced");
    // The log's own check verifies every chain, so both hierarchies' issuers are there.
    let published = serving.published(&installation.path("log"));
    let entries = published
        .audited_entries_of(u64::try_from(issued.len() + 2).unwrap())
        .await;
    for issued in &issued {
        let index = usize::try_from(issued.sct.leaf_index().get()).unwrap();
        issued.assert_is_logged_as(&entries[index], &published.key);
    }
    let roots = serving.client.get("/log/ct/v1/get-roots").await;
    assert_eq!(roots.body["certificates"].as_array().unwrap().len(), 1);
    let scraped = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
    let end = used[0].tbs_certificate().validity().not_after.to_unix_duration();
    for line in [
        r#"mayfly_configuration_reloads_total{outcome="applied"} 3"#.to_owned(),
        format!("mayfly_ca_end_timestamp_seconds {}", end.as_secs()),
    ] {
        assert!(scraped.contains(&line), "{scraped}");
    }
    serving.program.stop();
}

/// Key and chain are replaced one after the other, as files are; what does not fit is refused, and the next look tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_do_not_fit_are_refused_until_they_do() {
    let installation = Installation::new().await;
    let passphrase = Passphrase::new(Zeroizing::new(b"correct horse".to_vec())).unwrap();
    installation
        .make_ca_as("next", SystemClock.now(), Some(&passphrase))
        .await;
    let mut serving = installation.serve();
    let old = serving.bundle().await;
    let load = Load::on(&installation, &serving);

    let key = fs::read_to_string(installation.path("next-key.pem")).unwrap();
    let half = key.split_at(key.len() / 2).0;
    let chain = fs::read_to_string(installation.path("next.pem")).unwrap();
    for (name, text, said) in [
        ("ca-key.pem", half, "must hold one PEM block"),
        ("ca-key.pem", &key, "say where its passphrase is"),
        ("ca.pem", "", "must hold PEM certificates"),
    ] {
        installation.write(name, text);
        serving.reconfigure(REFUSED).await;
        let stderr = serving.program.stderr();
        assert!(stderr.contains(said), "{said}: {stderr}");
        assert!(is_by(&serving.request().await.issued(), &old[0]));
    }
    installation.write("ca.pem", &chain);
    installation.write("pass.txt", "battery staple\n");
    installation.chmod("pass.txt", 0o600);
    installation.configure(
        "  key: ca-key.pem",
        "  key: ca-key.pem\n  passphrase: file:pass.txt",
    );
    serving.reconfigure(REFUSED).await;
    assert!(
        serving
            .program
            .stderr()
            .contains("the passphrase does not decrypt the key file")
    );
    assert!(!serving.program.stderr().contains("battery"));

    // Now without being asked.
    let before = serving.program.stderr().matches(IN_FORCE).count();
    installation.write("pass.txt", "correct horse\n");
    serving.after(IN_FORCE, before).await;
    let new = serving.bundle().await;
    assert_ne!(new, old);
    assert!(is_by(&serving.request().await.issued(), &new[0]));
    let issued = load.end_unrefused().await;
    assert!(
        issued
            .iter()
            .all(|issued| is_by(issued, &old[0]) || is_by(issued, &new[0]))
    );
    serving.program.stop();
}

/// The log's key is rotated by the next shard: announced by the configuration, used when certificates end in its window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_shard_is_announced_without_a_restart_and_takes_over_by_the_clock() {
    let installation = Installation::new().await;
    let written = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let whole = Duration::from_secs(since.as_secs());
        der::DateTime::from_unix_duration(whole).unwrap().to_string()
    };
    // Certificates live ten minutes, so those of the first eight seconds end before.
    let end = SystemTime::now() + Duration::from_secs(608);
    let (from, border, last) = (
        written(SystemTime::now() - Duration::from_secs(3600)),
        written(end),
        written(end + Duration::from_secs(3600)),
    );
    let first = format!(
        "log:
  shards:
    - {{origin: ca.example.com/one, directory: one, key: one.pem, not-after: {{from: {from}, until: {border}}}}}
"
    );
    let second = format!(
        "    - {{origin: ca.example.com/two, directory: two, key: two.pem, not-after: {{from: {border}, until: {last}}}}}\n"
    );
    let simple = "log:\n  directory: log\n  origin: ca.example.com/log\n  key: log-key.pem\n";
    installation.configure(simple, &first);
    let mut serving = installation.serve();
    let load = Load::on(&installation, &serving);
    assert_eq!(serving.client.get("/two/checkpoint").await.status, 404);

    installation.configure(&first, &format!("{first}{second}"));
    serving.reconfigure(IN_FORCE).await;
    // Served a moment after it is in force, and long before its first SCT.
    while serving.client.get("/two/log.v3.json").await.status != 200 {
        assert!(SystemTime::now() < end, "the next shard is not served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let two = serving.published(&installation.path("two"));
    assert!(two.audited_entries().await.is_empty());

    let mut issued = loop {
        let issued = serving.request().await.issued();
        if issued.sct.log_id() == two.key.log_id() {
            break vec![issued];
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    issued.extend(load.end_unrefused().await);
    let one = serving.published(&installation.path("one"));
    let mut counts = [0; 2];
    for (shard, count) in [&one, &two].into_iter().zip(&mut counts) {
        let here: Vec<_> = issued
            .iter()
            .filter(|issued| issued.sct.log_id() == shard.key.log_id())
            .collect();
        *count = here.len();
        let entries = shard.audited_entries().await;
        for issued in here {
            let index = usize::try_from(issued.sct.leaf_index().get()).unwrap();
            issued.assert_is_logged_as(&entries[index], &shard.key);
        }
    }
    assert!(counts[0] > 0 && counts[1] > 1, "{counts:?}");
    assert_eq!(counts[0] + counts[1], issued.len());
    let mode = fs::metadata(installation.path("two.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    serving.program.stop();
}
