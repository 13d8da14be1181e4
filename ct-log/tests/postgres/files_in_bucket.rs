//! A log whose entries are in the database and whose whole files are in a bucket.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ct_log::check::{self, Depth};
use ct_log::{Log, LogKey, LogSettings, OpenError, Origin, PostgresSettings, S3Settings, SubmitError};

use super::bucket::{Bucket, Way, has_credentials, place};
use super::killed::{self, Promised, assert_kept, child, submit_without_end};
use super::moto::Moto;
use super::replica::{
    Ack, Site, checkpoint, entries_of, origin, submit, submit_all, submit_for, until, verify,
};
use super::server::Server;

const PREFIX: &str = "logs/2027";

/// A database, a bucket, and the replicas of one log in both.
struct Ground {
    server: Server,
    moto: Moto,
    way: Way,
    site: Site,
}

fn settings(site: &Path, name: &str) -> LogSettings {
    LogSettings::new(site.join(name), origin())
}

impl Ground {
    async fn new() -> Ground {
        let moto = Moto::start();
        Ground {
            server: Server::start().await,
            way: Way::to(&moto),
            moto,
            site: Site::new(),
        }
    }

    /// With a log, which nobody has open.
    async fn born() -> Ground {
        let ground = Ground::new().await;
        ground.create(&ground.site).unwrap().shutdown().await;
        ground
    }

    fn place(&self) -> S3Settings {
        place(&self.way.endpoint(), PREFIX).static_partials()
    }

    fn bucket(&self) -> Bucket {
        Bucket::new(&self.moto, PREFIX)
    }

    fn create(&self, site: &Site) -> Result<Log, OpenError> {
        let first = settings(site.directory.path(), "first");
        Log::create(
            first.in_postgres_and_s3(self.server.settings(), self.place()),
            site.key(),
        )
    }

    fn try_open(&self, name: &str) -> Result<Log, OpenError> {
        let replica = settings(self.site.directory.path(), name);
        Log::open(
            replica.in_postgres_and_s3(self.server.settings(), self.place()),
            self.site.key(),
        )
    }

    fn open(&self, name: &str) -> Log {
        self.try_open(name).unwrap()
    }

