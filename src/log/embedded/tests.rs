//! The birth of a log whose key is not in a file.

use super::*;
use crate::key::{KeyReference, KeySettings};

fn shard(folder: &Path, key: &str) -> ShardSettings {
    ShardSettings {
        origin: "ca.example.com/log".to_owned(),
        storage: Storage::Directory(folder.join("log")),
        high_water: None,
        key: ShardKey::Signing(KeySettings {
            reference: key.parse::<KeyReference>().unwrap().in_folder(folder),
            passphrase: None,
        }),
        window: None,
        trusted_until: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_made_once_and_on_purpose() {
    let folder = tempfile::tempdir().unwrap();
    let (shard, promise) = (
        shard(folder.path(), "hashivault://log"),
        PromiseSettings::default(),
    );
    let key = || LogKey::generate().unwrap();
    assert!(!shard.is_here().unwrap());
    let refusal = shard.open_with(&promise, Some(key())).err().unwrap().to_string();
    assert!(refusal.contains("mayfly log create"), "{refusal}");

    let log = shard.create_with(&promise, key()).unwrap();
    log.shutdown().await;
    assert!(shard.is_here().unwrap());
    drop(log);
    let again = shard.create_with(&promise, key()).err().unwrap();
    assert!(matches!(again, EmbeddedLogError::Open(_)), "{again:?}");
}

#[tokio::test]
async fn a_key_in_a_file_is_made_with_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let shard = shard(folder.path(), "log-key.pem");
    let metrics = KeyMetrics::new().unwrap();
    let refusal = shard.create(&PromiseSettings::default(), &metrics).await;
    assert!(matches!(refusal.err().unwrap(), EmbeddedLogError::MadeByStart));
    assert!(!folder.path().join("log").exists());
}
