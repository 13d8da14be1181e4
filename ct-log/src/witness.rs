//! Witnesses: others who check that the log only grows, and say so with a cosignature (C2SP tlog-witness, tlog-cosignature).
//!
//! ```text
//! note_key   the log's signature that witnesses understand
//! cosigner   a witness's key, and what it signs
//! state      the cosignatures of the newest checkpoint, and how the witnesses are doing
//! rounds     one checkpoint after the other goes to all witnesses at once
//! exchange   one request to one witness
//! ```
//!
//! Publication waits for no witness, and no witness for another. A line is shown to readers only after its signature was
//! verified (C22).

mod cosigner;
#[cfg(feature = "client")]
mod exchange;
mod note_key;
#[cfg(feature = "client")]
mod rounds;
mod state;

pub use cosigner::{WitnessKey, WitnessKeyError};
pub use note_key::NoteKey;
#[cfg(feature = "client")]
pub(crate) use rounds::run;
pub(crate) use state::Witnessing;
pub use state::{WitnessOutcome, WitnessStatistics};

use std::sync::Arc;

/// Most witnesses of one log: every reader takes 16 signatures (C2SP signed-note), and two are the log's own.
const MAX_WITNESSES: usize = 14;

/// Where a witness takes checkpoints, and the key that it cosigns with.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Its submission prefix, `https` or `http`, without `/add-checkpoint`. Nothing secret is sent, and nothing is believed
    /// that is not signed.
    pub url: String,
    /// Its key.
    pub key: WitnessKey,
}

/// The witnesses of a log.
#[derive(Debug, Clone)]
pub struct Witnesses {
    pub(crate) witnesses: Arc<[Witness]>,
    pub(crate) quorum: usize,
    pub(crate) note_key: Arc<NoteKey>,
}

/// Why witnesses cannot be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessesError {
    /// None, or too many for every reader.
    #[error("a log can have 1 to {MAX_WITNESSES} witnesses, not {0}")]
    Number(usize),
    /// A quorum that no or any checkpoint would have.
    #[error("the quorum must be from 1 to {witnesses}, the number of witnesses, not {quorum}")]
    Quorum {
        /// As given.
        quorum: usize,
        /// How many there are.
        witnesses: usize,
    },
    /// Two witnesses with one name: their lines could not be told apart, nor would two of them be a quorum.
    #[error("there are two witnesses named {0}")]
    SameName(String),
    /// Two witnesses with one key: they would be one.
    #[error("two witnesses have the same key; the second is {0}")]
    SameKey(String),
}

impl Witnesses {
    /// `quorum` is how many different witnesses must have cosigned a checkpoint before it counts as witnessed. The log signs its
    /// checkpoints with `note_key` besides its own key, because its own makes tree heads that witnesses do not verify.
    ///
    /// # Errors
    /// None or too many, an impossible quorum, or one witness twice.
    pub fn new(
        witnesses: Vec<Witness>,
        quorum: usize,
        note_key: NoteKey,
    ) -> Result<Witnesses, WitnessesError> {
        Witnesses::check(&witnesses, quorum)?;
        Ok(Witnesses {
            witnesses: witnesses.into(),
            quorum,
            note_key: Arc::new(note_key),
        })
    }

    /// Whether [`Witnesses::new`] takes them.
    ///
    /// # Errors
    /// As there.
    pub fn check(witnesses: &[Witness], quorum: usize) -> Result<(), WitnessesError> {
        let number = witnesses.len();
        if !(1..=MAX_WITNESSES).contains(&number) {
            return Err(WitnessesError::Number(number));
        }
        if !(1..=number).contains(&quorum) {
            return Err(WitnessesError::Quorum {
                quorum,
                witnesses: number,
            });
        }
        for (position, witness) in witnesses.iter().enumerate() {
            for other in witnesses.iter().take(position) {
                let name = || witness.key.name().to_owned();
                if other.key.name() == witness.key.name() {
                    return Err(WitnessesError::SameName(name()));
                }
                if other.key.is_same(&witness.key) {
                    return Err(WitnessesError::SameKey(name()));
                }
            }
        }
        Ok(())
    }
}
