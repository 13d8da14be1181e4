//! For tests: a storage that several writers share, as unhelpful as one may be. It has no turns to take, only a place that the
//! first comer gets.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::leaf::LogId;
use crate::publish::Published;
use crate::reach::Away;

use super::record::{Batch, Chain, Header, Kind, Record, RecordBuffer};
use super::replay::Replay;
use super::{
    CommitError, Committed, Head, Journal, Objects, OpenError, Opened, Opening, Replaced, Storage, Turn,
    Upkeep,
};

/// What all writers share.
#[derive(Default, Clone)]
pub(crate) struct SharedMemory {
    pub(crate) batches: Arc<Mutex<Vec<Vec<u8>>>>,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    checkpoint: Arc<Mutex<Option<(Checkpoint, String)>>>,
    pub(crate) down: Arc<AtomicBool>,
}

impl SharedMemory {
    pub(crate) fn batch(&self, at: u64) -> Option<Batch> {
        let batches = self.batches.lock().unwrap();
        let mut records = batches.iter().map(|bytes| Record::decode(bytes).unwrap());
        records
            .find(|record| record.header.first_index == at)
            .map(Batch::from)
    }

    fn check_up(&self) -> io::Result<()> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(Away::error("the connection was refused")),
            false => Ok(()),
        }
    }
}

impl Storage for SharedMemory {
    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened, OpenError> {
        let note = self
            .checkpoint
            .lock()
            .unwrap()
            .clone()
            .map(|(_, note)| note)
            .unwrap();
        let published = Checkpoint::verify(&note, opening.origin, opening.key).unwrap();
        let mut replay = Replay::begin(&*self, published, 0)?;
        let mut size = 0;
        while let Some(batch) = self.batch(size) {
            replay.apply(&batch)?;
            size = batch.header.head.size;
        }
        for full in replay.take_completed() {
            self.put_immutable(&[full.file()]).unwrap();
        }
        let (tail, head) = replay.finish()?;
        Ok(Opened {
            head,
            frontier: tail.frontier(),
            tail,
            published: Published {
                checkpoint: published,
                note: note.into(),
            },
            objects: Arc::new((*self).clone()),
            journal: Box::new((*self).clone()),
            upkeep: self,
            lock: None,
        })
    }
}

impl Objects for SharedMemory {
    fn put_immutable(&self, new: &[(String, &[u8])]) -> io::Result<()> {
        self.check_up()?;
        let mut files = self.files.lock().unwrap();
        for (path, bytes) in new {
            let stored = files.entry(path.clone()).or_insert_with(|| bytes.to_vec());
            assert_eq!(stored, bytes, "C7: {path}");
        }
        Ok(())
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.lock().unwrap().get(path).cloned())
    }

    fn replace_checkpoint(&self, checkpoint: &Checkpoint, note: &str) -> io::Result<Replaced> {
        self.check_up()?;
        let mut stored = self.checkpoint.lock().unwrap();
        match stored.as_ref() {
            Some((other, note))
                if other.size() > checkpoint.size() || other.timestamp() >= checkpoint.timestamp() =>
            {
                Ok(Replaced::Newer(note.clone()))
            }
            _ => {
                *stored = Some((*checkpoint, note.to_owned()));
                Ok(Replaced::Yes)
            }
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl Journal for SharedMemory {
    fn look_every(&self) -> Option<Duration> {
        Some(Duration::from_millis(10))
    }

    fn missed(&mut self, size: u64, _turn: Turn) -> Result<Vec<Batch>, CommitError> {
        self.check_up().map_err(CommitError::Unreachable)?;
        // One at a time: so much the sooner is this writer behind.
        Ok(self.batch(size).into_iter().collect())
    }

    fn commit(
        &mut self,
        buffer: &mut RecordBuffer,
        from: &Head,
        to: &Head,
    ) -> Result<Committed, CommitError> {
        self.check_up().map_err(CommitError::Unreachable)?;
        let chain = Chain {
            log_id: LogId::new([7; 32]),
            epoch: 0,
            incarnation: [0; 16],
            number: 0,
            previous: [0; 32],
        };
        let header = Header {
            kind: Kind::Batch,
            chain,
            first_index: from.size,
            previous_root: from.root,
            head: *to,
        };
        let mut batches = self.batches.lock().unwrap();
        let size = batches
            .last()
            .map_or(0, |last| Record::decode(last).unwrap().header.head.size);
        if size != from.size {
            return Err(CommitError::Behind);
        }
        batches.push(buffer.seal(&header).0.to_vec());
        Ok(Committed::after_sync(from, to))
    }

    fn pass(&mut self) {}
}

impl Upkeep for SharedMemory {
    fn prepare(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn tidy(&mut self, _kept: u64) -> io::Result<()> {
        Ok(())
    }
}
