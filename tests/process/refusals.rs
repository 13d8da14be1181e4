//! Files with which `mayfly serve` must not start: what it says, and with which exit code.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    time::Duration,
};

use mayfly::clock::{Clock, SystemClock};

use crate::{installation::Installation, program::mayfly};

const ELEVEN_YEARS: Duration = Duration::from_secs(11 * 365 * 24 * 60 * 60);

/// The lines that name this file, without the folder.
fn lines_about(installation: &Installation, stderr: &str, name: &str) -> Vec<String> {
    let path = format!("{}:", installation.path(name).display());
    let lines = stderr.lines().filter_map(|line| line.split_once(&path));
    lines.map(|(_, problem)| problem.to_owned()).collect()
}

#[tokio::test]
async fn every_problem_of_the_settings_has_its_line() {
    let installation = Installation::new().await;
    installation.configure("listen: 127.0.0.1:0", "lisen: 127.0.0.1:0");
    installation.configure("ca.example.com/log", "https://ca.example.com/log");
    installation.configure("chain: ca.pem", "chain: none.pem");
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(2), "{stderr}");
    let problems = lines_about(&installation, &stderr, "mayfly.yaml");
    assert_eq!(stderr.lines().count(), problems.len(), "{stderr}");
    for (problem, start) in problems
        .iter()
        .zip(["1: lisen: ", "4: ca.chain: ", "8: log.origin: "])
    {
        assert!(problem.starts_with(start), "{stderr}");
    }
    assert!(!installation.path("log").exists() && !installation.path("log-key.pem").exists());
}

#[tokio::test]
async fn every_problem_of_the_issuer_file_has_its_line() {
    let installation = Installation::new().await;
    installation.write(
        "issuers.yaml",
        "oidc-issuers:\n  https://idp.example:\n    issuer-url: https://idp.example\n    clientid: sigstore\n    type: emial\n",
    );
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(2), "{stderr}");
    let problems = lines_about(&installation, &stderr, "issuers.yaml");
    assert_eq!(stderr.lines().count(), problems.len(), "{stderr}");
    for line in ["4: ", "5: "] {
        assert!(
            problems.iter().any(|problem| problem.starts_with(line)),
            "{stderr}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_others_can_read_are_refused() {
    let installation = Installation::new().await;
    installation.serve().program.stop();
    for (name, place) in [("ca-key.pem", "5: ca.key: "), ("log-key.pem", "9: log.key: ")] {
        installation.chmod(name, 0o644);
        let (code, stderr) = installation.refusal();
        assert_eq!(code, Some(2));
        let [problem] = lines_about(&installation, &stderr, "mayfly.yaml")
            .try_into()
            .unwrap();
        assert!(problem.starts_with(place), "{problem}");
        assert!(problem.contains("chmod 600"), "{problem}");
        installation.chmod(name, 0o600);
    }
    installation.serve();
}

#[tokio::test]
async fn a_key_of_another_ca_is_refused() {
    let installation = Installation::new().await;
    let chain = fs::read(installation.path("ca.pem")).unwrap();
    installation.make_ca(SystemClock.now()).await;
    fs::write(installation.path("ca.pem"), chain).unwrap();
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("the CA key does not belong to the first certificate"),
        "{stderr}"
    );
}

#[tokio::test]
async fn an_expired_chain_is_refused() {
    let installation = Installation::new().await;
    installation.make_ca(SystemClock.now().minus(ELEVEN_YEARS)).await;
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(1));
    let path = installation.path("ca.pem").display().to_string();
    assert!(
        stderr.contains(&path) && stderr.contains("expired at"),
        "{stderr}"
    );
    assert!(!installation.path("log").exists());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let installation = Installation::new().await;
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    installation.configure("listen: 127.0.0.1:0", &format!("listen: {address}"));
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains(&format!(
            "cannot listen on {address}: choose another port, or end the program that has this one"
        )),
        "{stderr}"
    );
    assert!(!installation.path("log").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_proved_by_another_algorithm_than_those_permitted_gets_no_certificate() {
    let installation = Installation::new().await;
    let configure = |algorithms: &str| {
        installation.configure(
            "audit: audit.jsonl",
            &format!("audit: audit.jsonl\nclient-signing-algorithms: [{algorithms}]"),
        );
    };
    configure("ed25519, ecdsa-sha2-384-nistp384");
    let mut serving = installation.serve();
    let answer = serving.request().await;
    assert_eq!(answer.reason(), (400, "signing_algorithm_not_permitted"));
    let message = answer.body["message"].as_str().unwrap();
    assert!(
        message.contains("Permitted are: ed25519, ecdsa-sha2-384-nistp384"),
        "{message}"
    );
    serving.program.stop();

    installation.configure("[ed25519, ", "[ecdsa-sha2-256-nistp256, ");
    let mut serving = installation.serve();
    serving.request().await.issued();
    serving.program.stop();
}

/// The Secret of a pod with an `fsGroup`: files of root that the server's group may read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root"]
async fn a_key_of_root_that_the_servers_group_may_read_signs() {
    const SERVER: u32 = 1000;
    let installation = Installation::new().await;
    let key = installation.path("ca-key.pem");
    let check = |online: &[&str]| {
        let mut command = mayfly();
        command
            .args(["config", "check", "--config"])
            .arg(installation.path("mayfly.yaml"));
        let output = command.args(online).uid(SERVER).gid(SERVER).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    installation.chmod("", 0o755);
    chown(&key, Some(0), Some(SERVER)).unwrap();
    for mode in [0o440, 0o640] {
        installation.chmod("ca-key.pem", mode);
        let said = check(&["--online"]);
        assert!(
            said.contains("signs: ") && said.contains("ca-key.pem"),
            "{mode:o}: {said}"
        );
    }
    installation.chmod("ca-key.pem", 0o444);
    let said = check(&[]);
    assert!(
        said.contains("open to others") && said.contains("chmod 640"),
        "{said}"
    );
    installation.chmod("ca-key.pem", 0o640);
    chown(&key, Some(SERVER + 1), Some(SERVER)).unwrap();
    let said = check(&[]);
    assert!(
        said.contains("belongs to another user (1001). Run: chown 1000 "),
        "{said}"
    );
}
