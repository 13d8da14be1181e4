//! How a log in a bucket starts, and how it is born.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::checkpoint::{Checkpoint, Origin};
use crate::key::{KeyError, LogKey};
use crate::leaf::UnixMillis;
use crate::storage::high_water::HighWater;
use crate::storage::identity::{EntriesIn, Identity};
use crate::storage::record::Batch;
use crate::storage::recovery::{OpenError, corrupt, io_error};
use crate::storage::replay::root_of;
use crate::storage::shared::{Batches, NoUpkeep, SharedOpening, SharedTree};
use crate::storage::{CHECKPOINT, Head, LockFile, Opened, Opening, Storage};
use crate::threads::fill_random;
use crate::tree::{Hash, empty_root};

use super::bucket::{Bucket, Put};
use super::error::describe;
use super::journal::{CommitObjects, read_batch};
use super::layout::{COMMITS, commit_key, first_index};
use super::objects::{BucketObjects, Whose};
use super::self_test;
use super::settings::S3Settings;

/// Most entries in a batch of any version: how far before an entry its batch can begin.
const MAX_BATCH_ENTRIES: u64 = 4096;

/// Most leftovers of self-tests that are looked through for something else.
const MAX_PROBES: usize = 1000;

/// Batches that are read before they are replayed.
const BATCHES_AT_ONCE: usize = 64;

/// What of the environment concerns the log: who it is to the store. Where the log lies is for its settings alone.
const FROM_ENVIRONMENT: [AmazonS3ConfigKey; 14] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::SecretAccessKey,
    AmazonS3ConfigKey::Token,
    AmazonS3ConfigKey::Region,
    AmazonS3ConfigKey::DefaultRegion,
    AmazonS3ConfigKey::ImdsV1Fallback,
    AmazonS3ConfigKey::MetadataEndpoint,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
    AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::RoleArn,
    AmazonS3ConfigKey::RoleSessionName,
    AmazonS3ConfigKey::StsEndpoint,
];

/// A bucket that passed the self-test, and the writer's own directory.
pub(crate) struct S3 {
    bucket: Bucket,
    settings: S3Settings,
    directory: PathBuf,
    /// That of the writer's own directory.
    lock: Option<LockFile>,
}

impl S3 {
    /// Finds the credentials, and tests the store.
    pub(crate) fn connect(
        settings: S3Settings,
        directory: &Path,
        lock: Option<LockFile>,
    ) -> Result<S3, OpenError> {
        let store = client(&settings, std::env::vars_os()).map_err(|error| OpenError::Io {
            doing: "set up the client of the object store",
            source: io::Error::other(describe(&error)),
        })?;
        S3::on(store, settings, (directory, lock))
    }

    /// The same on any store.
    pub(crate) fn on(
        store: Arc<dyn ObjectStore>,
        settings: S3Settings,
        (directory, lock): (&Path, Option<LockFile>),
    ) -> Result<S3, OpenError> {
        let bucket = Bucket::new(store, &settings.prefix, settings.patience);
        let bucket = bucket.map_err(io_error("start a thread"))?;
        self_test::run(&bucket, &settings.location()).map_err(io_error("test the object store"))?;
        Ok(S3 {
            bucket,
            settings,
            directory: directory.to_owned(),
            lock,
        })
    }

    /// Birth: in the same action that made the key.
    pub(crate) fn create(&self, origin: &Origin, key: &LogKey, now: UnixMillis) -> Result<(), OpenError> {
        self.write_birth(&Identity::new(key.public(), origin, now), (origin, key, now))
    }

    /// The same of a log whose entries are in a database, where its birth is completed.
    #[cfg(feature = "postgres")]
    pub(crate) fn create_files(
        &self,
        origin: &Origin,
        key: &LogKey,
        now: UnixMillis,
    ) -> Result<(), OpenError> {
        let identity = Identity::new(key.public(), origin, now).with_entries_in(EntriesIn::PostgreSql);
        self.write_birth(&identity, (origin, key, now))
    }

