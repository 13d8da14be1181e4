//! What the embedded log promises with an SCT, and who is asked to vouch for the log.

use std::path::{Path, PathBuf};

use ct_log::{
    LogSettings, Origin, Sct, SctAfter,
    witness::{NoteKey, Witness, Witnesses, WitnessesError},
};

use super::EmbeddedLogError;
use crate::key::file::{self as key_file, KeyFileError};

/// The same for all shards.
#[derive(Clone, Debug, Default)]
pub struct PromiseSettings {
    /// What must be true of an entry before its SCT leaves.
    pub sct_after: SctAfter,
    /// Who cosigns the log's checkpoints.
    pub witnesses: Option<WitnessSettings>,
    /// SCTs that were given out, as somebody has them on record. A shard that does not hold the entry of one of its own does not
    /// start.
    pub given_out: Vec<Sct>,
}

/// Witnesses (C2SP tlog-witness).
#[derive(Clone, Debug)]
pub struct WitnessSettings {
    /// The key with which the log signs checkpoints for them: Ed25519, PKCS#8 PEM; made if it is not there.
    pub note_key: PathBuf,
    /// How many of them must cosign a checkpoint before it counts.
    pub quorum: usize,
    /// All of them.
    pub witnesses: Vec<Witness>,
}

impl WitnessSettings {
    /// Whether they can be used together.
    ///
    /// # Errors
    /// None or too many, an impossible quorum, or one witness twice.
    pub fn check(&self) -> Result<(), WitnessesError> {
        Witnesses::check(&self.witnesses, self.quorum)
    }

    fn load(&self, origin: &Origin) -> Result<Witnesses, EmbeddedLogError> {
        let key = note_key(&self.note_key)?;
        let verifier_key = key.verifier_key(origin);
        tracing::info!(%verifier_key, "the witnesses of the log must know this key of it");
        Ok(Witnesses::new(self.witnesses.clone(), self.quorum, key)?)
    }
}

impl PromiseSettings {
    /// Adds it to what a shard is opened with.
    pub(super) fn apply(
        &self,
        settings: LogSettings,
        origin: &Origin,
    ) -> Result<LogSettings, EmbeddedLogError> {
        let settings = settings.sct_after(self.sct_after);
        let settings = self
            .given_out
            .iter()
            .cloned()
            .fold(settings, LogSettings::gave_out);
        Ok(match &self.witnesses {
            Some(witnesses) => settings.witnesses(witnesses.load(origin)?),
            None => settings,
        })
    }
}

/// Without it nothing is lost but the witnesses' trust, so it may be made at any time.
fn note_key(path: &Path) -> Result<NoteKey, EmbeddedLogError> {
    let in_file = |source| EmbeddedLogError::KeyFile {
        path: path.to_owned(),
        source,
    };
    let there = path.try_exists().map_err(KeyFileError::Read);
    if there.map_err(in_file)? {
        return Ok(NoteKey::from_pkcs8_der(
            &key_file::read(path, None).map_err(in_file)?,
        )?);
    }
    let key = NoteKey::generate()?;
    key_file::write_new(path, &key.to_pkcs8_der()?, None).map_err(in_file)?;
    Ok(key)
}
