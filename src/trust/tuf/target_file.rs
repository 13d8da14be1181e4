//! The files that clients get, and what sigstore's older clients want to know of them.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tough::{
    TargetName,
    schema::{Hashes, Target, Targets},
};

use super::TufError;
use crate::{
    clock::Timestamp,
    pem_block,
    trust::{
        SigningConfig, TrustedRoot,
        files::{self, log_key_number},
    },
};

/// The file that verifiers need.
pub const TRUSTED_ROOT: &str = files::TRUSTED_ROOT;

/// The name by which clients look for it.
const SIGNING_CONFIG_TARGET: &str = "signing_config.v0.2.json";

/// The field of `custom` by which older clients choose files.
pub(super) const SIGSTORE: &str = "sigstore";

/// A file that clients get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFile {
    /// The name that they ask for.
    pub name: String,
    /// Its contents.
    pub contents: Vec<u8>,
    /// What older clients choose certificates and keys by: the value of `sigstore` in `custom`.
    pub sigstore: Option<Value>,
}

/// Why a folder's files are not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetFileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Clients do without everything else, but not without this.
    #[error("{} holds no trusted_root.json: name a folder that mayfly trust export wrote", .0.display())]
    NoTrustedRoot(PathBuf),
    /// Its contents are of another kind than its name says.
    #[error("{} is not what its name says: {problem}", path.display())]
    Contents {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Something else, which was perhaps not meant for the public.
    #[error("{} is none of the files that clients ask for", .0.display())]
    Unknown(PathBuf),
    /// A file that was named, and is not there.
    #[error("there is no {name} in {}", folder.display())]
    Absent {
        /// The name.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Two files that would be one target.
    #[error("two files in the folder would be published as {0}")]
    Twice(String),
}

/// What older clients use a file for.
#[derive(Clone, Copy, Debug)]
enum Usage {
    Fulcio,
    Ctfe,
    Tsa,
}

impl Usage {
    fn name(self) -> &'static str {
        match self {
            Self::Fulcio => "Fulcio",
            Self::Ctfe => "CTFE",
            Self::Tsa => "TSA",
        }
    }

    /// Of the PEM blocks.
    fn label(self) -> &'static str {
        match self {
            Self::Fulcio | Self::Tsa => "CERTIFICATE",
            Self::Ctfe => "PUBLIC KEY",
        }
    }

    /// Where a trusted root has these, and their address.
    fn in_trusted_root(self) -> (&'static str, &'static str) {
        match self {
            Self::Fulcio => ("certificateAuthorities", "uri"),
            Self::Ctfe => ("ctlogs", "baseUrl"),
            Self::Tsa => ("timestampAuthorities", "uri"),
        }
    }
}

