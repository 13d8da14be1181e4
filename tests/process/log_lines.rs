//! Log lines that nobody reads: the reader of standard error goes away, was never there, stands still, or the disk is full. Requests
//! are answered as before, and the process still ends when it is told to.

use std::{
    fs::File,
    io::{PipeReader, Read, pipe},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use mayfly::{
    clock::{Clock, SystemClock},
    dev::{CLIENT_ID, Issuers, Minter, ProviderKey, data_dir::DataDir, ready::Ready},
};
use rustix::{
    io::ioctl_fionbio,
    process::{Pid, Signal, kill_process},
};
use tempfile::TempDir;

use crate::{
    audit::AuditRecord,
    certificate::Issued,
    client::Client,
    installation::EMAIL,
    program::{HANG, mayfly, until},
    published::Published,
};

/// Requests whose lines fill a pipe, which holds 64 KiB.
const ENOUGH: usize = 700;

/// `mayfly dev` with what we choose as its standard output and error.
struct Dev {
    child: Child,
    data_dir: DataDir,
    ready: Ready,
    client: Client,
    token: String,
    _folder: TempDir,
}

impl Dev {
    async fn start(stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::at(folder.path().join("data"));
        let mut command = mayfly();
        let child = command
            .args(["dev", "--json", "--port=0", "--ca-key=p256", "--data-dir"])
            .arg(data_dir.path())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        until("it says where it is", async || Ready::read(&data_dir).is_ok()).await;
        let ready = Ready::read(&data_dir).unwrap();
        let minter = Minter::new(
            ProviderKey::open(&data_dir.oidc_key()).unwrap(),
            Issuers::at(&ready.api),
        );
        let token = minter.email(&EMAIL.parse().unwrap(), CLIENT_ID, SystemClock.now());
        Self {
            child,
            client: Client::new(&ready.api),
            token: token.unwrap(),
            data_dir,
            ready,
            _folder: folder,
        }
    }

    async fn issue(&self, number: usize) -> Vec<Issued> {
        let mut issued = Vec::new();
        for _ in 0..number {
            let answer = self.client.request(&self.token, EMAIL).await;
            issued.push(answer.unwrap().issued());
        }
        issued
    }

    async fn metric(&self, name: &str) -> u64 {
        let text = reqwest::get(&self.ready.metrics)
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }

    /// Each certificate is one entry of the log and on record, and there is no other entry.
    async fn assert_logged(&self, issued: &[Issued]) {
        let published = Published::at(&self.ready.api, &self.data_dir.log());
        let number = u64::try_from(issued.len()).unwrap();
        assert_eq!(published.audited_entries_of(number).await.len(), issued.len());
        let record = AuditRecord::read(&self.data_dir.audit());
        issued.iter().for_each(|issued| record.assert_holds(issued));
    }

    /// SIGTERM ends it, in order and in time.
    async fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let child = &mut self.child;
        let mut status = None;
        let ended = async {
            while status.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                status = child.try_wait().unwrap();
            }
        };
        assert!(
            tokio::time::timeout(HANG, ended).await.is_ok(),
            "SIGTERM does not end it"
        );
        assert_eq!(status.unwrap().code(), Some(0));
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn full_disk() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_reader_goes_away_every_request_is_answered() {
    let (reader, writer) = pipe().unwrap();
    let mut dev = Dev::start(Stdio::null(), writer).await;
    let mut issued = dev.issue(2).await;
    assert_eq!(dev.metric("mayfly_log_lines_dropped_total").await, 0);
    drop(reader);
    issued.extend(dev.issue(6).await);
    assert_eq!(dev.client.get("/readyz").await.status, 200);
    dev.assert_logged(&issued).await;
    assert_eq!(dev.metric("mayfly_panics_total").await, 0);
    assert!(dev.metric("mayfly_log_lines_dropped_total").await >= 6);
    dev.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_without_a_reader_and_on_a_full_disk() {
    let closed = || pipe().unwrap().1;
    let mut of_pipes = Dev::start(closed(), closed()).await;
    let mut of_files = Dev::start(full_disk(), full_disk()).await;
    for dev in [&mut of_pipes, &mut of_files] {
        let issued = dev.issue(2).await;
        dev.assert_logged(&issued).await;
        assert!(dev.metric("mayfly_log_lines_dropped_total").await >= 2);
        assert_eq!(dev.metric("mayfly_panics_total").await, 0);
        dev.stop().await;
    }
}

/// And not one line is lost, if it is read in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pipe_stops_no_request() {
    for blocking in [true, false] {
        let (reader, writer) = pipe().unwrap();
        ioctl_fionbio(&writer, !blocking).unwrap();
        let (silent, output) = pipe().unwrap();
        fill(&output);
        let mut dev = Dev::start(output, writer).await;
        for _ in 0..ENOUGH {
            assert_eq!(dev.client.get("/api/v2/trustBundle").await.status, 200);
        }
        let issued = dev.issue(2).await;
        dev.assert_logged(&issued).await;
        assert_eq!(dev.metric("mayfly_log_lines_dropped_total").await, 0);
        let lines = tokio::task::spawn_blocking(move || read_lines(reader));
        dev.stop().await;
        assert!(lines.await.unwrap() >= ENOUGH);
        drop(silent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stands_still_does_not_keep_sigterm_from_ending_it() {
    let (_reader, writer) = pipe().unwrap();
    fill(&writer);
    let mut dev = Dev::start(Stdio::null(), writer).await;
    let issued = dev.issue(2).await;
    dev.assert_logged(&issued).await;
    dev.stop().await;
}

/// Nobody can write into it any more without waiting.
fn fill(writer: &std::io::PipeWriter) {
    ioctl_fionbio(writer, true).unwrap();
    let mut writer = writer;
    while std::io::Write::write(&mut writer, &[b'\n'; 4096]).is_ok() {}
    ioctl_fionbio(writer, false).unwrap();
}

/// How many requests it tells of.
fn read_lines(mut reader: PipeReader) -> usize {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text.matches(r#""message":"request""#).count()
}

/// `head` reads what it wants and goes: no message, and the exit code is that of the command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_output_nobody_wants_ends_quietly() {
    let mut dev = Dev::start(Stdio::null(), Stdio::null()).await;
    let data_dir = dev.data_dir.path().to_owned();
    let token = |stdout: Stdio| {
        let mut command = mayfly();
        command.args(["dev", "token", "--email", EMAIL, "--data-dir"]);
        said(command.arg(&data_dir).stdout(stdout))
    };
    assert_eq!(token(pipe().unwrap().1.into()), (Some(0), String::new()));
    let (code, text) = token(full_disk().into());
    assert!(code == Some(1) && text.contains("No space left"), "{text}");

    // Wrong: the error is that of the configuration, whoever reads what.
    for (stdout, code) in [(Stdio::null(), 2), (pipe().unwrap().1.into(), 2)] {
        let mut command = mayfly();
        let missing = Path::new("/nonexistent/mayfly.yaml");
        let (ended, text) = said(
            command
                .args(["config", "check", "--config"])
                .arg(missing)
                .stdout(stdout),
        );
        assert!(ended == Some(code) && !text.contains("panicked"), "{text}");
    }
    // The same without anybody to tell why, or that this is no filter.
    let mut command = mayfly();
    command.args(["serve", "--config", "/nonexistent/mayfly.yaml"]);
    command.env("MAYFLY_LOG", "a=b=c");
    let status = command.stderr(pipe().unwrap().1).status().unwrap();
    assert_eq!(status.code(), Some(2));
    dev.stop().await;
}

/// Exit code and standard error.
fn said(command: &mut Command) -> (Option<i32>, String) {
    let child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
