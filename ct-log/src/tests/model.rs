//! A file system that remembers what is durable: it can lose power, fail any call, and be looked at in the middle of one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::storage::{Files, OpenFile, name_in};

/// Bytes that a disk writes as a whole.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
pub(super) struct Model {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    files: Vec<Contents>,
    calls: usize,
    fault: Option<Fault>,
    fired: Vec<&'static str>,
    /// Writes to a file after one of its writes or syncs had failed.
    retried: usize,
    look: Option<Look>,
    free: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    /// What was written; zeros follow up to `length`.
    live: Vec<u8>,
    length: usize,
    durable_length: usize,
    /// What each write since the last sync replaced.
    undo: Vec<(usize, Vec<u8>)>,
    failed: bool,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    /// Which call, counted from when the fault is set.
    pub(super) call: usize,
    pub(super) kind: ErrorKind,
    /// Whether the call takes effect although it reports an error.
    pub(super) effect: Effect,
    pub(super) lasts: Lasts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    OneCall,
    Forever,
}

/// A copy of everything at the beginning of one call.
#[derive(Debug, Clone)]
struct Look {
    call: usize,
    acknowledged: Arc<AtomicUsize>,
    seen: Option<(Box<State>, usize)>,
}

impl Model {
    pub(super) fn new() -> Model {
        Model {
            state: Arc::default(),
        }
    }

    fn with<T>(&self, use_state: impl FnOnce(&mut State) -> T) -> T {
        use_state(&mut self.state.lock().unwrap())
    }

    /// An independent copy.
    pub(super) fn copy(&self) -> Model {
        Model {
            state: Arc::new(Mutex::new(self.with(|state| state.clone()))),
        }
    }

    pub(super) fn set_fault(&self, fault: Option<Fault>) {
        self.with(|state| {
            state.calls = 0;
            state.fired.clear();
            state.fault = fault;
        });
    }

    /// The calls that failed.
    pub(super) fn fired(&self) -> Vec<&'static str> {
        self.with(|state| state.fired.clone())
    }

    pub(super) fn retried(&self) -> usize {
        self.with(|state| state.retried)
    }

    pub(super) fn set_free_bytes(&self, free: Option<u64>) {
        self.with(|state| state.free = free);
    }

    /// Looks at call number `call` from now on, together with the number of entries acknowledged by then.
    pub(super) fn look_at(&self, call: usize, acknowledged: &Arc<AtomicUsize>) {
        let acknowledged = Arc::clone(acknowledged);
        self.with(|state| {
            state.calls = 0;
            state.look = Some(Look {
                call,
                acknowledged,
                seen: None,
            });
        });
    }

    /// What was seen there, if there were that many calls.
    pub(super) fn seen(&self) -> Option<(Model, usize)> {
        let look = self.with(|state| state.look.take())?;
        let (state, acknowledged) = look.seen?;
        Some((
            Model {
                state: Arc::new(Mutex::new(*state)),
            },
            acknowledged,
        ))
    }

    /// The power fails: of what was not synced, anything may survive, sector by sector and directory by directory.
    pub(super) fn lose_power(&self, seed: u64) {
        let mut random = Random(seed | 1);
        self.with(|state| {
            let names = state.names.keys().chain(state.durable_names.keys());
            let mut directories: Vec<String> = names.map(|name| parent(name).to_owned()).collect();
            directories.sort();
            directories.dedup();
            let mut survived = BTreeMap::new();
            for directory in directories {
                let names = if random.coin() {
                    &state.names
                } else {
                    &state.durable_names
                };
                let inside = names.iter().filter(|(name, _)| parent(name) == directory);
                survived.extend(inside.map(|(name, file)| (name.clone(), *file)));
            }
            state.durable_names.clone_from(&survived);
            state.names = survived;
            for file in &mut state.files {
                file.lose_power(&mut random);
            }
            state.fault = None;
            state.retried = 0;
        });
    }

    /// The process is killed: the page cache survives.
    pub(super) fn kill(&self) {
        self.with(|state| {
            state.fault = None;
            state.retried = 0;
            state.files.iter_mut().for_each(|file| file.failed = false);
        });
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.with(|state| state.names.keys().cloned().collect())
    }

    pub(super) fn contents(&self, path: &str) -> Vec<u8> {
        self.with(|state| state.files[state.names[path]].read())
    }

    /// Changes a file behind the log's back.
    pub(super) fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        self.with(|state| {
            let number = state.names[path];
            let file = &mut state.files[number];
            let mut bytes = file.read();
            change(&mut bytes);
            (file.length, file.durable_length) = (bytes.len(), bytes.len());
            file.live = bytes;
            file.undo.clear();
        });
    }

    pub(super) fn delete(&self, path: &str) {
        self.with(|state| {
            state.names.remove(path).unwrap();
            state.durable_names.remove(path);
        });
    }

    fn call<T>(
        &self,
        name: &'static str,
        perform: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.with(|state| {
            let call = state.calls;
            state.calls += 1;
            if let Some(mut look) = state.look.take() {
                if look.call == call {
                    let acknowledged = look.acknowledged.load(Ordering::SeqCst);
                    look.seen = Some((Box::new(state.clone()), acknowledged));
                }
                state.look = Some(look);
            }
            let Some(fault) = state.fault else {
                return perform(state);
            };
            let hit = fault.call == call || (fault.lasts == Lasts::Forever && call > fault.call);
            if !hit {
                return perform(state);
            }
            state.fired.push(name);
            if fault.effect == Effect::Done {
                let _ = perform(state);
            }
            Err(io::Error::from(fault.kind))
        })
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(parent, _)| parent)
}

