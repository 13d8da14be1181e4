//! A write-ahead log with anything wrong at any place of it. What recovery makes of it is the log as it was, or one without the
//! last batch if that was never published; or there is no log (C1, C2, C10).

use std::time::Duration;

use crate::storage::{BLOCK, OpenError, Record};
use crate::tests::support::{Harness, entries};
use crate::tile::{Tile, TileKind};
use crate::tree::{Frontier, Hash};

/// Bytes that a disk writes as a whole.
const SECTOR: usize = 512;

const PUBLISHED: usize = 3;
const ACKNOWLEDGED: usize = 5;

/// Five entries, each in a record of its own, three of them published. The last record is longer than a block.
struct Victim {
    harness: Harness,
    segment: String,
    bytes: Vec<u8>,
    /// Where each record begins, where its padding does, and where it ends.
    records: Vec<[usize; 3]>,
    data_tile: Vec<u8>,
    /// By size of the tree.
    roots: Vec<Hash>,
}

/// What becomes of a byte at a place.
type Garble = fn(u8, usize) -> u8;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Whole,
    /// What was not published is gone: the last record was taken for a torn write, or nothing says that there was more.
    Dropped(usize),
    Refused,
}

impl Outcome {
    fn of(size: usize) -> Outcome {
        match ACKNOWLEDGED - size {
            0 => Outcome::Whole,
            dropped => Outcome::Dropped(dropped),
        }
    }
}

impl Victim {
    async fn new() -> Victim {
        let mut harness = Harness::new();
        let log = harness.create().unwrap();
        let mut note = String::new();
        for number in 0..ACKNOWLEDGED as u64 {
            harness.padding = if number + 1 == ACKNOWLEDGED as u64 {
                2_500
            } else {
                0
            };
            harness.clock.move_by(10);
            assert_eq!(harness.submit(&log, number..number + 1).await, []);
            if number + 1 == PUBLISHED as u64 {
                while log.published_size() < PUBLISHED as u64 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                note = log.checkpoint().to_string();
            }
        }
        log.shutdown().await;
        harness
            .model
            .damage("checkpoint", |bytes| *bytes = note.into_bytes());
        let mut frontier = Frontier::new();
        let mut roots = vec![frontier.root()];
        for entry in entries(&log).await {
            frontier.push(entry.leaf_hash().unwrap());
            roots.push(frontier.root());
        }
        let tile = Tile::new(TileKind::Entries, 0, ACKNOWLEDGED as u16).unwrap();
        let data_tile = log.read_tile(tile).await.unwrap().unwrap();
        Victim::in_one_segment(harness, data_tile, roots)
    }

    fn in_one_segment(harness: Harness, data_tile: Vec<u8>, roots: Vec<Hash>) -> Victim {
        let mut segments = harness.model.paths();
        segments.retain(|path| path.starts_with("wal/"));
        let segment = segments.remove(0);
        segments.iter().for_each(|unused| harness.model.delete(unused));
        let mut bytes = harness.model.contents(&segment);
        let (mut records, mut start) = (Vec::new(), 0);
        while let Ok(record) = Record::decode(&bytes[start..]) {
            let end = start + record.span;
            records.push([start, start + 204 + record.body.len() + 32, end]);
            start = end;
        }
        assert_eq!(
            records.len(),
            1 + ACKNOWLEDGED,
            "a snapshot of nothing, and a batch each"
        );
        let [start, _, end] = records[ACKNOWLEDGED];
        assert!(end - start > BLOCK);
        bytes.truncate(end + BLOCK);
        Victim {
            harness,
            segment,
            bytes,
            records,
            data_tile,
            roots,
        }
    }

    /// Changes the segment, starts the log, and checks that no outcome is one that must not be.
    fn try_with(&self, change: impl FnOnce(&mut Vec<u8>), what: &str) -> Outcome {
        let mut bytes = self.bytes.clone();
        change(&mut bytes);
        let changed = self.harness.on(self.harness.model.copy());
        changed.model.damage(&self.segment, |segment| *segment = bytes);
        let opened = match changed.recover() {
            Ok(opened) => opened,
            Err(OpenError::Corrupt { .. }) => return Outcome::Refused,
            Err(other) => panic!("{what}: {other}"),
        };
        let size = opened.head.size as usize;
        assert!(size >= PUBLISHED, "{what}: {size} entries are left");
        assert_eq!(opened.head.root, self.roots[size], "{what}");
        assert_eq!(opened.frontier.root(), self.roots[size], "{what}");
        let tile = Tile::new(TileKind::Entries, 0, size as u16).unwrap();
        let held = opened.tail.read(tile).unwrap();
        assert!(self.data_tile.starts_with(&held), "{what}: other bytes");
        Outcome::of(size)
    }

    fn last(&self) -> [usize; 3] {
        self.records[ACKNOWLEDGED]
    }

