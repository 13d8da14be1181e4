//! `timestamp`: the timestamp authority.

use std::path::{Path, PathBuf};

use der::asn1::ObjectIdentifier;

use super::{
    AlsoTrusted,
    key::{self, Existing},
    read,
};
use crate::{
    config::{
        fields::{Fields, Keys},
        path::Folder,
        problem::{Place, Problems},
        yaml::Node,
    },
    key::KeySettings,
    server::GrantedStatus,
    timestamp::{DEFAULT_POLICY, ntp::NtpServer},
};

const TIMESTAMP: Keys = &[
    "chain",
    "key",
    "passphrase",
    "policy",
    "status",
    "ntp",
    "also-trusted",
];

/// The timestamp authority's chain, the key of its first certificate, and its policy.
#[derive(Clone, Debug)]
pub struct TimestampFiles {
    chain: PathBuf,
    key: KeySettings,
    policy: ObjectIdentifier,
    granted: GrantedStatus,
    ntp: Vec<NtpServer>,
    also_trusted: Vec<AlsoTrusted>,
}

impl TimestampFiles {
    /// PEM certificates from the one that signs times to the root.
    #[must_use]
    pub fn chain(&self) -> &Path {
        &self.chain
    }

    /// The private key of the first of them.
    #[must_use]
    pub fn key(&self) -> &KeySettings {
        &self.key
    }

    /// What timestamps name as the policy under which they were made.
    #[must_use]
    pub fn policy(&self) -> ObjectIdentifier {
        self.policy
    }

    /// The status of an answer with a timestamp.
    #[must_use]
    pub fn granted(&self) -> GrantedStatus {
        self.granted
    }

    /// The time servers that must confirm the machine's clock, if any must.
    #[must_use]
    pub fn ntp(&self) -> &[NtpServer] {
        &self.ntp
    }

    /// Other timestamp authorities that clients are to trust: those that are yet to sign, and those that did.
    #[must_use]
    pub fn also_trusted(&self) -> &[AlsoTrusted] {
        &self.also_trusted
    }
}

pub(super) fn settings(
    place: Place,
    node: &Node,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<TimestampFiles> {
    let fields = Fields::open(place, node, TIMESTAMP, problems)?;
    let suggestion =
        "Name a PEM file with the timestamp authority's certificate, the ones above it, and the root";
    let chain = fields.required_text("chain", suggestion, problems);
    let chain = chain.and_then(|text| folder.file(&text, problems));
    let key = key::read(&fields, Existing::Yes, folder, problems);
    let policy = policy(&fields, problems);
    let granted = granted(&fields, problems);
    let ntp = ntp(&fields, problems);
    let also_trusted = read::also_trusted(&fields, folder, problems);
    Some(TimestampFiles {
        chain: chain?,
        key: key?,
        policy: policy?,
        granted: granted?,
        ntp: ntp?,
        also_trusted: also_trusted?,
    })
}

fn policy(fields: &Fields<'_>, problems: &mut Problems) -> Option<ObjectIdentifier> {
    let Some(text) = fields.text("policy", problems) else {
        return Some(DEFAULT_POLICY);
    };
    let policy = ObjectIdentifier::new(text.value).ok();
    if policy.is_none() {
        let what = format!("`{}` is not an object identifier", text.value);
        let suggestion = "Write one of your own arc, such as 1.3.6.1.4.1.99999.1, or leave it out";
        problems.report(&text.place, what, suggestion);
    }
    policy
}

fn granted(fields: &Fields<'_>, problems: &mut Problems) -> Option<GrantedStatus> {
    let Some(text) = fields.text("status", problems) else {
        return Some(GrantedStatus::default());
    };
    match text.value {
        "200" => Some(GrantedStatus::Ok),
        "201" => Some(GrantedStatus::Created),
        other => {
            let what = format!("`{other}` is neither 200 nor 201");
            problems.report(
                &text.place,
                what,
                "Leave it out, unless your clients take only 201",
            );
            None
        }
    }
}

fn ntp(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<NtpServer>> {
    let Some((place, node)) = fields.get("ntp") else {
        return Some(Vec::new());
    };
    let items = node.items(&place, problems);
    if items.is_empty() {
        let suggestion = "Name the time servers that must confirm the clock, or leave it out";
        problems.report(&place, "names no time server", suggestion);
        return None;
    }
    let servers: Vec<_> = items
        .iter()
        .map(|item| {
            let text = item.text(&place, problems)?;
            let server = text.value.parse().ok();
            if server.is_none() {
                let what = format!("`{}` is not a time server", text.value);
                let suggestion =
                    "Write a host, with a port if it is not 123, such as time.example.com or 127.0.0.1:123";
                problems.report(&text.place, what, suggestion);
            }
            server
        })
        .collect();
    servers.into_iter().collect()
}
