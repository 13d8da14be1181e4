//! The tables of one log, as they are committed.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What a statement changes, once its transaction is committed.
pub(super) type Write = Box<dyn FnOnce(&mut Tables) + Send>;

#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    pub(super) schema: bool,
    /// The row of `ct_head`, but for what changes.
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) head: Option<Arc<Head>>,
    /// By first index.
    pub(super) batches: BTreeMap<i64, Arc<Batch>>,
    pub(super) objects: BTreeMap<String, Arc<Vec<u8>>>,
    pub(super) checkpoint: Option<Arc<Checkpoint>>,
}

#[derive(Debug)]
pub(super) struct Identity {
    pub(super) log_id: Vec<u8>,
    pub(super) origin: String,
    pub(super) public_key: Vec<u8>,
    pub(super) created: i64,
}

#[derive(Debug)]
pub(super) struct Head {
    pub(super) size: i64,
    pub(super) root: Vec<u8>,
    pub(super) ts: i64,
    pub(super) number: i64,
    pub(super) previous: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Batch {
    pub(super) size: i64,
    pub(super) hash: Vec<u8>,
    pub(super) record: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) size: i64,
    pub(super) ts: i64,
    pub(super) note: Vec<u8>,
}

impl Tables {
    pub(super) fn size(&self) -> i64 {
        self.head.as_ref().map_or(0, |head| head.size)
    }

    pub(super) fn note(&self) -> Option<Vec<u8>> {
        self.checkpoint.as_ref().map(|checkpoint| checkpoint.note.clone())
    }
}
