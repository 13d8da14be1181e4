//! A small ext4 that runs full below `ct-log serve`. Run as root: `cargo test -p ct-log --test full_disk -- --ignored`.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

#[path = "support/disk.rs"]
mod disk;
#[path = "support/serving.rs"]
mod serving;
mod support;

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::check::{Depth, Source as _, StoredLog, check};
use ct_log::{Entry, LeafIndex, SequencedEntry, Tile, TileKind};
use disk::{Disk, MIB};
use rcgen::CustomExtension;
use reqwest::StatusCode;
use serde_json::Value;
use serving::{Scene, Server};
use support::precertificate_params;

const SPACE: u64 = 64 * MIB;

/// So large an extension that a few hundred entries fill the segments which the log has prepared.
const PADDING: usize = 24 * 1024;

/// More than these segments can hold.
const MANY: u64 = 2_000;

/// A submitter who keeps what it was promised.
struct Submitter<'a> {
    scene: &'a Scene,
    serial: u64,
    acknowledged: Vec<Acknowledged>,
}

struct Acknowledged {
    index: u64,
    timestamp: u64,
    precertificate: Vec<u8>,
}

impl Submitter<'_> {
    async fn submit(&mut self, server: &Server) -> StatusCode {
        self.serial += 1;
        let mut params = precertificate_params(self.serial);
        let padding = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55738, 1], vec![7; PADDING]);
        params.custom_extensions.push(padding);
        let chain = self.scene.pki.chain(&params);
        let answer = server.add_chain(&chain).await;
        let status = answer.status();
        if status == StatusCode::OK {
            let sct: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            let extensions = STANDARD.decode(sct["extensions"].as_str().unwrap()).unwrap();
            self.acknowledged.push(Acknowledged {
                index: LeafIndex::from_extensions(&extensions).unwrap().get(),
                timestamp: sct["timestamp"].as_u64().unwrap(),
                precertificate: chain[0].clone(),
            });
        } else {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key("retry-after"));
        }
        status
    }

    async fn submit_until(&mut self, server: &Server, expected: StatusCode) {
        for _ in 0..MANY {
            if self.submit(server).await == expected {
                return;
            }
            if expected == StatusCode::OK {
                // Space is looked for once a second.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        panic!("never {expected}");
    }

    /// The directory of a log that has ended holds what was acknowledged, each at its place.
    async fn verify(&self) {
        let log = StoredLog::read(&self.scene.directory).unwrap();
        let report = check(&log, (log.origin(), log.public_key()), Depth::Certificates).await;
        assert!(report.is_sound(), "{report}");
        let size = report.size().unwrap();
        let mut entries = Vec::new();
        for first in (0..size).step_by(256) {
            let width = u16::try_from((size - first).min(256)).unwrap();
            let tile = Tile::new(TileKind::Entries, first / 256, width).unwrap();
            entries.extend(SequencedEntry::decode_all(&log.tile(tile).await.unwrap()).unwrap());
        }
        for acknowledged in &self.acknowledged {
            let held = &entries[usize::try_from(acknowledged.index).unwrap()];
            assert_eq!(held.timestamp().get(), acknowledged.timestamp);
            let Entry::Precertificate { precertificate, .. } = held.entry() else {
                panic!("not a precertificate")
            };
            assert!(*precertificate == acknowledged.precertificate);
        }
    }
}

async fn assert_readable(server: &Server) {
    for path in [
        "checkpoint",
        "tile/data/000.p/1",
        "ct/v1/get-sth",
        "ct/v1/get-entries?start=0&end=0",
    ] {
        assert_eq!(server.get(path).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
#[ignore = "needs root and mount"]
async fn a_log_stops_short_of_a_full_disk() {
    a_full_disk_costs_refusals_only(1).await;
}

#[tokio::test]
#[ignore = "needs root and mount"]
async fn a_log_fills_its_disk_to_the_last_byte() {
    a_full_disk_costs_refusals_only(0).await;
}

/// C2, C6, C10: whether the log keeps some space free or learns from a failing write that there is none.
async fn a_full_disk_costs_refusals_only(min_free: u64) {
    let mut scene = Scene::new();
    let disk = Disk::ext4(scene.path("disk"), SPACE);
    scene.directory = disk.path("log");
    scene.min_free = min_free;
    let mut submitter = Submitter {
        scene: &scene,
        serial: 0,
        acknowledged: Vec::new(),
    };
    let server = scene.start().await;
    submitter.submit_until(&server, StatusCode::OK).await;
    for _ in 0..2 {
        let filler = disk.fill(SPACE);
        submitter
            .submit_until(&server, StatusCode::SERVICE_UNAVAILABLE)
            .await;
        for _ in 0..20 {
            submitter.submit(&server).await;
        }
        assert_readable(&server).await;
        fs::remove_file(filler).unwrap();
        submitter.submit_until(&server, StatusCode::OK).await;
    }

    let filler = disk.fill(SPACE);
    submitter
        .submit_until(&server, StatusCode::SERVICE_UNAVAILABLE)
        .await;
    server.kill().await;
    let said = scene.refused().await;
    assert!(said.contains("No space left on device"), "{said}");
    fs::remove_file(filler).unwrap();
    let server = scene.start().await;
    submitter.submit_until(&server, StatusCode::OK).await;
    assert_eq!(server.stop().await, Some(0));
    submitter.verify().await;
}
