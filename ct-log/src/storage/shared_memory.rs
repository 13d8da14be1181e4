//! For tests: a storage that several writers share, as unhelpful as one may be. It has no turns to take, only a place that the
//! first comer gets.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::leaf::{LogId, UnixMillis};
use crate::publish::Published;
use crate::reach::Away;

use super::record::{Batch, Chain, Header, Kind, Record, RecordBuffer};
use super::shared::{Batches, NoUpkeep, SharedOpening, SharedTree};
use super::{
    CommitError, Committed, Head, Journal, Objects, OpenError, Opened, Opening, Replaced, Storage, Turn,
};

const LOG_ID: LogId = LogId::new([7; 32]);

/// What all writers share.
#[derive(Default, Clone)]
pub(crate) struct SharedMemory {
    pub(crate) batches: Arc<Mutex<Vec<Vec<u8>>>>,
    pub(crate) files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub(crate) checkpoint: Arc<Mutex<Option<(Checkpoint, String)>>>,
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
        let stored = self.checkpoint.lock().unwrap().clone();
        let (_, note) = stored.unwrap();
        let published = Checkpoint::verify(&note, opening.origin, opening.key).unwrap();
        let shared = SharedOpening {
            objects: &*self,
            published,
            log_id: LOG_ID,
            born: UnixMillis::new(0),
            clock: opening.clock,
        };
        let SharedTree { tail, head, .. } = shared.run(&mut (*self).clone())?;
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
            upkeep: Box::new(NoUpkeep),
            locks: Vec::new(),
        })
    }
}

impl Batches for SharedMemory {
    fn after(&mut self, size: u64) -> Result<Vec<Batch>, OpenError> {
        Ok(self.batch(size).into_iter().collect())
    }

    fn begin_at_or_before(&mut self, index: u64) -> Result<u64, OpenError> {
        let batches = self.batches.lock().unwrap();
        let firsts = batches
            .iter()
            .map(|bytes| Record::decode(bytes).unwrap().header.first_index);
        Ok(firsts.filter(|first| *first <= index).max().unwrap())
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
        let next = self.batch(checkpoint.size());
        let mut stored = self.checkpoint.lock().unwrap();
        match stored.as_ref() {
            Some((other, note))
                if other.size() > checkpoint.size() || other.timestamp() >= checkpoint.timestamp() =>
            {
                Ok(Replaced::Newer(note.clone()))
            }
            _ if next.is_some_and(|next| next.header.head.timestamp < checkpoint.timestamp()) => {
                Ok(Replaced::Overtaken)
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
        let mut batches = self.batches.lock().unwrap();
        let last = batches.last().map(|last| Record::decode(last).unwrap());
        if last.map_or(0, |last| last.header.head.size) != from.size {
            return Err(CommitError::Behind);
        }
        let chain = Chain {
            log_id: LOG_ID,
            epoch: 0,
            incarnation: [0; 16],
            number: last.map_or(0, |last| last.header.chain.number + 1),
            previous: last.map_or([0; 32], |last| last.hash),
        };
        let header = Header {
            kind: Kind::Batch,
            chain,
            first_index: from.size,
            previous_root: from.root,
            head: *to,
        };
        batches.push(buffer.seal(&header).0.to_vec());
        Ok(Committed::after_sync(from, to))
    }

    fn pass(&mut self) {}

    fn newest_checkpoint(&self) -> Option<UnixMillis> {
        let stored = self.checkpoint.lock().unwrap();
        stored.as_ref().map(|(checkpoint, _)| checkpoint.timestamp())
    }
}
