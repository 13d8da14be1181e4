//! The program as a person or a script meets it: words, exit codes, files.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tempfile::TempDir;

fn mayfly(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    command
        .args(arguments)
        .env_remove("MAYFLY_LOG")
        .env_remove("MAYFLY_CONFIG");
    command
}

fn run(arguments: &[&str]) -> Output {
    mayfly(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).to_str().unwrap().to_owned()
}

/// A running `mayfly dev`; ended with the test.
struct Dev {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Dev {
    fn start(arguments: &[&str]) -> Self {
        Self::start_in(Path::new("."), arguments)
    }

    fn start_in(directory: &Path, arguments: &[&str]) -> Self {
        let child = mayfly(&["dev", "--port", "0"])
            .args(arguments)
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self::of(child.unwrap())
    }

    fn of(mut child: Child) -> Self {
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn ready(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Sends SIGTERM; what was printed after the first line, and the exit code.
    fn stop(mut self) -> (String, Option<i32>) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `mayfly dev` makes, below its folder: paths and modes.
fn made_with_umask(umask: &str) -> BTreeMap<PathBuf, u32> {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("made/by/mayfly");
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"umask "$0" && exec "$@""#,
        umask,
        env!("CARGO_BIN_EXE_mayfly"),
    ]);
    command
        .args(["dev", "--port", "0", "--json", "--data-dir"])
        .arg(&data);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut dev = Dev::of(child.unwrap());
    dev.ready();
    assert_eq!(dev.stop(), (String::new(), Some(0)), "{umask}");
    let mut made = BTreeMap::new();
    let mut folders = vec![directory.path().join("made")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            let mut below = path.strip_prefix(directory.path()).unwrap().to_owned();
            // Each time another CA's.
            if below
                .parent()
                .is_some_and(|folder| folder.ends_with("log/issuer"))
            {
                below.set_file_name("issuer.der");
            }
            made.insert(below, metadata.permissions().mode() & 0o777);
        }
    }
    made
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let made = made_with_umask("022");
    for (path, mode) in [
        ("made/by", 0o755),
        ("made/by/mayfly", 0o700),
        ("made/by/mayfly/ca", 0o755),
        ("made/by/mayfly/ca/key.pem", 0o600),
        ("made/by/mayfly/ca/root.pem", 0o644),
        ("made/by/mayfly/audit.jsonl", 0o640),
        ("made/by/mayfly/log/checkpoint", 0o644),
    ] {
        assert_eq!(made.get(Path::new(path)), Some(&mode), "{path}: {made:?}");
    }
    for umask in ["077", "000"] {
        assert_eq!(made_with_umask(umask), made, "{umask}");
    }
}

/// Both sides of a new terminal.
fn terminal() -> (fs::File, fs::File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = fs::File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap());
    (ours.into(), theirs.unwrap())
}

/// What a program writes to a terminal, up to `end`.
fn written(mut terminal: fs::File, end: &str) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&text).contains(end) {
        let read = terminal.read(&mut buffer).unwrap();
        text.extend_from_slice(buffer.get(..read).unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// <https://no-color.org>
#[test]
fn no_color_means_no_colors() {
    for (no_color, has_colors) in [(None, true), (Some(""), true), (Some("1"), false)] {
        let with_it = |mut command: Command| {
            command.env_remove("NO_COLOR").env("TERM", "xterm");
            if let Some(value) = no_color {
                command.env("NO_COLOR", value);
            }
            command
        };
        let (ours, theirs) = terminal();
        let mut help = with_it(mayfly(&["--help"]));
        let mut help = help.stdout(theirs).spawn().unwrap();
        let text = written(ours, "the log is not sound");
        assert!(help.wait().unwrap().success());
        assert_eq!(text.contains('\x1b'), has_colors, "{no_color:?}: {text}");

        let directory = tempfile::tempdir().unwrap();
        let (ours, theirs) = terminal();
        let arguments = [
            "dev",
            "--port",
            "0",
            "--json",
            "--data-dir",
            &path(&directory, "dev"),
        ];
        let mut dev = with_it(mayfly(&arguments));
        let dev = dev.stdout(Stdio::piped()).stderr(theirs).spawn().unwrap();
        let mut dev = Dev::of(dev);
        dev.ready();
        let text = written(ours, "micros");
        assert_eq!(text.contains('\x1b'), has_colors, "{no_color:?}: {text}");
        dev.stop();
    }
}

/// In containers every port may be anybody's.
#[test]
#[ignore = "needs root"]
fn a_port_that_takes_a_privilege_is_named_with_the_cure() {
    let mut command = mayfly(&["dev", "--port", "443", "--data-dir", "/proc/none"]);
    let output = command.uid(65534).gid(65534).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("127.0.0.1:443") && said.contains("CAP_NET_BIND_SERVICE"),
        "{said}"
    );
}

/// The commit of the sources, if they are in a repository of their own.
fn head() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| text.trim().to_owned())
    };
    git(&["rev-parse", "--show-prefix"]).filter(String::is_empty)?;
    git(&["rev-parse", "--verify", "HEAD"])
}

