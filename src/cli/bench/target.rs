//! The server that is measured: one that runs already, or one of our own.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ct_log::LogPublicKey;
use mayfly::{
    clock::{Clock, SystemClock},
    dev::{Issuers, Minter, ProviderKey, data_dir::DataDir, ready::Ready},
    issuer::{CertificateChain, ceremony::KeyKind},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{ServerSettings, Storage};
use crate::cli::{dev::CaKey, failure::Failure};

/// A server with what a client must know of it.
#[derive(Debug)]
pub(super) struct Target {
    api: String,
    metrics: String,
    data_dir: DataDir,
    process: Option<i32>,
    /// The one that signs now first.
    chains: Vec<CertificateChain>,
    logs: Vec<LogPublicKey>,
    description: String,
}

impl Target {
    /// A server that runs already, with its data directory.
    pub(super) fn running(url: &str, data_dir: &Path, process: Option<i32>) -> Result<Self, Failure> {
        let description = format!("at {url}, data in {}", data_dir.display());
        Self::new(url, data_dir, process, description)
    }

    pub(super) fn new(
        url: &str,
        data_dir: &Path,
        process: Option<i32>,
        description: String,
    ) -> Result<Self, Failure> {
        let data_dir = DataDir::at(data_dir);
        let root: Value = serde_json::from_slice(&fs::read(data_dir.trusted_root())?)?;
        let authorities = list(&root, "/certificateAuthorities")?;
        let logs = list(&root, "/ctlogs")?;
        Ok(Self {
            api: url.trim_end_matches('/').to_owned(),
            metrics: Ready::read(&data_dir)?.metrics,
            data_dir,
            process,
            chains: authorities.iter().map(chain).collect::<Result<_, _>>()?,
            logs: logs.iter().map(log_key).collect::<Result<_, _>>()?,
            description,
        })
    }

    /// Origin of the API.
    pub(super) fn api(&self) -> &str {
        &self.api
    }

    /// Its metrics, as a URL.
    pub(super) fn metrics(&self) -> &str {
        &self.metrics
    }

    /// Where it keeps its files.
    pub(super) fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    /// The server's process, if it is known.
    pub(super) fn process(&self) -> Option<i32> {
        self.process
    }

    /// The CA's chains, from the trusted root.
    pub(super) fn chains(&self) -> &[CertificateChain] {
        &self.chains
    }

    /// The keys of its logs, from the trusted root.
    pub(super) fn logs(&self) -> &[LogPublicKey] {
        &self.logs
    }

    /// Which server this is, in words.
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// Makes tokens that the server trusts.
    pub(super) fn minter(&self) -> Result<Minter, Failure> {
        let key = ProviderKey::open(&self.data_dir.oidc_key())?;
        // The issuers' URLs hold the origin as the server knows it, which may differ from the URL given.
        let ready = Ready::read(&self.data_dir)?;
        Ok(Minter::new(key, Issuers::at(&ready.api)))
    }

    /// The kind of key that signs leaves.
    pub(super) fn ca_key(&self) -> Result<KeyKind, Failure> {
        let chain = self.chains.first().ok_or(BadTrustedRoot)?;
        let key = chain.issuing().tbs_certificate().subject_public_key_info();
        let curve = key.algorithm.parameters.as_ref().map(der::Any::decode_as);
        match curve {
            Some(Ok(const_oid::db::rfc5912::SECP_256_R_1)) => Ok(KeyKind::EcdsaP256),
            Some(Ok(const_oid::db::rfc5912::SECP_384_R_1)) => Ok(KeyKind::EcdsaP384),
            _ => Err("only CAs with a key on P-256 or P-384 can be measured".into()),
        }
    }
}

/// Of at least one.
fn list<'a>(root: &'a Value, pointer: &str) -> Result<&'a [Value], Failure> {
    match root.pointer(pointer).and_then(Value::as_array) {
        Some(list) if !list.is_empty() => Ok(list),
        _ => Err(BadTrustedRoot.into()),
    }
}

fn chain(authority: &Value) -> Result<CertificateChain, Failure> {
    let certificates = list(authority, "/certChain/certificates")?;
    let der = certificates.iter().map(raw_bytes).collect::<Result<_, _>>()?;
    Ok(CertificateChain::from_der(der, SystemClock.now())?)
}

fn log_key(log: &Value) -> Result<LogPublicKey, Failure> {
    let key = log.pointer("/publicKey").ok_or(BadTrustedRoot)?;
    Ok(LogPublicKey::from_spki_der(&raw_bytes(key)?)?)
}

fn raw_bytes(value: &Value) -> Result<Vec<u8>, Failure> {
    let text = value
        .get("rawBytes")
        .and_then(Value::as_str)
        .ok_or(BadTrustedRoot)?;
    Ok(STANDARD.decode(text)?)
}

#[derive(Debug, thiserror::Error)]
#[error("trusted_root.json does not name a CA and a log: is this the data directory of `mayfly dev`?")]
struct BadTrustedRoot;

/// A `mayfly dev` of our own, in a temporary directory; it stops when this is dropped.
pub(super) struct Own {
    target: Target,
    _server: Server,
    _directory: TempDir,
}

impl Own {
    /// Starts it for the first time and waits until it is ready.
    pub(super) fn start(settings: ServerSettings) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new().prefix("mayfly-bench-").tempdir()?;
        let (server, ready) = Server::start(settings, directory.path())?;
        let description = format!(
            "started by this command in {}: mayfly {}",
            directory.path().display(),
            server.arguments.join(" ")
        );
        let target = Target::new(&ready.api, &ready.data_dir, Some(server.pid()), description)?;
        Ok(Self {
            target,
            _server: server,
            _directory: directory,
        })
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}

/// A child process of this program; stopped, and waited for, when this is dropped.
pub(super) struct Server {
    child: Child,
    arguments: Vec<String>,
}

impl Server {
    /// Starts `mayfly dev` with its data and its log lines in `directory`, and waits until it is ready.
    pub(super) fn start(settings: ServerSettings, directory: &Path) -> Result<(Self, Ready), Failure> {
        let mut arguments: Vec<String> = ["dev", "--json", "--port", "0", "--key-kind", name(settings.ca)]
            .map(str::to_owned)
            .into();
        arguments.extend(match settings.storage {
            Storage::Disk => vec!["--data-dir".into(), directory.join("data").display().to_string()],
            Storage::Memory => vec!["--ephemeral".into()],
        });
        let log_lines = directory.join("server.log");
        let child = Command::new(std::env::current_exe()?)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log_lines)?)
            .spawn()?;
        let mut server = Self { child, arguments };
        let mut line = String::new();
        if let Some(stdout) = server.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let ready = serde_json::from_str(&line).map_err(|_| NotStarted(read_to_string(&log_lines)))?;
        Ok((server, ready))
    }

    pub(super) fn pid(&self) -> i32 {
        Pid::from_child(&self.child).as_raw_nonzero().get()
    }
}

impl Drop for Server {
    /// By SIGTERM, so that it removes what it made.
    fn drop(&mut self) {
        let _gone_already = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _gone_already = self.child.wait();
    }
}

fn name(key: CaKey) -> &'static str {
    match key {
        CaKey::P256 => "p256",
        CaKey::P384 => "p384",
    }
}

fn read_to_string(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[derive(Debug, thiserror::Error)]
#[error("the server did not start; it said:\n{0}")]
struct NotStarted(String);
