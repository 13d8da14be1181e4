//! A TUF repository, with `tough` as a client that knows its first root alone.
#![expect(clippy::unwrap_used, reason = "tests")]

mod export;
mod hostile;
mod killed;
mod pending;
mod rotation;

use std::{fs, num::NonZeroU64, path::Path, path::PathBuf, sync::Arc, time::Duration};

use mayfly::{
    clock::{Clock, SystemClock, Timestamp},
    issuer::ceremony::{KeyKind, generate_key},
    key::SoftwareKey,
    trust::tuf::{Periods, Repository, RoleKeys, Roles, Signer, TargetFile, TufError},
};
use tempfile::TempDir;
use tough::{FilesystemTransport, IntoVec, RepositoryLoader, TargetName};
use url::Url;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> Timestamp {
    SystemClock.now()
}

fn signer_of(kind: KeyKind) -> Result<Signer, TufError> {
    let key = SoftwareKey::from_pkcs8_der(&generate_key(kind).unwrap()).unwrap();
    Signer::new(Arc::new(key))
}

fn signer() -> Signer {
    signer_of(KeyKind::EcdsaP256).unwrap()
}

fn keys(signers: &[&Signer], threshold: u64) -> RoleKeys {
    RoleKeys {
        keys: signers.iter().map(|signer| signer.public().clone()).collect(),
        threshold: NonZeroU64::new(threshold).unwrap(),
    }
}

fn file(name: &str, contents: &str) -> TargetFile {
    TargetFile {
        name: name.to_owned(),
        contents: contents.as_bytes().to_vec(),
        sigstore: None,
    }
}

/// A repository in a folder that is gone with it: two root keys, both needed, one of targets, one online.
struct Fixture {
    folder: TempDir,
    roots: [Signer; 2],
    targets: Signer,
    online: Signer,
}

impl Fixture {
    /// Made, with no files yet.
    async fn new() -> Self {
        Self::made_at(now(), Periods::default()).await
    }

    async fn made_at(now: Timestamp, periods: Periods) -> Self {
        let fixture = Self {
            folder: tempfile::tempdir().unwrap(),
            roots: [signer(), signer()],
            targets: signer(),
            online: signer(),
        };
        let roles = Roles {
            periods,
            ..fixture.roles()
        };
        let repository = Repository::create(fixture.folder.path(), &roles, now).unwrap();
        sign(&repository, &fixture.signers()).await;
        repository.publish(&fixture.signers(), now).await.unwrap();
        fixture
    }

    fn roles(&self) -> Roles {
        Roles {
            root: keys(&[&self.roots[0], &self.roots[1]], 2),
            targets: keys(&[&self.targets], 1),
            online: keys(&[&self.online], 1),
            periods: Periods::default(),
        }
    }

    fn signers(&self) -> Vec<Signer> {
        let [one, two] = &self.roots;
        [one, two, &self.targets, &self.online].map(Clone::clone).to_vec()
    }

    fn open(&self) -> Repository {
        Repository::open(self.folder.path()).unwrap()
    }

    async fn publish_at(&self, contents: &str, now: Timestamp) {
        let repository = self.open();
        repository
            .propose_targets(&[file("trusted_root.json", contents)], now)
            .unwrap();
        sign(&repository, &self.signers()).await;
        repository.publish(&self.signers(), now).await.unwrap();
    }

    async fn publish(&self, contents: &str) {
        self.publish_at(contents, now()).await;
    }

    fn public(&self) -> PathBuf {
        self.folder.path().join("public")
    }

    fn root(&self) -> Vec<u8> {
        fs::read(self.public().join("1.root.json")).unwrap()
    }

    /// What a new client finds in it.
    async fn reads(&self) -> Result<String, tough::error::Error> {
        Client::new(&self.root()).reads(&self.public()).await
    }

    fn copy(&self) -> TempDir {
        copy(&self.public())
    }
}

async fn sign(repository: &Repository, signers: &[Signer]) {
    let mut proposal = repository.proposal().unwrap();
    repository.sign(&mut proposal, signers).await.unwrap();
}

fn url(folder: &Path) -> Url {
    Url::from_directory_path(folder).unwrap()
}

/// Of metadata and targets.
fn copy(public: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for part in ["", "targets"] {
        fs::create_dir_all(copy.path().join(part)).unwrap();
        for entry in fs::read_dir(public.join(part)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), copy.path().join(part).join(entry.file_name())).unwrap();
            }
        }
    }
    copy
}

/// Remembers what it has seen.
struct Client {
    root: Vec<u8>,
    seen: TempDir,
}

impl Client {
    fn new(root: &[u8]) -> Self {
        Self {
            root: root.to_vec(),
            seen: tempfile::tempdir().unwrap(),
        }
    }

    async fn loads(&self, public: &Path) -> Result<tough::Repository, tough::error::Error> {
        RepositoryLoader::new(&self.root, url(public), url(&public.join("targets")))
            .transport(FilesystemTransport)
            .datastore(self.seen.path())
            .load()
            .await
    }

    /// The trusted root; empty if there is none.
    async fn reads(&self, public: &Path) -> Result<String, tough::error::Error> {
        let repository = self.loads(public).await?;
        let name = TargetName::new("trusted_root.json").unwrap();
        let Some(file) = repository.read_target(&name).await? else {
            return Ok(String::new());
        };
        Ok(String::from_utf8(file.into_vec().await?).unwrap())
    }
}

#[tokio::test]
async fn a_client_with_the_first_root_gets_what_is_published() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.reads().await.unwrap(), "");
    fixture.publish("one").await;
    assert_eq!(fixture.reads().await.unwrap(), "one");
    let client = Client::new(&fixture.root());
    client.reads(&fixture.public()).await.unwrap();
    fixture.publish("two").await;
    assert_eq!(client.reads(&fixture.public()).await.unwrap(), "two");
}

