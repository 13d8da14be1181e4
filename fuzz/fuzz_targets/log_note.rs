//! A checkpoint with other people's lines in it. The line `SIGNATURE` of the input stands for the log's own signature, made
//! over its one tree: a note is refused, or it says what the log signed.
#![no_main]

use std::sync::LazyLock;

use ct_log::{Checkpoint, Log, LogKey, LogPublicKey, Origin};
use libfuzzer_sys::fuzz_target;

const ORIGIN: &str = "log.example/fuzz";

struct Signed {
    key: LogPublicKey,
    checkpoint: Checkpoint,
    line: String,
    root: String,
}

#[expect(clippy::unwrap_used, reason = "does not depend on the input")]
static SIGNED: LazyLock<Signed> = LazyLock::new(|| {
    let origin = Origin::new(ORIGIN).unwrap();
    let log = Log::in_memory(origin.clone(), LogKey::generate().unwrap()).unwrap();
    let (key, note) = (log.public_key().clone(), log.checkpoint());
    Signed {
        checkpoint: Checkpoint::verify(&note, &origin, &key).unwrap(),
        key,
        line: note.lines().last().unwrap().to_owned(),
        root: note.lines().nth(2).unwrap().to_owned(),
    }
});

fuzz_target!(|input: &str| {
    let note = input
        .replace("SIGNATURE", &SIGNED.line)
        .replace("ROOT", &SIGNED.root);
    for origin in [ORIGIN, input.lines().next().unwrap_or_default()] {
        let Ok(origin) = Origin::new(origin) else {
            continue;
        };
        if let Ok(checkpoint) = Checkpoint::verify(&note, &origin, &SIGNED.key) {
            assert_eq!(checkpoint, SIGNED.checkpoint);
            assert_eq!(origin.as_str(), ORIGIN);
        }
    }
});
