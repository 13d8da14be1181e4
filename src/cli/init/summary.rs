//! What was made: fingerprints, where each key is, and what to do now.

use std::fmt::{self, Write};

use aws_lc_rs::digest::{SHA256, digest};
use ct_log::LogPublicKey;
use der::{Decode, referenced::OwnedToRef};
use mayfly::{
    config::{Settings, TimestampFiles},
    issuer::CertificateChain,
    key::{KeySettings, SignatureAlgorithm},
    timestamp::TimestampChain,
};
use serde::Serialize;
use x509_cert::{Certificate, spki::SubjectPublicKeyInfoRef};

use super::{
    configuration,
    folder::Layout,
    plan::{Plan, RootKey},
};
use crate::cli::{failure::Failure, guide::quoted};

/// For a person, or as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    directory: String,
    /// Without it, the chain is still to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<Authority>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intermediate: Option<Authority>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Authority>,
    /// Where the intermediate's key is.
    ca_key: Key,
    /// Where the timestamp authority's key is.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_key: Option<Key>,
    log: Log,
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_config: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    next: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Authority {
    subject: String,
    /// Of the DER, hexadecimal.
    sha256: String,
    algorithm: &'static str,
    not_after: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Key>,
}

#[derive(Clone, Debug, Serialize)]
struct Key {
    place: String,
    protection: String,
}

#[derive(Debug, Serialize)]
struct Log {
    origin: String,
    /// SHA-256 of its public key (RFC 6962 section 3.2), hexadecimal.
    id: String,
    key: Key,
}

impl Summary {
    pub(super) fn of_ceremony(
        plan: &Plan,
        layout: &Layout,
        (chain, timestamps, log_key): (Option<&CertificateChain>, Option<&TimestampChain>, &[u8]),
    ) -> Result<Self, Failure> {
        let file = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let ca_key = Key::of(&configuration::settings_of(&plan.ca, &file(layout.ca_key())));
        let log_settings = configuration::settings_of(&plan.log, &file(layout.log_key()));
        let mut summary = Self::new(
            layout,
            ca_key,
            Log::of(&plan.host.log_origin(), log_key, &log_settings)?,
        );
        let timestamp_key = plan
            .timestamps
            .as_ref()
            .map(|plan| configuration::settings_of(&plan.key, &file(layout.timestamp_key())));
        summary.add_timestamps(timestamps, timestamp_key.as_ref())?;
        let root_key = plan.root.as_ref().map(|root| root_key(&root.key, layout));
        match chain {
            Some(chain) => summary.add_chain(chain, root_key, layout)?,
            None => {
                summary.request = Some(file(layout.signing_request()));
                summary.next = after_request(plan, layout);
                return Ok(summary);
            }
        }
        let made_root = matches!(plan.root.as_ref().map(|root| &root.key), Some(RootKey::New(_)));
        let until = summary
            .intermediate
            .as_ref()
            .map_or("", |authority| authority.not_after.as_str());
        let mut next = vec![match made_root {
            true => format!(
                "Move {root} away, now: onto two media that stay offline, in two places, with the passphrase in neither. The \
                 server never needs it. It is needed again before {until}, when the intermediate ends, to sign the next one; \
                 or earlier, if the intermediate's key is lost or leaks (docs/keys.md, \"The ceremony\").",
                root = quoted(&layout.root()),
            ),
            false => format!(
                "Take from this machine the right to use the root's key. It is needed again before {until}, when the \
                 intermediate ends, to sign the next one (docs/keys.md, \"The ceremony\"). Keep {} with it.",
                quoted(&layout.root_certificate()),
            ),
        }];
        next.extend(after_chain(layout));
        summary.next = next;
        Ok(summary)
    }

    pub(super) fn of_chains(
        layout: &Layout,
        settings: &Settings,
        (chain, timestamps, log_key): (&CertificateChain, Option<&TimestampChain>, &[u8]),
    ) -> Result<Self, Failure> {
        let shard = settings.log().and_then(|log| log.shards.first());
        let (origin, key) = shard
            .and_then(|shard| match &shard.key {
                mayfly::log::embedded::ShardKey::Signing(key) => Some((shard.origin.as_str(), key)),
                mayfly::log::embedded::ShardKey::Retired => None,
            })
            .ok_or("the configuration has no log")?;
        let ca_key = Key::of(settings.ca().key());
        let mut summary = Self::new(layout, ca_key, Log::of(origin, log_key, key)?);
        summary.add_chain(chain, None, layout)?;
        summary.add_timestamps(timestamps, settings.timestamp().map(TimestampFiles::key))?;
        summary.next = after_chain(layout);
        Ok(summary)
    }

    fn new(layout: &Layout, ca_key: Key, log: Log) -> Self {
        Self {
            directory: layout.path().to_string_lossy().into_owned(),
            root: None,
            intermediate: None,
            timestamp: None,
            ca_key,
            timestamp_key: None,
            log,
            configuration: None,
            trusted_root: None,
            signing_config: None,
            request: None,
            next: Vec::new(),
        }
    }

    fn add_chain(
        &mut self,
        chain: &CertificateChain,
        root_key: Option<Key>,
        layout: &Layout,
    ) -> Result<(), Failure> {
        let [first, .., last] = chain.der() else {
            return Err("the chain is too short".into());
        };
        self.intermediate = Some(Authority::of(first, Some(self.ca_key.clone()))?);
        self.root = Some(Authority::of(last, root_key)?);
        self.configuration = Some(layout.settings().to_string_lossy().into_owned());
        self.trusted_root = Some(layout.trusted_root().to_string_lossy().into_owned());
        self.signing_config = Some(layout.signing_config().to_string_lossy().into_owned());
        Ok(())
    }

