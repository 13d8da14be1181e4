//! `mayfly trust export`: the trust files of a configuration, in a folder.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use ct_log::{output::StandardOutput, public_files::make_folders};
use mayfly::{
    clock::{Clock, SystemClock},
    config::Settings,
    deployment::{KeySource, PublicHalves},
    key::memory,
    staging,
    trust::{PublicUrl, TrustError, TrustFile, is_log_key_file},
};

use crate::cli::failure::Failure;

const AFTER_HELP: &str = "\
Examples:
  mayfly trust export --config mayfly.yaml --output clients
  mayfly trust export --config mayfly.yaml --output clients --force     after a rotation
  mayfly trust export --config mayfly.yaml --url https://ca.example.com --output clients

In the folder:
  trusted_root.json     for verifiers: all CAs, all logs, and since and until when each counts
  signing_config.json   for signers: where to log in, and where to get a certificate
  trust_config.json     both in one, for sigstore-python
  ca.pem                the certificates of the CAs that are believed
  ctlog-1.pem ...       the public keys of the logs

A server that runs serves the first three at /trust/. Neither it nor a private key is needed here,
but for a log whose entries are in a bucket or a database and whose public key is in no file.

Exit codes: 0 written; 1 something could not be read or written; 2 the command line or the
configuration is wrong, or there are files already (--force).";

/// Write the files that clients need, from a configuration
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP, verbatim_doc_comment)]
pub(super) struct ExportArguments {
    /// The configuration, YAML
    #[arg(long, value_name = "FILE", env = "MAYFLY_CONFIG")]
    config: PathBuf,

    /// Where to write the files; the folder is made if it is not there
    #[arg(long, value_name = "DIRECTORY")]
    output: PathBuf,

    /// Where clients reach the CA, in place of the `url` in the configuration
    #[arg(long, value_name = "PUBLIC_URL")]
    url: Option<PublicUrl>,

    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// Something is there.
#[derive(Debug, thiserror::Error)]
#[error("{} is there already: say --force to replace it, and what else is there from an earlier export", .0.display())]
struct Taken(PathBuf);

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
struct FileError {
    path: PathBuf,
    source: io::Error,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    move |source| FileError {
        path: path.to_owned(),
        source,
    }
}

pub(super) fn run(arguments: ExportArguments) -> Result<(), Failure> {
    memory::refuse_dumps()?;
    let ExportArguments {
        config,
        output,
        url,
        force,
    } = arguments;
    let settings = Settings::load(&config).map_err(Failure::configuration)?;
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    if url.is_none() && settings.url().is_none() {
        return Err(Failure::configuration(
            "it is not known where clients reach the CA: say --url https://ca.example.com, or write `url` into mayfly.yaml",
        ));
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let halves = runtime.block_on(PublicHalves::read(&settings, url))?;
    for (log, source) in &halves.sources {
        match source {
            KeySource::Key(_) => tracing::warn!(log, "its public key is in no file: read from {source}"),
            KeySource::Log(_) | KeySource::File(_) => tracing::info!(log, "its public key is from {source}"),
        }
    }
    write(&files(&halves)?, &output, force)
}

fn files(halves: &PublicHalves) -> Result<Vec<TrustFile>, TrustError> {
    halves.material.files(SystemClock.now())
}

fn write(files: &[TrustFile], folder: &Path, force: bool) -> Result<(), Failure> {
    make_folders(folder).map_err(io_error(folder))?;
    let leftovers = log_keys(folder).map_err(io_error(folder))?;
    let places = || files.iter().map(|file| folder.join(&file.name));
    let mut present = places()
        .filter(|path| path.exists())
        .chain(leftovers.iter().cloned());
    if let Some(path) = present.next().filter(|_| !force) {
        return Err(Failure::configuration(Taken(path)));
    }
    for (file, path) in files.iter().zip(places()) {
        staging::replace_file(&path, file.contents.as_bytes()).map_err(io_error(&path))?;
        writeln!(StandardOutput, "{}", path.display())?;
    }
    // There may be fewer logs than before, and no file says that its log is believed no longer.
    for path in leftovers {
        if !places().any(|written| written == path) {
            fs::remove_file(&path).map_err(io_error(&path))?;
        }
    }
    Ok(())
}

/// Files that look like an earlier export's keys of logs.
fn log_keys(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_log_key_file) {
            keys.push(entry.path());
        }
    }
    Ok(keys)
}
