//! `mayfly config check`: everything that is wrong, at once.

use std::{
    collections::BTreeSet,
    error::Error,
    io::{self, Write},
};

use clap::Args;
use ct_log::output::StandardOutput;
use mayfly::{
    causes,
    config::{Problem, Settings, TimestampFiles, TufFiles, issuers},
    deployment::{self, DeploymentError, TufService},
    key::{KeySettings, passphrase::PassphraseError},
    server::TlsFiles,
    telemetry::KeyMetrics,
    timestamp::ntp::{self, Agreement, NtpServer},
    token::TokenVerifier,
    trusted_issuer::TrustedIssuers,
};

use super::{FileArguments, fetch_policy};
use crate::cli::failure::Failure;

const AFTER_HELP: &str = "\
Examples:
  mayfly config check --config mayfly.yaml
  mayfly config check --issuers issuers.yaml --online
  mayfly config check --issuers issuers.yaml --deny-warnings

Each line has the file, the line, the key, what is wrong and what to do about it. Warnings are about
what works and may not be meant, such as an issuer that vouches for the whole world.

Exit codes: 0 no errors; 1 a key did not sign, or with --online the clock is wrong or an issuer did
not answer as it should; 2 errors, or warnings that are denied.";

/// Say all that is wrong with a configuration
///
/// Reads mayfly.yaml, the issuer file that it names, the certificates of the CA and the timestamp
/// authority, the TUF repository and keys in files, that of TLS among them, or an issuer file alone.
/// Starts nothing, and writes nothing. A key whose passphrase is in the server's environment or
/// systemd credentials alone is named as not opened.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP, verbatim_doc_comment)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    files: FileArguments,

    /// Also have the other keys sign, ask the time servers, and fetch each issuer's keys
    #[arg(long)]
    online: bool,

    /// Treat warnings as errors
    #[arg(long)]
    deny_warnings: bool,
}

/// The configuration cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} and {}", counted(*errors, "error"), counted(*warnings, "warning"))]
struct Faulty {
    errors: usize,
    warnings: usize,
}

/// Who cannot sign.
#[derive(Debug, thiserror::Error)]
#[error("the key of the {0} cannot be used")]
struct NoKey(&'static str);

/// The timestamp authority would sign no time.
#[derive(Debug, thiserror::Error)]
#[error("the time servers do not confirm this machine's clock: the timestamp authority would sign no time")]
struct Unconfirmed;

/// Some issuers do not answer.
#[derive(Debug, thiserror::Error)]
#[error("{} did not answer as they should: until then, their tokens cannot be verified", counted(*.0, "issuer"))]
struct Unreachable(usize);

pub(super) fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let mut out = StandardOutput;
    let files = CheckedFiles::read(&arguments.files);
    files.write(&mut out)?;
    let (errors, warnings) = (files.errors.len(), files.warnings.len());
    if errors > 0 || (arguments.deny_warnings && warnings > 0) {
        return Err(Failure::configuration(Faulty { errors, warnings }));
    }
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(settings) = &files.settings {
        let mut keys = Keys::of(settings, arguments.online, &mut out)?;
        runtime.block_on(keys.check(KeyPlace::File))?;
    }
    writeln!(out, "no errors, {}", counted(warnings, "warning"))?;
    if !arguments.online {
        return Ok(());
    }
    if let Some(settings) = &files.settings {
        let mut keys = Keys::of(settings, arguments.online, &mut out)?;
        runtime.block_on(keys.check(KeyPlace::Elsewhere))?;
        if let Some(files) = settings.timestamp().filter(|files| !files.ntp().is_empty()) {
            runtime.block_on(clock(files.ntp(), &mut out))?;
        }
    }
    match files.trusted {
        Some(trusted) => runtime.block_on(online(trusted, files.settings.as_ref(), &mut out)),
        None => Ok(()),
    }
}

/// What was read, and all that is wrong with it as far as the files show.
#[derive(Default)]
struct CheckedFiles {
    settings: Option<Settings>,
    trusted: Option<TrustedIssuers>,
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl CheckedFiles {
    fn read(files: &FileArguments) -> Self {
        let mut read = Self::default();
        match files.settings() {
            None => {}
            Some(Ok(settings)) => read.take_settings(settings),
            Some(Err(wrong)) => read.errors.extend(texts(wrong.problems())),
        }
        if let Some(path) = files.issuer_file() {
            match issuers::load(&path, &fetch_policy(read.settings.as_ref())) {
                Ok(file) => {
                    read.warnings.extend(texts(&file.warnings));
                    read.trusted = Some(file.issuers);
                }
                Err(wrong) => read.errors.extend(texts(wrong.problems())),
            }
        }
        read
    }

    fn take_settings(&mut self, settings: Settings) {
        self.warnings.extend(texts(settings.warnings()));
        self.warnings.extend(deployment::chain_warnings(&settings));
        let wrong = deployment::check_files(&settings);
        self.errors
            .extend(wrong.iter().map(|error| causes::in_one_line(error)));
        if let Some(Err(error)) = settings.tls().map(TlsFiles::check) {
            self.errors.push(causes::in_one_line(&error));
        }
        self.settings = Some(settings);
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for error in &self.errors {
            writeln!(out, "error: {error}")?;
        }
        for warning in &self.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        match &self.trusted {
            Some(trusted) => writeln!(out, "{}", summary(trusted)),
            None => Ok(()),
        }
    }
}

fn texts(problems: &[Problem]) -> impl Iterator<Item = String> {
    problems.iter().map(Problem::to_string)
}

/// Which keys are had to sign.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyPlace {
    /// Those in files.
    File,
    /// Those in a token or a service.
    Elsewhere,
}