    /// The identity comes last: without it there is no log.
    fn write_birth(
        &self,
        identity: &Identity,
        (origin, key, now): (&Origin, &LogKey, UnixMillis),
    ) -> Result<(), OpenError> {
        self.check_vacant(origin)?;
        let checkpoint = Checkpoint::new(0, empty_root(), now).sign(origin, key)?;
        let identity = identity.to_json().map_err(io_error("create the log"))?;
        for (key, bytes) in [(CHECKPOINT, checkpoint.as_bytes()), (Identity::PATH, &identity)] {
            match self.bucket.create(key, bytes) {
                Put::Done { .. } => {}
                Put::Refused => return Err(self.taken(origin)),
                Put::Unsent(error) | Put::Unknown(error) => return Err(io_error("create the log")(error)),
            }
        }
        Ok(())
    }

    /// Nothing but what a self-test left.
    pub(crate) fn check_vacant(&self, origin: &Origin) -> Result<(), OpenError> {
        let found = self
            .bucket
            .list("", "", MAX_PROBES)
            .map_err(io_error("list the bucket"))?;
        if found.iter().all(|key| key.starts_with("probe/")) {
            Ok(())
        } else {
            Err(self.taken(origin))
        }
    }

    fn taken(&self, origin: &Origin) -> OpenError {
        OpenError::Taken {
            place: self.settings.location(),
            origin: origin.clone(),
        }
    }

    /// The files of a log whose entries are in a database.
    #[cfg(feature = "postgres")]
    pub(crate) fn files(&self, opening: &Opening<'_>) -> Result<BucketObjects, OpenError> {
        let what = "holds a log with its entries, not only its files: leave the database out";
        self.identify(opening, Some(EntriesIn::PostgreSql), what)?;
        Ok(self.objects(opening, None))
    }

    fn objects(&self, opening: &Opening<'_>, high_water: Option<HighWater>) -> BucketObjects {
        let whose = Whose {
            origin: opening.origin,
            key: opening.key,
            high_water,
        };
        BucketObjects::new(&self.bucket, whose, self.settings.partials)
    }

    /// Whose the bucket is. Refused with `otherwise` if the entries are elsewhere than it says.
    fn identify(
        &self,
        opening: &Opening<'_>,
        entries_in: Option<EntriesIn>,
        otherwise: &str,
    ) -> Result<Identity, OpenError> {
        let identity = self.identity()?;
        identity.check(opening.key.log_id(), opening.origin)?;
        if identity.entries_in() == entries_in {
            return Ok(identity);
        }
        Err(OpenError::OtherPlaces {
            place: self.settings.location(),
            what: otherwise.to_owned(),
        })
    }

    /// For messages.
    #[cfg(feature = "postgres")]
    pub(crate) fn location(&self) -> String {
        self.settings.location()
    }

    fn identity(&self) -> Result<Identity, OpenError> {
        let json = self
            .bucket
            .get(Identity::PATH)
            .map_err(io_error("read log.json"))?;
        let json = json.ok_or_else(|| OpenError::Missing {
            directory: self.settings.location().into(),
        })?;
        Identity::parse(&json.bytes)
    }
}

impl Storage for S3 {
    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened, OpenError> {
        let log_id = opening.key.log_id();
        let elsewhere = "holds the files of a log whose entries are in a database: name that as well";
        let identity = self.identify(&opening, None, elsewhere)?;
        let high_water = HighWater::in_directory(&self.directory, log_id);
        let mark = high_water.read()?;
        let objects = Arc::new(self.objects(&opening, Some(high_water)));
        let published = objects.published()?;
        let mut batches = StoredBatches {
            bucket: &self.bucket,
            mark,
            found: None,
        };
        let shared = SharedOpening {
            objects: &*objects,
            published: published.checkpoint,
            log_id,
            born: identity.created(),
            clock: opening.clock,
        };
        let tree = shared.run(&mut batches)?;
        batches.refuse_rest(tree.head.size)?;
        batches.check_mark(&tree, &objects)?;
        let mut incarnation = [0; 16];
        fill_random(&mut incarnation).map_err(|_| KeyError::Generate)?;
        let SharedTree { tail, head, link } = tree;
        let remembered = mark.map(|mark| mark.timestamp);
        let journal = CommitObjects::new(self.bucket.clone(), link, incarnation).dated_after(remembered);
        Ok(Opened {
            head,
            frontier: tail.frontier(),
            tail,
            published,
            objects,
            journal: Box::new(journal),
            upkeep: Box::new(NoUpkeep),
            locks: self.lock.into_iter().collect(),
        })
    }
}

