//! The command `ct-log serve`: birth, service, reload, stop.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "support/serving.rs"]
mod serving;
#[cfg(target_os = "linux")]
#[path = "support/strangers.rs"]
mod strangers;
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde_json::Value;
use serving::{Scene, add_chain, pem};
use support::{Pki, precertificate_params};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn size_of(directory: &Path) -> String {
    fs::read_to_string(directory.join("checkpoint"))
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .to_owned()
}

/// C2, C10: what got an SCT is there after the end and after the next start.
#[tokio::test]
async fn log_is_born_serves_stops_and_goes_on() {
    let scene = Scene::new();
    let server = scene.start().await;
    let mode = fs::metadata(scene.path("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let health = reqwest::get(format!("{}/health", server.url)).await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    let answer = server.add(&scene.pki, 1).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let sct: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(sct["extensions"], STANDARD.encode([0, 0, 5, 0, 0, 0, 0, 0]));
    assert_eq!(server.stop().await, Some(0));
    assert_eq!(size_of(&scene.path("log")), "1");

    let server = scene.start().await;
    assert_eq!(server.add(&scene.pki, 2).await.status(), StatusCode::OK);
    assert_eq!(server.stop().await, Some(0));
    assert_eq!(size_of(&scene.path("log")), "2");
}

/// A new log under an old key would be a fork; an old log under a new key is nobody's.
#[tokio::test]
async fn key_and_directory_are_made_together_or_not_at_all() {
    let scene = Scene::new();
    assert_eq!(scene.start().await.stop().await, Some(0));
    fs::rename(scene.path("log"), scene.path("lost")).unwrap();
    let said = scene.refused().await;
    assert!(said.contains("the command restore"), "{said}");
    fs::rename(scene.path("lost"), scene.path("log")).unwrap();
    fs::rename(scene.path("key.pem"), scene.path("lost.pem")).unwrap();
    let said = scene.refused().await;
    assert!(said.contains("restore the key"), "{said}");
    assert!(!scene.path("key.pem").exists());
    fs::copy(scene.path("lost.pem"), scene.path("key.pem")).unwrap();
    fs::set_permissions(scene.path("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = scene.refused().await;
    assert!(said.contains("mode 644"), "{said}");
    fs::write(scene.path("key.pem"), "nonsense").unwrap();
    fs::set_permissions(scene.path("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let said = scene.refused().await;
    assert!(
        said.contains("PRIVATE KEY") && !said.contains("nonsense"),
        "{said}"
    );
}

#[tokio::test]
async fn accepted_roots_are_read_again_on_sighup() {
    let scene = Scene::new();
    let mut server = scene.start().await;
    let other = Pki::new();
    assert_eq!(server.add(&other, 1).await.status(), StatusCode::BAD_REQUEST);

    fs::write(scene.path("roots.pem"), "nonsense").unwrap();
    server.signal("-HUP");
    let line = server.lines.next_line().await.unwrap().unwrap();
    assert!(line.contains("ERROR") && line.contains("stay in force"), "{line}");
    assert_eq!(server.add(&scene.pki, 2).await.status(), StatusCode::OK);

    fs::write(scene.path("roots.pem"), pem(&other.root.der())).unwrap();
    server.signal("-HUP");
    let line = server.lines.next_line().await.unwrap().unwrap();
    assert!(line.contains("read again"), "{line}");
    assert_eq!(server.add(&other, 3).await.status(), StatusCode::OK);
    assert_eq!(server.add(&scene.pki, 4).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(server.stop().await, Some(0));
}

/// Checkpoints cannot be written any more: nothing may be promised, and a supervisor must notice.
#[tokio::test]
async fn failed_write_ends_the_server_with_a_code_of_its_own() {
    let scene = Scene::new();
    let mut server = scene.start().await;
    fs::remove_dir_all(scene.path("log/tmp")).unwrap();
    // The next checkpoint is due within ten seconds.
    assert_eq!(server.child.wait().await.unwrap().code(), Some(3));
}

/// The reader of its log lines stands still, and then goes away: submissions are answered, SIGHUP has its effect, and SIGTERM ends it.
#[tokio::test]
async fn log_lines_that_nobody_reads_stop_nothing() {
    for goes_away in [false, true] {
        let scene = Scene::new();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = scene.command();
        // So many lines that a pipe is full after a few requests.
        let mut child = command.env("CT_LOG_LOG", "trace").stderr(writer).spawn().unwrap();
        drop(command);
        let mut lines = BufReader::new(reader);
        let url = loop {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            if let Some(address) = line.split("address=").nth(1) {
                break format!("http://{}", address.split(' ').next().unwrap());
            }
        };
        let lines = (!goes_away).then_some(lines);
        for serial in 0..60 {
            let chain = scene.pki.chain(&precertificate_params(serial));
            assert_eq!(add_chain(&url, &chain).await.status(), StatusCode::OK);
        }
        let signal = |name: &str| {
            let pid = child.id().unwrap().to_string();
            let sent = std::process::Command::new("kill").args([name, &pid]).status();
            assert!(sent.unwrap().success());
        };
        let other = Pki::new();
        fs::write(scene.path("roots.pem"), pem(&other.root.der())).unwrap();
        signal("-HUP");
        let chain = other.chain(&precertificate_params(1));
        while add_chain(&url, &chain).await.status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        signal("-TERM");
        let ended = tokio::time::timeout(Duration::from_secs(60), child.wait()).await;
        assert_eq!(ended.expect("SIGTERM ends it").unwrap().code(), Some(0));
        drop(lines);
        assert_eq!(size_of(&scene.path("log")), "61");
    }
}

/// A web server can read what is public, and only the owner can write.
#[tokio::test]
async fn modes_do_not_depend_on_the_umask() {
    for umask in ["077", "000", "022"] {
        let mut scene = Scene::new();
        scene.directory = scene.path("made/by/the/log");
        let server = scene.start_as(scene.command_with_umask(umask)).await;
        assert_eq!(server.add(&scene.pki, 1).await.status(), StatusCode::OK);
        while server.get("tile/data/000.p/1").await.status() != StatusCode::OK {}
        assert_eq!(server.stop().await, Some(0));
        let mut folders = vec![scene.path("made")];
        let mut names = Vec::new();
        while let Some(folder) = folders.pop() {
            assert_eq!(mode(&folder), 0o755, "{umask}: {}", folder.display());
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    assert_eq!(mode(&path), 0o644, "{umask}: {}", path.display());
                    names.push(path.file_name().unwrap().to_owned());
                }
            }
        }
        for name in ["checkpoint", "log.json", "index.redb"] {
            assert!(names.iter().any(|made| made == name), "{name}: {names:?}");
        }
        assert_eq!(mode(&scene.path("key.pem")), 0o600, "{umask}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// RFC 9112 section 3.2.
#[tokio::test]
async fn http_1_1_needs_one_host() {
    let scene = Scene::new();
    let server = scene.start().await;
    let address = server.url.strip_prefix("http://").unwrap();
    for (head, status) in [
        ("HTTP/1.1\r\n", "400"),
        ("HTTP/1.1\r\nhost: a\r\nhost: a\r\n", "400"),
        ("HTTP/1.1\r\nhost: a\r\n", "200"),
        ("HTTP/1.0\r\n", "200"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET /health {head}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(&answer[9..12], status, "{head:?}: {answer}");
    }
    assert_eq!(server.stop().await, Some(0));
}

/// More than a process may have by the soft limit of most systems. None of them says anything.
#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let scene = Scene::new();
    let server = scene.start().await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(server.get("checkpoint").await.status(), StatusCode::OK);
    drop(silent);
    assert_eq!(server.stop().await, Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_limit_on_open_files_is_raised_as_far_as_it_goes() {
    let scene = Scene::new();
    let server = scene.start().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.child.id().unwrap())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let values: Vec<_> = line.split_whitespace().skip(3).collect();
    assert_eq!(values[0], values[1], "{line}");
}

/// What memory strangers may hold beside four times what they sent: the budget of answers, the places in which
/// answers are made, and what the allocator keeps.
#[cfg(target_os = "linux")]
const FIXED: usize = 160 * 1024 * 1024;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn answers_that_nobody_reads_hold_a_bounded_amount_of_memory() {
    use strangers::{Stranger, resident};

    let scene = Scene::new();
    let server = scene.start().await;
    let pid = server.child.id().unwrap();
    let client = reqwest::Client::new();
    for serial in 1..=160 {
        let chain = scene.pki.chain(&support::precertificate_params(serial));
        let chain: Vec<_> = chain.iter().map(|der| STANDARD.encode(der)).collect();
        let body = serde_json::json!({ "chain": chain }).to_string();
        let url = format!("{}/2027/ct/v1/add-pre-chain", server.url);
        let added = client.post(url).body(body).send().await.unwrap();
        assert_eq!(added.status(), StatusCode::OK);
    }
    let path = "ct/v1/get-entries?start=0&end=159";
    let size = loop {
        let answer = server.get(path).await;
        let whole = answer.status() == StatusCode::OK;
        let text = answer.text().await.unwrap();
        if whole
            && serde_json::from_str::<Value>(&text).unwrap()["entries"]
                .as_array()
                .unwrap()
                .len()
                == 160
        {
            break text.len();
        }
    };
    let (connections, requests) = (20, 64);
    assert!(
        size * connections * requests > 2 * FIXED,
        "too few to see: {size}"
    );

    let before = resident(pid);
    let address = server.url.strip_prefix("http://").unwrap();
    let mut strangers = Vec::new();
    for _ in 0..connections {
        let mut stranger = Stranger::connect(address).await;
        for _ in 0..requests {
            stranger.get(&format!("/2027/{path}")).await;
        }
        strangers.push(stranger);
    }
    // Each waits for the answers of its own connection, or is refused.
    for stranger in &mut strangers {
        stranger.read_heads(4).await;
    }
    assert_eq!(server.get("checkpoint").await.status(), StatusCode::OK);
    let sent: usize = strangers.iter().map(|stranger| stranger.sent).sum();
    let held = resident(pid).saturating_sub(before);
    assert!(held < 4 * sent + FIXED, "{held} bytes held for {sent} sent");
    assert_eq!(server.get("ct/v1/get-roots").await.status(), StatusCode::OK);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bombs_in_trailers_hold_a_bounded_amount_of_memory() {
    use strangers::{Stranger, TrailerBomb, resident};

    let scene = Scene::new();
    let server = scene.start().await;
    let pid = server.child.id().unwrap();
    let address = server.url.strip_prefix("http://").unwrap();
    for (bomb, is_late) in [
        (TrailerBomb::Get("/2027/checkpoint"), true),
        (TrailerBomb::Post("/2027/ct/v1/add-chain", &[]), false),
        (TrailerBomb::Post("/nothing", &[]), false),
        (TrailerBomb::Get("/2027/checkpoint"), false),
        (TrailerBomb::Connect, false),
    ] {
        let before = resident(pid);
        let mut strangers = Vec::new();
        for _ in 0..25 {
            let mut stranger = Stranger::connect(address).await;
            for _ in 0..60 {
                stranger.trailer_bomb(&bomb, if is_late { 0 } else { 1400 }).await;
            }
            strangers.push(stranger);
        }
        for stranger in &mut strangers {
            stranger.read_heads(60).await;
            if is_late {
                for stream in (1..120).step_by(2) {
                    stranger.trailers(stream, 1400).await;
                }
                // When this is answered, the server has read them.
                stranger.get("/2027/checkpoint").await;
                stranger.read_heads(1).await;
            }
        }
        let sent: usize = strangers.iter().map(|stranger| stranger.sent).sum();
        let held = resident(pid).saturating_sub(before);
        assert!(
            held < 4 * sent + FIXED / 4,
            "{bomb:?}: {held} bytes held for {sent} sent"
        );
        assert_eq!(server.get("checkpoint").await.status(), StatusCode::OK);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bombs_of_indexed_header_fields_hold_a_bounded_amount_of_memory() {
    use strangers::{Stranger, resident};

    let scene = Scene::new();
    let server = scene.start().await;
    let pid = server.child.id().unwrap();
    let before = resident(pid);
    let address = server.url.strip_prefix("http://").unwrap();
    let mut strangers = Vec::new();
    for _ in 0..50 {
        let mut stranger = Stranger::connect(address).await;
        for _ in 0..60 {
            stranger.post_bomb("/2027/ct/v1/add-chain", 400).await;
        }
        strangers.push(stranger);
    }
    for stranger in &mut strangers {
        stranger.read_heads(60).await;
    }
    let sent: usize = strangers.iter().map(|stranger| stranger.sent).sum();
    let held = resident(pid).saturating_sub(before);
    assert!(held < 4 * sent + FIXED / 4, "{held} bytes held for {sent} sent");
    assert_eq!(server.get("checkpoint").await.status(), StatusCode::OK);
}
