//! Log entries and their encodings: the `TileLeaf` of static-ct-api, and the `MerkleTreeLeaf` of RFC 6962 section 3.4
//! that the tree hashes and the SCT signs.
//!
//! ```text
//! TileLeaf:  uint64 timestamp | uint16 entry_type
//!   x509(0):    uint24 length, certificate | uint16 length, extensions | uint16 length, n * 32 fingerprints
//!   precert(1): issuer_key_hash[32] | uint24 length, TBS | uint16 length, extensions | uint24 length, precertificate
//!               | uint16 length, n * 32 fingerprints
//! MerkleTreeLeaf:  00 (v1) | 00 (timestamped_entry) | the TileLeaf up to and including the extensions
//! ```

mod position;

pub(crate) use position::Position;
pub use position::{Fingerprint, LeafIndex, LogId, UnixMillis};

use crate::issuers::IssuerChain;
use crate::tree::{Hash, leaf_hash};
use crate::wire::{Malformed, Reader, TooLong, put_bytes16, put_bytes24};

/// Largest encoded entry this log takes, in bytes. A request body is at most 64 KiB, and an entry holds a certificate at
/// most twice (TBS and precertificate).
pub const MAX_ENTRY_BYTES: usize = 128 * 1024;

const ENTRY_CERTIFICATE: u16 = 0;
const ENTRY_PRECERTIFICATE: u16 = 1;

/// `version v1` and `leaf_type timestamped_entry`; also `version v1` and `signature_type certificate_timestamp`, which is why
/// the bytes hashed and the bytes signed are the same.
const LEAF_PREFIX: [u8; 2] = [0, 0];

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A final certificate (`x509_entry`).
    Certificate {
        /// The certificate, DER.
        der: Vec<u8>,
    },
    /// A precertificate (`precert_entry`).
    Precertificate {
        /// SHA-256 of the `SubjectPublicKeyInfo` of the issuer of the final certificate.
        issuer_key_hash: [u8; 32],
        /// The `TBSCertificate` without the poison extension, DER.
        tbs: Vec<u8>,
        /// The precertificate as submitted, DER.
        precertificate: Vec<u8>,
    },
}

/// The entry does not fit: over [`MAX_ENTRY_BYTES`], or a part is too long for its length field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the entry is too large for this log (limit {MAX_ENTRY_BYTES} bytes)")]
pub struct EntryTooLarge;

impl From<TooLong> for EntryTooLarge {
    fn from(_: TooLong) -> EntryTooLarge {
        EntryTooLarge
    }
}

/// Bytes that are not the encoding of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed TileLeaf")]
pub struct LeafError;

impl From<Malformed> for LeafError {
    fn from(_: Malformed) -> LeafError {
        LeafError
    }
}

impl Entry {
    /// The `MerkleTreeLeaf` of this entry at that position, which is also what the SCT signs.
    pub(crate) fn merkle_tree_leaf(&self, at: Position) -> Result<Vec<u8>, EntryTooLarge> {
        self.signed_bytes(at.timestamp, &at.index.extensions())
    }

    /// What the SCT of any log signs: as [`Entry::merkle_tree_leaf`], with whatever `CtExtensions` that log gave.
    pub(crate) fn signed_bytes(
        &self,
        timestamp: UnixMillis,
        extensions: &[u8],
    ) -> Result<Vec<u8>, EntryTooLarge> {
        let mut out = LEAF_PREFIX.to_vec();
        self.put_timestamped(timestamp, extensions, &mut out)?;
        Ok(out)
    }

    /// Whether an SCT for one is an SCT for the other: all that it covers is compared.
    pub(crate) fn is_same_submission(&self, other: &Entry) -> bool {
        match (self, other) {
            (Entry::Certificate { der }, Entry::Certificate { der: other }) => der == other,
            (
                Entry::Precertificate {
                    issuer_key_hash, tbs, ..
                },
                Entry::Precertificate {
                    issuer_key_hash: other_key,
                    tbs: other_tbs,
                    ..
                },
            ) => issuer_key_hash == other_key && tbs == other_tbs,
            _ => false,
        }
    }

