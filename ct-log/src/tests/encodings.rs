//! TileLeaf, MerkleTreeLeaf, extensions, SCT.

use proptest::prelude::*;

use crate::key::{LogKey, LogPublicKey};
use crate::leaf::{Entry, Fingerprint, LeafIndex, PendingEntry, Position, SequencedEntry, UnixMillis};
use crate::sct::{Sct, SctError};
use crate::tests::support::{chain_of, entry, in_memory, submit};
use crate::tree::leaf_hash;

/// From sigstore-conformance `bundle-with-sct-with-extensions` (staging log run with TesseraCT, 2026-01-15), with the two-byte
/// length in front taken off: entry 0x70.
#[test]
fn leaf_index_extension_as_tesseract_writes_it() {
    let bytes = [0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x70];
    assert_eq!(LeafIndex::from_extensions(&bytes), LeafIndex::new(0x70));
    assert_eq!(LeafIndex::new(0x70).unwrap().extensions(), bytes);
    assert_eq!(
        LeafIndex::new(LeafIndex::MAX).unwrap().extensions(),
        [0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xff]
    );
    assert_eq!(LeafIndex::new(LeafIndex::MAX + 1), None);
}

#[test]
fn other_extensions_are_refused() {
    for bytes in [
        &[][..],
        &[0, 0, 5, 0, 0, 0, 0],
        &[0, 0, 5, 0, 0, 0, 0, 1, 0],
        &[1, 0, 5, 0, 0, 0, 0, 1],
        &[0, 0, 4, 0, 0, 0, 1],
        &[0, 0, 5, 0, 0, 0, 0, 1, 0, 0, 5, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(LeafIndex::from_extensions(bytes), None, "{bytes:?}");
    }
}

/// Written out by hand from RFC 6962 section 3.4 and static-ct-api.
#[test]
fn precertificate_leaf_byte_for_byte() {
    let issuers = chain_of(&[b"issuer"]);
    let pending = PendingEntry::precertificate(vec![0xaa, 0xab], vec![0xbb], [7; 32], issuers.clone());
    let at = Position {
        index: LeafIndex::new(0x0102030405).unwrap(),
        timestamp: UnixMillis::new(0x0607),
    };
    let mut signed = vec![0, 0, 0, 0, 0, 0, 0x06, 0x07, 0, 1];
    signed.extend([7; 32]);
    signed.extend([0, 0, 2, 0xaa, 0xab, 0, 8, 0, 0, 5, 1, 2, 3, 4, 5]);
    let mut leaf = signed.clone();
    leaf.extend([0, 0, 1, 0xbb, 0, 32]);
    leaf.extend(issuers.fingerprints()[0].as_bytes());
    let mut out = Vec::new();
    let hash = pending.put_tile_leaf(at, &mut out).unwrap();
    assert_eq!(out, leaf);
    assert_eq!(hash, leaf_hash(&[&[0, 0], &signed]));
    assert_eq!(
        pending.entry().merkle_tree_leaf(at).unwrap(),
        [&[0, 0], signed.as_slice()].concat()
    );
    assert!(pending.weight() >= out.len());
}

#[test]
fn certificate_leaf_byte_for_byte() {
    let pending = PendingEntry::certificate(vec![0xcc; 3], chain_of(&[]));
    let at = Position {
        index: LeafIndex::new(0).unwrap(),
        timestamp: UnixMillis::new(1),
    };
    let mut out = Vec::new();
    pending.put_tile_leaf(at, &mut out).unwrap();
    assert_eq!(
        out,
        [
            0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 3, 0xcc, 0xcc, 0xcc, 0, 8, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0
        ]
    );
}

fn any_entry() -> impl Strategy<Value = (PendingEntry, Position)> {
    let bytes = || proptest::collection::vec(any::<u8>(), 1..300);
    let chain = proptest::collection::vec(bytes(), 0..4);
    let number = (0..=LeafIndex::MAX, any::<u64>(), any::<bool>(), any::<[u8; 32]>());
    (bytes(), bytes(), chain, number).prop_map(|(a, b, chain, (index, time, precert, key_hash))| {
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let issuers = chain_of(&chain);
        let pending = if precert {
            PendingEntry::precertificate(a, b, key_hash, issuers)
        } else {
            PendingEntry::certificate(a, issuers)
        };
        (
            pending,
            Position {
                index: LeafIndex::new(index).unwrap(),
                timestamp: UnixMillis::new(time),
            },
        )
    })
}

proptest! {
    /// C9.
    #[test]
    fn a_tile_leaf_is_read_back_and_written_the_same((pending, at) in any_entry(), rest in any::<[u8; 3]>()) {
        let mut bytes = Vec::new();
        let hash = pending.put_tile_leaf(at, &mut bytes).unwrap();
        let with_rest = [bytes.as_slice(), &rest].concat();
        let (decoded, left) = SequencedEntry::decode(&with_rest).unwrap();
        prop_assert_eq!(left, rest);
        prop_assert_eq!(decoded.entry(), pending.entry());
        prop_assert_eq!((decoded.index(), decoded.timestamp()), (at.index, at.timestamp));
        prop_assert_eq!(decoded.leaf_hash().unwrap(), hash);
        prop_assert_eq!(decoded.tile_leaf().unwrap(), bytes.clone());
        for end in 0..bytes.len() {
            prop_assert!(SequencedEntry::decode(&bytes[..end]).is_err(), "cut at {}", end);
        }
    }

    /// What decodes at all encodes to the same bytes: there is one encoding.
    #[test]
    fn garbled_leaves_do_not_decode_to_something_else((pending, at) in any_entry(), place in any::<usize>(), flip in 1u8..) {
        let mut bytes = Vec::new();
        pending.put_tile_leaf(at, &mut bytes).unwrap();
        let place = place % bytes.len();
        bytes[place] ^= flip;
        if let Ok((decoded, rest)) = SequencedEntry::decode(&bytes) {
            prop_assert_eq!([decoded.tile_leaf().unwrap().as_slice(), rest].concat(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = SequencedEntry::decode_all(&bytes);
        let _ = Sct::from_tls(&bytes);
    }
}

#[test]
fn certificates_may_not_be_empty() {
    let leaf = [
        0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
    ];
    SequencedEntry::decode(&leaf).unwrap_err();
}

/// C5, with the signed bytes put together here.
#[tokio::test]
async fn an_sct_signs_the_leaf() {
    let log = in_memory();
    submit(&log, 1).await;
    let pending = entry(&log, 2);
    let sct = log
        .submit(pending.clone(), crate::Submitter::Internal)
        .await
        .unwrap();
    assert_eq!(sct.leaf_index(), LeafIndex::new(1).unwrap());
    assert_eq!(sct.extensions(), [0, 0, 5, 0, 0, 0, 0, 1]);
    let Entry::Precertificate {
        issuer_key_hash, tbs, ..
    } = pending.entry()
    else {
        panic!()
    };
    let mut signed = vec![0, 0];
    signed.extend(sct.timestamp().get().to_be_bytes());
    signed.extend([0, 1]);
    signed.extend(issuer_key_hash);
    signed.extend(&(tbs.len() as u32).to_be_bytes()[1..]);
    signed.extend(tbs);
    signed.extend([0, 8]);
    signed.extend(sct.extensions());
    let digitally_signed = sct.digitally_signed();
    assert_eq!(digitally_signed[..2], [4, 3]);
    log.public_key().verify(&signed, &digitally_signed[4..]).unwrap();
    sct.verify(pending.entry(), log.public_key()).unwrap();
}

#[tokio::test]
async fn an_sct_is_of_one_entry_and_one_log() {
    let log = in_memory();
    let pending = entry(&log, 1);
    let sct = log
        .submit(pending.clone(), crate::Submitter::Internal)
        .await
        .unwrap();
    assert_eq!(
        sct.verify(entry(&log, 2).entry(), log.public_key()),
        Err(SctError::Signature)
    );
    let other = LogKey::generate().unwrap();
    assert_eq!(
        sct.verify(pending.entry(), other.public()),
        Err(SctError::OtherLog)
    );
}

#[tokio::test]
async fn an_sct_is_read_back_and_nothing_else_is() {
    let log = in_memory();
    let pending = entry(&log, 1);
    let sct = log
        .submit(pending.clone(), crate::Submitter::Internal)
        .await
        .unwrap();
    let tls = sct.to_tls();
    assert_eq!(tls[0], 0);
    assert_eq!(tls[1..33], *log.public_key().log_id().as_bytes());
    assert_eq!(tls[41..43], [0, 8]);
    assert_eq!(Sct::from_tls(&tls).unwrap(), sct);
    for end in 0..tls.len() {
        assert_eq!(Sct::from_tls(&tls[..end]), Err(SctError::Malformed));
    }
    assert_eq!(
        Sct::from_tls(&[tls.as_slice(), &[0]].concat()),
        Err(SctError::Malformed)
    );
    for place in 0..tls.len() {
        let mut garbled = tls.clone();
        garbled[place] ^= 1;
        let accepted =
            Sct::from_tls(&garbled).is_ok_and(|sct| sct.verify(pending.entry(), log.public_key()).is_ok());
        assert!(!accepted, "byte {place}");
    }
}

#[test]
fn only_p256_keys_are_log_keys() {
    let key = LogKey::generate().unwrap();
    let again = LogKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
    assert_eq!(again.public().spki_der(), key.public().spki_der());
    let public = LogPublicKey::from_spki_der(key.public().spki_der()).unwrap();
    assert_eq!(public.log_id(), key.public().log_id());
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    LogKey::from_pkcs8_der(p384.serialized_der()).unwrap_err();
    LogPublicKey::from_spki_der(&rcgen::PublicKeyData::subject_public_key_info(&p384)).unwrap_err();
    let spki = key.public().spki_der();
    LogPublicKey::from_spki_der(&[spki, &[0]].concat()).unwrap_err();
    LogPublicKey::from_spki_der(&spki[1..]).unwrap_err();
    let mut off_curve = spki.to_vec();
    *off_curve.last_mut().unwrap() ^= 1;
    LogPublicKey::from_spki_der(&off_curve).unwrap_err();
}

#[test]
fn debug_shows_no_key() {
    let key = LogKey::generate().unwrap();
    let pkcs8 = key.to_pkcs8_der().unwrap();
    let shown = format!("{key:?}");
    assert!(shown.contains("elided"));
    assert!(!shown.contains(&hex::encode(&pkcs8[36..68])));
    assert!(Fingerprint::new([1; 32]).to_string().starts_with("0101"));
}
