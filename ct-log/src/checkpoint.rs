//! Checkpoints: signed notes whose signature is an RFC 6962 tree head (C2SP static-ct-api, tlog-checkpoint, signed-note).
//!
//! ```text
//! <origin>\n<size>\n<base64 root>\n\n— <origin> <base64 of: key id[4] | uint64 timestamp | 04 03 | uint16 length, signature>\n
//! key id = SHA-256(origin | 0A | 05 | log id)[..4];  signed = 00 (v1) | 01 (tree_hash) | timestamp | size | root
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::key::{KeyError, LogKey, LogPublicKey};
use crate::leaf::{LogId, UnixMillis};
use crate::sct::SHA256_ECDSA;
use crate::tree::{Hash, sha256_parts};
use crate::wire::{Reader, put_bytes16};

/// Signature type of an RFC 6962 tree head in a note (C2SP signed-note).
const RFC6962_NOTE_SIGNATURE: u8 = 0x05;

/// `version v1` and `signature_type tree_hash` (RFC 6962 section 3.5).
const TREE_HEAD_PREFIX: [u8; 2] = [0, 1];

/// Longest origin, in bytes: a host name (RFC 1035: 253) and a path.
const MAX_ORIGIN_BYTES: usize = 512;

/// Longest note that is read, in bytes: a hundred lines of the largest known signature (ML-DSA-44) fit.
const MAX_NOTE_BYTES: usize = 512 * 1024;

/// Most signature lines that are read; C2SP signed-note asks for at least 16.
const MAX_SIGNATURES: usize = 100;

/// What a signature line of a note begins with.
pub(crate) const SIGNATURE_LINE: &str = "\u{2014} ";

/// The log's name in its checkpoints: the submission prefix without scheme and trailing slash, such as
/// `ca.example.com/ct/2027`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

/// A text that cannot be an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a log origin is the submission URL without scheme and trailing slash: 1 to {MAX_ORIGIN_BYTES} bytes, no spaces, \
     control characters or '+'"
)]
pub struct OriginError;

impl Origin {
    /// Checks and keeps the name (C2SP signed-note, "Format": key names).
    ///
    /// # Errors
    /// Empty, too long, with white space, control characters, `+`, a scheme, or a slash at an end.
    pub fn new(origin: impl Into<String>) -> Result<Origin, OriginError> {
        let origin = origin.into();
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        let slash = origin.starts_with('/') || origin.ends_with('/') || origin.contains("://");
        let length = 1..=MAX_ORIGIN_BYTES;
        if slash || origin.contains(forbidden) || !length.contains(&origin.len()) {
            return Err(OriginError);
        }
        Ok(Origin(origin))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn key_id(&self, log_id: LogId) -> [u8; 4] {
        let separator = [b'\n', RFC6962_NOTE_SIGNATURE];
        let [a, b, c, d, ..] = sha256_parts(&[self.0.as_bytes(), &separator, log_id.as_bytes()]);
        [a, b, c, d]
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A note that is not a checkpoint signed by the expected log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note with the three lines of a checkpoint.
    #[error("malformed checkpoint")]
    Malformed,
    /// The first line names another log.
    #[error("the checkpoint is of another log")]
    OtherOrigin,
    /// No line is a signature by the expected key.
    #[error("the checkpoint is not signed by the log's key")]
    Unsigned,
    /// The line of the expected key does not verify.
    #[error("the signature of the checkpoint is not valid")]
    Signature,
}

/// A tree head: the size and root of the log at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    size: u64,
    root: Hash,
    timestamp: UnixMillis,
}

impl Checkpoint {
    /// A tree head that the log is about to sign.
    pub(crate) fn new(size: u64, root: Hash, timestamp: UnixMillis) -> Checkpoint {
        Checkpoint {
            size,
            root,
            timestamp,
        }
    }

    /// The signed note.
    pub(crate) fn sign(&self, origin: &Origin, key: &LogKey) -> Result<String, KeyError> {
        let mut line = origin.key_id(key.public().log_id()).to_vec();
        line.extend_from_slice(&self.timestamp.get().to_be_bytes());
        line.extend_from_slice(&SHA256_ECDSA);
        put_bytes16(&mut line, &key.sign_blocking(&self.signed_bytes())?).map_err(|_| KeyError::Sign)?;
        let (size, root) = (self.size, STANDARD.encode(self.root.as_bytes()));
        Ok(format!(
            "{origin}\n{size}\n{root}\n\n{SIGNATURE_LINE}{origin} {}\n",
            STANDARD.encode(line)
        ))
    }

