//! Signed notes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use crate::checkpoint::{Checkpoint, CheckpointError, Origin};
use crate::key::LogKey;
use crate::leaf::UnixMillis;
use crate::tree::{empty_root, leaf_hash, sha256};

fn origin() -> Origin {
    Origin::new("ca.example.com/ct/2027").unwrap()
}

fn signed(key: &LogKey) -> (Checkpoint, String) {
    let checkpoint = Checkpoint::new(1234, leaf_hash(&[b"root"]), UnixMillis::new(1_795_000_000_123));
    let note = checkpoint.sign(&origin(), key).unwrap();
    (checkpoint, note)
}

/// Every byte of the note, put together here from C2SP static-ct-api.
#[test]
fn a_note_byte_for_byte() {
    let key = LogKey::generate().unwrap();
    let (checkpoint, note) = signed(&key);
    let (text, signature) = note.split_once("\n\n").unwrap();
    let root = STANDARD.encode(leaf_hash(&[b"root"]).as_bytes());
    assert_eq!(text, format!("ca.example.com/ct/2027\n1234\n{root}"));
    let value = signature
        .strip_prefix("\u{2014} ca.example.com/ct/2027 ")
        .unwrap()
        .strip_suffix('\n')
        .unwrap();
    let value = STANDARD.decode(value).unwrap();
    let mut named = b"ca.example.com/ct/2027\n\x05".to_vec();
    named.extend(sha256(key.public().spki_der()));
    assert_eq!(value[..4], sha256(&named)[..4]);
    assert_eq!(value[4..12], 1_795_000_000_123u64.to_be_bytes());
    assert_eq!(value[12..14], [4, 3]);
    let mut tree_head = vec![0, 1];
    tree_head.extend(1_795_000_000_123u64.to_be_bytes());
    tree_head.extend(1234u64.to_be_bytes());
    tree_head.extend(checkpoint.root().as_bytes());
    key.public().verify(&tree_head, &value[16..]).unwrap();
    assert_eq!(Checkpoint::verify(&note, &origin(), key.public()), Ok(checkpoint));
}

/// C22.
#[test]
fn sixteen_unknown_signatures_are_ignored() {
    let key = LogKey::generate().unwrap();
    let (checkpoint, note) = signed(&key);
    let (text, own) = note.split_once("\n\n").unwrap();
    let unknown: Vec<String> = (0..16u8)
        .map(|n| {
            let name = if n % 2 == 0 {
                format!("witness{n}.example")
            } else {
                origin().to_string()
            };
            format!(
                "\u{2014} {name} {}\n",
                STANDARD.encode(vec![n; 5 + 100 * usize::from(n)])
            )
        })
        .collect();
    for place in 0..=16 {
        let (before, after) = unknown.split_at(place);
        let note = format!("{text}\n\n{}{own}{}", before.concat(), after.concat());
        assert_eq!(
            Checkpoint::verify(&note, &origin(), key.public()),
            Ok(checkpoint),
            "place {place}"
        );
    }
    let without = format!("{text}\n\n{}", unknown.concat());
    assert_eq!(
        Checkpoint::verify(&without, &origin(), key.public()),
        Err(CheckpointError::Unsigned)
    );
}

#[test]
fn notes_that_are_refused() {
    let key = LogKey::generate().unwrap();
    let (_, note) = signed(&key);
    let verify = |note: &str| Checkpoint::verify(note, &origin(), key.public()).unwrap_err();
    let other = LogKey::generate().unwrap();
    assert_eq!(
        Checkpoint::verify(&note, &origin(), other.public()),
        Err(CheckpointError::Unsigned)
    );
    let elsewhere = Origin::new("ca.example.com/ct/2028").unwrap();
    assert_eq!(
        Checkpoint::verify(&note, &elsewhere, key.public()),
        Err(CheckpointError::OtherOrigin)
    );
    let (_, own) = note.split_once("\n\n").unwrap();
    assert_eq!(
        verify(&note.replace("\n1234\n", "\n1235\n")),
        CheckpointError::Signature
    );
    for malformed in [
        String::new(),
        "\n\n".to_owned(),
        note.replace("\n1234\n", "\n01234\n"),
        note.replace("\n1234\n", "\n+1234\n"),
        note.replace("\n1234\n", "\n-1\n"),
        note.replace("\n1234\n", "\n18446744073709551616\n"),
        note.replace("\n\n", "\nextension\n\n"),
        note.replace("\n1234\n", "\r\n1234\r\n"),
        note.replace("\n1234\n", "\n\0\n"),
        note.trim_end().to_owned(),
        format!("{note}\n"),
        format!("{note}junk\n"),
        format!("{note}{own}"),
        note.replace('\u{2014}', "-"),
        format!("{note}{}", "\u{2014} w.example AAAAAAA=\n".repeat(100)),
    ] {
        assert_eq!(verify(&malformed), CheckpointError::Malformed, "{malformed:?}");
    }
}

#[test]
fn origins() {
    for good in ["ca.example.com/ct", "localhost:8080/ct", "mayfly.dev"] {
        assert_eq!(Origin::new(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        "a b",
        "a+b",
        "https://a/b",
        "a/",
        "/a",
        "a\nb",
        "a\u{a0}b",
        "\u{7f}",
        &"a".repeat(513),
    ] {
        assert!(Origin::new(bad).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_does_not_panic(note in "\\PC{0,80}(\n\\PC{0,40}){0,8}") {
        let key = LogKey::generate().unwrap();
        prop_assert!(Checkpoint::verify(&note, &origin(), key.public()).is_err());
    }

    #[test]
    fn a_changed_note_is_refused(place in any::<usize>(), flip in 1u8..128) {
        let key = LogKey::generate().unwrap();
        let checkpoint = Checkpoint::new(7, empty_root(), UnixMillis::new(1));
        let note = checkpoint.sign(&origin(), &key).unwrap();
        let mut bytes = note.into_bytes();
        let place = place % bytes.len();
        bytes[place] ^= flip;
        if let Ok(note) = String::from_utf8(bytes) {
            prop_assert!(Checkpoint::verify(&note, &origin(), key.public()).is_err());
        }
    }
}
