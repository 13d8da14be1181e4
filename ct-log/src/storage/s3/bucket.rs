//! A bucket, for threads that may block: each call waits for the store on a runtime of its own.
//!
//! The client never repeats a request by itself. It takes a connection that broke off for one on which nothing was sent, so
//! it would repeat a conditional write that took effect, and report the log's own object as somebody else's. Whoever calls
//! repeats what may be repeated.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use object_store::limit::LimitStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

use crate::reach::{Away, is_away};
use crate::threads::{self, Background, Instant, fill_random};

use super::error::{away, differs, is_unsent};
use super::settings::Patience;

/// Largest object that is read, in bytes: a data tile has 256 entries of at most 128 KiB.
const MAX_OBJECT: u64 = 64 * 1024 * 1024;

/// First pause before a request is repeated. Each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A bucket below the log's prefix. Cheap to clone.
#[derive(Clone)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    patience: Patience,
    runtime: Arc<Background>,
}

/// An object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) bytes: Vec<u8>,
    pub(super) etag: Option<String>,
}

/// What became of one conditional write.
#[derive(Debug)]
pub(super) enum Put {
    /// It is durable.
    Done { etag: Option<String> },
    /// The condition did not hold.
    Refused,
    /// It never left this machine.
    Unsent(io::Error),
    /// It may be done, or be done later.
    Unknown(io::Error),
}