    /// Reads a note and checks the signature of that log; signatures by others are ignored.
    ///
    /// # Errors
    /// Not a checkpoint, another origin, or no valid signature by `key`.
    pub fn verify(note: &str, origin: &Origin, key: &LogPublicKey) -> Result<Checkpoint, CheckpointError> {
        if note.len() > MAX_NOTE_BYTES || note.contains(|c: char| c.is_control() && c != '\n') {
            return Err(CheckpointError::Malformed);
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(CheckpointError::Malformed)?;
        let (size, root) = parse_text(text, origin)?;
        let line = own_signature(signatures, origin, key.log_id())?;
        let (timestamp, signature) = parse_signature(&line).ok_or(CheckpointError::Malformed)?;
        let checkpoint = Checkpoint {
            size,
            root,
            timestamp,
        };
        key.verify(&checkpoint.signed_bytes(), &signature)
            .map_err(|_| CheckpointError::Signature)?;
        Ok(checkpoint)
    }

    /// `TreeHeadSignature` of RFC 6962 section 3.5, without the signature. It does not cover the origin.
    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = TREE_HEAD_PREFIX.to_vec();
        out.extend_from_slice(&self.timestamp.get().to_be_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
        out
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The Merkle tree hash of all entries.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// When it was signed.
    pub fn timestamp(&self) -> UnixMillis {
        self.timestamp
    }
}

/// A checkpoint as an RFC 6962 tree head, which anybody can make of the note: the signature is the same (static-ct-api).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTreeHead {
    checkpoint: Checkpoint,
    digitally_signed: Vec<u8>,
}

impl SignedTreeHead {
    /// Takes the signature from the note of a checkpoint that was verified, or that this log made.
    pub(crate) fn of_note(
        checkpoint: Checkpoint,
        note: &str,
        (origin, key): (&Origin, &LogPublicKey),
    ) -> Result<SignedTreeHead, CheckpointError> {
        let (_, signatures) = note.rsplit_once("\n\n").ok_or(CheckpointError::Malformed)?;
        let line = own_signature(signatures, origin, key.log_id())?;
        let (timestamp, digitally_signed) =
            line.split_first_chunk::<8>().ok_or(CheckpointError::Malformed)?;
        if u64::from_be_bytes(*timestamp) != checkpoint.timestamp.get() {
            return Err(CheckpointError::Malformed);
        }
        Ok(SignedTreeHead {
            checkpoint,
            digitally_signed: digitally_signed.to_vec(),
        })
    }

    /// Size, root and time.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The `DigitallySigned` structure over the `TreeHeadSignature` (RFC 6962 section 3.5): algorithms, length, signature.
    pub fn digitally_signed(&self) -> &[u8] {
        &self.digitally_signed
    }
}

fn parse_text(text: &str, origin: &Origin) -> Result<(u64, Hash), CheckpointError> {
    let mut lines = text.split('\n');
    let (Some(first), Some(size), Some(root), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(CheckpointError::Malformed);
    };
    if first != origin.as_str() {
        return Err(CheckpointError::OtherOrigin);
    }
    let parsed: u64 = size.parse().map_err(|_| CheckpointError::Malformed)?;
    let root = STANDARD
        .decode(root)
        .ok()
        .and_then(|root| <[u8; 32]>::try_from(root).ok());
    match root {
        Some(root) if parsed.to_string() == size => Ok((parsed, Hash::new(root))),
        _ => Err(CheckpointError::Malformed),
    }
}

/// The bytes after the key id of the one line that this log's key made.
fn own_signature(signatures: &str, origin: &Origin, log_id: LogId) -> Result<Vec<u8>, CheckpointError> {
    let lines = signatures.strip_suffix('\n').ok_or(CheckpointError::Malformed)?;
    let mut own = None;
    for (number, line) in lines.split('\n').enumerate() {
        let line = line
            .strip_prefix(SIGNATURE_LINE)
            .ok_or(CheckpointError::Malformed)?;
        let (name, value) = line.split_once(' ').ok_or(CheckpointError::Malformed)?;
        let value = STANDARD.decode(value).map_err(|_| CheckpointError::Malformed)?;
        let (key_id, value) = value.split_first_chunk::<4>().ok_or(CheckpointError::Malformed)?;
        if name.is_empty() || number >= MAX_SIGNATURES {
            return Err(CheckpointError::Malformed);
        }
        if name == origin.as_str() && *key_id == origin.key_id(log_id) {
            // Two lines of one key could carry two times: neither is the truth.
            if own.replace(value.to_vec()).is_some() {
                return Err(CheckpointError::Malformed);
            }
        }
    }
    own.ok_or(CheckpointError::Unsigned)
}

fn parse_signature(line: &[u8]) -> Option<(UnixMillis, Vec<u8>)> {
    let mut reader = Reader::new(line);
    let timestamp = UnixMillis::new(reader.u64().ok()?);
    if reader.array().ok()? != SHA256_ECDSA {
        return None;
    }
    let signature = reader.bytes16().ok()?.to_vec();
    reader.finish().ok()?;
    Some((timestamp, signature))
}
