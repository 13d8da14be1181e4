//! Recovery of a write-ahead log that was damaged. The input is edits to the bytes of one with seven entries, of which three
//! were published; if its first byte is odd, the hashes of the records are put right again afterwards, as a forger would. The log is
//! refused, or what is left of it is sound and covers what was published (C9, C10).
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use ct_log::{
    Log, LogKey, LogSettings, Origin, PendingEntry, Submitter,
    check::{Depth, Problem, StoredLog, check},
    tree::sha256,
};
use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use tokio::runtime::{Builder, Runtime};

/// Records begin at multiples of this.
const BLOCK: usize = 4096;

/// Parts of a record: `ct-log/README.md` has its layout.
const MAGIC: &[u8] = b"CTLOGWAL";
const BODY_LENGTH: std::ops::Range<usize> = 16..20;
const PREVIOUS: std::ops::Range<usize> = 164..196;
const CHECK: std::ops::Range<usize> = 196..204;

const PUBLISHED: u64 = 3;

struct Base {
    directory: PathBuf,
    segment: PathBuf,
    bytes: Vec<u8>,
    runtime: Runtime,
}

#[expect(clippy::unwrap_used, reason = "does not depend on the input")]
static BASE: LazyLock<Base> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let directory = std::env::temp_dir().join(format!("mayfly-fuzz-{}", std::process::id()));
    let origin = Origin::new("log.example/fuzz").unwrap();
    let settings = LogSettings::new(&directory, origin).min_free_bytes(0);
    let log = Log::create(settings, LogKey::generate().unwrap()).unwrap();
    let submit = async |number: u64| {
        let issuers = log.store_issuers(&[b"issuer"]).unwrap();
        let entry = PendingEntry::certificate(number.to_be_bytes().to_vec(), issuers);
        log.submit(entry, Submitter::Internal).await.unwrap();
    };
    let checkpoint = runtime.block_on(async {
        for number in 0..PUBLISHED {
            submit(number).await;
        }
        while log.statistics().published.size() < PUBLISHED {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let checkpoint = log.checkpoint();
        for number in PUBLISHED..7 {
            submit(number).await;
        }
        log.shutdown().await;
        checkpoint
    });
    fs::write(directory.join("checkpoint"), checkpoint.as_bytes()).unwrap();
    let mut segments: Vec<_> = fs::read_dir(directory.join("wal")).unwrap().flatten().collect();
    segments.sort_by_key(fs::DirEntry::path);
    let segment = segments.first().unwrap().path();
    for unused in segments.iter().skip(1) {
        fs::remove_file(unused.path()).unwrap();
    }
    let mut bytes = fs::read(&segment).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes.truncate((used + 1).next_multiple_of(BLOCK) + BLOCK);
    Base {
        directory,
        segment,
        bytes,
        runtime,
    }
});

fuzz_target!(|input: &[u8]| {
    let mut bytes = BASE.bytes.clone();
    let mut input = Unstructured::new(input);
    let seal_again = input.arbitrary().is_ok_and(|first: u8| first % 2 == 1);
    while !input.is_empty() {
        let Ok((position, length)) = input.arbitrary::<(u16, u8)>() else {
            break;
        };
        let new = input
            .bytes(usize::from(length).min(input.len()))
            .unwrap_or_default();
        for (slot, byte) in bytes.iter_mut().skip(position.into()).zip(new) {
            *slot = *byte;
        }
    }
    if seal_again {
        let mut previous = None;
        for block in 0..bytes.len() / BLOCK {
            previous = seal(&mut bytes, block * BLOCK, previous).or(previous);
        }
    }
    #[expect(clippy::unwrap_used, reason = "does not depend on the input")]
    fs::write(&BASE.segment, &bytes).unwrap();
    let Ok(log) = StoredLog::read(&BASE.directory) else {
        assert_ne!(bytes, BASE.bytes, "the log as it was must be accepted");
        return;
    };
    let report = BASE
        .runtime
        .block_on(check(&log, (log.origin(), log.public_key()), Depth::Structure));
    // The names of issuers are not under the hash of the tree: a forger may change them.
    let forged = |problem: &Problem| seal_again && matches!(problem, Problem::Unreadable(_));
    assert!(report.problems().iter().all(forged), "{report}");
    assert_eq!(report.entries(), PUBLISHED);
    assert_eq!(report.size(), Some(PUBLISHED));
});

/// Puts the hashes of the record that begins there right, if one does, and gives that of all of it for the next record.
fn seal(bytes: &mut [u8], start: usize, previous: Option<[u8; 32]>) -> Option<[u8; 32]> {
    let record = bytes.get_mut(start..)?;
    if !record.starts_with(MAGIC) {
        return None;
    }
    let length = u32::from_be_bytes(record.get(BODY_LENGTH)?.try_into().ok()?);
    let end = CHECK.end.checked_add(usize::try_from(length).ok()?)?;
    if let Some(previous) = previous {
        record.get_mut(PREVIOUS)?.copy_from_slice(&previous);
    }
    let check = sha256(record.get(..CHECK.start)?);
    record.get_mut(CHECK)?.copy_from_slice(check.get(..CHECK.len())?);
    let hash = sha256(record.get(..end)?);
    record
        .get_mut(end..)?
        .get_mut(..hash.len())?
        .copy_from_slice(&hash);
    Some(hash)
}
