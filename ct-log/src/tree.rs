//! The Merkle tree of RFC 6962 section 2.1. Pure: hashes in, hashes out.
//!
//! Proofs come in two halves. [`inclusion_ranges`] and [`consistency_ranges`] say *which* subtrees a proof consists of; whoever
//! holds the tree hashes them. [`verify_inclusion`] and [`verify_consistency`] need nothing but the proof.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::leaf::LeafIndex;

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// A SHA-256 hash of a leaf or of a subtree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The 32 bytes as a hash.
    pub const fn new(bytes: [u8; 32]) -> Hash {
        Hash(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads what [`fmt::Display`] writes.
    #[cfg(feature = "tools")]
    pub(crate) fn from_hex(hex: &str) -> Option<Hash> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hex, &mut bytes).ok()?;
        Some(Hash(bytes))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A proof that does not lead to the given root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Merkle proof does not match the tree head")]
pub struct ProofError;

/// SHA-256 of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    to_array(digest(&SHA256, data).as_ref())
}

/// SHA-256 of the concatenation of `parts`.
pub(crate) fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    to_array(context.finish().as_ref())
}

fn to_array(digest: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest);
    array
}

/// `SHA-256(00 || parts)`: the hash of a leaf whose encoding is the concatenation of `parts`.
pub fn leaf_hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[LEAF]);
    for part in parts {
        context.update(part);
    }
    Hash(to_array(context.finish().as_ref()))
}

/// `SHA-256(01 || left || right)`.
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    let mut input = [NODE; 65];
    for (slot, byte) in input.iter_mut().skip(1).zip(left.0.iter().chain(&right.0)) {
        *slot = *byte;
    }
    Hash(sha256(&input))
}

/// The hash of the tree without leaves.
pub fn empty_root() -> Hash {
    Hash(sha256(&[]))
}

/// The Merkle tree hash over these leaf hashes (or over the roots of equal, complete subtrees).
pub fn root(hashes: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    for hash in hashes {
        frontier.push(*hash);
    }
    frontier.root()
}

/// The roots of the complete subtrees that make up a tree, largest first: all that is needed to append to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One hash for each bit set in `size`, from the most significant down.
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// The tree without leaves.
    #[expect(
        clippy::new_without_default,
        reason = "a state type: an empty tree is a deliberate choice"
    )]
    pub fn new() -> Frontier {
        Frontier {
            size: 0,
            subtrees: Vec::new(),
        }
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tree of that size with these complete subtrees, largest first; nothing if such a tree has another number of them.
    #[cfg(feature = "tools")]
    pub(crate) fn restore(size: u64, subtrees: Vec<Hash>) -> Option<Frontier> {
        let count = u32::try_from(subtrees.len()).ok()?;
        (count == size.count_ones()).then_some(Frontier { size, subtrees })
    }

    /// The roots of the complete subtrees, largest first.
    #[cfg(feature = "tools")]
    pub(crate) fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_subtree(leaf, 0);
    }

    /// Appends a complete subtree of `2^height` leaves; the size must be a multiple of that.
    pub(crate) fn push_subtree(&mut self, subtree: Hash, height: u32) {
        debug_assert!(self.size.trailing_zeros() >= height, "unaligned subtree");
        let merges = self.size.checked_shr(height).unwrap_or(0).trailing_ones();
        let mut hash = subtree;
        for _ in 0..merges {
            let Some(left) = self.subtrees.pop() else { break };
            hash = node_hash(left, hash);
        }
        self.subtrees.push(hash);
        self.size = self
            .size
            .saturating_add(1u64.checked_shl(height).unwrap_or(u64::MAX));
    }

    /// The Merkle tree hash of all leaves so far.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev();
        let Some(last) = subtrees.next() else {
            return empty_root();
        };
        subtrees.fold(*last, |right, left| node_hash(*left, right))
    }
}

/// The subtrees of the inclusion proof of leaf `index` in a tree of `size` leaves, in proof order (RFC 6962 section 2.1.1).
/// Nothing if the leaf is not in the tree.
pub fn inclusion_ranges(index: LeafIndex, size: u64) -> Option<Vec<Range<u64>>> {
    let index = index.get();
    let (mut start, mut end) = (0, size);
    let mut ranges = Vec::new();
    if index >= size {
        return None;
    }
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The subtrees of the consistency proof between the first `old` leaves and all `new` leaves (RFC 6962 section 2.1.2).
/// Nothing if `old > new`; an empty proof if `old` is 0 or equal to `new`.
pub fn consistency_ranges(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old > new {
        return None;
    }
    let (mut start, mut end) = (0, new);
    let mut ranges = Vec::new();
    if old == 0 || old == new {
        return Some(ranges);
    }
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    if start != 0 {
        ranges.push(start..end);
    }
    ranges.reverse();
    Some(ranges)
}

/// The greatest power of two below `leaves` (which is at least 2).
fn split(leaves: u64) -> u64 {
    leaves.next_power_of_two() / 2
}

/// Checks that the leaf with this hash is at `index` in the tree of `size` leaves and that root.
///
/// # Errors
/// The proof does not lead from the leaf to the root.
pub fn verify_inclusion(
    leaf: Hash,
    index: LeafIndex,
    head: (u64, Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    let (size, root) = head;
    let ranges = inclusion_ranges(index, size).ok_or(ProofError)?;
    if ranges.len() != proof.len() {
        return Err(ProofError);
    }
    let computed = ranges.iter().zip(proof).fold(leaf, |hash, (range, sibling)| {
        if range.start > index.get() {
            node_hash(hash, *sibling)
        } else {
            node_hash(*sibling, hash)
        }
    });
    if computed == root { Ok(()) } else { Err(ProofError) }
}

/// Checks that the `old` tree is a prefix of the `new` one; each is a size and a root.
///
/// # Errors
/// The proof does not connect the two heads.
pub fn verify_consistency(old: (u64, Hash), new: (u64, Hash), proof: &[Hash]) -> Result<(), ProofError> {
    let ranges = consistency_ranges(old.0, new.0).ok_or(ProofError)?;
    if ranges.len() != proof.len() {
        return Err(ProofError);
    }
    if old.0 == 0 {
        return if old.1 == empty_root() {
            Ok(())
        } else {
            Err(ProofError)
        };
    }
    // Without a leading subtree in the proof the old tree is itself a complete subtree of the new one.
    let mut nodes = ranges.iter().zip(proof).peekable();
    let leading = nodes.next_if(|(range, _)| range.end == old.0 && range.start != 0);
    let seed = leading.map_or(old.1, |(_, hash)| *hash);
    let (mut old_root, mut new_root) = (seed, seed);
    for (range, hash) in nodes {
        if range.start >= old.0 {
            new_root = node_hash(new_root, *hash);
        } else {
            old_root = node_hash(*hash, old_root);
            new_root = node_hash(*hash, new_root);
        }
    }
    if old_root == old.1 && new_root == new.1 {
        Ok(())
    } else {
        Err(ProofError)
    }
}