/// The batches in the bucket, and what they say about the tree that this writer remembers.
struct StoredBatches<'a> {
    bucket: &'a Bucket,
    mark: Option<Head>,
    /// The root of the tree of the mark's size.
    found: Option<Hash>,
}

impl StoredBatches<'_> {
    /// A batch after a gap: one between was lost. Other writers may have gone on meanwhile, so the gap is looked at again.
    fn refuse_rest(&self, size: u64) -> Result<(), OpenError> {
        let list = || self.bucket.list(COMMITS, &commit_key(size), 1);
        let beyond = list().map_err(io_error("list the batches"))?;
        let Some(beyond) = beyond.first() else {
            return Ok(());
        };
        let next = read_batch(self.bucket, size).map_err(damage("read a batch"))?;
        if next.is_some() {
            return Ok(());
        }
        Err(corrupt(format!(
            "{} is missing, but {beyond} is there",
            commit_key(size)
        )))
    }

    /// Refuses a bucket that lost what this writer published, or that holds another tree.
    fn check_mark(&self, tree: &SharedTree, objects: &BucketObjects) -> Result<(), OpenError> {
        let Some(mark) = self.mark else { return Ok(()) };
        let rolled_back = || OpenError::RolledBack { seen: mark.size };
        if tree.head.size < mark.size {
            return Err(rolled_back());
        }
        let found = match self.found {
            Some(root) => root,
            None => root_of(objects, mark.size)?,
        };
        if found == mark.root {
            Ok(())
        } else {
            Err(rolled_back())
        }
    }
}

impl Batches for StoredBatches<'_> {
    fn after(&mut self, size: u64) -> Result<Vec<Batch>, OpenError> {
        let mut batches = Vec::new();
        let mut next = size;
        while batches.len() < BATCHES_AT_ONCE {
            let read = read_batch(self.bucket, next).map_err(damage("read a batch"))?;
            let Some(batch) = read else { break };
            let header = &batch.header;
            for (size, root) in [(next, header.previous_root), (header.head.size, header.head.root)] {
                if self.mark.is_some_and(|mark| mark.size == size) {
                    self.found = Some(root);
                }
            }
            next = header.head.size;
            batches.push(batch);
        }
        Ok(batches)
    }

    fn begin_at_or_before(&mut self, index: u64) -> Result<u64, OpenError> {
        let earliest = index.saturating_sub(MAX_BATCH_ENTRIES);
        // Keys after the one before the earliest: that itself is wanted too.
        let after = earliest
            .checked_sub(1)
            .map_or_else(|| COMMITS.to_owned(), commit_key);
        let most = usize::try_from(MAX_BATCH_ENTRIES.saturating_add(1)).unwrap_or(usize::MAX);
        let keys = self
            .bucket
            .list(COMMITS, &after, most)
            .map_err(io_error("list the batches"))?;
        let firsts = keys.iter().filter_map(|key| first_index(key));
        let first = firsts.take_while(|first| *first <= index).last();
        first.ok_or_else(|| corrupt(format!("the batch with entry {index} is missing from {COMMITS}/")))
    }
}

/// Bytes that are not the log's are damage; everything else is an error of the store.
pub(super) fn damage(doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |error| match error.kind() {
        io::ErrorKind::InvalidData => corrupt(error.to_string()),
        _ => io_error(doing)(error),
    }
}

/// A client that never repeats a request (see [`super::bucket`]), and takes from the environment only who it is.
pub(crate) fn client(
    settings: &S3Settings,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in environment {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            continue;
        };
        let key = name
            .starts_with("AWS_")
            .then(|| name.to_ascii_lowercase().parse());
        if let Some(Ok(key)) = key
            && FROM_ENVIRONMENT.contains(&key)
        {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let options = ClientOptions::new()
        .with_timeout(settings.patience.request)
        .with_connect_timeout(settings.patience.request)
        .with_allow_http(settings.is_plain());
    let never_again = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 0,
        retry_timeout: settings.patience.request,
    };
    let client = builder
        .with_bucket_name(&settings.bucket)
        .with_client_options(options)
        .with_retry(never_again)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()?;
    Ok(Arc::new(client))
}
