//! `mayfly trust tuf`, beside a server and without one.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{ceremony::terminal::Conversation, installation::Installation, program::mayfly};

/// The commands, called in the folder of an installation whose trust files are exported.
struct Commands<'a> {
    installation: &'a Installation,
    passphrase: String,
}

impl<'a> Commands<'a> {
    fn of(installation: &'a Installation) -> Self {
        installation.serve().program.stop();
        installation.exported(&["--url", "https://ca.example.com"]);
        installation.write("secret", "correct horse\n");
        installation.chmod("secret", 0o600);
        Self {
            installation,
            passphrase: format!("file:{}", installation.path("secret").display()),
        }
    }

    /// Exit code, and what it says. Words are separated by spaces; PASSPHRASE is the place of one.
    fn run(&self, line: &str) -> (Option<i32>, String) {
        let line = line.replace("PASSPHRASE", &self.passphrase);
        let mut command = mayfly();
        command.args(["trust", "tuf"]).args(line.split_whitespace());
        let output = command.current_dir(self.installation.path("")).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    fn done(&self, line: &str, says: &str) {
        self.ends(line, 0, says);
    }

    fn ends(&self, line: &str, code: i32, says: &str) {
        let (ended, said) = self.run(line);
        assert_eq!(ended, Some(code), "{line}: {said}");
        assert!(said.contains(says), "{line}: {said}");
    }

    /// A repository with two root keys, of which both must sign.
    fn init(&self) {
        self.done(
            "init tuf --root-key r1.pem --root-key r2.pem --root-threshold 2 --root-passphrase PASSPHRASE \
             --targets-key t.pem --targets-passphrase PASSPHRASE --online-key online.pem --no-passphrase",
            "root 1, until ",
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_is_made_whole_or_not_at_all() {
    let installation = Installation::new().await;
    let commands = Commands::of(&installation);
    commands.ends(
        "init tuf --root-key r1.pem --targets-key t.pem --online-key online.pem --root-passphrase PASSPHRASE",
        2,
        "--no-passphrase",
    );
    commands.ends(
        "init tuf --root-key r1.pem --targets-key t.pem",
        2,
        "--online-key is needed",
    );
    commands.ends(
        "init tuf --root-key r1.pem --root-threshold 2 --targets-key t.pem --online-key online.pem --no-passphrase",
        2,
        "as many signatures as it has keys",
    );
    for made in ["tuf", "r1.pem", "t.pem", "online.pem"] {
        assert!(!installation.path(made).exists(), "{made}");
    }
    commands.init();
    for (key, label) in [
        ("r1.pem", "BEGIN ENCRYPTED PRIVATE KEY"),
        ("t.pem", "BEGIN ENCRYPTED PRIVATE KEY"),
        ("online.pem", "BEGIN PRIVATE KEY"),
    ] {
        let path = installation.path(key);
        assert!(fs::read_to_string(&path).unwrap().contains(label), "{key}");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{key}"
        );
    }
    let root = fs::read(installation.path("tuf/public/1.root.json")).unwrap();
    commands.ends(
        "init tuf --root-key new.pem --targets-key new.pem --online-key new.pem --no-passphrase",
        1,
        "is not empty",
    );
    assert_eq!(
        fs::read(installation.path("tuf/public/1.root.json")).unwrap(),
        root
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_published_is_not() {
    let installation = Installation::new().await;
    let commands = Commands::of(&installation);
    commands.init();
    installation.write("clients/ca-key.pem", "not for everybody");
    let publish = "publish tuf --targets clients --key t.pem --key online.pem --passphrase PASSPHRASE";
    commands.ends(publish, 1, "none of the files that clients ask for");
    fs::remove_file(installation.path("clients/ca-key.pem")).unwrap();
    installation.write("wrong", "battery staple\n");
    installation.chmod("wrong", 0o600);
    let wrong = publish.replace("PASSPHRASE", "file:wrong");
    commands.ends(&wrong, 1, "passphrase");
    commands.ends(
        "sign tuf --key t.pem --passphrase PASSPHRASE --yes",
        1,
        "has no change that waits",
    );
    commands.done(publish, "targets 2, until ");
}

/// Who keeps the offline keys never needs the online one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_publishes_each_change_once_all_others_have_signed() {
    let installation = Installation::new().await;
    let commands = Commands::of(&installation);
    commands.init();
    installation.configure(
        "metrics-listen: off\n",
        "metrics-listen: 127.0.0.1:0\ntuf: {directory: tuf, key: online.pem}\n",
    );
    let serving = installation.serve();
    serving.measures("mayfly_tuf_unpublished 3").await;
    commands.done(
        "publish tuf --targets clients",
        "targets has 0 of the 1 that root 1 wants",
    );
    commands.done("show tuf", "Proposed:");
    commands.ends(
        "sign tuf --key t.pem --passphrase PASSPHRASE",
        2,
        "--yes is needed",
    );
    let idle = "sign tuf --key r1.pem --passphrase PASSPHRASE --yes";
    commands.ends(idle, 2, "has no part in this");
    assert_eq!(serving.tuf("2.targets.json").await.status(), 404);
    commands.done(
        "sign tuf --key t.pem --passphrase PASSPHRASE --yes",
        "snapshot has 0 of the 1 that root 1 wants",
    );
    serving.has("2.targets.json").await;
    serving.measures("mayfly_tuf_unpublished 0").await;

    let rotate = "rotate tuf --root-key r2.pem --root-key r3.pem --root-passphrase PASSPHRASE";
    commands.ends(
        &format!("{rotate} --key t.pem --passphrase PASSPHRASE"),
        2,
        "has no part in this",
    );
    assert!(!installation.path("r3.pem").exists());
    commands.done(rotate, "root has 1 of the 2 that root 1 wants");
    commands.ends(
        "rotate tuf --key r1.pem --passphrase PASSPHRASE",
        1,
        "add them, or drop it",
    );
    commands.done(
        "sign tuf --key r1.pem --passphrase PASSPHRASE --yes",
        "snapshot has 0 of the 1",
    );
    serving.has("2.root.json").await;
    commands.done("refresh tuf --key online.pem", "timestamp 4, until ");
    assert_eq!(serving.timestamp_version().await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_online_key_that_was_replaced_is_missed_at_once() {
    let installation = Installation::new().await;
    let commands = Commands::of(&installation);
    commands.init();
    installation.configure(
        "metrics-listen: off\n",
        "tuf: {directory: tuf, key: online.pem}\n",
    );
    let serving = installation.serve();
    commands.done(
        "rotate tuf --online-key new.pem --no-passphrase --key r1.pem --key r2.pem --passphrase PASSPHRASE",
        "root 2, until ",
    );
    serving
        .program
        .wait_for(|said| said.contains("name its online key"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_stay_are_named_by_their_ids() {
    let installation = Installation::new().await;
    let commands = Commands::of(&installation);
    commands.init();
    let (_, said) = commands.run("show tuf");
    let root = said
        .lines()
        .find_map(|line| line.strip_prefix("  root, for 365 days: 2 of "));
    let (first, second) = root.unwrap().split_once(", ").unwrap();
    commands.ends(
        &format!("rotate tuf --root-key {first} --root-threshold 2"),
        2,
        "as many signatures as it has keys",
    );
    let rotate = format!(
        "rotate tuf --root-key {first} --root-threshold 1 --key r1.pem --key r2.pem --key online.pem --passphrase PASSPHRASE"
    );
    commands.done(&rotate, "root 2, until ");
    let (_, said) = commands.run("show tuf");
    assert!(
        said.contains(&format!("root, for 365 days: 1 of {first}\n")),
        "{said}"
    );
    assert!(!said.contains(second), "{said}");
    commands.done(
        "publish tuf --key t.pem --key online.pem --passphrase PASSPHRASE",
        "targets 2, until ",
    );
    commands.done(
        "rotate tuf --root-days 30",
        "root has 0 of the 1 that root 2 wants",
    );
    commands.done("drop tuf", "");
    commands.ends(
        "sign tuf --key r1.pem --passphrase PASSPHRASE --yes",
        1,
        "has no change that waits",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs script of util-linux"]
async fn on_a_terminal_passphrases_are_typed_and_what_is_signed_is_shown() {
    let installation = Installation::new().await;
    let folder = installation.path("");
    let mut conversation = Conversation::begin(
        &folder,
        "trust tuf init tuf --root-key r.pem --targets-key t.pem --online-key o.pem",
    );
    for key in ["r.pem", "t.pem", "o.pem"] {
        conversation.answer(&format!("{key}: "), "correct horse");
        conversation.answer("The same again", "correct horse");
    }
    let (code, said) = conversation.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("root 1, until ") && !said.contains("correct horse"),
        "{said}"
    );

    let mut conversation = Conversation::begin(&folder, "trust tuf rotate tuf --root-days 100 --key r.pem");
    conversation.answer("r.pem: ", "battery staple");
    conversation.answer("That is not its passphrase.", "correct horse");
    let (code, said) = conversation.end();
    assert_eq!(code, Some(0), "{said}");
    for (answer, code, says) in [("n", 1, "not signed"), ("y", 0, "root 2, until ")] {
        let mut conversation = Conversation::begin(&folder, "trust tuf sign tuf --key o.pem");
        conversation.answer("Sign this?", answer);
        if answer == "y" {
            conversation.answer("o.pem: ", "correct horse");
        }
        let (ended, said) = conversation.end();
        assert_eq!(ended, Some(code), "{said}");
        assert!(
            said.contains("root, for 100 days: 1 of ") && said.contains(says),
            "{said}"
        );
    }
}
