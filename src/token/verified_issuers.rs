//! The file of the issuers that match a pattern and of which a token was verified, so that a restart makes none of them new
//! again. It holds their names only. Losing it costs each of them one place among the new ones.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::pattern::PatternKeys;
use crate::staging::replace_file;

/// How the file begins: what begins otherwise is never written over.
const BEGINNING: &[u8] = br#"{"kind":"mayfly-verified-issuers","#;
const KIND: &str = "mayfly-verified-issuers";
const VERSION: u32 = 1;

/// The largest file that is read or written, in bytes; a pattern's thousand issuers take about 100 KiB. What does not fit
/// is what was used longest ago.
const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

/// The least time between the ends of two writes.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the issuers are remembered, and whose those are.
#[derive(Debug, Default)]
pub(super) struct VerifiedIssuers {
    path: OnceLock<PathBuf>,
    patterns: Mutex<Vec<Weak<PatternKeys>>>,
    saving: Mutex<Saving>,
    /// Of two writes, the later one has the newer contents.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Saving {
    #[default]
    Idle,
    /// What changed before it began is being written.
    Writing,
    /// Something changed since.
    Again,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    kind: String,
    version: u32,
    /// The one that was used last at the end.
    issuers: Vec<String>,
}

/// Why the file tells nothing.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it holds something else, which is left as it is: remove it, or name another file")]
    Foreign,
    #[error("it is damaged, and will be written anew")]
    Damaged,
}

impl VerifiedIssuers {
    /// Remembers in the file at `path` from now on; gives the issuers that it holds. A file that cannot be used is reported
    /// in the log and is no obstacle.
    pub(super) fn open(&self, path: PathBuf) -> Vec<String> {
        let read = read(&path);
        let (issuers, error) = match read {
            Ok(issuers) => (issuers, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        if let Some(error) = &error {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(path = %path.display(), %error, cause, "the verified issuers of patterns are not known from before");
        }
        if !matches!(error, Some(ReadError::Foreign)) {
            // The first path stays.
            let _ = self.path.set(path);
        }
        issuers
    }

    /// From now on these patterns' issuers are remembered.
    pub(super) fn hold(&self, patterns: Vec<Weak<PatternKeys>>) {
        *self.patterns.lock().unwrap_or_else(PoisonError::into_inner) = patterns;
    }

    /// All of them, the one that was used last at the end of its pattern's.
    pub(super) fn issuers(&self) -> Vec<String> {
        let patterns = self
            .patterns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let patterns = patterns.iter().filter_map(Weak::upgrade);
        patterns.flat_map(|pattern| pattern.verified()).collect()
    }

    /// An issuer is verified that was not: has the file written soon, in the background.
    pub(super) fn changed(self: &Arc<Self>) {
        if self.path.get().is_none() {
            return;
        }
        let mut saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        match *saving {
            Saving::Idle => {
                *saving = Saving::Writing;
                tokio::spawn(Arc::clone(self).save_until_nothing_changes());
            }
            Saving::Writing | Saving::Again => *saving = Saving::Again,
        }
    }

    /// Writes the file, unless it has all already.
    pub(super) async fn save(&self) {
        let state = *self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if state != Saving::Idle {
            self.write().await;
        }
    }

    async fn save_until_nothing_changes(self: Arc<Self>) {
        loop {
            self.write().await;
            tokio::time::sleep(PAUSE).await;
            let mut saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
            match *saving {
                Saving::Again => *saving = Saving::Writing,
                Saving::Idle | Saving::Writing => {
                    *saving = Saving::Idle;
                    return;
                }
            }
        }
    }

    async fn write(&self) {
        let Some(path) = self.path.get().cloned() else {
            return;
        };
        let _only = self.writing.lock().await;
        let issuers = self.issuers();
        let to = path.clone();
        let written = tokio::task::spawn_blocking(move || replace_file(&to, &contents(issuers)?)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(path = %path.display(), %error, "the verified issuers of patterns cannot be kept for the next start");
        }
    }
}

/// None yet is no error.
fn read(path: &Path) -> Result<Vec<String>, ReadError> {
    let metadata = match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        metadata => metadata?,
    };
    // Opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return Err(ReadError::Foreign);
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    if !bytes.starts_with(BEGINNING) {
        return Err(ReadError::Foreign);
    }
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| ReadError::Damaged)?;
    match stored.version {
        VERSION => Ok(stored.issuers),
        _ => Err(ReadError::Foreign),
    }
}

fn contents(issuers: Vec<String>) -> io::Result<Vec<u8>> {
    let mut room = MAX_FILE_BYTES.saturating_sub(BEGINNING.len() * 2);
    let mut kept: Vec<_> = issuers
        .into_iter()
        .rev()
        .take_while(|iss| {
            // Two quotes and a comma; no name that matches a pattern has a character that JSON escapes.
            let left = iss.len().checked_add(3).and_then(|taken| room.checked_sub(taken));
            room = left.unwrap_or_default();
            left.is_some()
        })
        .collect();
    kept.reverse();
    let stored = Stored {
        kind: KIND.to_owned(),
        version: VERSION,
        issuers: kept,
    };
    let mut json = serde_json::to_vec(&stored)?;
    json.push(b'\n');
    Ok(json)
}
