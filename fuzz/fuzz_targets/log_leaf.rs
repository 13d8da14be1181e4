//! The binary structures of a log, from somebody else's tiles and certificates: reading ends, without a panic, and what was
//! read is encoded again as the same bytes (C9).
#![no_main]

use ct_log::{Sct, SequencedEntry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(sct) = Sct::from_tls(input) {
        assert_eq!(sct.to_tls(), input);
    }
    let Ok((entry, rest)) = SequencedEntry::decode(input) else {
        assert!(input.is_empty() || SequencedEntry::decode_all(input).is_err());
        return;
    };
    let read = input
        .len()
        .checked_sub(rest.len())
        .and_then(|end| input.get(..end));
    // Longer than a log takes, though well formed.
    let Ok(encoded) = entry.tile_leaf() else {
        return;
    };
    assert_eq!(Some(encoded.as_slice()), read);
    assert!(entry.leaf_hash().is_ok());
});
