//! A TUF repository that `mayfly serve` serves, and keeps from going out of date.

mod commands;

use std::{fs, num::NonZeroU64, sync::Arc, time::Duration};

use mayfly::{
    clock::{Clock, SystemClock, Timestamp},
    issuer::ceremony::{KeyKind, generate_key},
    key::{SoftwareKey, file as key_file},
    trust::tuf::{Periods, Repository, RoleKeys, Roles, Signer, TargetFile},
};
use reqwest::header::CACHE_CONTROL;

use crate::{
    installation::{Installation, Serving},
    program::until,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn ago(days: u32) -> Timestamp {
    SystemClock.now().minus(DAY * days)
}

impl Installation {
    /// A key in a file, and what signs with it.
    fn tuf_key(&self, name: &str) -> Signer {
        let pkcs8 = generate_key(KeyKind::EcdsaP256).unwrap();
        key_file::write_new(&self.path(name), &pkcs8, None).unwrap();
        Signer::new(Arc::new(SoftwareKey::from_pkcs8_der(&pkcs8).unwrap())).unwrap()
    }

    /// In the folder `tuf`, with one file in it; and the configuration has the section for it.
    async fn with_tuf(made: Timestamp) -> Self {
        let installation = Self::new().await;
        let [root, targets, online] =
            ["root-tuf.pem", "targets-tuf.pem", "online-tuf.pem"].map(|name| installation.tuf_key(name));
        let role = |signer: &Signer| RoleKeys {
            keys: vec![signer.public().clone()],
            threshold: NonZeroU64::MIN,
        };
        let roles = Roles {
            root: role(&root),
            targets: role(&targets),
            online: role(&online),
            periods: Periods::default(),
        };
        let folder = installation.path("tuf");
        fs::create_dir(&folder).unwrap();
        let repository = Repository::create(&folder, &roles, made).unwrap();
        let signers = [root, targets, online];
        let mut proposal = repository.proposal().unwrap();
        repository.sign(&mut proposal, &signers).await.unwrap();
        repository.publish(&signers, made).await.unwrap();
        let file = TargetFile {
            name: "trusted_root.json".to_owned(),
            contents: b"{}".to_vec(),
            sigstore: None,
        };
        repository.propose_targets(&[file], made).unwrap();
        let mut proposal = repository.proposal().unwrap();
        repository.sign(&mut proposal, &signers).await.unwrap();
        repository.publish(&signers, made).await.unwrap();
        installation.configure(
            "metrics-listen: off\n",
            "metrics-listen: 127.0.0.1:0\ntuf: {directory: tuf, key: online-tuf.pem}\n",
        );
        installation
    }

    fn tuf_refusal(&self) -> String {
        let (code, stderr) = self.refusal();
        assert_eq!(code, Some(1), "{stderr}");
        assert!(!self.path("log").exists(), "a log was made");
        stderr
    }
}

impl Serving<'_> {
    async fn tuf(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("http://{}/tuf/{path}", self.address))
            .await
            .unwrap()
    }

    /// Waits until the file is there.
    async fn has(&self, path: &str) {
        until(path, async || self.tuf(path).await.status() == 200).await;
    }

    async fn timestamp_version(&self) -> u64 {
        let timestamp: serde_json::Value = self.tuf("timestamp.json").await.json().await.unwrap();
        timestamp["signed"]["version"].as_u64().unwrap()
    }

    /// Waits until the metrics have this line.
    async fn measures(&self, line: &str) {
        until(line, async || {
            let page = reqwest::get(self.program.serving_metrics()).await.unwrap();
            page.text().await.unwrap().lines().any(|other| other == line)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_public_is_served_and_nothing_else() {
    let installation = Installation::with_tuf(ago(0)).await;
    let mut serving = installation.serve();
    for (path, caching) in [
        ("timestamp.json", "public, max-age=60"),
        ("1.root.json", "public, max-age=31536000, immutable"),
        ("2.targets.json", "public, max-age=31536000, immutable"),
        (
            "targets/44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a.trusted_root.json",
            "public, max-age=31536000, immutable",
        ),
    ] {
        let answer = serving.tuf(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()[CACHE_CONTROL], caching, "{path}");
        let served = answer.bytes().await.unwrap();
        let on_disk = fs::read(installation.path("tuf/public").join(path)).unwrap();
        assert_eq!(served, on_disk, "{path}");
    }
    installation.write("tuf/secret", "not public");
    for path in [
        "2.root.json",
        "",
        "targets/",
        "..%2fsecret",
        "targets%2f..%2f..%2fsecret",
    ] {
        let answer = serving.tuf(path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert!(answer.headers().get(CACHE_CONTROL).is_none(), "{path}");
    }
    for (role, name) in [
        ("root", "1.root.json"),
        ("targets", "2.targets.json"),
        ("snapshot", "2.snapshot.json"),
        ("timestamp", "timestamp.json"),
    ] {
        let metadata: serde_json::Value = serving.tuf(name).await.json().await.unwrap();
        let end: jiff::Timestamp = metadata["signed"]["expires"].as_str().unwrap().parse().unwrap();
        let end = end.as_second();
        serving
            .measures(&format!(
                "mayfly_tuf_expiry_timestamp_seconds{{role=\"{role}\"}} {end}"
            ))
            .await;
    }
    assert_eq!(serving.timestamp_version().await, 2, "it is new enough");
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timestamp_is_renewed_while_it_still_counts() {
    let installation = Installation::with_tuf(ago(2)).await;
    let serving = installation.serve();
    until("another timestamp", async || {
        serving.timestamp_version().await != 2
    })
    .await;
    assert_eq!(serving.timestamp_version().await, 3);
    assert_eq!(serving.tuf("2.snapshot.json").await.status(), 200);
    assert_eq!(serving.tuf("3.snapshot.json").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_it_is_served_as_it_is_and_warned_of() {
    let installation = Installation::with_tuf(ago(6)).await;
    installation.configure(", key: online-tuf.pem", "");
    let serving = installation.serve();
    serving
        .program
        .wait_for(|said| said.contains("when its timestamp ends: renew it with `mayfly trust tuf refresh`"));
    assert_eq!(serving.timestamp_version().await, 2);
}

/// Certificates do not depend on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_renewed_is_said_and_holds_nothing_up() {
    let installation = Installation::with_tuf(ago(366)).await;
    let mut serving = installation.serve();
    serving.program.wait_for(|said| {
        said.contains("the TUF repository is not kept current")
            && said.contains("root ends before it could be published")
    });
    serving
        .program
        .wait_for(|said| said.contains("when its root ends: renew it with `mayfly trust tuf rotate`"));
    serving.request().await.issued();
    serving.program.stop();
}

#[tokio::test]
async fn a_folder_without_a_repository() {
    let installation = Installation::with_tuf(ago(0)).await;
    installation.configure("directory: tuf,", "directory: empty,");
    fs::create_dir(installation.path("empty")).unwrap();
    let said = installation.tuf_refusal();
    assert!(
        said.contains("holds no TUF repository that was published"),
        "{said}"
    );
}

#[tokio::test]
async fn a_key_that_does_not_sign_the_timestamp() {
    let installation = Installation::with_tuf(ago(0)).await;
    for key in ["root-tuf.pem", "targets-tuf.pem"] {
        installation.configure("online-tuf.pem", key);
        let said = installation.tuf_refusal();
        assert!(said.contains("name its online key"), "{said}");
        installation.configure(key, "online-tuf.pem");
    }
}

/// Two certificates of the CA and the key of the log, here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_force_and_not_published_is_counted() {
    let installation = Installation::with_tuf(ago(0)).await;
    let serving = installation.serve();
    serving.measures("mayfly_tuf_unpublished 3").await;
    serving
        .program
        .wait_for(|said| said.contains("are not told of 3 certificates or keys that are in force"));
}
