//! The bare disk: what no log can be faster than.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;

/// Blocks of the file that is written over and over, as a prepared segment of a log has them.
const BLOCKS: u64 = 2048;

/// The time of each write of one block and its fdatasync, in a file whose blocks are allocated.
pub(crate) fn syncs(directory: &Path, during: Duration) -> Vec<Duration> {
    let path = directory.join("bare");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)
        .unwrap();
    for _ in 0..BLOCKS {
        file.write_all(&[0; BLOCK]).unwrap();
    }
    file.sync_all().unwrap();
    let (began, mut times) = (Instant::now(), Vec::new());
    for block in (0..BLOCKS).cycle() {
        if began.elapsed() >= during {
            break;
        }
        let start = Instant::now();
        file.write_all_at(&[1; BLOCK], block * BLOCK as u64).unwrap();
        file.sync_data().unwrap();
        times.push(start.elapsed());
    }
    std::fs::remove_file(path).unwrap();
    times
}

/// The time that this share of all is below, in milliseconds.
pub(crate) fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let last = times.len() - 1;
    times[(last as f64 * share).round() as usize].as_secs_f64() * 1000.0
}