/// The files of a folder that `mayfly trust export` wrote: `trusted_root.json`, `signing_config.json`, the CAs' `ca.pem` and the
/// logs' `ctlog-N.pem`; and `fulcio*.crt.pem`, `ctfe*.pub` and `tsa*.pem` by the names that sigstore gives them. `also` names others, which
/// are published as they are.
///
/// # Errors
/// Any file that is none of these, or not what its name says; no trusted root; a folder that cannot be read.
pub fn read_export(
    folder: &Path,
    also: &[String],
    now: Timestamp,
) -> Result<Vec<TargetFile>, TargetFileError> {
    let trusted_root = trusted_root(folder)?;
    let mut files: Vec<TargetFile> = Vec::new();
    for path in entries(folder)? {
        let Some(file) = target_file(&path, also, &trusted_root, now)? else {
            continue;
        };
        if files.iter().any(|other| other.name == file.name) {
            return Err(TargetFileError::Twice(file.name));
        }
        files.push(file);
    }
    let absent = also
        .iter()
        .find(|name| files.iter().all(|file| file.name != **name));
    match absent {
        None => Ok(files),
        Some(name) => Err(TargetFileError::Absent {
            name: name.clone(),
            folder: folder.to_owned(),
        }),
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, TargetFileError> {
    let entries = fs::read_dir(folder).map_err(read_error(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = paths.collect::<Result<_, _>>().map_err(read_error(folder))?;
    paths.sort();
    Ok(paths)
}

fn trusted_root(folder: &Path) -> Result<Value, TargetFileError> {
    let path = folder.join(TRUSTED_ROOT);
    match fs::read(&path) {
        Ok(text) => of_media_type(&path, &text, TrustedRoot::MEDIA_TYPE),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(TargetFileError::NoTrustedRoot(folder.to_owned()))
        }
        Err(error) => Err(read_error(&path)(error)),
    }
}

fn target_file(
    path: &Path,
    also: &[String],
    trusted_root: &Value,
    now: Timestamp,
) -> Result<Option<TargetFile>, TargetFileError> {
    let unknown = || TargetFileError::Unknown(path.to_owned());
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(unknown)?;
    let read = || fs::read(path).map_err(read_error(path));
    let plain = |name: &str, contents: Vec<u8>| {
        Ok(Some(TargetFile {
            name: name.to_owned(),
            contents,
            sigstore: None,
        }))
    };
    if let Some((target, usage)) = legacy(name) {
        let blocks = blocks(path, &read()?, usage)?;
        // Anew, without what may stand beside them.
        let contents: String = blocks
            .iter()
            .map(|der| pem_block::encode(usage.label(), der))
            .collect();
        return Ok(Some(TargetFile {
            name: target,
            contents: contents.into_bytes(),
            sigstore: Some(sigstore(usage, &blocks, trusted_root, now)),
        }));
    }
    match name {
        TRUSTED_ROOT => plain(name, read()?),
        files::SIGNING_CONFIG | SIGNING_CONFIG_TARGET => {
            let contents = read()?;
            of_media_type(path, &contents, SigningConfig::MEDIA_TYPE)?;
            plain(SIGNING_CONFIG_TARGET, contents)
        }
        // Holds the two others.
        files::TRUST_CONFIG => Ok(None),
        _ if also.iter().any(|also| also == name) => plain(name, read()?),
        _ => Err(unknown()),
    }
}

/// The target that a file of PEM becomes, if it is one that older clients use.
fn legacy(name: &str) -> Option<(String, Usage)> {
    let between = |before: &str, after: &str| name.starts_with(before) && name.ends_with(after);
    match (name, log_key_number(name)) {
        (files::CERTIFICATES, _) => Some(("fulcio.crt.pem".to_owned(), Usage::Fulcio)),
        // gitsign asks for this name if nothing else is there.
        (_, Some("1")) => Some(("ctfe.pub".to_owned(), Usage::Ctfe)),
        (_, Some(number)) => Some((format!("ctfe_{number}.pub"), Usage::Ctfe)),
        _ if between("fulcio", ".crt.pem") => Some((name.to_owned(), Usage::Fulcio)),
        _ if between("ctfe", ".pub") => Some((name.to_owned(), Usage::Ctfe)),
        _ if between("tsa", ".pem") => Some((name.to_owned(), Usage::Tsa)),
        _ => None,
    }
}

/// DER of what a file of PEM holds: one or more of what it is for, and nothing else, least of all a private key.
fn blocks(path: &Path, contents: &[u8], usage: Usage) -> Result<Vec<Vec<u8>>, TargetFileError> {
    let wrong = |problem| TargetFileError::Contents {
        path: path.to_owned(),
        problem,
    };
    let blocks = pem::parse_many(contents).map_err(|_| wrong("it is not PEM"))?;
    if blocks.is_empty() || blocks.iter().any(|block| block.tag() != usage.label()) {
        return Err(wrong(
            "it must hold certificates, or public keys, and nothing else",
        ));
    }
    Ok(blocks.into_iter().map(pem::Pem::into_contents).collect())
}

fn of_media_type(path: &Path, text: &[u8], media_type: &str) -> Result<Value, TargetFileError> {
    let wrong = |problem| TargetFileError::Contents {
        path: path.to_owned(),
        problem,
    };
    let value: Value = serde_json::from_slice(text).map_err(|_| wrong("it is not JSON"))?;
    match value.get("mediaType").and_then(Value::as_str) == Some(media_type) {
        true => Ok(value),
        false => Err(wrong("it is of another media type than clients take")),
    }
}

/// Usage, and what the trusted root says of those of these that it knows: the address of the first that counts, and whether there is one.
fn sigstore(usage: Usage, blocks: &[Vec<u8>], trusted_root: &Value, now: Timestamp) -> Value {
    let (list, uri) = usage.in_trusted_root();
    let entries = trusted_root.get(list).and_then(Value::as_array);
    let known: Vec<_> = entries
        .into_iter()
        .flatten()
        .filter(|entry| is_about(entry, blocks))
        .collect();
    let counts = known.iter().find(|entry| !is_over(entry, now));
    let status = match known.is_empty() || counts.is_some() {
        true => "Active",
        false => "Expired",
    };
    let mut sigstore = json!({ "usage": usage.name(), "status": status });
    let uri = counts.or(known.first()).and_then(|entry| entry.get(uri));
    if let (Some(uri), Some(fields)) = (uri, sigstore.as_object_mut()) {
        fields.insert("uri".to_owned(), uri.clone());
    }
    sigstore
}

/// Whether an entry of the trusted root is for one of these certificates or keys. Its first certificate counts: CAs may have a root in common.
fn is_about(entry: &Value, blocks: &[Vec<u8>]) -> bool {
    let raw = entry
        .pointer("/certChain/certificates/0/rawBytes")
        .or_else(|| entry.pointer("/publicKey/rawBytes"))
        .and_then(Value::as_str);
    raw.is_some_and(|raw| blocks.iter().any(|block| STANDARD.encode(block) == raw))
}

fn is_over(entry: &Value, now: Timestamp) -> bool {
    let end = entry
        .pointer("/validFor/end")
        .or_else(|| entry.pointer("/publicKey/validFor/end"))
        .and_then(Value::as_str)
        .and_then(|end| end.parse::<jiff::Timestamp>().ok());
    end.is_some_and(|end| super::metadata::timestamp(end) <= now)
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> TargetFileError + '_ {
    move |source| TargetFileError::Read {
        path: path.to_owned(),
        source,
    }
}

impl TargetFile {
    /// Specification 4.5.
    pub(super) fn target(&self) -> Result<(TargetName, Target), TufError> {
        let name = TargetName::new(self.name.clone()).ok().filter(is_plain);
        let name = name.ok_or_else(|| TufError::TargetName(self.name.clone()))?;
        let length = u64::try_from(self.contents.len()).unwrap_or(u64::MAX);
        let digest = digest(&SHA256, &self.contents).as_ref().to_vec();
        Ok((name, target(length, digest, self.sigstore.clone())))
    }
}

fn target(length: u64, sha256: Vec<u8>, sigstore: Option<Value>) -> Target {
    Target {
        length,
        hashes: Hashes {
            sha256: sha256.into(),
            _extra: HashMap::new(),
        },
        custom: sigstore
            .map(|value| (SIGSTORE.to_owned(), value))
            .into_iter()
            .collect(),
        _extra: HashMap::new(),
    }
}

/// As it is in a URL, on a disk and on a terminal.
fn is_plain(name: &TargetName) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    name.resolved() == name.raw() && name.raw().chars().all(plain)
}

/// Whether these targets hold nothing but plain names, lengths, hashes, and what older clients choose by.
pub(super) fn is_as_made_here(targets: &Targets) -> bool {
    let mut same = Targets::new(targets.spec_version.clone(), targets.version, targets.expires);
    same.delegations = None;
    for (name, of) in &targets.targets {
        let sigstore = of.custom.get(SIGSTORE).cloned();
        let again = target(of.length, of.hashes.sha256.to_vec(), sigstore);
        same.targets.insert(name.clone(), again);
    }
    targets.targets.keys().all(is_plain)
        && serde_json::to_value(same).ok() == serde_json::to_value(targets).ok()
}
