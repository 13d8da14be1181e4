//! What an audit record says was given out: the newest SCTs of the embedded log. A log that does not hold their entries lost them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ct_log::Sct;
use serde::Deserialize;

/// How much of the end of a file is read: some ten thousand certificates.
const TAIL: u64 = 16 * 1024 * 1024;

/// What of a line counts here.
#[derive(Deserialize)]
struct Line {
    event: String,
    /// RFC 6962 3.2, TLS encoding, base64.
    sct: Option<String>,
}

/// The SCT with the highest index of each log, from the end of the audit record at `path` and of the file that logrotate
/// makes of it first (`path.1`). None if neither is there. A line that cannot be read is left out: a crash may have cut it short.
///
/// # Errors
/// If the record is there and cannot be read.
pub fn given_out(path: &Path) -> io::Result<Vec<Sct>> {
    let rotated = rotated(path);
    let before = tail(&rotated, TAIL).unwrap_or_else(|error| {
        tracing::warn!(path = %rotated.display(), %error, "the rotated audit record is not compared with the log");
        Vec::new()
    });
    let mut newest = BTreeMap::new();
    for sct in scts(&before).chain(scts(&tail(path, TAIL)?)) {
        let known = newest
            .entry(*sct.log_id().as_bytes())
            .or_insert_with(|| sct.clone());
        if sct.leaf_index() > known.leaf_index() {
            *known = sct;
        }
    }
    Ok(newest.into_values().collect())
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// At most the last `most` bytes, from the beginning of a line.
fn tail(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        // Devices and pipes remember nothing, and to open a pipe waits for its writer.
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    if start > 0 {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        bytes.drain(..=end.unwrap_or(bytes.len().saturating_sub(1)));
    }
    Ok(bytes)
}

fn scts(lines: &[u8]) -> impl Iterator<Item = Sct> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let line: Line = serde_json::from_slice(line).ok()?;
        let sct = line.sct.filter(|_| line.event == "certificate")?;
        Sct::from_tls(&STANDARD.decode(sct).ok()?).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As [`ct_log::Sct::to_tls`] has it; nobody verifies the signature here.
    fn line(log: u8, index: u64) -> String {
        let mut tls = vec![0];
        tls.extend([log; 32]);
        tls.extend(1_795_000_000_000_u64.to_be_bytes());
        tls.extend([0, 8, 0, 0, 5]);
        tls.extend(&index.to_be_bytes()[3..]);
        tls.extend([4, 3, 0, 2, 1, 1]);
        let sct = STANDARD.encode(tls);
        format!("{{\"event\":\"certificate\",\"time\":\"\",\"leaf_index\":{index},\"sct\":\"{sct}\"}}\n")
    }

    fn found(path: &Path) -> Vec<(u8, u64)> {
        let scts = given_out(path).unwrap();
        let known = scts
            .iter()
            .map(|sct| (sct.log_id().as_bytes()[0], sct.leaf_index().get()));
        known.collect()
    }

    #[test]
    fn the_newest_sct_of_each_log_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        assert_eq!(found(&path), []);
        let other = "{\"event\":\"precertificate\",\"serial\":\"00\"}\n";
        // Records of one moment are in any order.
        let text = [line(1, 7), line(2, 3), other.to_owned(), line(1, 9), line(1, 8)].concat();
        fs::write(&path, &text).unwrap();
        assert_eq!(found(&path), [(1, 9), (2, 3)]);
        let informational = line(1, 100).replace("certificate", "informational-sct");
        let torn = line(1, 101).split_at(90).0.to_owned();
        fs::write(&path, [&text, &informational, &torn, "\n", "\u{0}\n"].concat()).unwrap();
        assert_eq!(found(&path), [(1, 9), (2, 3)]);
        // Rotated just now.
        fs::rename(&path, folder.path().join("audit.jsonl.1")).unwrap();
        assert_eq!(found(&path), [(1, 9), (2, 3)]);
        fs::write(&path, line(2, 12)).unwrap();
        assert_eq!(found(&path), [(1, 9), (2, 12)]);
        assert_eq!(found(Path::new("/dev/null")), []);
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert_eq!(found(&pipe), []);
    }

    #[test]
    fn of_a_long_record_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (first, second) = (line(1, 1), line(1, 2));
        fs::write(&path, [first.as_str(), &second].concat()).unwrap();
        let read = |most: usize| {
            let bytes = tail(&path, most.try_into().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let length = second.len();
        assert_eq!(read(10), "");
        assert_eq!(read(length), "", "it may begin in the middle of a line");
        assert_eq!(read(length + 1), second);
        assert_eq!(read(first.len() + length), [first.as_str(), &second].concat());
    }
}
