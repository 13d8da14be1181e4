//! `--chain`: what a root elsewhere made of the request is checked and installed.

use std::{fs, path, path::Path, path::PathBuf};

use der::{Decode, Encode};
use mayfly::{
    clock::{Clock, SystemClock},
    config::{ConfigErrors, Settings},
    issuer::{CertificateChain, ChainError},
};
use x509_cert::request::CertReq;

use super::{
    folder::{self, FileError, Layout, io_error},
    host::Host,
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
    #[error(
        "the first certificate in {} is for another key than that of {}: the certificate for that request must be first",
        chain.display(), request.display()
    )]
    AnotherKey { chain: PathBuf, request: PathBuf },
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

pub(super) fn run(file: &Path, directory: &Path) -> Result<Summary, Failure> {
    let layout = Layout::at(&path::absolute(directory)?);
    let chain = check(file, &layout)?;
    let host = write_chain(&chain, &layout)?;
    let log_key = log_key(&layout)?;
    if !layout.trusted_root().exists() {
        make::write_trusted_root(&host, (&chain, None, &log_key), &layout)?;
    }
    let settings = finish(&layout)?;
    Summary::of_chain(&layout, &settings, (&chain, &log_key))
}

/// The chain passes all checks of a start, and is for the key that is there.
fn check(file: &Path, layout: &Layout) -> Result<CertificateChain, InstallError> {
    if layout.settings().exists() {
        return Err(InstallError::Finished(layout.path().to_owned()));
    }
    if !layout.settings_without_chain().exists() {
        return Err(InstallError::NoRequest(layout.path().to_owned()));
    }
    let chain = CertificateChain::from_pem(&folder::read(file)?, SystemClock.now());
    let chain = chain.map_err(|source| InstallError::Chain {
        path: file.to_owned(),
        source,
    })?;
    let certified = chain
        .issuing()
        .tbs_certificate()
        .subject_public_key_info()
        .to_der();
    let requested = requested_key(&layout.signing_request())?;
    match certified.is_ok_and(|certified| certified == requested) {
        true => Ok(chain),
        false => Err(InstallError::AnotherKey {
            chain: file.to_owned(),
            request: layout.signing_request(),
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

/// Writes the chain, and takes it back if the configuration cannot be used with it. One that an interrupted run wrote may be there.
fn write_chain(chain: &CertificateChain, layout: &Layout) -> Result<Host, InstallError> {
    let (path, text) = (layout.chain(), chain.pem().concat());
    if path.exists() {
        if folder::read(&path)? != text.as_bytes() {
            return Err(InstallError::AnotherChain(path));
        }
        return load(layout);
    }
    folder::write_new(&path, &text)?;
    load(layout).inspect_err(|_| {
        // What is told is why it cannot be used.
        let _ = fs::remove_file(&path);
    })
}

fn load(layout: &Layout) -> Result<Host, InstallError> {
    let settings = Settings::load(&layout.settings_without_chain())?;
    let origin = settings.log().and_then(|log| log.shards.first());
    let host = origin.and_then(|shard| Host::of_log(&shard.origin));
    host.ok_or_else(|| InstallError::Log(layout.path().to_owned()))
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
