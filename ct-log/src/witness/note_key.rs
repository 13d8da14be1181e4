//! The log's Ed25519 key for signed notes (C2SP signed-note, type 0x01).

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::checkpoint::{Origin, SIGNATURE_LINE};
use crate::key::KeyError;
use crate::tree::sha256_parts;

/// Signature type of Ed25519 over the text of a note.
pub(super) const ED25519: u8 = 0x01;

/// With it the log signs its checkpoints for witnesses. It signs nothing else, and no SCT depends on it: if it is lost, witnesses
/// must be told of a new one, and that is all.
pub struct NoteKey {
    pair: Ed25519KeyPair,
}

impl NoteKey {
    /// A new random key.
    ///
    /// # Errors
    /// The random generator failed.
    pub fn generate() -> Result<NoteKey, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Generate)?;
        Ok(NoteKey { pair })
    }

    /// A key from its PKCS #8 form, DER.
    ///
    /// # Errors
    /// Not an Ed25519 key, or not PKCS #8.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<NoteKey, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| KeyError::NoteKey)?;
        Ok(NoteKey { pair })
    }

    /// The PKCS #8 form, DER; wiped from memory when dropped.
    ///
    /// # Errors
    /// The library could not encode it.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = self.pair.to_pkcs8().map_err(|_| KeyError::NoteKey)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// What witnesses must know to accept checkpoints of the log with that name: `name+key id+base64` (C2SP signed-note, "Verifier
    /// keys").
    pub fn verifier_key(&self, origin: &Origin) -> String {
        let public = self.public_key();
        let key_id = hex::encode(key_id(origin.as_str(), ED25519, public));
        let material = STANDARD.encode([&[ED25519], public].concat());
        format!("{origin}+{key_id}+{material}")
    }

    /// The signature line of a note; `text` ends with a newline.
    pub(super) fn sign(&self, text: &str, origin: &Origin) -> String {
        let mut line = key_id(origin.as_str(), ED25519, self.public_key()).to_vec();
        line.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{SIGNATURE_LINE}{origin} {}\n", STANDARD.encode(line))
    }

    fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }
}

impl fmt::Debug for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let public = hex::encode(self.public_key());
        write!(f, "NoteKey({public}, private key elided)")
    }
}

/// What tells keys of one name apart (C2SP signed-note, "Signatures").
pub(super) fn key_id(name: &str, algorithm: u8, public_key: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256_parts(&[name.as_bytes(), &[b'\n', algorithm], public_key]);
    [a, b, c, d]
}
