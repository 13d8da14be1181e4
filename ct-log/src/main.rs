//! `ct-log`: what an operator or auditor does to a log from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ct_log::LogPublicKey;
use ct_log::check::{Depth, StoredLog, check};
use der::{DecodePem, Encode};
use spki::SubjectPublicKeyInfoOwned;

type Error = Box<dyn std::error::Error>;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Audit the log in a directory: every entry, tile, issuer and signature. Nothing is changed. Exits with
    /// 0 only if all of it was checked and is right.
    Verify {
        /// The log's public key, SubjectPublicKeyInfo in PEM or DER. Without it the audit relies on the key that
        /// the directory claims.
        #[arg(long)]
        key: Option<PathBuf>,
        /// The log's directory.
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    let Command::Verify { key, directory } = Arguments::parse().command;
    match verify(key.as_deref(), &directory) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ct-log: {error}");
            ExitCode::FAILURE
        }
    }
}

fn verify(key: Option<&Path>, directory: &Path) -> Result<ExitCode, Error> {
    let log = StoredLog::read(directory)?;
    let key = match key {
        Some(path) => read_key(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => log.public_key().clone(),
    };
    println!("log {}, id {}", log.origin(), key.log_id());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let report = runtime.block_on(check(&log, (log.origin(), &key), Depth::Certificates));
    println!("{report}");
    if report.is_sound() {
        println!("the log is sound");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("ct-log: the log is NOT sound");
    Ok(ExitCode::FAILURE)
}

fn read_key(path: &Path) -> Result<LogPublicKey, Error> {
    let bytes = fs::read(path)?;
    let der = if bytes.starts_with(b"-----") {
        SubjectPublicKeyInfoOwned::from_pem(&bytes)?.to_der()?
    } else {
        bytes
    };
    Ok(LogPublicKey::from_spki_der(&der)?)
}
