//! Files in memory: for a log that need not outlive its process.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{Files, OpenFile, name_in};

type Contents = Arc<Mutex<Vec<u8>>>;

/// The same operations on a map. Directories need not exist.
#[derive(Debug)]
pub(crate) struct Memory {
    files: Mutex<BTreeMap<String, Contents>>,
}

impl Memory {
    pub(crate) fn new() -> Memory {
        Memory {
            files: Mutex::new(BTreeMap::new()),
        }
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Contents>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, path: &str) -> io::Result<Contents> {
        self.files()
            .get(path)
            .cloned()
            .ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn insert_new(&self, path: &str, contents: Contents) -> io::Result<()> {
        let mut files = self.files();
        if files.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        files.insert(path.to_owned(), contents);
        Ok(())
    }
}

impl Files for Memory {
    fn create(&self, path: &str, length: u64) -> io::Result<Box<dyn OpenFile>> {
        let length = usize::try_from(length).map_err(|_| ErrorKind::StorageFull)?;
        let contents = Contents::new(Mutex::new(vec![0; length]));
        self.insert_new(path, Arc::clone(&contents))?;
        Ok(Box::new(contents))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let contents = self.get(path)?;
        Ok(contents.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        let files = self.files();
        let names: BTreeSet<_> = files.keys().filter_map(|path| name_in(directory, path)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn make_directory(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.insert_new(to, self.get(from)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let contents = files.remove(from).ok_or(ErrorKind::NotFound)?;
        files.insert(to.to_owned(), contents);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let removed = self.files().remove(path);
        removed.map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_directory(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl OpenFile for Contents {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut contents = self.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).map_err(|_| ErrorKind::StorageFull)?;
        let end = start.checked_add(bytes.len()).ok_or(ErrorKind::StorageFull)?;
        if contents.len() < end {
            contents.resize(end, 0);
        }
        if let Some(slot) = contents.get_mut(start..end) {
            slot.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