    fn put_timestamped(
        &self,
        timestamp: UnixMillis,
        extensions: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EntryTooLarge> {
        out.extend_from_slice(&timestamp.get().to_be_bytes());
        match self {
            Entry::Certificate { der } => {
                out.extend_from_slice(&ENTRY_CERTIFICATE.to_be_bytes());
                put_bytes24(out, der)?;
            }
            Entry::Precertificate {
                issuer_key_hash, tbs, ..
            } => {
                out.extend_from_slice(&ENTRY_PRECERTIFICATE.to_be_bytes());
                out.extend_from_slice(issuer_key_hash);
                put_bytes24(out, tbs)?;
            }
        }
        Ok(put_bytes16(out, extensions)?)
    }

    /// Appends the `TileLeaf` and returns the leaf hash, which covers its first part.
    fn put_tile_leaf(
        &self,
        at: Position,
        issuers: &[Fingerprint],
        out: &mut Vec<u8>,
    ) -> Result<Hash, EntryTooLarge> {
        let start = out.len();
        self.put_timestamped(at.timestamp, &at.index.extensions(), out)?;
        let hashed = out.get(start..).unwrap_or_default();
        let hash = leaf_hash(&[&LEAF_PREFIX, hashed]);
        if let Entry::Precertificate { precertificate, .. } = self {
            put_bytes24(out, precertificate)?;
        }
        let fingerprints: Vec<u8> = issuers.iter().flat_map(Fingerprint::as_bytes).copied().collect();
        put_bytes16(out, &fingerprints)?;
        Ok(hash)
    }

    /// An upper bound of the encoded size without the fingerprints.
    fn weight(&self) -> usize {
        const FIXED: usize = 8 + 2 + 32 + 3 + 10 + 3 + 2;
        match self {
            Entry::Certificate { der } => FIXED.saturating_add(der.len()),
            Entry::Precertificate {
                tbs, precertificate, ..
            } => FIXED
                .saturating_add(tbs.len())
                .saturating_add(precertificate.len()),
        }
    }
}

/// An entry that is ready for the log: its issuers are stored (C8), it has no position yet.
#[derive(Debug, Clone)]
pub struct PendingEntry {
    entry: Entry,
    issuers: IssuerChain,
}

impl PendingEntry {
    /// A precertificate. `tbs` is its `TBSCertificate` without the poison (DER), `issuer_key_hash` the SHA-256 of the
    /// `SubjectPublicKeyInfo` of the certificate that will issue the final certificate.
    pub fn precertificate(
        tbs: Vec<u8>,
        precertificate: Vec<u8>,
        issuer_key_hash: [u8; 32],
        issuers: IssuerChain,
    ) -> PendingEntry {
        let entry = Entry::Precertificate {
            issuer_key_hash,
            tbs,
            precertificate,
        };
        PendingEntry { entry, issuers }
    }

    /// A final certificate (DER).
    pub fn certificate(der: Vec<u8>, issuers: IssuerChain) -> PendingEntry {
        PendingEntry {
            entry: Entry::Certificate { der },
            issuers,
        }
    }

    /// What is to be logged.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// An upper bound of the encoded size in bytes.
    pub(crate) fn weight(&self) -> usize {
        let fingerprints = self.issuers.fingerprints().len().saturating_mul(32);
        self.entry.weight().saturating_add(fingerprints)
    }

    /// Appends the `TileLeaf` for that position and returns the leaf hash.
    pub(crate) fn put_tile_leaf(&self, at: Position, out: &mut Vec<u8>) -> Result<Hash, EntryTooLarge> {
        self.entry.put_tile_leaf(at, self.issuers.fingerprints(), out)
    }
}

/// An entry as the log stores it: sequenced, with its time and position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencedEntry {
    entry: Entry,
    timestamp: UnixMillis,
    index: LeafIndex,
    issuers: Vec<Fingerprint>,
}

