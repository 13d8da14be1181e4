//! What a mirror could do to a client: everything but sign.

use futures_util::stream;
use tough::{Bytes, Transport, TransportError, TransportStream, async_trait, schema::RoleType};

use super::*;

fn periods(role: RoleType) -> Periods {
    let long = 100;
    let of = |other| if role == other { 1 } else { long };
    Periods {
        root: of(RoleType::Root),
        targets: of(RoleType::Targets),
        snapshot: of(RoleType::Snapshot),
        timestamp: of(RoleType::Timestamp),
    }
}

#[tokio::test]
async fn what_is_over_is_refused_in_every_role() {
    for role in [
        RoleType::Root,
        RoleType::Targets,
        RoleType::Snapshot,
        RoleType::Timestamp,
    ] {
        let fixture = Fixture::made_at(now().minus(DAY * 2), periods(role)).await;
        let error = fixture.reads().await.expect_err("over").to_string();
        assert!(error.contains("expired"), "{role}: {error}");
    }
}

/// A freeze: a client is shown what was, again and again, until its time is over.
#[tokio::test]
async fn a_client_is_kept_on_an_old_state_for_no_longer_than_the_timestamp_lasts() {
    for (age, counts) in [(6, true), (8, false)] {
        let fixture = Fixture::made_at(now().minus(DAY * age), Periods::default()).await;
        fixture.publish_at("old", now().minus(DAY * age)).await;
        let frozen = fixture.copy();
        fixture.publish("new").await;
        let read = Client::new(&fixture.root()).reads(frozen.path()).await;
        match counts {
            true => assert_eq!(read.unwrap(), "old"),
            false => assert!(
                matches!(read, Err(tough::error::Error::ExpiredMetadata { .. })),
                "{read:?}"
            ),
        }
        assert_eq!(fixture.reads().await.unwrap(), "new");
    }
}

#[tokio::test]
async fn an_older_state_is_refused() {
    let fixture = Fixture::new().await;
    fixture.publish("old").await;
    let old = fixture.copy();
    fixture.publish("new").await;
    let client = Client::new(&fixture.root());
    assert_eq!(client.reads(&fixture.public()).await.unwrap(), "new");
    let error = client.reads(old.path()).await.expect_err("rolled back");
    assert!(
        matches!(error, tough::error::Error::OlderMetadata { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn parts_of_two_states_are_refused() {
    let fixture = Fixture::new().await;
    let start = fixture.copy();
    fixture.publish("one").await;
    let one = fixture.copy();
    // The same versions again, with other contents: only a thief of keys could make both.
    fs::remove_dir_all(fixture.public()).unwrap();
    fs::rename(start.path(), fixture.public()).unwrap();
    fixture.publish("two").await;
    let whole = fixture.copy();
    let read = Client::new(&fixture.root()).reads(whole.path()).await;
    assert_eq!(read.unwrap(), "two");
    for part in ["2.snapshot.json", "2.targets.json"] {
        let mixed = fixture.copy();
        fs::copy(one.path().join(part), mixed.path().join(part)).unwrap();
        let read = Client::new(&fixture.root()).reads(mixed.path()).await;
        assert!(read.is_err(), "{part}: {read:?}");
    }
    let older = fixture.copy();
    fs::copy(
        older.path().join("1.targets.json"),
        older.path().join("2.targets.json"),
    )
    .unwrap();
    assert!(Client::new(&fixture.root()).reads(older.path()).await.is_err());
}

#[tokio::test]
async fn what_others_signed_is_refused() {
    let (fixture, other) = (Fixture::new().await, Fixture::new().await);
    for part in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let forged = fixture.copy();
        fs::copy(other.public().join(part), forged.path().join(part)).unwrap();
        let read = Client::new(&fixture.root()).reads(forged.path()).await;
        assert!(read.is_err(), "{part}: {read:?}");
    }
    let other_root = Client::new(&fixture.root()).reads(&other.public()).await;
    assert!(other_root.is_err());
    // A next root that its own keys signed, and those of the present one did not.
    other.open().propose_roles(&other.roles(), now()).unwrap();
    sign(&other.open(), &other.signers()).await;
    other.open().publish(&other.signers(), now()).await.unwrap();
    let forged = fixture.copy();
    fs::copy(
        other.public().join("2.root.json"),
        forged.path().join("2.root.json"),
    )
    .unwrap();
    let read = Client::new(&fixture.root()).reads(forged.path()).await;
    assert!(
        matches!(read, Err(tough::error::Error::VerifyMetadata { .. })),
        "{read:?}"
    );
}

#[tokio::test]
async fn metadata_and_files_that_were_cut_or_changed_are_refused() {
    let fixture = Fixture::new().await;
    fixture.publish("contents").await;
    let target = fs::read_dir(fixture.public().join("targets"))
        .unwrap()
        .next()
        .unwrap();
    let target = format!("targets/{}", target.unwrap().file_name().to_str().unwrap());
    for part in ["timestamp.json", "2.snapshot.json", "2.targets.json", &target] {
        let cut = fixture.copy();
        let mut contents = fs::read(cut.path().join(part)).unwrap();
        contents.truncate(contents.len() / 2);
        fs::write(cut.path().join(part), contents).unwrap();
        let read = Client::new(&fixture.root()).reads(cut.path()).await;
        assert!(read.is_err(), "{part}: {read:?}");
    }
    let changed = fixture.copy();
    fs::write(changed.path().join(&target), "CONTENTS").unwrap();
    assert!(Client::new(&fixture.root()).reads(changed.path()).await.is_err());
}

/// Sends one file without end.
#[derive(Clone, Debug)]
struct Endless(&'static str);

#[async_trait]
impl Transport for Endless {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        match url.path().ends_with(self.0) {
            true => Ok(Box::pin(stream::repeat_with(|| {
                Ok(Bytes::from_static(&[b' '; 65536]))
            }))),
            false => FilesystemTransport.fetch(url).await,
        }
    }
}

#[tokio::test]
async fn what_does_not_end_is_not_read_to_its_end() {
    let fixture = Fixture::new().await;
    let root = fixture.root();
    for part in [
        "2.root.json",
        "timestamp.json",
        "1.snapshot.json",
        "1.targets.json",
    ] {
        let (public, targets) = (url(&fixture.public()), url(&fixture.public().join("targets")));
        let loading = RepositoryLoader::new(&root, public, targets)
            .transport(Endless(part))
            .load();
        let outcome = tokio::time::timeout(Duration::from_secs(60), loading).await;
        assert!(outcome.expect("in time").is_err(), "{part}");
    }
}