    fn add_timestamps(
        &mut self,
        chain: Option<&TimestampChain>,
        key: Option<&KeySettings>,
    ) -> Result<(), Failure> {
        self.timestamp_key = key.map(Key::of);
        if let Some([der, ..]) = chain.map(TimestampChain::der) {
            self.timestamp = Some(Authority::of(der, self.timestamp_key.clone())?);
        }
        Ok(())
    }

    /// One line.
    pub(super) fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

fn root_key(key: &RootKey, layout: &Layout) -> Key {
    match key {
        RootKey::Existing(settings) => Key::of(settings),
        RootKey::New(passphrase) => Key {
            place: layout.root_key().to_string_lossy().into_owned(),
            protection: match passphrase {
                Some(_) => "encrypted".to_owned(),
                None => "NOT encrypted".to_owned(),
            },
        },
    }
}

fn after_request(plan: &Plan, layout: &Layout) -> Vec<String> {
    let timestamps = match plan.timestamps {
        Some(_) => " --timestamp-chain timestamp-chain.pem",
        None => "",
    };
    vec![
        format!(
            "Give {} to whoever holds your root. README.txt in it says what is needed.",
            quoted(&layout.request())
        ),
        format!(
            "Install what comes back: mayfly init --chain chain.pem{timestamps} {}",
            quoted(layout.path())
        ),
    ]
}

fn after_chain(layout: &Layout) -> Vec<String> {
    let settings = quoted(&layout.settings());
    vec![
        format!("Say who may sign, in {}.", quoted(&layout.issuers())),
        format!("Check it all, the keys too: mayfly config check --online --config {settings}"),
        format!(
            "Start: mayfly serve --config {settings}. The folder {} can be moved as a whole; places of passphrases stay as \
             they are written.",
            quoted(&layout.server())
        ),
        format!(
            "Give {} to those who sign and verify, then sign: cosign sign-blob --signing-config signing_config.json \
             --trusted-root trusted_root.json --bundle hello.sigstore.json hello.txt",
            quoted(&layout.clients())
        ),
    ]
}

impl Authority {
    fn of(der: &[u8], key: Option<Key>) -> Result<Self, Failure> {
        let certificate = Certificate::from_der(der)?;
        let tbs = certificate.tbs_certificate();
        Ok(Self {
            subject: tbs.subject().to_string(),
            sha256: hex::encode(digest(&SHA256, der)),
            algorithm: algorithm(&tbs.subject_public_key_info().owned_to_ref()),
            not_after: tbs.validity().not_after.to_string(),
            key,
        })
    }
}

fn algorithm(key: &SubjectPublicKeyInfoRef<'_>) -> &'static str {
    match SignatureAlgorithm::of(key) {
        Some(SignatureAlgorithm::EcdsaP256Sha256) => "ECDSA P-256",
        Some(SignatureAlgorithm::EcdsaP384Sha384) => "ECDSA P-384",
        Some(SignatureAlgorithm::RsaPkcs1Sha256) => "RSA",
        None => "another kind of key",
    }
}

impl Key {
    fn of(settings: &KeySettings) -> Self {
        let protection = match (settings.reference.as_file(), &settings.passphrase) {
            (Some(_), Some(source)) => format!("encrypted, with the passphrase in {source}"),
            (Some(_), None) => "NOT encrypted".to_owned(),
            (None, Some(source)) => format!("outside this process, with the PIN in {source}"),
            (None, None) => "outside this process".to_owned(),
        };
        Self {
            place: settings.reference.to_string(),
            protection,
        }
    }
}

impl Log {
    fn of(origin: &str, public_key: &[u8], key: &KeySettings) -> Result<Self, Failure> {
        Ok(Self {
            origin: origin.to_owned(),
            id: LogPublicKey::from_spki_der(public_key)?.log_id().to_string(),
            key: Key::of(key),
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.place, self.protection)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request {
            None => writeln!(f, "The CA is made, in {}.\n", self.directory)?,
            Some(_) => writeln!(
                f,
                "The CA is made but for its certificate, in {}.\n",
                self.directory
            )?,
        }
        for (role, authority) in [
            ("root", &self.root),
            ("intermediate", &self.intermediate),
            ("timestamps", &self.timestamp),
        ] {
            let Some(authority) = authority else { continue };
            writeln!(f, "  {role:13} {}, {}", authority.subject, authority.algorithm)?;
            writeln!(f, "    SHA-256     {}", fingerprint(&authority.sha256))?;
            writeln!(f, "    valid until {}", authority.not_after)?;
            match &authority.key {
                Some(key) => writeln!(f, "    key         {key}")?,
                None => writeln!(f, "    key         with whoever signed the request")?,
            }
        }
        if self.intermediate.is_none() {
            writeln!(f, "  intermediate\n    key         {}", self.ca_key)?;
        }
        if let (None, Some(key)) = (&self.timestamp, &self.timestamp_key) {
            writeln!(f, "  timestamps\n    key         {key}")?;
        }
        writeln!(f, "  {:13} {}", "log", self.log.origin)?;
        writeln!(f, "    id          {}", self.log.id)?;
        writeln!(f, "    key         {}", self.log.key)?;
        writeln!(f, "\nNow:\n")?;
        for (number, step) in (1..).zip(&self.next) {
            writeln!(f, "  {number}. {step}")?;
        }
        Ok(())
    }
}

/// As `openssl x509 -fingerprint -sha256` prints it.
fn fingerprint(hex: &str) -> String {
    let mut text = String::new();
    for (at, digit) in hex.chars().enumerate() {
        if at > 0 && at % 2 == 0 {
            text.push(':');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{}", digit.to_ascii_uppercase());
    }
    text
}
