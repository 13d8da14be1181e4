//! With somebody who answers.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::Ceremony;

/// Answers what a command asks on a terminal.
pub(crate) struct Conversation {
    child: Child,
    said: String,
}

impl Conversation {
    /// In a terminal of its own, by `script` of util-linux.
    pub(crate) fn begin(folder: &Path, arguments: &str) -> Self {
        let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_mayfly"));
        let child = Command::new("script")
            .args(["-qefc", &line, "/dev/null"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self {
            child: child.unwrap(),
            said: String::new(),
        }
    }

    /// Waits until it asks that, and answers.
    pub(crate) fn answer(&mut self, question: &str, answer: &str) {
        let from = self.said.len();
        while !self.said[from..].contains(question) {
            let mut byte = [0];
            let read = self.child.stdout.as_mut().unwrap().read(&mut byte).unwrap();
            assert_eq!(read, 1, "it ended before it asked {question:?}: {}", self.said);
            self.said.push(char::from(byte[0]));
        }
        // Only then does the terminal show nothing: what is typed before is echoed by it, and thrown away.
        thread::sleep(Duration::from_millis(200));
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{answer}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        self.child
            .stdout
            .as_mut()
            .unwrap()
            .read_to_end(&mut rest)
            .unwrap();
        self.said.push_str(&String::from_utf8_lossy(&rest));
        (self.child.wait().unwrap().code(), self.said)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs script of util-linux"]
async fn on_a_terminal_it_asks_and_shows_no_passphrase() {
    let ceremony = Ceremony::new().await;
    let issuer = ceremony.issuer.url().to_owned();
    let mut conversation = Conversation::begin(
        ceremony.folder.path(),
        &format!("init ca --listen 127.0.0.1:0 --client-id sigstore --private-issuer --issuer {issuer}"),
    );
    conversation.answer("Public name of the CA", "ca.example.com");
    conversation.answer("Organisation in the certificates", "Acme, Inc.");
    conversation.answer("Common name [Acme, Inc. code signing]", "");
    conversation.answer("Kind of the CA's keys", "p521");
    conversation.answer("Kind of the CA's keys", "p256");
    conversation.answer("Passphrase for the root's key", "");
    conversation.answer("Passphrase for the root's key", "root horse");
    conversation.answer("The same again", "root house");
    conversation.answer("Passphrase for the root's key", "root horse");
    conversation.answer("The same again", "root horse");
    conversation.answer("Passphrase for the server's keys", "");
    conversation.answer("Leave the server's keys unencrypted", "n");
    conversation.answer("Passphrase for the server's keys", "server horse");
    conversation.answer("The same again", "server horse");
    let (code, said) = conversation.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("horse"), "{said}");
    assert!(
        said.contains("The CA is made") && said.contains("two different passphrases"),
        "{said}"
    );
    ceremony
        .assert_serves(
            &ceremony.path("ca/server"),
            &[("MAYFLY_PASSPHRASE", "server horse")],
        )
        .await;
}

#[tokio::test]
#[ignore = "needs script of util-linux"]
async fn what_comes_next_under_a_root_asks_for_both_passphrases() {
    let ceremony = Ceremony::new().await;
    ceremony.make("ca --key-kind p256 --root-passphrase file:root-secret --no-passphrase");
    ceremony.move_root("ca", "offline");
    for (command, key, of) in [
        ("intermediate", "ca-key.pem", "the intermediate's key"),
        (
            "timestamp-authority",
            "timestamp-key.pem",
            "the timestamp authority's key",
        ),
    ] {
        let line = format!("{command} {command} --root offline/root.pem --root-key offline/root-key.pem");
        let mut conversation = Conversation::begin(ceremony.folder.path(), &line);
        conversation.answer(&format!("Passphrase for {of}"), "server horse");
        conversation.answer("The same again", "server horse");
        conversation.answer("root-key.pem", "server horse");
        conversation.answer("root-key.pem", "root horse");
        let (code, said) = conversation.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("not its passphrase") && !said.contains("horse"),
            "{said}"
        );
        let key = fs::read_to_string(ceremony.path(command).join(key)).unwrap();
        assert!(key.contains("BEGIN ENCRYPTED PRIVATE KEY"));
    }
}
