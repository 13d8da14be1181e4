//! A witness's key, and cosignatures by it (C2SP tlog-cosignature, type 0x04).
//!
//! ```text
//! — <name> base64( key id[4] | uint64 time (s) | Ed25519 signature[64] )
//! signed = "cosignature/v1\ntime <time>\n" | the text of the checkpoint
//! ```

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{self, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::SIGNATURE_LINE;
use crate::leaf::UnixMillis;
use crate::wire::Reader;

use super::note_key::{ED25519, key_id};

/// Signature type of a timestamped Ed25519 cosignature.
const COSIGNATURE: u8 = 0x04;

/// Signature type of a timestamped ML-DSA-44 cosignature.
const ML_DSA_44: u8 = 0x06;

/// How far the time of a cosignature may be from that of the log, in milliseconds. Readers take it for the time at which the
/// witness saw the checkpoint.
const TIME_TOLERANCE_MS: u64 = 300_000;

/// The public key and name of a witness.
#[derive(Clone)]
pub struct WitnessKey {
    name: String,
    public: [u8; 32],
    key: ParsedPublicKey,
}

/// A text that is not the verifier key of a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WitnessKeyError {
    /// Not the three parts of a verifier key, or the key id is not that of name and key.
    #[error(
        "not the verifier key of a witness: it has the form NAME+KEY ID+BASE64 (C2SP signed-note); copy it as the witness publishes it"
    )]
    Malformed,
    /// A post-quantum key.
    #[error("the witness's key is ML-DSA-44, which is not supported yet; give its Ed25519 key")]
    MlDsa,
    /// Any other algorithm.
    #[error("the witness's key has signature type {0:#04x}; cosignatures need Ed25519 (type 0x04, or 0x01)")]
    Algorithm(u8),
}

/// A cosignature that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cosignature {
    /// With its newline.
    pub(super) line: String,
    pub(super) time: UnixMillis,
}

impl FromStr for WitnessKey {
    type Err = WitnessKeyError;

    /// Reads a verifier key. Type 0x01 is taken for the same key in type 0x04, as many witnesses are published with it.
    fn from_str(text: &str) -> Result<WitnessKey, WitnessKeyError> {
        let malformed = WitnessKeyError::Malformed;
        let (name, rest) = text.split_once('+').ok_or(malformed)?;
        let (id, material) = rest.split_once('+').ok_or(malformed)?;
        let material = STANDARD.decode(material).map_err(|_| malformed)?;
        let (algorithm, public) = material.split_first().ok_or(malformed)?;
        let forbidden = |c: char| c.is_whitespace() || c.is_control();
        if name.is_empty() || name.contains(forbidden) || hex::encode(key_id(name, *algorithm, public)) != id
        {
            return Err(malformed);
        }
        match *algorithm {
            ED25519 | COSIGNATURE => {}
            ML_DSA_44 => return Err(WitnessKeyError::MlDsa),
            other => return Err(WitnessKeyError::Algorithm(other)),
        }
        let public = public.try_into().map_err(|_| malformed)?;
        Ok(WitnessKey {
            name: name.to_owned(),
            public,
            key: ParsedPublicKey::new(&signature::ED25519, public).map_err(|_| malformed)?,
        })
    }
}

impl WitnessKey {
    /// The witness's name in signature lines.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_same(&self, other: &WitnessKey) -> bool {
        self.public == other.public
    }

    /// The first line that is this witness's cosignature of `text`, if it holds. `lines` may be anything.
    pub(super) fn find(&self, lines: &str, text: &str) -> Option<Cosignature> {
        lines.split('\n').find_map(|line| self.verify(line, text))
    }

    fn verify(&self, line: &str, text: &str) -> Option<Cosignature> {
        let (name, value) = line.strip_prefix(SIGNATURE_LINE)?.split_once(' ')?;
        let value = STANDARD.decode(value).ok()?;
        let mut reader = Reader::new(&value);
        let id: [u8; 4] = reader.array().ok()?;
        if name != self.name || id != key_id(&self.name, COSIGNATURE, &self.public) {
            return None;
        }
        let seconds = reader.u64().ok()?;
        let signature: [u8; 64] = reader.array().ok()?;
        reader.finish().ok()?;
        let signed = format!("cosignature/v1\ntime {seconds}\n{text}");
        self.key.verify_sig(signed.as_bytes(), &signature).ok()?;
        Some(Cosignature {
            line: format!("{line}\n"),
            time: UnixMillis::new(seconds.checked_mul(1000)?),
        })
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({}, {})", self.name, hex::encode(self.public))
    }
}

impl Cosignature {
    /// Whether it was made about now.
    pub(super) fn is_fresh(&self, now: UnixMillis) -> bool {
        self.time.get().abs_diff(now.get()) <= TIME_TOLERANCE_MS
    }
}
