//! The libraries that speak to tokens, each loaded and initialised once in a process.

use std::{
    collections::BTreeMap,
    env::{self, consts::ARCH},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error as LibraryError, RvError},
};

use super::{error::Pkcs11Error, login::Logins, token::Sessions, uri::ModuleUri};

/// Names the library if the URI does not.
const MODULE_VARIABLE: &str = "MAYFLY_PKCS11_MODULE";

/// Process-wide, as the state of a library is, whoever uses it (PKCS #11 v3.0 section 5.4). None is unloaded again: libraries
/// leave threads and exit handlers behind.
static MODULES: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());

/// A library.
pub(super) struct Module {
    path: PathBuf,
    /// Held for reading by whoever calls the library, for writing by whoever starts it anew.
    library: RwLock<Pkcs11>,
    /// How often it was started.
    starts: AtomicU64,
    /// All sessions that may be open.
    sessions: Mutex<Vec<Weak<Sessions>>>,
    pub(super) logins: Logins,
}

/// Leave to call a library.
pub(super) struct Calling<'a> {
    pub(super) library: RwLockReadGuard<'a, Pkcs11>,
    start: u64,
}

impl Module {
    /// Loads and initialises the library, if nobody has yet.
    pub(super) fn load(uri: Option<&ModuleUri>) -> Result<Arc<Self>, Pkcs11Error> {
        let path = path_of(uri)?;
        // Held all the while: libraries are not safe against two first calls at a time.
        let mut modules = locked(&MODULES);
        let module = match modules.get(&path) {
            Some(module) => Arc::clone(module),
            None => {
                let library = Pkcs11::new(&path).map_err(|source| Pkcs11Error::Load {
                    path: path.clone(),
                    source,
                })?;
                let module = Arc::new(Self {
                    path: path.clone(),
                    library: RwLock::new(library),
                    starts: AtomicU64::new(0),
                    sessions: Mutex::default(),
                    logins: Logins::default(),
                });
                modules.insert(path, Arc::clone(&module));
                module
            }
        };
        initialise(&module.calling().library)?;
        Ok(module)
    }

    pub(super) fn calling(&self) -> Calling<'_> {
        let library = self.library.read().unwrap_or_else(PoisonError::into_inner);
        let start = self.starts.load(Ordering::Relaxed);
        Calling { library, start }
    }

    /// Has `sessions` dropped before the library is started anew.
    pub(super) fn register(&self, sessions: &Arc<Sessions>) {
        let mut all = locked(&self.sessions);
        all.retain(|sessions| sessions.strong_count() > 0);
        all.push(Arc::downgrade(sessions));
    }

    /// Ends and initialises the library, since many find a token that came back, or a service that was restarted, only then.
    /// Not while somebody calls it, and not if somebody did so since `start`.
    pub(super) fn restart(&self, start: u64) -> Result<(), Pkcs11Error> {
        let library = match self.library.try_write() {
            Ok(library) => library,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        if self.starts.load(Ordering::Relaxed) != start {
            return Ok(());
        }
        self.starts.fetch_add(1, Ordering::Relaxed);
        // None may be left: its handle would be that of somebody else's session afterwards.
        for sessions in locked(&self.sessions).iter().filter_map(Weak::upgrade) {
            sessions.clear();
        }
        tracing::warn!(library = %self.path.display(), "the PKCS#11 library is started anew, since a token is not there");
        match library.clone().finalize() {
            Ok(()) | Err(LibraryError::Pkcs11(RvError::CryptokiNotInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        initialise(&library)
    }
}

impl Calling<'_> {
    /// Which start of the library it was.
    pub(super) fn start(&self) -> u64 {
        self.start
    }
}

fn initialise(library: &Pkcs11) -> Result<(), Pkcs11Error> {
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(LibraryError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Where the library is; links are followed, so that one library has one path.
fn path_of(uri: Option<&ModuleUri>) -> Result<PathBuf, Pkcs11Error> {
    let path = match uri {
        Some(ModuleUri::Path(path)) => path.clone(),
        Some(ModuleUri::Name(name)) => named(name),
        None => env::var_os(MODULE_VARIABLE)
            .filter(|path| Path::new(path).is_absolute())
            .map(PathBuf::from)
            .ok_or(Pkcs11Error::NoModule)?,
    };
    Ok(fs::canonicalize(&path).unwrap_or(path))
}

/// In the folders where packages put such libraries; otherwise where the loader looks.
fn named(name: &str) -> PathBuf {
    let arch = format!("/usr/lib/{ARCH}-linux-gnu/pkcs11");
    let file = format!("lib{name}.so");
    [
        arch.as_str(),
        "/usr/lib64/pkcs11",
        "/usr/lib/pkcs11",
        "/usr/local/lib/pkcs11",
    ]
    .into_iter()
    .flat_map(|folder| [&file, &format!("{name}.so")].map(|file| Path::new(folder).join(file)))
    .find(|path| path.exists())
    .unwrap_or_else(|| file.into())
}

/// What a thread that panicked left is whole: nothing here is changed in two steps.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
