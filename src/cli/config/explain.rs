//! `mayfly config explain`: what a token would get, and why or why not.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use ct_log::output::StandardOutput;
use mayfly::{
    clock::{Clock, SystemClock},
    config::issuers,
    explain::Explanation,
    token::{self, RawToken},
    trusted_issuer::TrustedIssuers,
};
use serde_json::{Map, Value};

use super::{FileArguments, fetch_policy};
use crate::cli::failure::Failure;

const AFTER_HELP: &str = "\
Examples:
  mayfly config explain --issuers issuers.yaml --token-file token.jwt
  mayfly config explain --issuers issuers.yaml --claims claims.json
  echo \"$ID_TOKEN\" | mayfly config explain --token-file -

The token stays on this machine. Its signature and times are not checked: what is explained is what
a genuine token with these claims would get. Rate limits and single use depend on what came before.

Exit codes: 0 it would get a certificate; 1 it would not; 2 the issuer file has errors.";

/// Show what a token would get: the entry, each condition, the name, each extension
///
/// Takes a token, or its claims as a JSON object, and follows them through the issuer file.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP, verbatim_doc_comment)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    files: FileArguments,

    #[command(flatten)]
    what: WhatArguments,

    /// JSON in place of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct WhatArguments {
    /// A file with a token, or - for standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// A file with a token's claims, one JSON object or several; - for standard input
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
}

/// The token would be refused.
#[derive(Debug, thiserror::Error)]
#[error("no certificate: {0}")]
struct NoCertificate(String);

/// The claims cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{} does not hold claims: give a JSON object", .0.display())]
struct NotClaims(PathBuf, #[source] serde_json::Error);

/// There is nothing to explain.
#[derive(Debug, thiserror::Error)]
#[error("{} is empty", .0.display())]
struct Empty(PathBuf);

pub(super) fn run(arguments: &ExplainArguments) -> Result<(), Failure> {
    let (path, policy) = match (arguments.files.issuer_file(), arguments.files.settings()) {
        // What else may be wrong with the settings does not matter here.
        (Some(path), settings) => (path, fetch_policy(settings.and_then(Result::ok).as_ref())),
        (None, Some(Err(problems))) => return Err(Failure::configuration(problems)),
        (None, _) => return Err(Failure::configuration("give an issuer file with --issuers")),
    };
    let trusted = issuers::load(&path, &policy)
        .map_err(Failure::configuration)?
        .issuers;
    let mut out = StandardOutput;
    let mut refusal = None;
    for (number, claims) in arguments.what.claims(&trusted)?.iter().enumerate() {
        let explanation = Explanation::of(claims, &trusted);
        if arguments.json {
            writeln!(out, "{}", explanation.to_json())?;
        } else {
            let gap = if number > 0 { "\n" } else { "" };
            write!(out, "{gap}{explanation}")?;
            if let Some(note) = time_note(claims) {
                writeln!(out, "note         {note}")?;
            }
        }
        refusal = refusal.or(explanation.refusal());
    }
    match refusal {
        None => Ok(()),
        Some(refusal) => Err(NoCertificate(refusal).into()),
    }
}

impl WhatArguments {
    fn claims(&self, trusted: &TrustedIssuers) -> Result<Vec<Map<String, Value>>, Failure> {
        match (&self.token_file, &self.claims) {
            (Some(path), _) => {
                let token = read(path)?.trim().to_owned();
                if token.is_empty() {
                    return Err(Empty(path.clone()).into());
                }
                let token = RawToken::new(token);
                Ok(vec![token::unverified_claims(&token, trusted)?])
            }
            (None, Some(path)) => {
                let objects: Result<Vec<_>, _> = serde_json::Deserializer::from_str(&read(path)?)
                    .into_iter()
                    .collect();
                let objects = objects.map_err(|error| NotClaims(path.clone(), error))?;
                if objects.is_empty() {
                    return Err(Empty(path.clone()).into());
                }
                Ok(objects)
            }
            (None, None) => Err(Failure::configuration("give --token-file or --claims")),
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()).into())
}

fn time_note(claims: &Map<String, Value>) -> Option<&'static str> {
    let expires = Duration::try_from_secs_f64(claims.get("exp")?.as_f64()?).ok()?;
    (expires <= SystemClock.now().since_epoch())
        .then_some("this token has expired; a new one like it is meant above")
}