    /// The used bytes of all records.
    fn used(&self) -> impl Iterator<Item = usize> {
        self.records.iter().flat_map(|[start, used, _]| *start..*used)
    }
}

/// Whatever happens to a record that was published is noticed, at every byte. The last one was not.
#[tokio::test]
async fn every_byte_garbled() {
    let victim = Victim::new().await;
    let garbles: [(&str, Garble); 3] = [
        ("low bit", |byte, _| byte ^ 1),
        ("zero", |_, _| 0),
        ("random", |_, place| {
            (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]
        }),
    ];
    for place in victim.used() {
        for (name, garble) in garbles {
            let byte = garble(victim.bytes[place], place);
            let outcome = victim.try_with(|bytes| bytes[place] = byte, &format!("{name} at {place}"));
            let expected = match byte {
                same if same == victim.bytes[place] => Outcome::Whole,
                _ if place >= victim.last()[0] => Outcome::Dropped(1),
                _ => Outcome::Refused,
            };
            assert_eq!(outcome, expected, "{name} at {place}");
        }
    }
}

#[tokio::test]
async fn garbage_in_the_padding_changes_nothing() {
    let victim = Victim::new().await;
    for [_, used, end] in &victim.records {
        for place in (*used..*end).step_by(37).chain([*end - 1]) {
            let outcome = victim.try_with(|bytes| bytes[place] ^= 0xff, &format!("padding at {place}"));
            assert_eq!(outcome, Outcome::Whole, "padding at {place}");
        }
    }
}

/// From one byte on, everything is lost, zero, or of something else.
#[tokio::test]
async fn cut_at_every_byte() {
    let victim = Victim::new().await;
    let [_, used, _] = victim.last();
    let places = victim.used().chain((0..victim.bytes.len()).step_by(61));
    for place in places {
        for (name, fill) in [("cut", None), ("zero", Some(0)), ("garbage", Some(0xa7))] {
            let outcome = victim.try_with(
                |bytes| match fill {
                    Some(fill) => bytes[place..].fill(fill),
                    None => bytes.truncate(place),
                },
                &format!("{name} from {place}"),
            );
            let lost = fill.is_none_or(|fill| {
                victim.bytes[place..used.max(place)]
                    .iter()
                    .any(|byte| *byte != fill)
            });
            let expected = match place {
                _ if place >= used || !lost => Outcome::Whole,
                _ if place >= victim.records[ACKNOWLEDGED - 1][1] => Outcome::Dropped(1),
                // Nothing is left that follows the fourth record, which was not published either.
                _ if place >= victim.records[PUBLISHED][1] => Outcome::Dropped(2),
                _ => Outcome::Refused,
            };
            assert_eq!(outcome, expected, "{name} from {place}");
        }
    }
}

/// Of one write any sectors may have reached the disk, in any order, when the power failed.
#[tokio::test]
async fn every_torn_last_write() {
    let victim = Victim::new().await;
    let [start, used, _] = victim.last();
    let sectors: Vec<_> = (start..used)
        .step_by(SECTOR)
        .map(|at| at..(at + SECTOR).min(used))
        .collect();
    assert!((9..13).contains(&sectors.len()));
    for survivors in 0..1u32 << sectors.len() {
        let all = survivors == (1 << sectors.len()) - 1;
        let outcome = victim.try_with(
            |bytes| {
                let lost = sectors
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| survivors >> at & 1 == 0);
                lost.for_each(|(_, sector)| bytes[sector.clone()].fill(0));
            },
            &format!("sectors {survivors:b}"),
        );
        assert_eq!(
            outcome,
            if all { Outcome::Whole } else { Outcome::Dropped(1) },
            "sectors {survivors:b}"
        );
    }
}

/// A disk that mixes its blocks up.
#[tokio::test]
async fn every_block_in_the_place_of_every_other() {
    let victim = Victim::new().await;
    let blocks = victim.bytes.len() / BLOCK;
    for from in 0..blocks {
        for to in (0..blocks).filter(|to| *to != from) {
            let (from_bytes, to_bytes) = (from * BLOCK..(from + 1) * BLOCK, to * BLOCK..(to + 1) * BLOCK);
            let copied = |bytes: &mut Vec<u8>| bytes.copy_within(from_bytes.clone(), to_bytes.start);
            let swapped = |bytes: &mut Vec<u8>| {
                let other = bytes[to_bytes.clone()].to_vec();
                bytes.copy_within(from_bytes.clone(), to_bytes.start);
                bytes[from_bytes.clone()].copy_from_slice(&other);
            };
            let published = victim.records[PUBLISHED][2] / BLOCK;
            let copied = victim.try_with(copied, &format!("block {from} over {to}"));
            let swapped = victim.try_with(swapped, &format!("blocks {from} and {to}"));
            if to < published {
                assert_eq!(
                    (copied, swapped),
                    (Outcome::Refused, Outcome::Refused),
                    "{from} and {to}"
                );
            }
        }
    }
}
