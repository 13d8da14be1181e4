//! One record of the write-ahead log: a batch of entries, or the state that recovery starts a new segment with. Pure.
//!
//! ```text
//! magic[8] | uint16 version | uint8 kind | 00 | uint32 count | uint32 body length | log id[32] | incarnation[16]
//! | uint64 epoch | uint64 number | uint64 first index | uint64 timestamp
//! | previous root[32] | new root[32] | hash of the previous record[32] | check[8]
//! | body: count TileLeaf structures | SHA-256 of all of this | zeros up to the next multiple of 4096
//! check = SHA-256(header so far)[..8]
//! ```

use crate::leaf::{LogId, UnixMillis};
use crate::tree::{Hash, sha256};
use crate::wire::{Malformed, Reader};

use super::Head;

/// Records begin at multiples of this many bytes: a write never touches a block that holds an acknowledged entry.
pub(crate) const BLOCK: usize = 4096;

const MAGIC: [u8; 8] = *b"CTLOGWAL";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 204;
const HASH_BYTES: usize = 32;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its entries follow those of the record before.
    Batch,
    /// Its entries are all those after the last full tile. It begins a segment and supersedes all earlier segments.
    Snapshot,
}

/// What links records to each other; the same for all records of one opening of the log but for the last two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) log_id: LogId,
    /// How many times the log was opened.
    pub(crate) epoch: u64,
    /// Random at each opening, so that nobody can submit an entry that looks like a record.
    pub(crate) incarnation: [u8; 16],
    /// Number of this record, counted from the birth of the log.
    pub(crate) number: u64,
    /// Hash of the record before.
    pub(crate) previous: [u8; 32],
}

/// Everything a record says besides its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) chain: Chain,
    pub(crate) first_index: u64,
    pub(crate) previous_root: Hash,
    pub(crate) head: Head,
}

/// A record that was read: its own hash is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) header: Header,
    pub(crate) body: &'a [u8],
    pub(crate) hash: [u8; 32],
    /// Bytes up to where the next record begins.
    pub(crate) span: usize,
}

/// A batch that another writer made durable: a record that owns its entries.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) header: Header,
    /// `TileLeaf` structures.
    pub(crate) body: Vec<u8>,
    pub(crate) hash: [u8; 32],
}

impl From<Record<'_>> for Batch {
    fn from(record: Record<'_>) -> Batch {
        Batch {
            header: record.header,
            body: record.body.to_vec(),
            hash: record.hash,
        }
    }
}

/// No record here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRecord {
    /// The links of the record whose header is here, while its body is not.
    pub(crate) chain: Option<Chain>,
    /// Bytes up to where the next record could begin.
    pub(crate) span: usize,
}

impl<'a> Record<'a> {
    /// Reads the record at the front of `input`.
    pub(crate) fn decode(input: &'a [u8]) -> Result<Record<'a>, NoRecord> {
        let (header, body_length) = read_header(input).map_err(|_| NoRecord {
            chain: None,
            span: BLOCK,
        })?;
        let span = span(body_length);
        let mut reader = Reader::new(input);
        let read = |reader: &mut Reader<'a>| -> Result<Record<'a>, Malformed> {
            let hashed = reader.take(HEADER_BYTES.saturating_add(body_length))?;
            let body = hashed.get(HEADER_BYTES..).ok_or(Malformed)?;
            let hash = reader.array()?;
            if sha256(hashed) == hash {
                Ok(Record {
                    header,
                    body,
                    hash,
                    span,
                })
            } else {
                Err(Malformed)
            }
        };
        read(&mut reader).map_err(|_| NoRecord {
            chain: Some(header.chain),
            span,
        })
    }
}

fn read_header(input: &[u8]) -> Result<(Header, usize), Malformed> {
    let mut reader = Reader::new(input);
    if reader.array()? != MAGIC || reader.u16()? != VERSION {
        return Err(Malformed);
    }
    let kind = match reader.u16()? {
        0x0000 => Kind::Batch,
        0x0100 => Kind::Snapshot,
        _ => return Err(Malformed),
    };
    let count = u64::from(reader.u32()?);
    let body_length = usize::try_from(reader.u32()?).map_err(|_| Malformed)?;
    let log_id = LogId::new(reader.array()?);
    let incarnation = reader.array()?;
    let (epoch, number) = (reader.u64()?, reader.u64()?);
    let (first_index, timestamp) = (reader.u64()?, UnixMillis::new(reader.u64()?));
    let (previous_root, root) = (Hash::new(reader.array()?), Hash::new(reader.array()?));
    let previous = reader.array()?;
    let covered = input.len().saturating_sub(reader.rest().len());
    let check: [u8; 8] = reader.array()?;
    if check != short_hash(input.get(..covered).unwrap_or_default()) {
        return Err(Malformed);
    }
    let chain = Chain {
        log_id,
        epoch,
        incarnation,
        number,
        previous,
    };
    let size = first_index.checked_add(count).ok_or(Malformed)?;
    let head = Head {
        size,
        root,
        timestamp,
    };
    Ok((
        Header {
            kind,
            chain,
            first_index,
            previous_root,
            head,
        },
        body_length,
    ))
}

/// A record being written. Reused from batch to batch.
#[derive(Debug)]
pub(crate) struct RecordBuffer {
    bytes: Vec<u8>,
}

impl RecordBuffer {
    pub(crate) fn new() -> RecordBuffer {
        RecordBuffer {
            bytes: vec![0; HEADER_BYTES],
        }
    }