#[tokio::test]
async fn the_snapshot_is_renewed_from_half_its_time_on() {
    let fixture = Fixture::made_at(now().minus(DAY * 14), Periods::default()).await;
    assert!(fixture.reads().await.is_err(), "the timestamp is over");
    let versions = || {
        let versions = fixture.open().published().unwrap().standing();
        versions.iter().map(|role| role.version).collect::<Vec<_>>()
    };
    let online = [fixture.online.clone()];
    fixture.open().refresh(&online, now()).await.unwrap();
    assert_eq!(versions(), [1, 1, 1, 2]);
    assert_eq!(fixture.reads().await.unwrap(), "");
    fixture
        .open()
        .refresh(&online, now().plus(DAY * 2))
        .await
        .unwrap();
    assert_eq!(versions(), [1, 1, 2, 3]);
    assert_eq!(fixture.reads().await.unwrap(), "");
}

#[tokio::test]
async fn only_the_online_key_refreshes_and_only_what_is_not_over() {
    let fixture = Fixture::new().await;
    let strangers = [signer(), fixture.targets.clone()];
    let refused = fixture.open().refresh(&strangers, now()).await;
    assert!(matches!(refused, Err(TufError::Missing(_))));
    let online = [fixture.online.clone()];
    let refused = fixture.open().refresh(&online, now().plus(DAY * 366)).await;
    assert!(matches!(refused, Err(TufError::Expired(_))));
    assert_eq!(fixture.reads().await.unwrap(), "");
}

#[tokio::test]
async fn one_command_at_a_time() {
    let fixture = Fixture::new().await;
    let at_work = fixture.open();
    let second = Repository::open(fixture.folder.path());
    assert!(matches!(second, Err(TufError::Locked(_))));
    let soon = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(at_work);
    });
    fixture.open();
    soon.join().unwrap();
}

#[test]
fn roles_that_protect_nothing_are_refused() {
    let (one, two, three) = (signer(), signer(), signer());
    let refusal = |root: RoleKeys, online: &Signer| {
        let folder = tempfile::tempdir().unwrap();
        let roles = Roles {
            root,
            targets: keys(&[&two], 1),
            online: keys(&[online], 1),
            periods: Periods::default(),
        };
        Repository::create(folder.path(), &roles, now()).unwrap_err()
    };
    let too_many = refusal(keys(&[&one], 2), &three);
    assert!(matches!(too_many, TufError::Threshold(_)));
    let twice = refusal(keys(&[&one, &one], 2), &three);
    assert!(matches!(twice, TufError::Threshold(_)));
    assert!(matches!(refusal(keys(&[&one], 1), &two), TufError::OnlineKey));
    assert!(matches!(signer_of(KeyKind::EcdsaP384), Err(TufError::KeyKind)));
}

/// Nobody was there for a year.
#[tokio::test]
async fn what_is_over_is_renewed_by_one_rotation() {
    let fixture = Fixture::made_at(now().minus(DAY * 366), Periods::default()).await;
    let roles = fixture.open().published().unwrap().roles().unwrap();
    fixture.open().propose_roles(&roles, now()).unwrap();
    sign(&fixture.open(), &fixture.signers()).await;
    fixture.open().publish(&fixture.signers(), now()).await.unwrap();
    assert_eq!(fixture.reads().await.unwrap(), "");
}

#[tokio::test]
async fn targets_are_renewed_with_the_files_that_they_have() {
    let fixture = Fixture::new().await;
    fixture.publish("one").await;
    fixture.open().propose_renewal(now().plus(DAY)).unwrap();
    sign(&fixture.open(), &fixture.signers()).await;
    fixture.open().publish(&fixture.signers(), now()).await.unwrap();
    let [_, targets, ..] = fixture.open().published().unwrap().standing();
    assert_eq!(targets.version, 3);
    assert!(targets.end > now().plus(DAY * 365));
    assert_eq!(fixture.reads().await.unwrap(), "one");
}

#[tokio::test]
async fn a_folder_that_was_rolled_back_is_told_from_a_mistake() {
    let fixture = Fixture::new().await;
    fixture.publish("one").await;
    let (old, older) = (
        fixture.copy(),
        fs::read(fixture.public().join("timestamp.json")).unwrap(),
    );
    fixture.publish("two").await;
    fs::write(fixture.public().join("timestamp.json"), older).unwrap();
    drop(old);
    let repository = fixture.open();
    repository
        .propose_targets(&[file("trusted_root.json", "three")], now())
        .unwrap();
    sign(&repository, &fixture.signers()).await;
    let refused = repository.publish(&fixture.signers(), now()).await;
    assert!(matches!(refused, Err(TufError::RolledBack(_))), "{refused:?}");
}

/// What is hashed is what is written, also after it was read again: names are in order at each depth.
#[tokio::test]
async fn metadata_is_written_in_one_form_only() {
    let fixture = Fixture::new().await;
    for name in [
        "1.root.json",
        "1.targets.json",
        "1.snapshot.json",
        "timestamp.json",
    ] {
        let text = fs::read_to_string(fixture.public().join(name)).unwrap();
        let mut above: Vec<(usize, &str)> = Vec::new();
        for line in text
            .lines()
            .filter(|line| line.contains("\": ") || line.trim() == "{")
        {
            let depth = line.len() - line.trim_start().len();
            above.retain(|(other, _)| *other <= depth);
            let last = above.pop_if(|(other, _)| *other == depth);
            assert!(
                last.is_none_or(|(_, last)| last < line || line.trim() == "{"),
                "{name}: {line}"
            );
            above.push((depth, line));
        }
    }
}
