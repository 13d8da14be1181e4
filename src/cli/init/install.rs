//! `--chain`: what a root elsewhere made of the requests is checked and installed.

use std::{fs, path, path::Path, path::PathBuf};

use der::{Decode, Encode};
use mayfly::{
    clock::{Clock, SystemClock},
    config::{ConfigErrors, Settings},
    issuer::{CertificateChain, ChainError},
    timestamp::{TimestampChain, TimestampChainError},
};
use x509_cert::{Certificate, request::CertReq};

use super::{
    folder::{self, FileError, Layout, io_error},
    make,
    summary::Summary,
};
use crate::cli::failure::Failure;

/// Why a chain is not installed.
#[derive(Debug, thiserror::Error)]
enum InstallError {
    #[error("{} has a chain already: another one takes over as docs/keys.md says, \"Rotation\"", .0.display())]
    Finished(PathBuf),
    #[error("{} is no folder that mayfly init --csr made", .0.display())]
    NoRequest(PathBuf),
    #[error("the certificates in {} cannot be used", path.display())]
    Chain { path: PathBuf, source: ChainError },
    #[error("the certificates in {} are not what was requested: {warning}", path.display())]
    NotAsRequested { path: PathBuf, warning: &'static str },
    #[error(
        "the first certificate in {} is for another key than that of {}: the certificate for that request must be first",
        chain.display(), request.display()
    )]
    AnotherKey { chain: PathBuf, request: PathBuf },
    #[error("the timestamp authority's certificates in {} cannot be used", path.display())]
    TimestampChain {
        path: PathBuf,
        source: TimestampChainError,
    },
    #[error(
        "{} was made as well: say with --timestamp-chain what came back for it; or, if there is to be no timestamp authority, \
         remove it, and the section `timestamp` from {}",
        request.display(), settings.display()
    )]
    NoTimestampChain { request: PathBuf, settings: PathBuf },
    #[error("no timestamp authority was requested for {}: leave --timestamp-chain out", .0.display())]
    NoTimestampRequest(PathBuf),
    #[error("{} is not the request that was written there", .0.display())]
    Request(PathBuf),
    #[error("{} is there already, with other certificates", .0.display())]
    AnotherChain(PathBuf),
    #[error("the log of {} is not one that mayfly init --csr made", .0.display())]
    Log(PathBuf),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Settings(#[from] ConfigErrors),
}

/// `timestamp_chain` if a timestamp authority was requested, too.
pub(super) async fn run(
    (chain, timestamp_chain): (&Path, Option<&Path>),
    directory: &Path,
) -> Result<Summary, Failure> {
    let layout = Layout::at(&path::absolute(directory)?);
    check_state(&layout)?;
    let certified = Certified {
        chain: check(chain, &layout)?,
        timestamps: check_timestamps(timestamp_chain, &layout)?,
    };
    let settings = certified.write(&layout)?;
    let log_key = log_key(&layout)?;
    make::write_client_files(&settings, &layout).await?;
    let settings = finish(&layout)?;
    Summary::of_chains(
        &layout,
        &settings,
        (&certified.chain, certified.timestamps.as_ref(), &log_key),
    )
}

fn check_state(layout: &Layout) -> Result<(), InstallError> {
    if layout.settings().exists() {
        return Err(InstallError::Finished(layout.path().to_owned()));
    }
    match layout.settings_without_chain().exists() {
        true => Ok(()),
        false => Err(InstallError::NoRequest(layout.path().to_owned())),
    }
}

/// The chain passes all checks of a start, and is for the key that is there.
fn check(file: &Path, layout: &Layout) -> Result<CertificateChain, InstallError> {
    let chain = CertificateChain::from_pem(&folder::read(file)?, SystemClock.now());
    let chain = chain.map_err(|source| InstallError::Chain {
        path: file.to_owned(),
        source,
    })?;
    if let Some(warning) = chain.warnings().first() {
        return Err(InstallError::NotAsRequested {
            path: file.to_owned(),
            warning,
        });
    }
    check_key(chain.issuing(), file, layout.signing_request())?;
    Ok(chain)
}