    /// Forgets the entries.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(HEADER_BYTES);
    }

    /// Where entries are appended. What is there already must stay.
    pub(crate) fn body_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Drops what was appended after that length of the entries.
    pub(crate) fn truncate_body(&mut self, length: usize) {
        self.bytes.truncate(HEADER_BYTES.saturating_add(length));
    }

    /// Length of the entries so far.
    pub(crate) fn body_length(&self) -> usize {
        self.bytes.len().saturating_sub(HEADER_BYTES)
    }

    /// The entries so far; once sealed, also what follows them.
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// Bytes that the sealed record will take in its segment.
    pub(crate) fn span(&self) -> usize {
        span(self.body_length())
    }

    /// As [`RecordBuffer::seal`], without the zeros at the end: for a storage without blocks.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "s3")),
        expect(dead_code, reason = "for shared storages")
    )]
    pub(crate) fn seal_compact(&mut self, header: &Header) -> (&[u8], [u8; 32]) {
        let length = self.bytes.len().saturating_add(HASH_BYTES);
        let (bytes, hash) = self.seal(header);
        (bytes.get(..length).unwrap_or(bytes), hash)
    }

    /// Completes the record. Returns its bytes, whose number is [`RecordBuffer::span`], and its hash.
    pub(crate) fn seal(&mut self, header: &Header) -> (&[u8], [u8; 32]) {
        let span = self.span();
        let header = encode_header(header, self.body_length());
        for (slot, byte) in self.bytes.iter_mut().zip(header) {
            *slot = byte;
        }
        let hash = sha256(&self.bytes);
        self.bytes.extend_from_slice(&hash);
        self.bytes.resize(span, 0);
        (&self.bytes, hash)
    }
}

fn encode_header(header: &Header, body_length: usize) -> Vec<u8> {
    let Header {
        kind,
        chain,
        first_index,
        previous_root,
        head,
    } = header;
    let count = u32::try_from(head.size.saturating_sub(*first_index)).unwrap_or(u32::MAX);
    let body_length = u32::try_from(body_length).unwrap_or(u32::MAX);
    let kind: [u8; 2] = match kind {
        Kind::Batch => [0, 0],
        Kind::Snapshot => [1, 0],
    };
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&kind);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&body_length.to_be_bytes());
    out.extend_from_slice(chain.log_id.as_bytes());
    out.extend_from_slice(&chain.incarnation);
    for number in [chain.epoch, chain.number, *first_index, head.timestamp.get()] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(previous_root.as_bytes());
    out.extend_from_slice(head.root.as_bytes());
    out.extend_from_slice(&chain.previous);
    out.extend_from_slice(&short_hash(&out));
    out
}

fn short_hash(bytes: &[u8]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = sha256(bytes);
    [a, b, c, d, e, f, g, h]
}

fn span(body_length: usize) -> usize {
    let bytes = HEADER_BYTES
        .saturating_add(body_length)
        .saturating_add(HASH_BYTES);
    bytes.checked_next_multiple_of(BLOCK).unwrap_or(usize::MAX)
}