    /// Waits until the bucket shows a tree of `size` entries, and audits it without the log (C1, C6, C8, C9).
    async fn audit_bucket(&self, size: u64) -> Bucket {
        let (bucket, key) = (self.bucket(), self.site.key());
        let began = Instant::now();
        while bucket.published(key.public()).await.size() < size {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "never shows {size} entries"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let report = check::check(&bucket, (&origin(), key.public()), Depth::Structure).await;
        assert!(report.is_sound(), "{:?}", report.problems());
        bucket
    }
}

fn end(acks: &[Ack]) -> u64 {
    let ends = acks.iter().map(|(_, sct)| sct.leaf_index().get() + 1);
    ends.max().unwrap()
}

/// C7: what never changes, as it is now.
async fn immutable(bucket: &Bucket) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for key in bucket.keys().await {
        let whole = key.starts_with("tile/") && !key.contains(".p/");
        if whole || key.starts_with("issuer/") || key == "log.json" {
            let bytes = bucket.get(&key).await.unwrap();
            found.insert(key, bytes);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and moto"]
async fn c2_c6_c7_c8_a_bucket_alone_has_what_a_killed_replica_promised() {
    let test = "files_in_bucket::c2_c6_c7_c8_a_bucket_alone_has_what_a_killed_replica_promised";
    if !has_credentials(test) {
        return;
    }
    if let Some([site, host, endpoint]) = child() {
        let database = PostgresSettings::new(&format!("host={host} user=postgres dbname=postgres"));
        let key = LogKey::from_pkcs8_der(&std::fs::read(format!("{site}/key")).unwrap()).unwrap();
        let files = place(&endpoint, PREFIX).static_partials();
        let log = settings(site.as_ref(), "killed").in_postgres_and_s3(database.unwrap(), files);
        return submit_without_end(&Log::open(log, key).unwrap()).await;
    }
    let ground = Ground::born().await;
    let survivor = ground.open("survivor");
    let mut acks = submit_all(&survivor, 600).await;
    let before = immutable(&ground.audit_bucket(end(&acks)).await).await;
    assert!(before.contains_key("tile/data/001"), "{:?}", before.keys());
    let mut promised = Promised::new();
    for round in 0..3 {
        let socket = ground.server.socket();
        let host = socket.parent().unwrap().to_str().unwrap();
        let directory = ground.site.directory.path().to_str().unwrap();
        let mut replica = killed::spawn(test, &[directory, host, &ground.way.endpoint()]);
        let reader = killed::listen(&mut replica);
        let load = submit_for(&survivor, 4, Duration::from_millis(2500 + 137 * round));
        acks.extend(load.await.0);
        replica.kill().unwrap();
        replica.wait().unwrap();
        promised.extend(reader.join().unwrap());
    }
    acks.push(submit(&survivor).await.unwrap());
    verify(&survivor, &acks).await;
    let size = end(&acks);
    let bucket = ground.audit_bucket(size).await;
    let held = entries_of(&bucket, size).await;
    assert_kept(&promised, &held);
    for (entry, sct) in &acks {
        let index = sct.leaf_index().get();
        let found = &held[index as usize];
        assert_eq!((found.entry(), found.timestamp()), (entry, sct.timestamp()), "C2");
        assert!(!promised.contains_key(&index), "C16: two SCTs for {index}");
    }
    for (key, bytes) in before {
        assert_eq!(bucket.get(&key).await.as_ref(), Some(&bytes), "C7: {key}");
    }
    survivor.shutdown().await;
    let again = ground.open("killed");
    verify(&again, &acks).await;
    let client = ground.server.client().await;
    let files = "SELECT path FROM ct_object WHERE path <> 'bucket'";
    assert!(client.query(files, &[]).await.unwrap().is_empty());
}

/// Entries wait for the database only; what they need of the bucket is there already.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and moto"]
async fn entries_do_not_wait_for_a_bucket_that_is_away() {
    if !has_credentials("files_in_bucket::entries_do_not_wait_for_a_bucket_that_is_away") {
        return;
    }
    let ground = Ground::born().await;
    let log = ground.open("a");
    let mut acks = submit_all(&log, 10).await;
    ground.audit_bucket(10).await;
    ground.way.close();
    let published = checkpoint(&log);
    let began = Instant::now();
    for _ in 0..3 {
        acks.extend(submit_all(&log, 600).await);
        acks.push(submit(&log).await.unwrap());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // The store is given 20 s for an outcome.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(log.health().is_ok());
    assert_eq!(checkpoint(&log), published, "nothing is published meanwhile");
    // An entry of an issuer that is not stored would be one that cannot be verified (C8).
    let (unknown, refused) = (log.clone(), Instant::now());
    let stored = tokio::task::spawn_blocking(move || unknown.store_issuers(&[b"a new one"]).is_ok());
    assert!(!stored.await.unwrap());
    assert!(refused.elapsed() < Duration::from_secs(60));
    assert!(log.health().is_ok(), "not poisoned");
    ground.way.open();
    verify(&log, &acks).await;
    let bucket = ground.audit_bucket(end(&acks)).await;
    log.store_issuers(&[b"a new one"]).unwrap();
    for tile in ["tile/data/006", "tile/0/006"] {
        let began = Instant::now();
        while bucket.get(tile).await.is_none() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{tile} is never stored"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // And the other way round.
    log.shutdown().await;
    ground.way.close();
    let refused = ground.try_open("a").unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
    ground.way.open();
    verify(&ground.open("a"), &acks).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and moto"]
async fn a_log_is_where_it_was_born_and_nowhere_else() {
    if !has_credentials("files_in_bucket::a_log_is_where_it_was_born_and_nowhere_else") {
        return;
    }
    let ground = Ground::born().await;
    let (database, bucket) = (ground.server.settings(), ground.place());
    let open = |settings: LogSettings| Log::open(settings, ground.site.key()).unwrap_err();
    let replica = || settings(ground.site.directory.path(), "b");
    // One half of it.
    let alone = open(replica().in_postgres(database.clone()));
    assert!(matches!(alone, OpenError::OtherPlaces { .. }), "{alone}");
    assert!(
        alone.to_string().contains("s3://ct-log-tests/logs/2027"),
        "{alone}"
    );
    let alone = open(replica().in_s3(bucket.clone()));
    assert!(matches!(alone, OpenError::OtherPlaces { .. }), "{alone}");
    // An empty bucket, and another log's.
    let elsewhere = |prefix: &str| place(&ground.way.endpoint(), prefix);
    let empty = open(replica().in_postgres_and_s3(database.clone(), elsewhere("empty")));
    assert!(matches!(empty, OpenError::Missing { .. }), "{empty}");
    assert!(empty.to_string().contains("s3://ct-log-tests/empty"), "{empty}");
    let other = LogSettings::new(
        ground.site.directory.path().join("other"),
        Origin::new("other").unwrap(),
    );
    let other = other.in_postgres_and_s3(database.clone(), elsewhere("other"));
    let other = Log::create(other, LogKey::generate().unwrap()).unwrap();
    let ack = submit(&other).await.unwrap();
    verify(&other, &[ack]).await;
    let of_other = open(replica().in_postgres_and_s3(database.clone(), elsewhere("other")));
    assert!(matches!(of_other, OpenError::OtherKey { .. }), "{of_other}");
    // A bucket that has a whole log of the same key.
    let whole = settings(ground.site.directory.path(), "c").in_s3(elsewhere("whole"));
    drop(Log::create(whole, ground.site.key()).unwrap());
    let whole = open(replica().in_postgres_and_s3(database.clone(), elsewhere("whole")));
    assert!(matches!(whole, OpenError::OtherPlaces { .. }), "{whole}");
    // Birth wants both places empty, and leaves the database empty if the bucket is not.
    let new = |origin: &str| {
        LogSettings::new(
            ground.site.directory.path().join(origin),
            Origin::new(origin).unwrap(),
        )
    };
    for taken in [
        new(origin().as_str()).in_postgres_and_s3(database.clone(), elsewhere("new")),
        new("new").in_postgres_and_s3(database.clone(), bucket),
    ] {
        let refused = Log::check_vacant(&taken).unwrap_err();
        assert!(matches!(refused, OpenError::Taken { .. }), "{refused}");
        let refused = Log::create(taken, LogKey::generate().unwrap()).unwrap_err();
        assert!(matches!(refused, OpenError::Taken { .. }), "{refused}");
    }
    assert!(Bucket::new(&ground.moto, "new").keys().await.is_empty());
    Log::check_vacant(&new("new").in_postgres_and_s3(database, elsewhere("new"))).unwrap();
    verify(&ground.open("b"), &[]).await;
}

/// A replica that remembers nothing is told by the bucket that the database lost something.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and moto"]
async fn c15_a_database_that_is_older_than_its_bucket_is_refused() {
    if !has_credentials("files_in_bucket::c15_a_database_that_is_older_than_its_bucket_is_refused") {
        return;
    }
    let ground = Ground::born().await;
    let server = &ground.server;
    let log = ground.open("a");
    submit(&log).await.unwrap();
    until("published", || checkpoint(&log).size() == 1).await;
    log.shutdown().await;
    server
        .execute("CREATE TABLE old AS TABLE ct_head; CREATE TABLE old_checkpoint AS TABLE ct_checkpoint")
        .await;
    let log = ground.open("a");
    submit(&log).await.unwrap();
    log.shutdown().await;
    assert_eq!(ground.audit_bucket(2).await.keys().await.len(), 7);
    server
        .tamper(
            "DELETE FROM ct_head; INSERT INTO ct_head SELECT * FROM old; DELETE FROM ct_batch WHERE first_index > 0; \
             DELETE FROM ct_checkpoint; INSERT INTO ct_checkpoint SELECT * FROM old_checkpoint",
        )
        .await;
    let older = ground.try_open("without a memory").unwrap_err();
    assert!(
        matches!(older, OpenError::BehindBucket { published: 2, .. }),
        "{older}"
    );
    // Another tree of the same size.
    server
        .tamper("CREATE TABLE marker AS SELECT * FROM ct_object; DELETE FROM ct_object")
        .await;
    let alone = settings(ground.site.directory.path(), "alone").in_postgres(server.settings());
    let alone = Log::open(alone, ground.site.key()).unwrap();
    let issuers = alone.store_issuers(&[b"of the other tree"]).unwrap();
    let forked = ct_log::PendingEntry::certificate(b"forked".to_vec(), issuers);
    alone.submit(forked, ct_log::Submitter::Internal).await.unwrap();
    alone.shutdown().await;
    server
        .tamper("DELETE FROM ct_object; INSERT INTO ct_object SELECT * FROM marker")
        .await;
    let other = ground.try_open("without a memory").unwrap_err();
    assert!(
        matches!(other, OpenError::BehindBucket { published: 2, .. }),
        "{other}"
    );
}

/// A crash between the database and the bucket, and a row that went back without any entry: both are made good.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and moto"]
async fn c4_a_checkpoint_that_one_of_the_two_lacks_is_replaced_by_a_later_one() {
    let test = "files_in_bucket::c4_a_checkpoint_that_one_of_the_two_lacks_is_replaced_by_a_later_one";
    if !has_credentials(test) {
        return;
    }
    let ground = Ground::born().await;
    let (bucket, key) = (ground.bucket(), ground.site.key());
    let at_birth = bucket.get("checkpoint").await.unwrap();
    let log = ground.open("a");
    let acks = submit_all(&log, 5).await;
    verify(&log, &acks).await;
    log.shutdown().await;
    let last = checkpoint(&log);
    bucket.put("checkpoint", at_birth).await;
    let log = ground.open("b");
    let shown = bucket.published(key.public()).await;
    assert_eq!((shown.size(), shown.root()), (5, last.root()));
    assert!(shown.timestamp() > last.timestamp());
    ground
        .server
        .execute("CREATE TABLE old_checkpoint AS TABLE ct_checkpoint")
        .await;
    submit(&log).await.unwrap();
    until("published", || checkpoint(&log).size() == 6).await;
    log.shutdown().await;
    let last = bucket.published(key.public()).await;
    ground
        .server
        .tamper("DELETE FROM ct_checkpoint; INSERT INTO ct_checkpoint SELECT * FROM old_checkpoint")
        .await;
    let log = ground.open("without a memory");
    let shown = bucket.published(key.public()).await;
    assert_eq!((shown.size(), shown.root()), (6, last.root()));
    assert!(shown.timestamp() > last.timestamp());
    assert_eq!(checkpoint(&log), shown);
    verify(&log, &acks).await;
}

/// Everything but the issuers can be made anew from the batches.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and moto"]
async fn a_bucket_that_lost_its_tiles_is_filled_again() {
    if !has_credentials("files_in_bucket::a_bucket_that_lost_its_tiles_is_filled_again") {
        return;
    }
    let ground = Ground::born().await;
    let log = ground.open("a");
    let acks = submit_all(&log, 600).await;
    verify(&log, &acks).await;
    log.shutdown().await;
    let bucket = ground.bucket();
    let before = immutable(&bucket).await;
    for key in bucket.keys().await {
        if key.starts_with("tile/") {
            bucket.delete(&key).await;
        }
    }
    let log = ground.open("b");
    ground.audit_bucket(600).await;
    assert_eq!(immutable(&bucket).await, before);
    verify(&log, &acks).await;
}

/// C4: of two replicas that publish at once, the bucket never shows what the database does not know, nor goes back.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and moto"]
async fn c4_the_bucket_goes_forward_whichever_replica_publishes() {
    if !has_credentials("files_in_bucket::c4_the_bucket_goes_forward_whichever_replica_publishes") {
        return;
    }
    let ground = Ground::born().await;
    let (a, b) = (ground.open("a"), ground.open("b"));
    let (bucket, key) = (ground.bucket(), ground.site.key());
    let client = ground.server.client().await;
    let load = tokio::join!(
        submit_for(&a, 4, Duration::from_secs(3)),
        submit_for(&b, 4, Duration::from_secs(3)),
        async {
            let mut last = bucket.published(key.public()).await;
            for _ in 0..150 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let next = bucket.published(key.public()).await;
                let row = client.query_one("SELECT size, ts FROM ct_checkpoint", &[]).await;
                let row = row.unwrap();
                let (size, time) = (row.get::<_, i64>(0), row.get::<_, i64>(1));
                assert!(next.size() >= last.size() && next.timestamp() >= last.timestamp());
                assert!(size >= next.size() as i64 && time >= next.timestamp().get() as i64);
                last = next;
            }
        }
    );
    let ((one, refused), (two, also_refused), ()) = load;
    assert_eq!((refused, also_refused), (Vec::<SubmitError>::new(), vec![]));
    let acks = [one, two].concat();
    verify(&a, &acks).await;
    verify(&b, &acks).await;
    ground.audit_bucket(end(&acks)).await;
}
