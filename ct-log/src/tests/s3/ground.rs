//! Where the same tests run: in memory, and on a store of another origin.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tempfile::TempDir;

use super::faults::{Conditions, Faulty, Plan};
use super::moto::{BUCKET, Moto};
use super::proxy::Proxy;
use crate::check::{self, Depth, Source, SourceError};
use crate::checkpoint::Origin;
use crate::clock::Clock;
use crate::issuers;
use crate::leaf::Fingerprint;
use crate::log::Log;
use crate::running::Platform;
use crate::settings::LogSettings;
use crate::storage::{OpenError, S3, S3Settings, client};
use crate::tests::support::{Harness, origin};
use crate::tile::Tile;

const REQUEST: Duration = Duration::from_millis(400);
const OUTCOME: Duration = Duration::from_millis(2500);

/// Where a store comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Memory,
    Moto,
}

/// A bucket, and what happens on the way to it.
pub(super) struct Ground {
    pub(super) harness: Harness,
    pub(super) plan: Arc<Plan>,
    pub(super) settings: S3Settings,
    /// As the log sees it.
    pub(super) store: Arc<dyn ObjectStore>,
    /// Without the faults.
    pub(super) direct: Arc<dyn ObjectStore>,
    pub(super) _moto: Option<(Proxy, Moto)>,
}

/// One writer's own directory.
pub(super) struct Writer(TempDir);

impl Writer {
    pub(super) fn new() -> Writer {
        Writer(TempDir::new().unwrap())
    }
}

impl Ground {
    pub(super) fn new(kind: Kind) -> Ground {
        Ground::of(kind, Conditions::Honoured)
    }

    pub(super) fn of(kind: Kind, conditions: Conditions) -> Ground {
        let plan = Arc::<Plan>::default();
        let usual = S3Settings::new(BUCKET).unwrap().prefix("logs/2027").unwrap();
        let usual = usual.impatient(REQUEST, OUTCOME);
        let (settings, store, direct, moto): (_, Arc<dyn ObjectStore>, Arc<dyn ObjectStore>, _) = match kind {
            Kind::Memory => {
                let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
                let faulty = Faulty {
                    inner: Arc::clone(&inner),
                    plan: Arc::clone(&plan),
                    conditions,
                };
                (usual, Arc::new(faulty), inner, None)
            }
            Kind::Moto => {
                let moto = Moto::start();
                let near = usual.clone().plain_endpoint(&format!("http://{}", moto.address));
                let proxy = Proxy::start(moto.address, &plan, conditions);
                let far = usual.plain_endpoint(&proxy.url).unwrap();
                let direct = client(&near.unwrap(), environment()).unwrap();
                let store = client(&far, environment()).unwrap();
                (far, store, direct, Some((proxy, moto)))
            }
        };
        Ground {
            harness: Harness::new(),
            plan,
            settings,
            store,
            direct,
            _moto: moto,
        }
    }

    fn s3(&self, writer: &Writer) -> Result<S3, OpenError> {
        S3::on(
            Arc::clone(&self.store),
            self.settings.clone(),
            (writer.0.path(), None),
        )
    }

    fn start(&self, s3: S3, writer: &Writer) -> Result<Log, OpenError> {
        let platform = Platform {
            storage: Box::new(s3),
            clock: Arc::new(self.harness.clock.clone()),
        };
        let settings = LogSettings::new(writer.0.path(), origin()).index_in_memory();
        Log::start(platform, settings, self.harness.key())
    }

    pub(super) fn create(&self, writer: &Writer) -> Result<Log, OpenError> {
        let s3 = self.s3(writer)?;
        s3.create(&origin(), &self.harness.key(), self.harness.clock.now())?;
        self.start(s3, writer)
    }

    pub(super) fn open(&self, writer: &Writer) -> Result<Log, OpenError> {
        self.start(self.s3(writer)?, writer)
    }

    pub(super) fn refusal(&self, writer: &Writer) -> String {
        let Err(error) = self.open(writer) else {
            return "it was opened".to_owned();
        };
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    }

    fn path(key: &str) -> Path {
        Path::from(format!("logs/2027/{key}"))
    }

    /// Every key of the log, in order.
    pub(super) async fn keys(&self) -> Vec<String> {
        use futures_util::TryStreamExt;
        let all: Vec<_> = self
            .direct
            .list(Some(&Path::from("logs/2027")))
            .try_collect()
            .await
            .unwrap();
        let key = |path: &Path| path.as_ref().strip_prefix("logs/2027/").unwrap().to_owned();
        let mut keys: Vec<_> = all.iter().map(|meta| key(&meta.location)).collect();
        keys.sort();
        keys
    }

    pub(super) async fn get(&self, key: &str) -> Vec<u8> {
        self.direct
            .get(&Ground::path(key))
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .to_vec()
    }

    pub(super) async fn put(&self, key: &str, bytes: Vec<u8>) {
        let options = PutOptions::from(PutMode::Overwrite);
        self.direct
            .put_opts(&Ground::path(key), bytes.into(), options)
            .await
            .unwrap();
    }

    pub(super) async fn delete(&self, key: &str) {
        self.direct.delete(&Ground::path(key)).await.unwrap();
    }

    /// Audits what a web server in front of the bucket would serve.
    pub(super) async fn check_bucket(&self, origin: &Origin) {
        let key = self.harness.key();
        let report = check::check(self, (origin, key.public()), Depth::Structure).await;
        assert!(report.is_sound(), "{:?}", report.problems());
    }
}

impl Source for Ground {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        Ok(String::from_utf8(self.get("checkpoint").await).unwrap())
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        Ok(self.get(&tile.to_string()).await)
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        Ok(self.get(&issuers::path(&fingerprint)).await)
    }
}

fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    let pairs = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        // Not for the environment to say.
        ("AWS_ENDPOINT_URL", "http://192.0.2.1:1"),
        ("AWS_CONDITIONAL_PUT", "disabled"),
    ];
    pairs.into_iter().map(|(name, value)| (name.into(), value.into()))
}
