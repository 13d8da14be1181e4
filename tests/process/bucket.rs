//! A log in a bucket, written by servers that know nothing of each other.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use tokio::task::JoinSet;

use crate::{
    certificate::Issued,
    client::Client,
    installation::{EMAIL, Installation, Serving},
    moto::{BUCKET, Moto},
    program::mayfly,
};

/// Certificates before a server is killed.
const ENOUGH: usize = 40;
const CONNECTIONS: usize = 8;

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

/// Requests on all connections; the server is killed when enough certificates have arrived.
pub(crate) async fn burst(installation: &Installation, serving: &mut Serving<'_>) -> Vec<Issued> {
    let (arrived, mut arriving) = tokio::sync::mpsc::unbounded_channel();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = Client::new(&format!("http://{}", serving.address));
        let (token, arrived) = (installation.token(), arrived.clone());
        connections.spawn(async move {
            while let Ok(answer) = client.request(&token, EMAIL).await {
                arrived.send(answer.issued()).unwrap();
            }
        });
    }
    drop(arrived);
    let mut left = Vec::new();
    while left.len() < ENOUGH {
        left.push(arriving.recv().await.unwrap());
    }
    serving.program.kill();
    while let Some(issued) = arriving.recv().await {
        left.push(issued);
    }
    connections.join_all().await;
    left
}

pub(crate) async fn assert_holds(serving: &Serving<'_>, identity: &Path, left: &[Issued]) {
    let last = left.iter().map(|issued| issued.sct.leaf_index().get()).max();
    let published = serving.published(identity);
    let entries = published.audited_entries_of(last.unwrap() + 1).await;
    for issued in left {
        let index = usize::try_from(issued.sct.leaf_index().get()).unwrap();
        issued.assert_is_logged_as(&entries[index], &published.key);
    }
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