impl Contents {
    fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        bytes[..self.live.len()].copy_from_slice(&self.live);
        bytes
    }

    fn lose_power(&mut self, random: &mut Random) {
        for (offset, old) in self.undo.drain(..).rev() {
            for (number, sector) in old.chunks(SECTOR).enumerate() {
                if random.coin() {
                    let start = offset + number * SECTOR;
                    self.live[start..start + sector.len()].copy_from_slice(sector);
                }
            }
        }
        if random.coin() {
            self.live.truncate(self.durable_length);
            self.length = self.durable_length;
        }
        self.durable_length = self.length;
        self.failed = false;
    }
}

/// Reproducible coins (xorshift).
struct Random(u64);

impl Random {
    fn coin(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 0x100 != 0
    }
}

struct Handle {
    model: Model,
    file: usize,
}

impl Files for Model {
    fn create(&self, path: &str, length: u64) -> io::Result<Box<dyn OpenFile>> {
        let file = self.call("create", |state| {
            if state.names.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let number = state.files.len();
            state.files.push(Contents {
                length: length as usize,
                ..Contents::default()
            });
            state.names.insert(path.to_owned(), number);
            Ok(number)
        })?;
        Ok(Box::new(Handle {
            model: self.clone(),
            file,
        }))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.call("read", |state| {
            let number = state.names.get(path).ok_or(ErrorKind::NotFound)?;
            Ok(state.files[*number].read())
        })
    }

    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        self.call("names", |state| {
            let names = state.names.keys().filter_map(|path| name_in(directory, path));
            Ok(names
                .map(str::to_owned)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect())
        })
    }

    fn make_directory(&self, _path: &str) -> io::Result<()> {
        self.call("make_directory", |_| Ok(()))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.call("link", |state| {
            let number = *state.names.get(from).ok_or(ErrorKind::NotFound)?;
            if state.names.contains_key(to) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            state.names.insert(to.to_owned(), number);
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call("rename", |state| {
            let number = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), number);
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.call("remove", |state| {
            state.names.remove(path).ok_or(ErrorKind::NotFound)?;
            Ok(())
        })
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        self.call("sync_directory", |state| {
            state.durable_names.retain(|name, _| parent(name) != path);
            let inside = state.names.iter().filter(|(name, _)| parent(name) == path);
            let inside: Vec<_> = inside.map(|(name, file)| (name.clone(), *file)).collect();
            state.durable_names.extend(inside);
            Ok(())
        })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.with(|state| state.free.unwrap_or(u64::MAX)))
    }
}

impl Handle {
    fn call(&self, name: &'static str, perform: impl FnOnce(&mut Contents)) -> io::Result<()> {
        self.model.with(|state| {
            if state.files[self.file].failed {
                state.retried += 1;
            }
        });
        let result = self.model.call(name, |state| {
            perform(&mut state.files[self.file]);
            Ok(())
        });
        if result.is_err() {
            self.model.with(|state| state.files[self.file].failed = true);
        }
        result
    }
}

impl OpenFile for Handle {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call("write", |file| {
            let (start, end) = (offset as usize, offset as usize + bytes.len());
            if file.live.len() < end {
                file.live.resize(end, 0);
            }
            file.length = file.length.max(end);
            file.undo.push((start, file.live[start..end].to_vec()));
            file.live[start..end].copy_from_slice(bytes);
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.call("sync", |file| {
            file.undo.clear();
            file.durable_length = file.length;
        })
    }
}
