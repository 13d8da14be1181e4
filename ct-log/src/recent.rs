//! Recent external submissions, so that the same certificate gets the same SCT again, and two at once get one entry (C11).
//! Older ones are found by the index.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::leaf::Entry;
use crate::sct::Sct;
use crate::storage::Sequenced;
use crate::tree::sha256_parts;

/// Most submissions that are remembered, about 200 bytes each. It must exceed the external share of the queue, or two
/// concurrent duplicates could miss each other.
const MAX_RECENT: usize = 8192;

/// SHA-256 of what makes two submissions the same: all 256 bits, because a collision would yield an SCT for another entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity([u8; 32]);

/// The answer to a submission. Whoever comes meanwhile waits for the same.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Where its entry is: once it has a place, it gets no second one, however long its SCT has to wait.
    pub(crate) place: OnceCell<Sequenced>,
    pub(crate) sct: OnceCell<Sct>,
}

type Answers = HashMap<Identity, Arc<Answer>>;

/// Bounded: the oldest are forgotten, and found by the index from then on.
#[derive(Debug)]
pub(crate) struct Recent {
    answers: Mutex<(Answers, VecDeque<Identity>)>,
}

impl Recent {
    pub(crate) fn new() -> Recent {
        Recent {
            answers: Mutex::new((HashMap::new(), VecDeque::new())),
        }
    }

    /// The answer that all submissions of this entry share.
    pub(crate) fn answer(&self, entry: &Entry) -> Arc<Answer> {
        let identity = Identity::of(entry);
        let mut recent = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (answers, order) = &mut *recent;
        if let Some(answer) = answers.get(&identity) {
            return Arc::clone(answer);
        }
        if order.len() >= MAX_RECENT
            && let Some(oldest) = order.pop_front()
        {
            answers.remove(&oldest);
        }
        let answer = Arc::<Answer>::default();
        answers.insert(identity, Arc::clone(&answer));
        order.push_back(identity);
        answer
    }
}

impl Identity {
    /// What the SCT covers besides index and time. Two precertificates that differ only in their signatures are the same.
    pub(crate) fn of(entry: &Entry) -> Identity {
        Identity(match entry {
            Entry::Certificate { der } => sha256_parts(&[&[0], der]),
            Entry::Precertificate {
                issuer_key_hash, tbs, ..
            } => sha256_parts(&[&[1], issuer_key_hash, tbs]),
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
