//! A log in a bucket, written by servers that know nothing of each other.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::time;

use crate::{
    installation::Installation,
    load::{ENOUGH, Load, assert_holds, burst},
    moto::{BUCKET, Moto},
    program::mayfly,
};

/// How long a writer is stopped: for a moment, and longer than it waits for the answer to a write.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(22)];

pub(crate) fn with_credentials() -> Command {
    let mut command = mayfly();
    command.env("AWS_ACCESS_KEY_ID", "test");
    command.env("AWS_SECRET_ACCESS_KEY", "not-to-be-seen");
    command
}

async fn in_bucket(moto: &Moto) -> Installation {
    let installation = Installation::new().await;
    keep_in(&installation, moto);
    installation
}

/// Adds the bucket to its log.
pub(crate) fn keep_in(installation: &Installation, moto: &Moto) {
    let s3 = format!(
        "  s3: {{bucket: {BUCKET}, prefix: ct/2027, region: us-east-1, endpoint: \"http://{}\", allow-http: true}}\n",
        moto.address
    );
    installation.configure("  key: log-key.pem\n", &format!("  key: log-key.pem\n{s3}"));
}

/// The folder with the log's identity, which in a bucket is an object.
pub(crate) fn identity(moto: &Moto, folder: &Path) -> PathBuf {
    let mut connection = TcpStream::connect(moto.address).unwrap();
    // Moto believes everybody who claims to have signed.
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=test/20270101/us-east-1/s3/aws4_request, \
                  SignedHeaders=host, Signature=00";
    let request = format!(
        "GET /{BUCKET}/ct/2027/log.json HTTP/1.1\r\nHost: localhost\r\n{signed}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("log.json"), answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    folder.to_owned()
}

/// C2, C16: a server is killed, another one goes on with nothing but the key and the bucket, and then both write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto"]
async fn what_left_before_a_kill_is_in_the_bucket() {
    let moto = Moto::start();
    let installation = in_bucket(&moto).await;
    let mut left = Vec::new();
    let mut first = installation.serve_as(&mut with_credentials());
    left.extend(burst(&installation, &mut first).await);
    assert!(!first.program.stderr().contains("not-to-be-seen"));
    let identity = identity(&moto, &installation.path("identity"));

    // Another machine: nothing of the first one is there but the key.
    installation.configure("directory: log", "directory: elsewhere");
    installation.configure("audit.jsonl", "audit-elsewhere.jsonl");
    fs::remove_dir_all(installation.path("log")).unwrap();
    let mut second = installation.serve_as(&mut with_credentials());
    assert_holds(&second, &identity, &left).await;
    installation.configure("directory: elsewhere", "directory: log");
    installation.configure("audit-elsewhere.jsonl", "audit.jsonl");
    let mut first = installation.serve_as(&mut with_credentials());
    for _ in 0..10 {
        let (one, other) = tokio::join!(first.request(), second.request());
        left.extend([one.issued(), other.issued()]);
    }
    assert_holds(&first, &identity, &left).await;
    assert_holds(&second, &identity, &left).await;
    left.extend(burst(&installation, &mut second).await);
    assert_holds(&first, &identity, &left).await;
    first.program.stop();
}

/// C2, C16: a writer stops in the middle of its writes, the other one goes on, and then the first wakes and does not know that
/// its place is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto"]
async fn a_writer_that_slept_takes_nobodys_place() {
    let moto = Moto::start();
    let installation = in_bucket(&moto).await;
    let first = installation.serve_as(&mut with_credentials());
    let identity = identity(&moto, &installation.path("identity"));
    installation.configure("directory: log", "directory: elsewhere");
    installation.configure("audit.jsonl", "audit-elsewhere.jsonl");
    let second = installation.serve_as(&mut with_credentials());
    let mut left = Vec::new();
    for pause in PAUSES {
        let mut on_first = Load::on(&installation, &first);
        on_first.issues(ENOUGH).await;
        first.program.pause();
        // Not before: whoever writes alone to a store that is slow gets ahead of one that has to read first.
        let mut on_second = Load::on(&installation, &second);
        on_second.issues(ENOUGH).await;
        left.extend(on_second.end().await.0);
        time::sleep(pause).await;
        first.program.resume();
        on_first.issues(ENOUGH).await;
        left.extend(on_first.end().await.0);
    }
    assert_holds(&first, &identity, &left).await;
    assert_holds(&second, &identity, &left).await;
}

/// The birth rule: a key without a bucket and a bucket without a key are refused, and no key is made in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto"]
async fn a_bucket_and_a_key_belong_together() {
    let moto = Moto::start();
    let installation = in_bucket(&moto).await;
    let mut serving = installation.serve_as(&mut with_credentials());
    serving.program.stop();

    let key = installation.path("log-key.pem");
    fs::rename(&key, installation.path("kept.pem")).unwrap();
    installation.configure("directory: log", "directory: elsewhere");
    let (code, said) = installation.refusal_as(&mut with_credentials());
    assert_ne!(code, Some(0));
    assert!(
        said.contains("s3://ct-log-tests/ct/2027") && said.contains("is not empty"),
        "{said}"
    );
    assert!(!key.exists());

    fs::rename(installation.path("kept.pem"), &key).unwrap();
    installation.configure("prefix: ct/2027", "prefix: ct/2028");
    let (_, said) = installation.refusal_as(&mut with_credentials());
    assert!(said.contains("no log in s3://ct-log-tests/ct/2028"), "{said}");
}
