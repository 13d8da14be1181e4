//! The witness of others: torchwood's litewitness cosigns our checkpoints, which it verifies with its own code.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::witness::{NoteKey, Witness, WitnessOutcome, Witnesses};
use ct_log::{Checkpoint, Log, LogKey, LogSettings, SctAfter};
use support::{Pki, grow, origin};

const NAME: &str = "witness.example/lite";

/// What `witnessctl add-log` and `add-key` write.
const ADD_LOG: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL)')
db.execute('CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin))')
db.execute('INSERT INTO log VALUES (?, 0, ?)', (sys.argv[2], '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='))
db.execute('INSERT INTO key VALUES (?, ?)', (sys.argv[2], sys.argv[3]))
db.commit()
";

/// Ends with the test, by its own pid.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A witness with a new key in an agent of its own, which knows the log with that verifier key.
fn start(folder: &Path, log_key: &str) -> (Witness, [Running; 2]) {
    let (key, agent, database) = (
        folder.join("key"),
        folder.join("agent"),
        folder.join("witness.db"),
    );
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key));
    run(Command::new("python3")
        .args(["-c", ADD_LOG])
        .arg(&database)
        .args([origin().as_str(), log_key]));
    let serving = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&agent)
        .spawn()
        .unwrap();
    let serving = Running(serving);
    until(|| agent.exists().then_some(()));
    run(Command::new("ssh-add").arg(&key).env("SSH_AUTH_SOCK", &agent));
    let fingerprint = run(Command::new("ssh-keygen").arg("-lf").arg(&key));
    let fingerprint = fingerprint.split(' ').nth(1).unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let witness = Command::new("litewitness")
        .args(["-name", NAME, "-key", fingerprint, "-listen", &address])
        .arg("-db")
        .arg(&database)
        .arg("-ssh-agent")
        .arg(&agent)
        .spawn()
        .unwrap();
    let witness = Running(witness);
    until(|| TcpStream::connect(&address).ok());
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let blob = STANDARD.decode(public.split(' ').nth(1).unwrap()).unwrap();
    let (_, public) = blob.split_last_chunk::<32>().unwrap();
    let id = digest(&SHA256, &[NAME.as_bytes(), b"\n\x04", public].concat());
    let id = hex::encode(id.as_ref().first_chunk::<4>().unwrap());
    let material = STANDARD.encode([&[4], public.as_slice()].concat());
    let key = format!("{NAME}+{id}+{material}").parse().unwrap();
    let url = format!("http://{address}");
    (Witness { url, key }, [serving, witness])
}

fn until<T>(mut happened: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = happened() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs litewitness, ssh-agent and python3"]
async fn litewitness_cosigns_what_the_log_publishes() {
    let folder = tempfile::tempdir().unwrap();
    let note_key = NoteKey::generate().unwrap();
    let (witness, _running) = start(folder.path(), &note_key.verifier_key(&origin()));
    let witnesses = Witnesses::new(vec![witness], 1, note_key).unwrap();
    let settings = LogSettings::new(folder.path().join("log"), origin()).index_in_memory();
    let key = LogKey::generate().unwrap();
    let again = LogKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
    let settings = settings.witnesses(witnesses).sct_after(SctAfter::Witnessed);
    let log = Log::create(settings.clone(), key).unwrap();
    let pki = Pki::new();
    // Within a tile, over its end, and over several: a proof of another shape each time.
    for count in [1, 2, 70, 300, 1000] {
        grow(&log, &pki, count).await;
        let note = log.witnessed_checkpoint().unwrap();
        let checkpoint = Checkpoint::verify(&note, log.origin(), log.public_key()).unwrap();
        assert_eq!(checkpoint.size(), log.size());
        assert!(note.contains(NAME), "{note}");
    }
    log.shutdown().await;
    drop(log);
    // After a restart the log asks what the witness has seen.
    let log = Log::open(settings, again).unwrap();
    grow(&log, &pki, 5).await;
    let statistics = log.statistics();
    for (outcome, count) in &statistics.witnesses.first().unwrap().outcomes {
        let harmless = matches!(outcome, WitnessOutcome::Cosigned | WitnessOutcome::Conflict);
        assert!(harmless || *count == 0, "{outcome:?}");
    }
    log.shutdown().await;
}
