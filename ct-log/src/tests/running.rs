//! A running log.

use std::time::Duration;

use crate::leaf::{MAX_ENTRY_BYTES, PendingEntry};
use crate::submission::{SubmitError, Submitter, Unavailable};
use crate::tests::support::{Harness, ISSUER, checkpoint, entry, in_memory, submit};
use crate::tile::{Tile, TileKind};

const ENTRIES: TileKind = TileKind::Entries;

/// Waits for what another thread does; the test runner ends a test that never gets there.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tile_boundaries_and_restarts() {
    let harness = Harness::new();
    let mut log = harness.create().unwrap();
    let mut size = 0;
    for next in [1, 255, 256, 257, 511, 512, 513, 768] {
        assert_eq!(harness.submit(&log, size..next).await, []);
        size = next;
        log.shutdown().await;
        harness.see_checkpoint(&log);
        assert_eq!(
            checkpoint(&log).size(),
            size,
            "the last checkpoint covers everything"
        );
        harness.verify(&log).await;
        drop(log);
        log = harness.open().unwrap();
        assert_eq!(log.size(), size);
        harness.verify(&log).await;
    }
    let stored = harness.model.paths();
    assert_eq!(
        stored
            .iter()
            .filter(|path| path.starts_with("tile/data/"))
            .count(),
        3
    );
    assert!(
        stored
            .iter()
            .all(|path| !path.contains(".p/") && !path.starts_with("tmp/")),
        "{stored:?}"
    );
}

/// A full tile of level 1, through the whole log, and a recovery over it.
#[tokio::test(flavor = "multi_thread")]
async fn two_levels_of_tiles() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    for first in (0..65_536).step_by(1024) {
        assert_eq!(harness.submit(&log, first..first + 1024).await, []);
    }
    assert_eq!(harness.submit(&log, 65_536..65_539).await, []);
    log.shutdown().await;
    let paths = harness.model.paths();
    assert_eq!(
        paths.iter().filter(|path| path.starts_with("tile/0/")).count(),
        256
    );
    assert_eq!(
        paths
            .iter()
            .filter(|path| path.starts_with("tile/1/"))
            .collect::<Vec<_>>(),
        ["tile/1/000"]
    );
    drop(log);
    let log = harness.open().unwrap();
    assert_eq!(log.size(), 65_539);
    harness.verify(&log).await;
    let level_2 = Tile::new(TileKind::Hashes { level: 2 }, 0, 1).unwrap();
    let level_1 = Tile::full(TileKind::Hashes { level: 1 }, 0).unwrap();
    let below = log.read_tile(level_1).await.unwrap().unwrap();
    let (below, _) = below.as_chunks::<32>();
    let below: Vec<_> = below.iter().copied().map(crate::tree::Hash::new).collect();
    let above = log.read_tile(level_2).await.unwrap().unwrap();
    assert_eq!(above, crate::tree::root(&below).as_bytes());
    let level_1 = Tile::new(TileKind::Hashes { level: 1 }, 1, 1).unwrap();
    assert_eq!(log.read_tile(level_1).await.unwrap(), None);
}

/// C7.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_beyond_the_published_size() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    harness.submit(&log, 0..10).await;
    until(|| checkpoint(&log).size() == 10).await;
    let read = |width| log.read_tile(Tile::new(ENTRIES, 0, width).unwrap());
    assert!(read(10).await.unwrap().is_some());
    assert_eq!(read(11).await.unwrap(), None);
    harness.submit(&log, 10..300).await;
    until(|| checkpoint(&log).size() == 300).await;
    let full = read(256).await.unwrap().unwrap();
    for width in [1, 10, 11, 255] {
        let partial = read(width).await.unwrap().unwrap();
        assert!(full.starts_with(&partial) && partial.len() < full.len());
    }
    until(|| harness.model.paths().contains(&"tile/data/000".to_owned())).await;
    log.shutdown().await;
    assert_eq!(read(256).await.unwrap().unwrap(), full, "the same from the disk");
    assert!(full.starts_with(&read(7).await.unwrap().unwrap()));
}

