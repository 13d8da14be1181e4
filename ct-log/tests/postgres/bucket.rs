//! A bucket beside the database, and a way to it that can be closed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ct_log::check::{Source, SourceError};
use ct_log::{Checkpoint, Fingerprint, LogPublicKey, S3Settings, Tile};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::moto::{BUCKET, Moto};
use super::replica::origin;

/// Credentials come from the environment only, which a test cannot change for itself: it runs again in a process that has
/// some. False if this is not that process, and the test is over.
pub(crate) fn has_credentials(test: &str) -> bool {
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|id| id == "test") {
        return true;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .status();
    assert!(status.unwrap().success());
    false
}

/// Where a log's files are, read as a CDN reads them.
pub(crate) struct Bucket {
    prefix: String,
    store: Arc<dyn ObjectStore>,
}

impl Bucket {
    pub(crate) fn new(moto: &Moto, prefix: &str) -> Bucket {
        let store = AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", moto.address))
            .with_allow_http(true)
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .build();
        Bucket {
            prefix: prefix.to_owned(),
            store: Arc::new(store.unwrap()),
        }
    }

    fn path(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.prefix))
    }

    pub(crate) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.store.get(&self.path(key)).await {
            Ok(found) => Some(found.bytes().await.unwrap().to_vec()),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn put(&self, key: &str, bytes: Vec<u8>) {
        self.store.put(&self.path(key), bytes.into()).await.unwrap();
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.store.delete(&self.path(key)).await.unwrap();
    }

    /// Every key below the prefix.
    pub(crate) async fn keys(&self) -> Vec<String> {
        use futures_util::TryStreamExt;
        let prefix = Path::from(self.prefix.as_str());
        let all: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.unwrap();
        let key = |path: &Path| path.as_ref().strip_prefix(&self.prefix).unwrap()[1..].to_owned();
        all.iter().map(|meta| key(&meta.location)).collect()
    }

    /// The checkpoint that it shows.
    pub(crate) async fn published(&self, key: &LogPublicKey) -> Checkpoint {
        let note = self.get("checkpoint").await.unwrap();
        Checkpoint::verify(&String::from_utf8(note).unwrap(), &origin(), key).unwrap()
    }

    async fn object(&self, key: String) -> Result<Vec<u8>, SourceError> {
        self.get(&key).await.ok_or(SourceError::Missing(key))
    }
}

impl Source for Bucket {
    async fn checkpoint(&self) -> Result<String, SourceError> {
        let note = self.object("checkpoint".to_owned()).await?;
        Ok(String::from_utf8(note).unwrap())
    }

    async fn tile(&self, tile: Tile) -> Result<Vec<u8>, SourceError> {
        self.object(tile.to_string()).await
    }

    async fn issuer(&self, fingerprint: Fingerprint) -> Result<Vec<u8>, SourceError> {
        self.object(format!("issuer/{fingerprint}")).await
    }
}

/// The only way from a log to its bucket.
#[derive(Clone)]
pub(crate) struct Way {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    /// Ends with the process.
    pub(crate) fn to(moto: &Moto) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Way {
            address: listener.local_addr().unwrap(),
            closed: Arc::default(),
            open: Arc::default(),
        };
        let (accepting, moto) = (way.clone(), moto.address);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if !accepting.closed.load(Ordering::SeqCst) {
                    accepting.pass(stream, moto);
                }
            }
        });
        way
    }

    fn pass(&self, client: TcpStream, moto: SocketAddr) {
        let Ok(server) = TcpStream::connect(moto) else {
            return;
        };
        let halves = [&client, &server].map(|stream| stream.try_clone().unwrap());
        let [to_client, to_server] = [&client, &server].map(|stream| stream.try_clone().unwrap());
        self.open.lock().unwrap().extend(halves);
        std::thread::spawn(move || copy(client, to_server));
        std::thread::spawn(move || copy(server, to_client));
    }

    /// From now on nobody gets through, nor does what is under way.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A place of that prefix behind `endpoint`.
pub(crate) fn place(endpoint: &str, prefix: &str) -> S3Settings {
    let settings = S3Settings::new(BUCKET).unwrap().prefix(prefix).unwrap();
    settings.region("us-east-1").plain_endpoint(endpoint).unwrap()
}
