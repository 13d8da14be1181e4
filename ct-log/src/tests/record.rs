//! Records of the write-ahead log, one by one.

use proptest::prelude::*;

use crate::leaf::{LogId, UnixMillis};
use crate::storage::{BLOCK, Chain, Head, Header, Kind, Record, RecordBuffer};
use crate::tree::{Hash, empty_root};

fn header(kind: Kind, count: u64) -> Header {
    Header {
        kind,
        chain: Chain {
            log_id: LogId::new([1; 32]),
            epoch: 2,
            incarnation: [3; 16],
            number: 4,
            previous: [5; 32],
        },
        first_index: 6,
        previous_root: empty_root(),
        head: Head {
            size: 6 + count,
            root: Hash::new([7; 32]),
            timestamp: UnixMillis::new(8),
        },
    }
}

fn sealed(header: &Header, body: &[u8]) -> (Vec<u8>, [u8; 32]) {
    let mut buffer = RecordBuffer::new();
    buffer
        .body_mut()
        .extend_from_slice(b"of an earlier, longer batch that is forgotten");
    buffer.clear();
    buffer.body_mut().extend_from_slice(body);
    let span = buffer.span();
    let (bytes, hash) = buffer.seal(header);
    assert_eq!(bytes.len(), span);
    assert_eq!(span % BLOCK, 0);
    (bytes.to_vec(), hash)
}

/// A statement of the log in a database reads it from there.
#[test]
fn the_time_of_a_record_has_the_bytes_93_to_100() {
    let (bytes, _) = sealed(&header(Kind::Batch, 3), &[0xee; 300]);
    assert_eq!(bytes[92..100], 8_u64.to_be_bytes());
}

#[test]
fn every_changed_byte_is_noticed() {
    let (bytes, _) = sealed(&header(Kind::Batch, 3), &[0xee; 300]);
    let used = 204 + 300 + 32;
    for place in 0..used {
        for flip in [1, 0x80, 0xff] {
            let mut garbled = bytes.clone();
            garbled[place] ^= flip;
            assert!(Record::decode(&garbled).is_err(), "byte {place}");
        }
    }
    assert!(bytes[used..].iter().all(|byte| *byte == 0));
    for end in 0..used {
        assert!(Record::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_blank_segment_has_no_record() {
    assert!(Record::decode(&[0; 2 * BLOCK]).is_err());
    assert!(Record::decode(&[]).is_err());
}

proptest! {
    #[test]
    fn a_record_is_read_back(count in 0u64..1000, body in proptest::collection::vec(any::<u8>(), 0..9000), snapshot in any::<bool>()) {
        let header = header(if snapshot { Kind::Snapshot } else { Kind::Batch }, count);
        let (bytes, hash) = sealed(&header, &body);
        let longer = [bytes.as_slice(), &[0xff; 100]].concat();
        let record = Record::decode(&longer).unwrap();
        prop_assert_eq!(record.header, header);
        prop_assert_eq!(record.body, body);
        prop_assert_eq!(record.hash, hash);
        prop_assert_eq!(record.span, bytes.len());
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), prefix in any::<bool>()) {
        let start = if prefix { sealed(&header(Kind::Batch, 1), &[]).0[..20].to_vec() } else { Vec::new() };
        prop_assert!(Record::decode(&[start, bytes].concat()).is_err());
    }
}
