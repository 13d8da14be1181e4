//! The published test vectors of the reference implementation (certificate-transparency-go, `trillian/merkle` tests; the same
//! in RFC 9162 implementations), and the proofs of every small tree.

use std::collections::HashMap;
use std::ops::Range;

use proptest::prelude::*;

use crate::leaf::LeafIndex;
use crate::tree::{
    Frontier, Hash, consistency_ranges, empty_root, inclusion_ranges, leaf_hash, node_hash, root,
    verify_consistency, verify_inclusion,
};

const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Leaf (from 0), tree size, proof.
const INCLUSION: [(u64, u64, &[&str]); 4] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        3,
        &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    ),
];

/// Old size, new size, proof.
const CONSISTENCY: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn hash(hexadecimal: &str) -> Hash {
    Hash::new(hex::decode(hexadecimal).unwrap().try_into().unwrap())
}

fn vector_leaves() -> Vec<Hash> {
    LEAVES
        .iter()
        .map(|leaf| leaf_hash(&[&hex::decode(leaf).unwrap()]))
        .collect()
}

/// RFC 6962 section 2.1 word for word: the oracle for the incremental one.
pub(super) fn reference_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(reference_root(left), reference_root(right))
        }
    }
}

pub(super) fn proof(leaves: &[Hash], ranges: Vec<Range<u64>>) -> Vec<Hash> {
    ranges
        .into_iter()
        .map(|r| reference_root(&leaves[r.start as usize..r.end as usize]))
        .collect()
}

fn numbered(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&[&n.to_be_bytes()])).collect()
}

#[test]
fn published_roots() {
    assert_eq!(
        empty_root(),
        hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    );
    let leaves = vector_leaves();
    for (size, expected) in ROOTS.iter().enumerate() {
        assert_eq!(root(&leaves[..=size]), hash(expected), "size {}", size + 1);
    }
}

#[test]
fn published_inclusion_proofs() {
    let leaves = vector_leaves();
    for (index, size, expected) in INCLUSION {
        let index = LeafIndex::new(index).unwrap();
        let computed = proof(&leaves[..size as usize], inclusion_ranges(index, size).unwrap());
        assert_eq!(
            computed,
            expected.iter().map(|h| hash(h)).collect::<Vec<_>>(),
            "{index:?} of {size}"
        );
    }
}

#[test]
fn published_consistency_proofs() {
    let leaves = vector_leaves();
    for (old, new, expected) in CONSISTENCY {
        let computed = proof(&leaves[..new as usize], consistency_ranges(old, new).unwrap());
        assert_eq!(
            computed,
            expected.iter().map(|h| hash(h)).collect::<Vec<_>>(),
            "{old} to {new}"
        );
    }
}

#[test]
fn frontier_is_the_tree_hash_at_every_size() {
    let leaves = numbered(300);
    let mut frontier = Frontier::new();
    for size in 0..leaves.len() {
        assert_eq!(frontier.root(), reference_root(&leaves[..size]), "size {size}");
        frontier.push(leaves[size]);
    }
}

#[test]
fn every_proof_of_every_small_tree_verifies_and_no_other_does() {
    let leaves = numbered(33);
    for size in 1..=33u64 {
        let tree = (size, reference_root(&leaves[..size as usize]));
        for index in 0..size {
            let leaf = leaves[index as usize];
            let at = LeafIndex::new(index).unwrap();
            let path = proof(&leaves[..size as usize], inclusion_ranges(at, size).unwrap());
            verify_inclusion(leaf, at, tree, &path).unwrap();
            verify_inclusion(empty_root(), at, tree, &path).unwrap_err();
            let other = LeafIndex::new((index + 1) % size).unwrap();
            if size > 1 {
                verify_inclusion(leaf, other, tree, &path).unwrap_err();
                verify_inclusion(leaf, at, tree, &path[1..]).unwrap_err();
            }
        }
        for old in 0..=size {
            let old_tree = (old, reference_root(&leaves[..old as usize]));
            let path = proof(&leaves[..size as usize], consistency_ranges(old, size).unwrap());
            verify_consistency(old_tree, tree, &path).unwrap();
            verify_consistency((old, hash(ROOTS[0])), tree, &path).unwrap_err();
            if old != 0 && old != size {
                verify_consistency(old_tree, (size, hash(ROOTS[0])), &path).unwrap_err();
                verify_consistency(old_tree, tree, &path[1..]).unwrap_err();
            }
        }
    }
}

/// Subtree hashes by the definition, each computed once.
struct Subtrees {
    leaves: Vec<Hash>,
    known: HashMap<(u64, u64), Hash>,
}

impl Subtrees {
    fn hash(&mut self, range: Range<u64>) -> Hash {
        let key = (range.start, range.end);
        if let Some(hash) = self.known.get(&key) {
            return *hash;
        }
        let hash = match range.end - range.start {
            0 => empty_root(),
            1 => self.leaves[range.start as usize],
            length => {
                let middle = range.start + length.next_power_of_two() / 2;
                node_hash(self.hash(range.start..middle), self.hash(middle..range.end))
            }
        };
        self.known.insert(key, hash);
        hash
    }

    fn proof(&mut self, ranges: Vec<Range<u64>>) -> Vec<Hash> {
        ranges.into_iter().map(|range| self.hash(range)).collect()
    }
}

/// Past two full tiles.
#[test]
fn every_proof_of_every_tree_of_600_leaves_verifies() {
    let leaves = numbered(600);
    let mut tree = Subtrees {
        leaves: leaves.clone(),
        known: HashMap::new(),
    };
    let mut frontier = Frontier::new();
    for size in 1..=600u64 {
        frontier.push(leaves[size as usize - 1]);
        let head = (size, tree.hash(0..size));
        assert_eq!((frontier.size(), frontier.root()), head);
        for at in 0..size {
            let leaf = LeafIndex::new(at).unwrap();
            let path = tree.proof(inclusion_ranges(leaf, size).unwrap());
            verify_inclusion(leaves[at as usize], leaf, head, &path).unwrap();
            let proof = tree.proof(consistency_ranges(at, size).unwrap());
            verify_consistency((at, tree.hash(0..at)), head, &proof).unwrap();
        }
    }
}

#[test]
fn outside_the_tree_there_is_no_proof() {
    assert_eq!(inclusion_ranges(LeafIndex::new(5).unwrap(), 5), None);
    assert_eq!(consistency_ranges(6, 5), None);
}

proptest! {
    #[test]
    fn a_frontier_of_subtrees_is_a_frontier_of_leaves(full in 0u64..6, rest in 0u64..300) {
        let leaves = numbered(full * 256 + rest);
        let mut frontier = Frontier::new();
        let (tiles, partial) = leaves.split_at(full as usize * 256);
        for tile in tiles.chunks(256) {
            frontier.push_subtree(root(tile), 8);
        }
        for leaf in partial {
            frontier.push(*leaf);
        }
        prop_assert_eq!(frontier.size(), leaves.len() as u64);
        prop_assert_eq!(frontier.root(), reference_root(&leaves));
    }

    #[test]
    fn a_changed_proof_fails(size in 2u64..200, at in any::<u64>(), step in any::<usize>(), bit in 0usize..256) {
        let leaves = numbered(size);
        let index = LeafIndex::new(at % size).unwrap();
        let mut path = proof(&leaves, inclusion_ranges(index, size).unwrap());
        let step = step % path.len();
        let mut bytes = *path[step].as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        path[step] = Hash::new(bytes);
        let tree = (size, reference_root(&leaves));
        prop_assert!(verify_inclusion(leaves[index.get() as usize], index, tree, &path).is_err());
    }
}
