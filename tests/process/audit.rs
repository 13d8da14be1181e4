//! The operator's record, as found on the disk.

use std::{collections::BTreeMap, fs, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::certificate::Issued;

pub(crate) struct AuditRecord {
    /// By event and serial number.
    lines: BTreeMap<(String, String), Vec<Value>>,
    /// Lines that a killed process left unfinished.
    pub(crate) torn: usize,
}

impl AuditRecord {
    pub(crate) fn read(path: &Path) -> Self {
        Self::parse(&fs::read_to_string(path).unwrap())
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut record = Self {
            lines: BTreeMap::new(),
            torn: 0,
        };
        for line in text.lines() {
            match serde_json::from_str::<Value>(line) {
                Ok(line) => record.lines.entry(key(&line)).or_default().push(line),
                Err(_) => record.torn += 1,
            }
        }
        record
    }

    /// Exactly one line for each of the CA's two signatures, and they are about this certificate.
    pub(crate) fn assert_holds(&self, issued: &Issued) {
        let intent = self.only("precertificate", issued);
        assert!(intent["public_key"].is_string() && intent["name"].is_object());
        let certificate = self.only("certificate", issued);
        assert_eq!(certificate["leaf_index"], issued.sct.leaf_index().get());
        assert_eq!(certificate["sct"], STANDARD.encode(issued.sct.to_tls()));
        assert_eq!(certificate["sha256"], hex::encode(digest(&SHA256, &issued.der)));
    }

    fn only(&self, event: &str, issued: &Issued) -> &Value {
        let lines = self.lines.get(&(event.to_owned(), issued.serial()));
        let lines = lines.unwrap_or_else(|| panic!("no {event} line for {}", issued.serial()));
        assert_eq!(lines.len(), 1, "{lines:?}");
        &lines[0]
    }
}

fn key(line: &Value) -> (String, String) {
    let text = |key: &str| line[key].as_str().unwrap().to_owned();
    (text("event"), text("serial"))
}