impl Bucket {
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: &str, patience: Patience) -> io::Result<Bucket> {
        let prefix = Path::parse(prefix).map_err(io::Error::other)?;
        let runtime = Background::start("ct-log-s3", 2)?;
        Ok(Bucket {
            store,
            prefix,
            patience,
            runtime: Arc::new(runtime),
        })
    }

    /// The same bucket, with at most that many requests at once.
    pub(super) fn with_at_most(&self, requests: usize) -> Bucket {
        Bucket {
            store: Arc::new(LimitStore::new(Arc::clone(&self.store), requests)),
            ..self.clone()
        }
    }

    /// When whoever begins now gives up.
    pub(super) fn attempts(&self) -> Attempts {
        Attempts {
            until: Instant::now().checked_add(self.patience.outcome),
            pause: FIRST_PAUSE,
        }
    }

    /// The object, or nothing if there is none. Repeated until the store answers or patience ends.
    pub(super) fn get(&self, key: &str) -> io::Result<Option<Object>> {
        let mut attempts = self.attempts();
        loop {
            match self.get_once(key) {
                Err(error) if is_away(&error) && attempts.pause() => {
                    tracing::debug!(key, %error, "reading again");
                }
                result => return result,
            }
        }
    }

    /// One request.
    pub(super) fn get_once(&self, key: &str) -> io::Result<Option<Object>> {
        let (store, path) = (Arc::clone(&self.store), self.path(key));
        let read = async move {
            let found = store.get(&path).await?;
            if found.meta.size > MAX_OBJECT {
                return Ok(None);
            }
            let etag = found.meta.e_tag.clone();
            let bytes = found.bytes().await?.into();
            Ok(Some(Object { bytes, etag }))
        };
        match self.ask(read)? {
            Ok(Some(object)) => Ok(Some(object)),
            Ok(None) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{key} is larger than an object of a log can be"),
            )),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(away(&error)),
        }
    }

    /// Writes an object that must not be there (`If-None-Match: *`). One request.
    pub(super) fn create(&self, key: &str, bytes: &[u8]) -> Put {
        self.put(key, bytes, PutMode::Create)
    }

    /// Replaces the object that has that tag (`If-Match`). One request.
    pub(super) fn replace(&self, key: &str, bytes: &[u8], etag: &str) -> Put {
        let version = UpdateVersion {
            e_tag: Some(etag.to_owned()),
            version: None,
        };
        self.put(key, bytes, PutMode::Update(version))
    }

    fn put(&self, key: &str, bytes: &[u8], mode: PutMode) -> Put {
        use object_store::Error;
        let (store, path) = (Arc::clone(&self.store), self.path(key));
        let payload = PutPayload::from(bytes.to_vec());
        let options = PutOptions {
            mode,
            attributes: super::layout::attributes(key),
            ..PutOptions::default()
        };
        let written = self.ask(async move { store.put_opts(&path, payload, options).await });
        match written {
            Ok(Ok(done)) => Put::Done { etag: done.e_tag },
            // Amazon S3 also refuses (409) what collides with another write in progress: nobody may have the place yet.
            Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. })) => {
                Put::Refused
            }
            Ok(Err(error)) if is_unsent(&error) => Put::Unsent(away(&error)),
            Ok(Err(error)) => Put::Unknown(away(&error)),
            Err(error) => Put::Unknown(error),
        }
    }

    /// Makes an object hold these bytes for good. One that is there already must be equal (C7).
    pub(super) fn put_equal(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let mut attempts = self.attempts();
        loop {
            let error = match self.create(key, bytes) {
                Put::Done { .. } => return Ok(()),
                Put::Refused => Away::error(format!("{key} is there, but cannot be read")),
                Put::Unsent(error) | Put::Unknown(error) => error,
            };
            match self.get(key)? {
                Some(object) if object.bytes == bytes => return Ok(()),
                Some(_) => return Err(differs(key)),
                None if attempts.pause() => {}
                None => return Err(error),
            }
        }
    }

    /// Removes an object; no error if there is none.
    pub(super) fn delete(&self, key: &str) -> io::Result<()> {
        let (store, path) = (Arc::clone(&self.store), self.path(key));
        match self.ask(async move { store.delete(&path).await })? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(away(&error)),
        }
    }

    /// At most that many keys below a folder, in ascending order, from the first after `after`.
    pub(super) fn list(&self, folder: &str, after: &str, most: usize) -> io::Result<Vec<String>> {
        let mut attempts = self.attempts();
        loop {
            match self.list_once(folder, after, most) {
                Err(error) if attempts.pause() => tracing::debug!(folder, %error, "listing again"),
                result => return result,
            }
        }
    }

    fn list_once(&self, folder: &str, after: &str, most: usize) -> io::Result<Vec<String>> {
        let store = Arc::clone(&self.store);
        let (folder, after) = (self.path(folder), self.path(after));
        let listed = async move {
            let found = store.list_with_offset(Some(&folder), &after);
            let found: Vec<_> = found.take(most).try_collect().await?;
            Ok(found)
        };
        let found: Vec<object_store::ObjectMeta> = self
            .ask(listed)?
            .map_err(|error: object_store::Error| away(&error))?;
        let key = |path: Path| {
            let parts = path.prefix_match(&self.prefix)?;
            Some(
                parts
                    .map(|part| part.as_ref().to_owned())
                    .collect::<Vec<_>>()
                    .join("/"),
            )
        };
        Ok(found.into_iter().filter_map(|meta| key(meta.location)).collect())
    }

    /// Runs one request, at most as long as patience for one lasts.
    fn ask<T: Send + 'static>(
        &self,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<object_store::Result<T>> {
        let at_most = self.patience.request;
        let answered = self
            .runtime
            .run(async move { threads::timeout(at_most, request).await });
        match answered {
            Some(Ok(result)) => Ok(result),
            Some(Err(_)) => Err(Away::error(format!("no answer within {at_most:?}"))),
            None => Err(io::Error::other("the thread that talks to the store is gone")),
        }
    }

    fn path(&self, key: &str) -> Path {
        let parts = key.split('/').filter(|part| !part.is_empty());
        self.prefix.parts().chain(parts.map(Into::into)).collect()
    }
}

/// Repetition of what may be repeated, with growing pauses of random length.
#[derive(Debug)]
pub(super) struct Attempts {
    until: Option<Instant>,
    pause: Duration,
}

impl Attempts {
    /// Waits before another attempt; false if there is no time for one.
    pub(super) fn pause(&mut self) -> bool {
        let pause = jittered(self.pause);
        let now = Instant::now();
        if now.checked_add(pause) >= self.until {
            return false;
        }
        threads::sleep(pause);
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        true
    }
}

/// Between half of it and all of it, so that writers do not keep step.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random bytes it is the shortest: a pause all the same.
    let _ = fill_random(&mut byte);
    let [byte] = byte;
    let half = pause / 2;
    half.saturating_add(half.saturating_mul(u32::from(byte)) / 256)
}