/// The same for the timestamp authority.
fn check_timestamps(file: Option<&Path>, layout: &Layout) -> Result<Option<TimestampChain>, InstallError> {
    let request = layout.timestamp_request();
    let file = match (file, request.exists()) {
        (Some(file), true) => file,
        (None, false) => return Ok(None),
        (Some(_), false) => return Err(InstallError::NoTimestampRequest(layout.path().to_owned())),
        (None, true) => {
            return Err(InstallError::NoTimestampChain {
                request,
                settings: layout.settings_without_chain(),
            });
        }
    };
    let chain = TimestampChain::from_pem(&folder::read(file)?, SystemClock.now());
    let chain = chain.map_err(|source| InstallError::TimestampChain {
        path: file.to_owned(),
        source,
    })?;
    check_key(chain.signer(), file, request)?;
    Ok(Some(chain))
}

fn check_key(certificate: &Certificate, chain: &Path, request: PathBuf) -> Result<(), InstallError> {
    let certified = certificate.tbs_certificate().subject_public_key_info().to_der();
    let requested = requested_key(&request)?;
    match certified.is_ok_and(|certified| certified == requested) {
        true => Ok(()),
        false => Err(InstallError::AnotherKey {
            chain: chain.to_owned(),
            request,
        }),
    }
}

/// DER SubjectPublicKeyInfo.
fn requested_key(path: &Path) -> Result<Vec<u8>, InstallError> {
    let damaged = || InstallError::Request(path.to_owned());
    let pem = pem::parse(folder::read(path)?).map_err(|_| damaged())?;
    let request = CertReq::from_der(pem.contents()).map_err(|_| damaged())?;
    request.info.public_key.to_der().map_err(|_| damaged())
}

/// What came back for the requests.
struct Certified {
    chain: CertificateChain,
    timestamps: Option<TimestampChain>,
}

impl Certified {
    /// Writes the chains, and takes them back if the configuration cannot be used with them. Some that an interrupted run wrote may
    /// be there.
    fn write(&self, layout: &Layout) -> Result<Settings, InstallError> {
        let timestamps = self.timestamps.as_ref().map(TimestampChain::to_pem);
        let timestamps = timestamps.map(|pem| (layout.timestamp_chain(), pem));
        let chains = [(layout.chain(), self.chain.pem().concat())];
        let mut written = Vec::new();
        let write = |(path, text): (PathBuf, String)| -> Result<(), InstallError> {
            if path.exists() {
                return match folder::read(&path)? == text.as_bytes() {
                    true => Ok(()),
                    false => Err(InstallError::AnotherChain(path)),
                };
            }
            // Before: half of it may be there after a failure.
            written.push(path.clone());
            Ok(folder::write_new(&path, &text)?)
        };
        let outcome = chains.into_iter().chain(timestamps).try_for_each(write);
        let outcome = outcome.and_then(|()| Ok(Settings::load(&layout.settings_without_chain())?));
        outcome.inspect_err(|_| {
            for path in written {
                // What is told is why it cannot be used.
                let _ = fs::remove_file(path);
            }
        })
    }
}

/// DER SubjectPublicKeyInfo.
fn log_key(layout: &Layout) -> Result<Vec<u8>, InstallError> {
    let path = layout.log_public_key();
    let pem = pem::parse(folder::read(&path)?).map_err(|_| InstallError::Log(layout.path().to_owned()))?;
    Ok(pem.into_contents())
}

/// From here on, the folder looks finished: it is. The configuration gets its name only if there is none of that name.
fn finish(layout: &Layout) -> Result<Settings, InstallError> {
    let (from, to) = (layout.settings_without_chain(), layout.settings());
    for written in [layout.server(), layout.clients()] {
        let synced = fs::File::open(&written).and_then(|folder| folder.sync_all());
        synced.map_err(io_error(&written))?;
    }
    fs::hard_link(&from, &to).map_err(io_error(&to))?;
    fs::remove_file(&from).map_err(io_error(&from))?;
    Ok(Settings::load(&to)?)
}