/// C11.
#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_gets_the_same_sct() {
    let log = in_memory();
    let twice = || log.submit(entry(&log, 1), Submitter::External);
    let (first, second) = tokio::join!(twice(), twice());
    let first = first.unwrap().to_tls();
    assert_eq!(first, second.unwrap().to_tls());
    assert_eq!(first, twice().await.unwrap().to_tls());
    assert_eq!(log.size(), 1);
    log.submit(entry(&log, 2), Submitter::External).await.unwrap();
    assert_eq!(log.size(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impatient_duplicate_does_not_disturb_the_other() {
    let log = in_memory();
    let impatient = log.submit(entry(&log, 1), Submitter::External);
    let patient = log.submit(entry(&log, 1), Submitter::External);
    let mut impatient = Box::pin(impatient);
    tokio::select! {
        biased;
        _ = &mut impatient => {}
        () = std::future::ready(()) => {}
    }
    drop(impatient);
    patient.await.unwrap();
    assert_eq!(log.size(), 1);
}

#[tokio::test]
async fn an_internal_entry_is_never_taken_for_a_duplicate() {
    let log = in_memory();
    assert_ne!(
        submit(&log, 1).await.leaf_index(),
        submit(&log, 1).await.leaf_index()
    );
}

#[tokio::test]
async fn too_large_an_entry_is_refused_and_the_next_is_not() {
    let log = in_memory();
    let issuers = log.store_issuers(&[]).unwrap();
    let large = PendingEntry::certificate(vec![1; MAX_ENTRY_BYTES], issuers.clone());
    assert!(matches!(
        log.submit(large, Submitter::Internal).await,
        Err(SubmitError::TooLarge(_))
    ));
    let fits = PendingEntry::certificate(vec![1; MAX_ENTRY_BYTES - 100], issuers);
    log.submit(fits, Submitter::Internal).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_disk_refuses_entries_and_serves_readers() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    harness.submit(&log, 0..3).await;
    until(|| checkpoint(&log).size() == 3).await;
    harness.model.set_free_bytes(Some(1_000));
    until(|| log.health().is_err()).await;
    assert!(matches!(log.health(), Err(Unavailable::DiskFull)));
    assert_eq!(harness.submit(&log, 3..4).await, [SubmitError::DiskFull]);
    assert!(
        log.read_tile(Tile::new(ENTRIES, 0, 3).unwrap())
            .await
            .unwrap()
            .is_some()
    );
    harness.model.set_free_bytes(None);
    until(|| log.health().is_ok()).await;
    assert_eq!(harness.submit(&log, 3..4).await, []);
}

/// C4.
#[tokio::test(flavor = "multi_thread")]
async fn time_does_not_go_back() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    let now = harness.now().get();
    let first = submit(&log, 0).await.timestamp();
    harness.clock.move_by(-1_500);
    // Each checkpoint of these moments is a millisecond after the one before.
    let second = submit(&log, 1).await.timestamp();
    assert!(first <= second && second.get() < now + 100);
    harness.clock.move_by(-1_000);
    assert_eq!(harness.submit(&log, 2..3).await, [SubmitError::ClockBehind]);
    assert!(matches!(log.health(), Err(Unavailable::ClockBehind)));
    harness.clock.move_by(2_600);
    assert_eq!(submit(&log, 3).await.timestamp().get(), now + 100);
    until(|| checkpoint(&log).size() == 3).await;
    assert!(checkpoint(&log).timestamp().get() >= now + 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_go_when_tiles_hold_their_entries() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    let issuers = log.store_issuers(&[]).unwrap();
    for number in 0..600u32 {
        let der = [&number.to_be_bytes()[..], &[7; 60_000]].concat();
        log.submit(
            PendingEntry::certificate(der, issuers.clone()),
            Submitter::Internal,
        )
        .await
        .unwrap();
    }
    let segments = || {
        harness
            .model
            .paths()
            .into_iter()
            .filter(|path| path.starts_with("wal/"))
            .collect()
    };
    let bounded = || {
        let segments: Vec<String> = segments();
        !segments.is_empty() && segments.len() <= 4
    };
    until(bounded).await;
    log.shutdown().await;
    drop(log);
    let log = harness.open().unwrap();
    assert_eq!(log.size(), 600);
    harness.verify(&log).await;
}

#[tokio::test]
async fn after_shutdown_readers_remain() {
    let log = in_memory();
    submit(&log, 0).await;
    log.shutdown().await;
    log.shutdown().await;
    let refused = log.submit(entry(&log, 1), Submitter::Internal).await;
    assert_eq!(refused, Err(SubmitError::Unavailable));
    assert!(matches!(log.health(), Err(Unavailable::ShutDown)));
    assert!(
        log.read_tile(Tile::new(ENTRIES, 0, 1).unwrap())
            .await
            .unwrap()
            .is_some()
    );
}

/// After shutdown the directory may be another process's.
#[tokio::test]
async fn after_shutdown_no_issuer_is_written() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    let known = log.store_issuers(&[ISSUER]).unwrap();
    log.shutdown().await;
    let paths = harness.model.paths();
    log.store_issuers(&[b"a new one"]).unwrap_err();
    assert_eq!(harness.model.paths(), paths);
    assert_eq!(log.store_issuers(&[ISSUER]).unwrap(), known);
    assert!(matches!(log.health(), Err(Unavailable::ShutDown)));
}

/// A clock that panics stands for any thread that does.
#[tokio::test]
async fn a_thread_that_panics_poisons_the_log() {
    let harness = Harness::new();
    let log = harness.create().unwrap();
    submit(&log, 0).await;
    until(|| checkpoint(&log).size() == 1).await;
    harness.clock.break_down();
    for number in 1..3 {
        assert_eq!(
            harness.submit(&log, number..number + 1).await,
            [SubmitError::Unavailable]
        );
    }
    assert!(log.failed().await.to_string().contains("restarted"));
    assert!(matches!(log.health(), Err(Unavailable::Failed(_))));
}

#[tokio::test]
async fn issuers_are_served_by_their_hash() {
    let log = in_memory();
    let chain = log.store_issuers(&[b"leaf's issuer", b"root"]).unwrap();
    let again = log.store_issuers(&[b"leaf's issuer", b"root"]).unwrap();
    assert_eq!(chain, again);
    let read = log.read_issuer(chain.fingerprints()[1]).await.unwrap();
    assert_eq!(read.unwrap(), b"root");
    let unknown = crate::leaf::Fingerprint::new([0; 32]);
    assert_eq!(log.read_issuer(unknown).await.unwrap(), None);
}
