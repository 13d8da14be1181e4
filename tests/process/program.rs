//! The program as a child process; killed at the latest when its handle goes.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Nothing in these tests takes this long unless it hangs.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// Waits until that is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(HANG, waiting).await.is_ok(), "never: {what}");
}

pub(crate) struct Program {
    child: Child,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
}

/// What the child has written so far.
#[derive(Default)]
struct Output {
    state: Mutex<Written>,
    grown: Condvar,
}

#[derive(Default)]
struct Written {
    text: String,
    ended: bool,
}

/// `mayfly` with log lines as JSON.
pub(crate) fn mayfly() -> Command {
    plain(Command::new(env!("CARGO_BIN_EXE_mayfly")))
}

/// The same in a process that is told about a file that grows too large, not ended by it.
pub(crate) fn mayfly_with_file_limit() -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args([
        "-c",
        r#"trap "" XFSZ; exec "$0" "$@""#,
        env!("CARGO_BIN_EXE_mayfly"),
    ]);
    plain(shell)
}

fn plain(mut command: Command) -> Command {
    command
        .arg("--log-format=json")
        .env_remove("MAYFLY_LOG")
        .env_remove("MAYFLY_CONFIG");
    command
}

impl Program {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// `mayfly dev` on free ports; its `--json` line comes from [`Program::ready`].
    pub(crate) fn dev(data_dir: &Path) -> Self {
        let arguments = ["dev", "--json", "--port=0", "--key-kind=p256", "--data-dir"];
        Self::spawn(mayfly().args(arguments).arg(data_dir))
    }

    /// What `mayfly dev --json` says when it is ready.
    pub(crate) fn ready(&self) -> Value {
        let text = self.stdout.wait(|text| text.contains('\n'));
        let line = text.lines().next();
        serde_json::from_str(line.unwrap_or_else(|| panic!("{}", self.stderr()))).unwrap()
    }

    /// The address at which `mayfly serve` says that it serves.
    pub(crate) fn serving(&self) -> String {
        self.address("api")
    }

    /// Where it says that its metrics are.
    pub(crate) fn serving_metrics(&self) -> String {
        format!("http://{}/metrics", self.address("metrics"))
    }

    fn address(&self, of: &str) -> String {
        let address = |text: &str| {
            let mut lines = text.lines().map(serde_json::from_str::<Value>);
            let line = lines.find_map(|line| line.ok().filter(|line| line["message"] == "serving"))?;
            Some(line[of].as_str()?.to_owned())
        };
        let text = self.stderr.wait(|text| address(text).is_some());
        address(&text).unwrap_or_else(|| panic!("it does not serve:\n{text}"))
    }

    /// Waits until the log says enough.
    pub(crate) fn wait_for(&self, enough: impl Fn(&str) -> bool) {
        let text = self.stderr.wait(&enough);
        assert!(enough(&text), "{text}");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.exit();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// SIGSTOP: it does nothing any more until [`Program::resume`], and does not know that time went by.
    pub(crate) fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// SIGTERM, and an orderly end.
    pub(crate) fn stop(&mut self) {
        self.terminate();
        assert_eq!(self.exit().code(), Some(0), "{}", self.stderr());
    }

    /// Waits for the end.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        self.child.wait().unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.state.lock().unwrap().text.clone()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, or must.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self::default());
        let written = Arc::clone(&output);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let mut state = written.state.lock().unwrap();
                state.text += &line.unwrap();
                state.text.push('\n');
                written.grown.notify_all();
            }
            written.state.lock().unwrap().ended = true;
            written.grown.notify_all();
        });
        output
    }

    /// The text, once `enough` says so of it or there will be no more.
    fn wait(&self, enough: impl Fn(&str) -> bool) -> String {
        let state = self.state.lock().unwrap();
        let waiting = |state: &mut Written| !state.ended && !enough(&state.text);
        let (state, waited) = self.grown.wait_timeout_while(state, HANG, waiting).unwrap();
        assert!(!waited.timed_out(), "it hangs:\n{}", state.text);
        state.text.clone()
    }

    fn wait_for_end(&self) {
        self.wait(|_| false);
    }
}
