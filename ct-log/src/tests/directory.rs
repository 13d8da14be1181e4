//! The directory of a log: whose it is, and what it may lack.

use std::fs;

use crate::key::LogKey;
use crate::log::Log;
use crate::settings::LogSettings;
use crate::storage::OpenError;
use crate::tests::support::{origin, submit};

/// C16.
#[tokio::test]
async fn one_directory_one_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let settings = || LogSettings::new(&path, origin()).min_free_bytes(0);
    let pkcs8 = LogKey::generate().unwrap().to_pkcs8_der().unwrap();
    let key = || LogKey::from_pkcs8_der(&pkcs8).unwrap();
    assert!(matches!(
        Log::open(settings(), key()),
        Err(OpenError::Missing { .. })
    ));
    let log = Log::create(settings(), key()).unwrap();
    let sct = submit(&log, 1).await;
    assert!(matches!(
        Log::open(settings(), key()),
        Err(OpenError::Locked { .. })
    ));
    assert!(matches!(
        Log::create(settings(), key()),
        Err(OpenError::Locked { .. })
    ));
    log.shutdown().await;
    assert!(matches!(
        Log::create(settings(), key()),
        Err(OpenError::Exists { .. })
    ));
    let log = Log::open(settings(), key()).unwrap();
    assert_eq!(log.size(), 1);
    assert!(submit(&log, 2).await.timestamp() >= sct.timestamp());
    drop(log);
    Log::open(settings(), key()).unwrap();
}

/// Copies often lack empty directories.
#[tokio::test]
async fn empty_directories_need_not_be_restored() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || LogSettings::new(directory.path(), origin()).min_free_bytes(0);
    let pkcs8 = LogKey::generate().unwrap().to_pkcs8_der().unwrap();
    let key = || LogKey::from_pkcs8_der(&pkcs8).unwrap();
    Log::create(settings(), key()).unwrap().shutdown().await;
    for empty in ["tmp", "tile", "issuer"] {
        fs::remove_dir(directory.path().join(empty)).unwrap();
    }
    let log = Log::open(settings(), key()).unwrap();
    for number in 0..256 {
        submit(&log, number).await;
    }
    log.shutdown().await;
    assert!(directory.path().join("tile/data/000").exists());
}

#[tokio::test]
async fn an_empty_or_impossible_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = |path| Log::open(LogSettings::new(path, origin()), LogKey::generate().unwrap());
    let error = open(directory.path().to_owned()).unwrap_err();
    assert!(matches!(&error, OpenError::Missing { directory: named } if named == directory.path()));
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(open(file.clone()), Err(OpenError::Io { .. })));
    let create = Log::create(LogSettings::new(file, origin()), LogKey::generate().unwrap());
    assert!(matches!(create, Err(OpenError::Io { .. })));
}
