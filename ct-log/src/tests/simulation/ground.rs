//! Where the log of a run is kept, and how a writer gets there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use object_store::memory::InMemory;

use crate::key::LogKey;
use crate::leaf::UnixMillis;
use crate::log::Log;
use crate::running::Platform;
use crate::settings::LogSettings;
use crate::storage::{
    Disk, OpenError, Postgres, PostgresAndS3, PostgresSettings, S3, S3Settings, Storage, Store, create,
};
use crate::tests::model::Model;
use crate::tests::support::origin;
use crate::threads::schedule::random;

use super::bucket::SimulatedBucket;
use super::database::SimulatedDatabase;
use super::files::SimulatedFiles;
use super::plan::{Event, Place};
use super::world::{SimulatedClock, World, true_time};

#[derive(Clone)]
pub(super) enum Ground {
    Directory {
        files: SimulatedFiles,
        /// Where the high-water mark is, if the log has one.
        mark: Option<PathBuf>,
    },
    Database(SimulatedDatabase),
    Bucket {
        bucket: SimulatedBucket,
        settings: S3Settings,
    },
    Both {
        database: SimulatedDatabase,
        bucket: SimulatedBucket,
        settings: S3Settings,
    },
}

pub(super) fn key() -> LogKey {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    let der = KEY.get_or_init(|| LogKey::generate().unwrap().to_pkcs8_der().unwrap().to_vec());
    LogKey::from_pkcs8_der(der).unwrap()
}

fn simulated_bucket(world: &Arc<World>) -> SimulatedBucket {
    SimulatedBucket {
        objects: Arc::new(InMemory::new()),
        world: Arc::clone(world),
        away: Arc::new(AtomicBool::new(false)),
        seen: true,
        forgets_conditions: false,
    }
}

fn bucket_settings() -> S3Settings {
    let settings = S3Settings::new("simulated").unwrap().prefix("log").unwrap();
    match random(3) {
        0 => settings.static_partials(),
        _ => settings,
    }
}

fn connect(database: &SimulatedDatabase, directory: &Path) -> Result<Postgres, OpenError> {
    let settings = PostgresSettings::new("postgresql://localhost/simulated").unwrap();
    let settings = settings.simulated(Arc::new(database.clone()));
    Postgres::connect(settings, directory, None)
}

fn connect_bucket(
    bucket: &SimulatedBucket,
    settings: &S3Settings,
    directory: &Path,
) -> Result<S3, OpenError> {
    S3::on(Arc::new(bucket.clone()), settings.clone(), (directory, None))
}

impl Ground {
    pub(super) fn new(world: &Arc<World>) -> Ground {
        match world.plan.place {
            Place::Directory => Ground::Directory {
                files: SimulatedFiles {
                    model: Model::new(),
                    world: Arc::clone(world),
                    full: Arc::default(),
                    seen: true,
                    forgets: false,
                },
                mark: (world.plan.events.contains(&Event::OlderCopy) || random(4) == 0)
                    .then(|| world.machines[0].directory.join("mark")),
            },
            Place::Database => Ground::Database(SimulatedDatabase::new(world)),
            Place::Bucket => Ground::Bucket {
                bucket: simulated_bucket(world),
                settings: bucket_settings(),
            },
            Place::Both => Ground::Both {
                database: SimulatedDatabase::new(world),
                bucket: SimulatedBucket {
                    // The database knows which is the newest checkpoint.
                    seen: false,
                    ..simulated_bucket(world)
                },
                settings: bucket_settings(),
            },
        }
    }

    /// The birth of the log.
    pub(super) fn create(&self, directory: &Path) -> Result<(), OpenError> {
        let (origin, key, now) = (origin(), key(), UnixMillis::new(true_time()));
        match self {
            Ground::Directory { files, mark } => {
                if let Some(mark) = mark {
                    std::fs::write(mark, b"").unwrap();
                }
                create(&Store::new(Arc::new(files.clone())), &origin, &key, now)
            }
            Ground::Database(database) => connect(database, directory)?.create(&origin, &key, now),
            Ground::Bucket { bucket, settings } => {
                connect_bucket(bucket, settings, directory)?.create(&origin, &key, now)
            }
            Ground::Both {
                database,
                bucket,
                settings,
            } => {
                let bucket = connect_bucket(bucket, settings, directory)?;
                PostgresAndS3::new(connect(database, directory)?, bucket).create(&origin, &key, now)
            }
        }
    }

    fn storage(&self, directory: &Path) -> Result<Box<dyn Storage>, OpenError> {
        Ok(match self {
            Ground::Directory { files, .. } => Box::new(Disk {
                files: Arc::new(files.clone()),
                mirror: None,
                lock: None,
            }),
            Ground::Database(database) => Box::new(connect(database, directory)?),
            Ground::Bucket { bucket, settings } => Box::new(connect_bucket(bucket, settings, directory)?),
            Ground::Both {
                database,
                bucket,
                settings,
            } => {
                let bucket = connect_bucket(bucket, settings, directory)?;
                Box::new(PostgresAndS3::new(connect(database, directory)?, bucket))
            }
        })
    }

    /// Starts a writer whose own directory that is.
    pub(super) fn open(&self, clock: SimulatedClock, directory: &Path) -> Result<Log, OpenError> {
        let platform = Platform {
            storage: self.storage(directory)?,
            clock: Arc::new(clock),
        };
        // The index does not come up: it is derived, and its file is not simulated.
        let settings = LogSettings::new(directory, origin()).index_file("");
        let settings = match self {
            Ground::Directory { mark: Some(mark), .. } => settings.high_water_mark(mark),
            _ => settings,
        };
        Log::start(platform, settings, key())
    }

    pub(super) fn set_away(&self, away: bool) {
        match self {
            Ground::Directory { .. } => {}
            Ground::Database(database) => database.set_away(away),
            Ground::Bucket { bucket, .. } => bucket.away.store(away, Ordering::SeqCst),
            Ground::Both { database, bucket, .. } => {
                // One of them, or both.
                let which = if away { random(3) } else { 2 };
                if which != 1 {
                    database.set_away(away);
                }
                if which != 0 {
                    bucket.away.store(away, Ordering::SeqCst);
                }
            }
        }
    }

    pub(super) fn set_full(&self, full: bool) {
        if let Ground::Directory { files, .. } = self {
            files.full.store(full, Ordering::SeqCst);
        }
    }

    /// Everything is as it should be from now on.
    pub(super) fn heal(&self) {
        self.set_away(false);
        self.set_full(false);
    }
}