#[test]
fn help_teaches() {
    for (arguments, words) in [
        (
            &["--help"][..],
            &["mayfly dev", "mayfly serve --config", "Exit codes:", "MAYFLY_LOG"][..],
        ),
        (
            &["dev", "--help"],
            &["--ephemeral", "5555", "2112", "--json", "127.0.0.1 only"],
        ),
        (
            &["dev", "token", "--help"],
            &["--email", "--github", "sigstore", "> token.jwt"],
        ),
        (&["serve", "--help"], &["--config", "SIGTERM", "SIGHUP"]),
        (
            &["init", "--help"],
            &[
                "--host",
                "--csr",
                "--chain",
                "--timestamp-chain",
                "--root-passphrase",
                "offline",
                "Exit codes:",
            ],
        ),
        (
            &["intermediate", "--help"],
            &["--root-key", "--ca-key", "Exit codes:"],
        ),
        (
            &["timestamp-authority", "--help"],
            &["--root-key", "--timestamp-key", "\"Rotation\"", "Exit codes:"],
        ),
        (
            &["log", "create", "--help"],
            &["--the-key-never-signed-for-a-log", "fork", "Exit codes:"],
        ),
        (
            &["trust", "export", "--help"],
            &["--url", "--force", "trusted_root.json", "/trust/", "Exit codes:"],
        ),
        (
            &["trust", "tuf", "--help"],
            &["init", "pending/", "1.root.json", "docs/tuf.md", "Exit codes:"],
        ),
        (
            &["trust", "tuf", "init", "--help"],
            &["--root-threshold", "--online-key", "public key", "[default: 365]"],
        ),
        (
            &["trust", "tuf", "publish", "--help"],
            &["--targets", "--also", "mayfly trust export"],
        ),
        (
            &["config", "check", "--help"],
            &["--issuers", "--online", "--deny-warnings", "Exit codes:"],
        ),
        (
            &["config", "explain", "--help"],
            &["--token-file", "--claims", "stays on this machine", "Exit codes:"],
        ),
        (
            &["log", "--help"],
            &["verify", "monitor", "export", "restore", "Exit codes:"],
        ),
        (
            &["log", "verify", "--help"],
            &[
                "mayfly log verify --key",
                "--trusted-root",
                "--state",
                "Exit codes:",
            ],
        ),
        (
            &["log", "monitor", "--help"],
            &[
                "mayfly log monitor --trusted-root",
                "--identity",
                "--webhook",
                "at least once",
                "Exit codes:",
            ],
        ),
        (
            &["log", "export", "--help"],
            &["mayfly log export --key", "--to", "Exit codes:"],
        ),
        (
            &["log", "restore", "--help"],
            &[
                "mayfly log restore --key",
                "DANGER",
                "--at-least",
                "--i-accept-that-later-scts-are-lost",
            ],
        ),
        (
            &["log", "serve", "--help"],
            &[
                "mayfly log serve --directory",
                "--accept",
                "SIGHUP",
                "/health",
                "Exit codes:",
            ],
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(one_line.contains(word), "{arguments:?} lacks {word}:\n{text}");
        }
        assert!(one_line.split(' ').all(|word| word != "ct-log"), "{text}");
        // clap does not wrap the usage.
        let lines = text.lines().filter(|line| !line.starts_with("Usage: "));
        let widest = lines.map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 100, "{arguments:?} has a line of {widest} characters");
    }
    let version = format!("mayfly {} ({})\n", env!("CARGO_PKG_VERSION"), mayfly::COMMIT);
    assert_eq!(stdout(&run(&["--version"])), version);
    if let Some(head) = head() {
        assert_eq!(mayfly::COMMIT, head);
    }
}

