//! The timestamp authority's key and chain change while the program serves and clients ask: nobody notices but by the trusted root,
//! which knew before.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use mayfly::{
    clock::{Clock, SystemClock},
    timestamp::TimestampChain,
};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{
    client::Client,
    installation::{Installation, Serving},
    rotation::{IN_FORCE, REFUSED},
};

/// DER of an authority's own certificate.
#[derive(Debug, PartialEq, Eq)]
struct Signer(Vec<u8>);

impl Signer {
    fn read(installation: &Installation, chain: &str) -> Self {
        let pem = pem::parse_many(fs::read(installation.path(chain)).unwrap()).unwrap();
        Self(pem[0].contents().to_vec())
    }

    /// Whether the certificate is in the token.
    fn signed(&self, token: &[u8]) -> bool {
        token.windows(self.0.len()).any(|part| part == self.0)
    }
}

/// Timestamps without end.
struct Load {
    ending: Arc<AtomicBool>,
    tokens: JoinHandle<Vec<Vec<u8>>>,
}

impl Load {
    fn on(client: &Client) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let (client, end) = (client.clone(), Arc::clone(&ending));
        let tokens = tokio::spawn(async move {
            let mut tokens = Vec::new();
            while !end.load(Ordering::Relaxed) {
                tokens.push(granted(&client).await);
            }
            tokens
        });
        Self { ending, tokens }
    }

    async fn end(self) -> Vec<Vec<u8>> {
        self.ending.store(true, Ordering::Relaxed);
        self.tokens.await.unwrap()
    }
}

async fn granted(client: &Client) -> Vec<u8> {
    let (status, token) = client.timestamp().await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&token));
    token
}

impl Serving<'_> {
    /// Those of the trusted root, in its order, each with whether it ends.
    async fn authorities(&self) -> Vec<(Signer, bool)> {
        let root = self.client.get("/trust/trusted_root.json").await;
        let authority = |authority: &Value| {
            let first = &authority["certChain"]["certificates"][0]["rawBytes"];
            let der = STANDARD.decode(first.as_str().unwrap()).unwrap();
            (Signer(der), !authority["validFor"]["end"].is_null())
        };
        let authorities = root.body["timestampAuthorities"].as_array().unwrap();
        authorities.iter().map(authority).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_is_announced_takes_over_and_the_old_one_stays_believed() {
    const SECTION: &str = "timestamp: {chain: timestamp.pem, key: timestamp-key.pem}";
    let installation = Installation::with_timestamps().await;
    installation.configure("metrics-listen: off", "metrics-listen: 127.0.0.1:0");
    installation.configure(
        "audit:",
        "url: https://ca.example.com
audit:",
    );
    // Which ends earlier.
    let an_hour_ago = SystemClock.now().minus(Duration::from_secs(3600));
    installation.make_timestamps_from("next", an_hour_ago).await;
    let (old, new) = (
        Signer::read(&installation, "timestamp.pem"),
        Signer::read(&installation, "next.pem"),
    );
    let mut serving = installation.serve();
    let metrics = serving.program.serving_metrics();
    let load = Load::on(&serving.client);

    let announced = "timestamp: {chain: timestamp.pem, key: timestamp-key.pem, also-trusted: [next.pem]}";
    installation.configure(SECTION, announced);
    serving.reconfigure(IN_FORCE).await;
    let told = serving.authorities().await;
    assert!(told.len() == 2 && told[0].0 == old && told[1].0 == new);
    assert!(old.signed(&granted(&serving.client).await));

    let used = "timestamp: {chain: next.pem, key: next-key.pem, also-trusted: [{chain: timestamp.pem, until: 2036-01-02T03:04:05Z}]}";
    installation.configure(announced, used);
    serving.reconfigure(IN_FORCE).await;
    let told = serving.authorities().await;
    assert!(told.len() == 2 && told[0] == (new, false) && told[1] == (old, true));
    let (new, old) = (&told[0].0, &told[1].0);
    assert!(new.signed(&granted(&serving.client).await));

    let tokens = load.end().await;
    let by = |signer: &Signer| tokens.iter().filter(|token| signer.signed(token)).count();
    assert!(by(old) > 0 && by(old) + by(new) == tokens.len());
    let scraped = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
    let next = fs::read(installation.path("next.pem")).unwrap();
    let end = TimestampChain::of_any_time(&next)
        .unwrap()
        .validity()
        .end()
        .as_secs();
    assert!(
        scraped.contains(&format!("mayfly_timestamp_end_timestamp_seconds {end}\n")),
        "{scraped}"
    );
    serving.program.stop();
}

/// Key and chain are replaced one after the other, as files are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_do_not_fit_are_refused_until_they_do() {
    let installation = Installation::with_timestamps().await;
    installation.make_timestamps("next").await;
    let old = Signer::read(&installation, "timestamp.pem");
    let mut serving = installation.serve();
    let load = Load::on(&serving.client);
    let chain = fs::read_to_string(installation.path("next.pem")).unwrap();
    for (name, text, said) in [
        ("timestamp.pem", "", "must hold PEM certificates"),
        ("timestamp.pem", &chain, "is not that of the first certificate"),
    ] {
        installation.write(name, text);
        serving.reconfigure(REFUSED).await;
        let stderr = serving.program.stderr();
        assert!(stderr.contains(said), "{said}: {stderr}");
        assert!(old.signed(&granted(&serving.client).await));
        serving.request().await.issued();
    }

    // Now without being asked.
    let before = serving.program.stderr().matches(IN_FORCE).count();
    fs::rename(
        installation.path("next-key.pem"),
        installation.path("timestamp-key.pem"),
    )
    .unwrap();
    serving.after(IN_FORCE, before).await;
    let new = Signer::read(&installation, "timestamp.pem");
    assert!(new.signed(&granted(&serving.client).await));
    assert!(
        load.end()
            .await
            .iter()
            .all(|token| old.signed(token) || new.signed(token))
    );
    serving.program.stop();
}