impl SequencedEntry {
    /// Takes one `TileLeaf` from the front of `input` and returns what follows it.
    ///
    /// # Errors
    /// The bytes are not a `TileLeaf` with exactly one `leaf_index` extension.
    pub fn decode(input: &[u8]) -> Result<(SequencedEntry, &[u8]), LeafError> {
        let mut reader = Reader::new(input);
        let entry = SequencedEntry::read(&mut reader)?;
        Ok((entry, reader.rest()))
    }

    fn read(reader: &mut Reader<'_>) -> Result<SequencedEntry, LeafError> {
        let timestamp = UnixMillis::new(reader.u64()?);
        let (entry, index) = match reader.u16()? {
            ENTRY_CERTIFICATE => {
                let der = non_empty(reader.bytes24()?)?.to_vec();
                (Entry::Certificate { der }, read_index(reader)?)
            }
            ENTRY_PRECERTIFICATE => {
                let issuer_key_hash = reader.array()?;
                let tbs = non_empty(reader.bytes24()?)?.to_vec();
                let index = read_index(reader)?;
                let precertificate = non_empty(reader.bytes24()?)?.to_vec();
                (
                    Entry::Precertificate {
                        issuer_key_hash,
                        tbs,
                        precertificate,
                    },
                    index,
                )
            }
            _ => return Err(LeafError),
        };
        let (issuers, []) = reader.bytes16()?.as_chunks::<32>() else {
            return Err(LeafError);
        };
        let issuers = issuers.iter().copied().map(Fingerprint::new).collect();
        Ok(SequencedEntry {
            entry,
            timestamp,
            index,
            issuers,
        })
    }

    /// Every entry of a data tile, in order.
    ///
    /// # Errors
    /// The bytes are not a sequence of whole `TileLeaf` structures.
    pub fn decode_all(mut input: &[u8]) -> Result<Vec<SequencedEntry>, LeafError> {
        let mut entries = Vec::new();
        while !input.is_empty() {
            let (entry, rest) = SequencedEntry::decode(input)?;
            entries.push(entry);
            input = rest;
        }
        Ok(entries)
    }

    /// What is logged.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// When the log took it.
    pub fn timestamp(&self) -> UnixMillis {
        self.timestamp
    }

    /// Its position in the log.
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    /// The issuers of its chain: the leaf's issuer first.
    pub fn issuers(&self) -> &[Fingerprint] {
        &self.issuers
    }

    /// The `TileLeaf` bytes; the same as those it was decoded from.
    ///
    /// # Errors
    /// None for an entry that was decoded; the signature is that of the shared encoder.
    pub fn tile_leaf(&self) -> Result<Vec<u8>, EntryTooLarge> {
        let mut out = Vec::new();
        self.entry
            .put_tile_leaf(self.position(), &self.issuers, &mut out)?;
        Ok(out)
    }

    /// The `MerkleTreeLeaf` bytes (RFC 6962 section 3.4): what the leaf hash covers and the SCT signs.
    ///
    /// # Errors
    /// None for an entry that was decoded; the signature is that of the shared encoder.
    pub fn merkle_tree_leaf(&self) -> Result<Vec<u8>, EntryTooLarge> {
        self.entry.merkle_tree_leaf(self.position())
    }

    /// The leaf hash (RFC 6962 section 2.1).
    ///
    /// # Errors
    /// None for an entry that was decoded; the signature is that of the shared encoder.
    pub fn leaf_hash(&self) -> Result<Hash, EntryTooLarge> {
        Ok(leaf_hash(&[&self.merkle_tree_leaf()?]))
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            index: self.index,
            timestamp: self.timestamp,
        }
    }
}

fn read_index(reader: &mut Reader<'_>) -> Result<LeafIndex, LeafError> {
    LeafIndex::from_extensions(reader.bytes16()?).ok_or(LeafError)
}

fn non_empty(bytes: &[u8]) -> Result<&[u8], LeafError> {
    if bytes.is_empty() {
        Err(LeafError)
    } else {
        Ok(bytes)
    }
}