/// With `--yes` nobody is asked, so that a passphrase must be where the example says.
#[test]
fn the_example_of_init_without_questions_works_as_it_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["root.txt", "ca.txt"] {
        fs::write(path(&folder, name), "correct horse battery staple").unwrap();
        fs::set_permissions(path(&folder, name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mayfly"), path(&folder, "mayfly")).unwrap();
    let help = stdout(&run(&["init", "--help"]));
    let help = help.replace("\\\n", " ");
    let example = help.lines().find(|line| line.contains(" --yes ")).unwrap();
    let search = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let output = Command::new("/bin/sh")
        .args(["-euc", example.trim()])
        .current_dir(&folder)
        .env("PATH", search)
        .env_remove("CREDENTIALS_DIRECTORY")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{example}\n{}", stderr(&output));
    let configuration = path(&folder, "acme-ca/server/mayfly.yaml");
    let output = run(&["config", "check", "--config", &configuration]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["dev", "--port", "x"],
        &["dev", "token"],
        &["serve"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stdout(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_missing_configuration_is_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&["serve", "--config", &path(&directory, "none.yaml")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("mayfly: "), "{}", stderr(&output));
}

#[test]
fn the_first_start_makes_and_the_later_ones_keep() {
    let directory = tempfile::tempdir().unwrap();
    let data = path(&directory, "data");
    let mut dev = Dev::start(&["--json", "--data-dir", &data]);
    let first = dev.ready();
    for key in ["api", "metrics", "issuer", "github_issuer"] {
        assert!(
            first[key].as_str().unwrap().starts_with("http://127.0.0.1:"),
            "{key}"
        );
    }
    let audited = run(&[
        "log",
        "verify",
        "--key",
        &format!("{data}/log.pem"),
        &format!("{data}/log"),
    ]);
    assert_eq!(audited.status.code(), Some(0), "{}", stderr(&audited));
    for key in ["trusted_root", "signing_config"] {
        let file = fs::read(first[key].as_str().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&file).unwrap();
    }
    let root = fs::read_to_string(first["trusted_root"].as_str().unwrap()).unwrap();
    let root: Value = serde_json::from_str(&root).unwrap();
    let timestamps = &root["timestampAuthorities"][0];
    let url = format!("{}/api/v1/timestamp", first["api"].as_str().unwrap());
    assert_eq!(timestamps["uri"], url);
    // The authority's own and the root: sigstore-python wants two.
    assert_eq!(
        timestamps["certChain"]["certificates"].as_array().unwrap().len(),
        2
    );
    let config = fs::read_to_string(first["signing_config"].as_str().unwrap()).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(
        (&config["tsaUrls"][0]["url"], &config["tsaConfig"]["selector"]),
        (&url.into(), &"ANY".into())
    );
    assert_eq!(dev.stop(), (String::new(), Some(0)));
    for key in ["ca/key.pem", "log-key.pem", "oidc-key.pem", "timestamp-key.pem"] {
        let mode = fs::metadata(Path::new(&data).join(key))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    let made_once = made_once(&data);

    let mut dev = Dev::start(&["--json", "--data-dir", &data]);
    let second = dev.ready();
    assert_eq!(second["data_dir"], first["data_dir"]);
    assert_eq!(self::made_once(&data), made_once);
    let written: Value =
        serde_json::from_slice(&fs::read(Path::new(&data).join("ready.json")).unwrap()).unwrap();
    assert_eq!(written, second);
    let config = fs::read_to_string(second["signing_config"].as_str().unwrap()).unwrap();
    assert!(config.contains(second["issuer"].as_str().unwrap()), "{config}");
    assert_eq!(dev.stop().1, Some(0));
    assert_eq!(
        fs::read_dir(&directory).unwrap().count(),
        1,
        "nothing is left beside the data directory"
    );
}

#[test]
fn serve_makes_the_log_and_its_key_at_the_first_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(&["--json", "--data-dir", &path(&directory, "dev")]);
    dev.ready();
    assert_eq!(dev.stop().1, Some(0));
    let settings = "listen: 127.0.0.1:0\nmetrics-listen: off\naudit: audit.jsonl\nissuers: dev/issuers.yaml\n\
        private-identity-providers: [127.0.0.1]\nca: {chain: dev/ca/chain.pem, key: dev/ca/key.pem}\n\
        log: {directory: log, origin: ca.example.com/log, key: log-key.pem}\n";
    fs::write(path(&directory, "mayfly.yaml"), settings).unwrap();
    let made = || ["log-key.pem", "log/log.json"].map(|name| fs::read(path(&directory, name)).unwrap());
    let serve = || {
        let mut child = mayfly(&["serve", "--config", &path(&directory, "mayfly.yaml")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving = lines.find(|line| line.as_ref().unwrap().contains("serving"));
        assert!(serving.is_some());
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(child.wait().unwrap().code(), Some(0));
        made()
    };
    let first = serve();
    assert_eq!(serve(), first);
}

fn made_once(data: &str) -> Vec<Vec<u8>> {
    [
        "ca/root.pem",
        "ca/chain.pem",
        "ca/key.pem",
        "log-key.pem",
        "oidc-key.pem",
        "timestamp-chain.pem",
        "timestamp-key.pem",
    ]
    .iter()
    .map(|name| fs::read(Path::new(data).join(name)).unwrap())
    .collect()
}

#[test]
fn a_damaged_directory_is_never_mended_silently() {
    let directory = tempfile::tempdir().unwrap();
    let data = path(&directory, "data");
    let mut dev = Dev::start(&["--json", "--data-dir", &data]);
    dev.ready();
    dev.stop();
    fs::remove_file(Path::new(&data).join("oidc-key.pem")).unwrap();
    let output = run(&["dev", "--port", "0", "--data-dir", &data]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("without oidc-key.pem"),
        "{}",
        stderr(&output)
    );
    assert!(!Path::new(&data).join("oidc-key.pem").exists());

    let foreign = path(&directory, "foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(Path::new(&foreign).join("thesis.txt"), "precious").unwrap();
    let output = run(&["dev", "--port", "0", "--data-dir", &foreign]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("holds other files"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
}

#[test]
fn an_ephemeral_start_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start_in(directory.path(), &["--ephemeral", "--json"]);
    let ready = dev.ready();
    let kept = Path::new(ready["data_dir"].as_str().unwrap()).to_owned();
    assert!(kept.join("trusted_root.json").exists());
    let names = fs::read_dir(&kept)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut keys = names.filter(|name| name.to_str().unwrap().contains("key"));
    // The development identity provider's, for tools that make tokens; that of the CA and of the log stay in memory.
    assert_eq!((keys.next(), keys.next()), (Some("oidc-key.pem".into()), None));
    assert_eq!(dev.stop().1, Some(0));
    assert!(!kept.exists());
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn instructions_can_be_pasted() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(&["--data-dir", &path(&directory, "my data")]);
    let mut text = String::new();
    while !text.contains("Ctrl-C") {
        assert!(dev.output.read_line(&mut text).unwrap() > 0, "{text}");
    }
    dev.stop();
    for words in [
        "NOT FOR PRODUCTION",
        "cosign sign-blob --yes \\\n    --signing-config '",
        "/my data/signing_config.json' \\\n",
        "dev token --email you@example.com",
        "--identity-token token.jwt",
        "cosign verify-blob --insecure-ignore-tlog --use-signed-timestamps \\\n    --trusted-root '",
        "--certificate-identity you@example.com",
        "/dev/oidc \\\n    --bundle hello.sigstore.json hello.txt",
        "log verify --trusted-root '",
    ] {
        assert!(text.contains(words), "lacks {words}:\n{text}");
    }
}

#[tokio::test]
async fn a_minted_token_is_the_running_provider_s() {
    let directory = tempfile::tempdir().unwrap();
    let data = path(&directory, "data");
    let mut dev = Dev::start(&["--json", "--data-dir", &data]);
    let ready = dev.ready();
    for (arguments, issuer) in [
        (["--email", "you@example.com"], &ready["issuer"]),
        (["--github", "octo-org/octo-repo"], &ready["github_issuer"]),
    ] {
        let output = mayfly(&["dev", "token", "--data-dir", &data])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let token = stdout(&output);
        assert_eq!(token, token.trim(), "a file gets no line end");
        let claims = verified(&token, issuer.as_str().unwrap()).await;
        assert_eq!(claims["aud"], "sigstore");
    }
    let other = run(&[
        "dev",
        "token",
        "--data-dir",
        &data,
        "--email",
        "a@b",
        "--audience",
        "other",
    ]);
    let claims: Value = jsonwebtoken::dangerous::insecure_decode(stdout(&other))
        .unwrap()
        .claims;
    assert_eq!(claims["aud"], "other");
    dev.stop();
}

async fn verified(token: &str, issuer: &str) -> Value {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let keys: JwkSet = http
        .get(format!("{issuer}/jwks"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let key = DecodingKey::from_jwk(keys.keys.first().unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&["sigstore"]);
    decode(token, &key, &validation).unwrap().claims
}

#[test]
fn a_token_needs_a_start_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&[
        "dev",
        "token",
        "--email",
        "a@b",
        "--data-dir",
        &path(&directory, "none"),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("run `mayfly dev` once"),
        "{}",
        stderr(&output)
    );
    assert!(stdout(&output).is_empty());
}

#[test]
fn a_port_in_use_says_which_option_helps() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for arguments in [
        ["--port", &port, "--metrics-port", "0"],
        ["--port", "0", "--metrics-port", &port],
    ] {
        let output = mayfly(&["dev", "--ephemeral"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        for words in [
            "--port and --metrics-port",
            "because: ",
            &format!("127.0.0.1:{port}"),
        ] {
            assert!(text.contains(words), "{text}");
        }
    }
}

/// An issuer file with these lines for its one issuer.
fn issuer_file(directory: &TempDir, lines: &str) -> String {
    let text = format!("oidc-issuers:\n  https://idp.example.com:\n    client-id: mine\n{lines}");
    fs::write(directory.path().join("issuers.yaml"), text).unwrap();
    path(directory, "issuers.yaml")
}

#[test]
fn config_check_says_all_that_is_wrong_with_the_place_and_a_way_out() {
    let directory = TempDir::new().unwrap();
    let file = issuer_file(
        &directory,
        "    type: emial\n    alow: \"true\"\n    allow: email == 'a'\n",
    );
    let output = run(&["config", "check", "--issuers", &file]);
    assert_eq!(output.status.code(), Some(2));
    let said = stdout(&output);
    let expected = [
        "4: oidc-issuers[https://idp.example.com].type: `emial` is not a type of issuer. Did you mean `email`?",
        "5: oidc-issuers[https://idp.example.com].alow: is not a known key. Did you mean `allow`?",
        "6: oidc-issuers[https://idp.example.com].allow: uses `email`, which is not known. Did you mean `claims.email`?",
    ];
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines, expected.map(|line| format!("error: {file}:{line}")));
    assert_eq!(
        stderr(&output),
        "mayfly: the configuration has 3 errors and 0 warnings\n"
    );
}

#[test]
fn config_check_looks_at_both_files_at_once() {
    let directory = TempDir::new().unwrap();
    issuer_file(&directory, "    type: emial\n");
    fs::write(
        directory.path().join("mayfly.yaml"),
        "issuers: issuers.yaml\nlisten: here\n",
    )
    .unwrap();
    let output = run(&["config", "check", "--config", &path(&directory, "mayfly.yaml")]);
    assert_eq!(output.status.code(), Some(2));
    let said = stdout(&output);
    for part in [
        "mayfly.yaml:2: listen:",
        "mayfly.yaml: `ca` is missing",
        "issuers.yaml:4: ",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn config_check_warns_and_denies_warnings_on_request() {
    let directory = TempDir::new().unwrap();
    let text = "oidc-issuers:\n  https://token.actions.githubusercontent.com:\n    client-id: sigstore\n    type: github-workflow\n";
    fs::write(directory.path().join("issuers.yaml"), text).unwrap();
    let file = path(&directory, "issuers.yaml");
    let output = run(&["config", "check", "--issuers", &file]);
    assert_eq!(output.status.code(), Some(0));
    let said = stdout(&output);
    assert!(said.contains(&format!("warning: {file}:2: ")), "{said}");
    assert!(
        said.contains("it has no `allow`") && said.contains("takes the audience `sigstore`"),
        "{said}"
    );
    assert!(
        said.ends_with("issuers: 1, patterns: 0; 0 of 1 audiences with conditions\nno errors, 2 warnings\n"),
        "{said}"
    );
    let denied = run(&["config", "check", "--issuers", &file, "--deny-warnings"]);
    assert_eq!(denied.status.code(), Some(2));
}

#[test]
fn config_check_asks_the_issuers_online() {
    let directory = TempDir::new().unwrap();
    let data = path(&directory, "data");
    let mut dev = Dev::start(&["--json", "--data-dir", &data]);
    let ready = dev.ready();
    let (up, down) = (ready["issuer"].as_str().unwrap(), "http://127.0.0.1:1");
    let text = format!(
        "oidc-issuers:\n  {up}: {{client-id: a, type: email}}\n  {down}: {{client-id: a, type: email}}\n"
    );
    fs::write(directory.path().join("issuers.yaml"), text).unwrap();
    for (name, from) in [
        ("ca.pem", "ca/chain.pem"),
        ("ca-key.pem", "ca/key.pem"),
        ("log-key.pem", "log-key.pem"),
    ] {
        fs::copy(
            directory.path().join("data").join(from),
            directory.path().join(name),
        )
        .unwrap();
    }
    let configuration = path(&directory, "mayfly.yaml");
    let settings = "issuers: issuers.yaml\naudit: audit.jsonl\nca: {chain: ca.pem, key: ca-key.pem}\n\
                    log: {directory: log, origin: a.example/log, key: log-key.pem}\n";
    fs::write(&configuration, settings).unwrap();
    let unnamed = run(&["config", "check", "--config", &configuration]);
    assert_eq!(unnamed.status.code(), Some(2));
    let said = stdout(&unnamed);
    assert_eq!(said.matches("private-identity-providers").count(), 2, "{said}");
    fs::write(
        &configuration,
        format!("{settings}private-identity-providers: [127.0.0.1]\n"),
    )
    .unwrap();
    assert_keys_in_files_are_opened(&directory, &configuration);
    let output = run(&["config", "check", "--config", &configuration, "--online"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}{}", stderr(&output));
    assert!(
        said.contains(&format!("signs: {}", path(&directory, "ca-key.pem"))),
        "{said}"
    );
    assert!(said.contains(&format!("answers: {up}: 1 key")), "{said}");
    assert!(said.contains(&format!("unreachable: {down}: ")), "{said}");
    assert!(
        stderr(&output).contains("1 issuer did not answer"),
        "{}",
        stderr(&output)
    );
    fs::copy(path(&directory, "log-key.pem"), path(&directory, "ca-key.pem")).unwrap();
    let output = run(&["config", "check", "--config", &configuration, "--online"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("the CA key does not belong to the first certificate"),
        "{}",
        stdout(&output)
    );
    fs::write(path(&directory, "ca.pem"), "").unwrap();
    let output = run(&["config", "check", "--config", &configuration]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stdout(&output).contains("must hold PEM certificates"),
        "{}",
        stdout(&output)
    );
    dev.stop();
}

/// Without `--online`: files are on this machine.
fn assert_keys_in_files_are_opened(directory: &TempDir, configuration: &str) {
    let check = || {
        let output = run(&["config", "check", "--config", configuration]);
        let said = stdout(&output) + &stderr(&output);
        (output.status.code(), said)
    };
    let in_use = fs::read_to_string(configuration).unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    for key in ["ca-key.pem", "log-key.pem"] {
        assert!(
            said.contains(&format!("signs: {}\n", path(directory, key))),
            "{said}"
        );
    }
    for key in ["ca-key.pem", "log-key.pem"] {
        let (key, aside) = (path(directory, key), path(directory, "aside.pem"));
        fs::rename(&key, &aside).unwrap();
        fs::write(&key, "").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let (code, said) = check();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("unusable: {key}: ")), "{said}");
        assert!(said.contains("must hold one PEM block"), "{said}");
        fs::remove_file(&key).unwrap();
        fs::rename(&aside, &key).unwrap();
    }
    // Of the log in a directory, this is not the key.
    let other = in_use
        .replace("directory: log", "directory: data/log")
        .replace("a.example/log", "localhost/log");
    let of_ca = other.replace("key: log-key.pem", "key: data/ca/key.pem");
    for (settings, says) in [(&other, "signs: "), (&of_ca, "unusable: ")] {
        fs::write(configuration, settings).unwrap();
        let (_, said) = check();
        assert!(
            said.lines()
                .any(|line| line.starts_with(says) && line.contains("key.pem")),
            "{said}"
        );
    }
    // That of TLS, which is not of this certificate.
    let tls = format!("{in_use}tls: {{certificate: ca.pem, key: log-key.pem}}\n");
    fs::write(configuration, tls).unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot be used together"), "{said}");
    // The passphrase is the server's.
    let encrypted = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-v2", "aes256", "-passout", "pass:x", "-in"])
        .arg(path(directory, "ca-key.pem"))
        .arg("-out")
        .arg(path(directory, "encrypted.pem"))
        .output();
    if encrypted.is_ok_and(|output| output.status.success()) {
        let key = path(directory, "encrypted.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let settings = in_use.replace(
            "key: ca-key.pem",
            "key: encrypted.pem, passphrase: 'env:MAYFLY_TEST_NO_SUCH_VARIABLE'",
        );
        fs::write(configuration, settings).unwrap();
        let (code, said) = check();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("not opened: {key}: ")), "{said}");
    }
    fs::write(configuration, in_use).unwrap();
}

#[test]
fn config_explain_shows_what_a_token_would_get_and_why_not() {
    let directory = TempDir::new().unwrap();
    let file = issuer_file(
        &directory,
        "    type: email\n    allow:\n      ours: claims.email.endsWith(\"@example.com\")\n      staff: '\"staff\" in claims.groups'\n",
    );
    let claims = path(&directory, "claims.json");
    let explain = |text: &str, more: &[&str]| {
        fs::write(&claims, text).unwrap();
        run(&[
            &["config", "explain", "--issuers", &file, "--claims", &claims],
            more,
        ]
        .concat())
    };
    let granted = explain(
        r#"{"iss": "https://idp.example.com", "aud": "mine", "sub": "7", "email": "a@example.com", "email_verified": true, "groups": ["staff"]}"#,
        &[],
    );
    assert_eq!(granted.status.code(), Some(0), "{}", stderr(&granted));
    let said = stdout(&granted);
    for line in [
        "entry        https://idp.example.com, audience mine, type email",
        "condition    ours: holds",
        "condition    staff: holds",
        "name         email a@example.com",
        "  1.3.6.1.4.1.57264.1.24  subject                                 7",
        "result       a certificate for this name",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}\n{said}");
    }
    let refused = explain(
        r#"{"iss": "https://idp.example.com", "aud": "mine", "sub": "7", "email": "a@example.com", "email_verified": true}"#,
        &["--json"],
    );
    assert_eq!(refused.status.code(), Some(1));
    let said: Value = serde_json::from_str(&stdout(&refused)).unwrap();
    assert_eq!(
        said["conditions"][0],
        serde_json::json!({"name": "ours", "holds": true, "problem": null})
    );
    assert_eq!(
        said["conditions"][1]["problem"],
        "the token has no claim `groups`"
    );
    assert_eq!(said["name"], serde_json::json!({"email": "a@example.com"}));
    assert!(
        stderr(&refused).contains("condition `staff`"),
        "{}",
        stderr(&refused)
    );
    for (text, said) in [
        (
            r#"{"iss": "https://idp.example.com", "aud": "yours", "sub": "7"}"#,
            "trusted for the audience `mine`",
        ),
        (
            r#"{"iss": "https://evil.example.com", "aud": "mine", "sub": "7"}"#,
            "no entry",
        ),
        (
            r#"{"iss": "https://IDP.example.com/", "aud": "mine", "sub": "7"}"#,
            "`https://idp.example.com` is there, which differs in the case of letters, the slash at its end",
        ),
        ("", "claims.json is empty"),
        ("\n", "claims.json is empty"),
        ("[1]", "does not hold claims"),
    ] {
        let none = explain(text, &[]);
        assert_eq!(none.status.code(), Some(1));
        assert!(stderr(&none).contains(said), "{}", stderr(&none));
    }
    let missing = run(&[
        "config",
        "explain",
        "--config",
        "no-such-file.yaml",
        "--claims",
        &claims,
    ]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        stderr(&missing).contains("no-such-file.yaml: cannot be read"),
        "{}",
        stderr(&missing)
    );
}

#[test]
fn config_explain_reads_a_token_and_never_prints_it() {
    let directory = TempDir::new().unwrap();
    let data = path(&directory, "data");
    let mut dev = Dev::start(&["--data-dir", &data, "--json"]);
    dev.ready();
    let token = stdout(&run(&[
        "dev",
        "token",
        "--data-dir",
        &data,
        "--github",
        "octo-org/octo-repo",
    ]));
    let token_file = path(&directory, "token.jwt");
    fs::write(&token_file, format!("{token}\n")).unwrap();
    let issuers = format!("{data}/issuers.yaml");
    let output = run(&[
        "config",
        "explain",
        "--issuers",
        &issuers,
        "--token-file",
        &token_file,
    ]);
    dev.stop();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(
        said.contains("name         URI https://github.com/octo-org/octo-repo/"),
        "{said}"
    );
    for part in token.split('.') {
        assert!(!said.contains(part));
    }
}

/// The same commands as those of `ct-log`, on the log of a server that runs.
#[test]
fn log_of_a_running_server_is_audited_by_url_and_by_directory() {
    let folder = tempfile::tempdir().unwrap();
    let data = path(&folder, "data");
    let mut dev = Dev::start(&["--json", "--ca-key", "p256", "--data-dir", &data]);
    let ready = dev.ready();
    let url = format!("{}/log", ready["api"].as_str().unwrap());
    let directory = format!("{data}/log");
    let root = ready["trusted_root"].as_str().unwrap();
    for place in [&url, &directory] {
        for key in [&[][..], &["--trusted-root", root]] {
            let output = run(&[&["log", "verify", place], key].concat());
            let said = stdout(&output) + &stderr(&output);
            assert_eq!(output.status.code(), Some(0), "{said}");
            assert!(said.contains("the log is sound"), "{said}");
        }
    }
    assert_eq!(dev.stop().1, Some(0));
    let nothing = path(&folder, "nothing");
    let output = run(&["log", "verify", &nothing]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), format!("error: there is no log in {nothing}\n"));
}