/// The key of the CA may leak on a day on which the authority's is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timestamp_key_that_is_away_keeps_no_other_ca_from_taking_over() {
    let installation = Installation::with_timestamps().await;
    installation.make_ca_as("next", SystemClock.now(), None).await;
    let mut serving = installation.serve();
    fs::remove_file(installation.path("timestamp-key.pem")).unwrap();
    installation.write("timestamp-key.pem", "gone");
    installation.chmod("timestamp-key.pem", 0o600);
    installation.configure(
        "  chain: ca.pem\n  key: ca-key.pem",
        "  chain: next.pem\n  key: next-key.pem",
    );
    let before = serving.bundle().await;
    serving.reconfigure(IN_FORCE).await;
    assert_ne!(serving.bundle().await, before);
    serving
        .program
        .wait_for(|said| said.contains("the timestamp authority stays as it is"));
    granted(&serving.client).await;

    // Another one is meant.
    installation.make_timestamps("new").await;
    installation.configure(
        "chain: timestamp.pem, key: timestamp-key.pem",
        "chain: new.pem, key: timestamp-key.pem",
    );
    serving.reconfigure(REFUSED).await;
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_a_restart_is_said_and_a_file_that_appears_is_noticed() {
    let installation = Installation::with_timestamps().await;
    let mut serving = installation.serve();
    installation.configure(
        "key: timestamp-key.pem}",
        "key: timestamp-key.pem, ntp: [127.0.0.1]}",
    );
    serving.reconfigure(IN_FORCE).await;
    installation.configure("timestamp: {", "# timestamp: {");
    serving.reconfigure(IN_FORCE).await;
    serving.program.wait_for(|said| {
        said.contains("another `timestamp.ntp` takes a restart")
            && said.contains("the timestamp authority goes on until the next start")
    });
    granted(&serving.client).await;

    installation.configure(
        "# timestamp: {chain: timestamp.pem",
        "timestamp: {chain: later.pem",
    );
    serving.reconfigure(REFUSED).await;
    let before = serving.program.stderr().matches(IN_FORCE).count();
    fs::rename(installation.path("timestamp.pem"), installation.path("later.pem")).unwrap();
    serving.after(IN_FORCE, before).await;
    serving.program.stop();

    let without = Installation::new().await;
    let mut serving = without.serve();
    without.make_timestamps("timestamp").await;
    without.configure(
        "audit:",
        "timestamp: {chain: timestamp.pem, key: timestamp-key.pem}\naudit:",
    );
    serving.reconfigure(IN_FORCE).await;
    serving
        .program
        .wait_for(|said| said.contains("a first timestamp authority takes a restart"));
    assert_eq!(serving.client.timestamp().await.unwrap().0, 404);
    serving.program.stop();
}