/// The keys of a configuration, and where to say of each whether it signs.
struct Keys<'a, W> {
    settings: &'a Settings,
    metrics: KeyMetrics,
    online: bool,
    out: &'a mut W,
}

impl<'a, W: Write> Keys<'a, W> {
    fn of(settings: &'a Settings, online: bool, out: &'a mut W) -> Result<Self, Failure> {
        Ok(Self {
            settings,
            metrics: KeyMetrics::new()?,
            online,
            out,
        })
    }

    async fn check(&mut self, place: KeyPlace) -> Result<(), Failure> {
        let settings = self.settings;
        let is_there = |key: &&KeySettings| key.reference.as_file().is_some() == (place == KeyPlace::File);
        if let Some(key) = Some(settings.ca().key()).filter(is_there) {
            let checked = deployment::check_key(settings, &self.metrics).await;
            self.report("CA", key, checked)?;
        }
        if let Some(key) = settings.timestamp().map(TimestampFiles::key).filter(is_there) {
            let opened = deployment::timestamp_authority(settings, &self.metrics).await;
            self.report("timestamp authority", key, opened.map(drop))?;
        }
        if let Some(key) = settings.tuf().and_then(TufFiles::key).filter(is_there) {
            let opened = TufService::open(settings, &self.metrics).await;
            self.report("TUF repository", key, opened.map(drop))?;
        }
        let shards = settings.log().map_or(&[][..], |log| &log.shards);
        for shard in shards.iter().filter(|_| place == KeyPlace::File) {
            if let Some((key, checked)) = deployment::check_log_key(shard) {
                self.report("log", key, checked)?;
            }
        }
        Ok(())
    }

    fn report(
        &mut self,
        of: &'static str,
        name: &KeySettings,
        checked: Result<(), DeploymentError>,
    ) -> Result<(), Failure> {
        match checked {
            Ok(()) => Ok(writeln!(self.out, "signs: {name}")?),
            // The server may have what this command has not, such as a credential of systemd.
            Err(error) if !self.online && lacks_passphrase(&error) => {
                let cause = causes::in_one_line(&error);
                Ok(writeln!(self.out, "not opened: {name}: {cause}")?)
            }
            Err(error) => {
                writeln!(self.out, "unusable: {name}: {}", causes::in_one_line(&error))?;
                Err(NoKey(of).into())
            }
        }
    }
}

/// Whether the environment variable or the credential with the passphrase of a key is not there.
fn lacks_passphrase(error: &DeploymentError) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(missing) = error.downcast_ref() {
            return matches!(
                missing,
                PassphraseError::NoVariable(_) | PassphraseError::NoCredentials(_)
            );
        }
        cause = error.source();
    }
    false
}

async fn clock(servers: &[NtpServer], out: &mut impl Write) -> Result<(), Failure> {
    let verdicts = ntp::ask_all(servers).await;
    for (server, verdict) in &verdicts {
        writeln!(out, "time server {server}: {verdict}")?;
    }
    match Agreement::of(&verdicts) {
        Agreement::Right => Ok(()),
        Agreement::Wrong | Agreement::None => Err(Unconfirmed.into()),
    }
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn summary(trusted: &TrustedIssuers) -> String {
    let names: BTreeSet<_> = trusted
        .iter()
        .map(|entry| (entry.name().is_pattern(), entry.name().as_str()))
        .collect();
    let patterns = names.iter().filter(|(is_pattern, _)| *is_pattern).count();
    let conditional = trusted
        .iter()
        .filter(|entry| !entry.admission().conditions().is_empty())
        .count();
    let (issuers, entries) = (names.len() - patterns, trusted.iter().count());
    format!("issuers: {issuers}, patterns: {patterns}; {conditional} of {entries} audiences with conditions")
}

async fn online(
    trusted: TrustedIssuers,
    settings: Option<&Settings>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let fetched = TokenVerifier::new(trusted, fetch_policy(settings))?
        .fetch_all()
        .await;
    let mut unreachable = 0;
    for (issuer, answer) in fetched {
        match answer {
            Ok(0) => {
                unreachable += 1;
                writeln!(
                    out,
                    "unusable: {issuer}: it publishes no key that could verify a token"
                )?;
            }
            Ok(keys) => writeln!(out, "answers: {issuer}: {}", counted(keys, "key"))?,
            Err(error) => {
                unreachable += 1;
                writeln!(out, "unreachable: {issuer}: {}", causes::in_one_line(&*error))?;
            }
        }
    }
    if unreachable > 0 {
        return Err(Unreachable(unreachable).into());
    }
    Ok(())
}
