//! What is to be made: from what was typed, and what a person answers.

use std::{
    net::SocketAddr,
    path,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use mayfly::{
    issuer::ceremony::{AuthorityNames, KeyKind, Lifetimes, TimestampNames},
    key::{
        KeyReference, KeySettings, ReferenceError,
        passphrase::{Passphrase, PassphraseSource},
    },
};

use x509_cert::name::Name;

use super::{
    arguments::{CaKey, InitArguments},
    configuration::Issuers,
    host::Host,
    secret::{self, Secret},
};
use crate::cli::{failure::Failure, log::confirm_new_key, terminal::Terminal};

pub(in crate::cli) const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// All that the ceremony needs to know.
#[derive(Debug)]
pub(super) struct Plan {
    /// Absolute.
    pub(super) directory: PathBuf,
    pub(super) host: Host,
    pub(super) organization: String,
    pub(super) names: AuthorityNames,
    pub(super) kind: KeyKind,
    /// Nothing if a root elsewhere is asked.
    pub(super) root: Option<Root>,
    pub(super) ca: ServerKey,
    pub(super) log: ServerKey,
    /// Nothing if there is to be none, or nobody said how its key is to be kept.
    pub(super) timestamps: Option<Timestamps>,
    pub(super) issuers: Issuers,
    pub(super) listen: SocketAddr,
}

#[derive(Debug)]
pub(in crate::cli) struct Timestamps {
    pub(in crate::cli) name: Name,
    pub(in crate::cli) key: ServerKey,
}

#[derive(Debug)]
pub(super) struct Root {
    pub(super) key: RootKey,
    pub(super) lifetimes: Lifetimes,
}

#[derive(Debug)]
pub(super) enum RootKey {
    New(Option<Passphrase>),
    Existing(KeySettings),
}

#[derive(Debug)]
pub(in crate::cli) enum ServerKey {
    New(Option<Secret>),
    Existing(KeySettings),
}

impl Plan {
    pub(super) fn new(arguments: &InitArguments, terminal: Option<&Terminal>) -> Result<Self, Failure> {
        let places = Places::read(arguments)?;
        report_missing(arguments, &places, terminal)?;
        let answer = |given: &Option<String>, question: &str, default: Option<&str>| match (given, terminal) {
            (Some(given), _) => Ok(given.clone()),
            (None, Some(terminal)) => Ok(terminal.ask(question, default)?),
            // Only what has a default can be missing here.
            (None, None) => Ok::<_, Failure>(default.unwrap_or_default().to_owned()),
        };
        let host = answer(
            &arguments.host,
            "Public name of the CA, such as ca.example.com",
            None,
        )?;
        let host: Host = host.parse().map_err(Failure::configuration)?;
        let organization = answer(&arguments.organization, "Organisation in the certificates", None)?;
        let default = format!("{organization} code signing");
        let common_name = answer(&arguments.common_name, "Common name", Some(&default))?;
        let names = AuthorityNames::of(&organization, &common_name).map_err(Failure::configuration)?;
        let issuers = Issuers::of(arguments, &host)?;
        let kind = kind(arguments, &places, terminal)?;
        let root = root(arguments, &places, terminal)?;
        let ServerKeys { ca, log, timestamp } = server_keys(arguments, places, terminal)?;
        confirm_log_key(arguments, &host, &log, terminal)?;
        Ok(Self {
            directory: path::absolute(&arguments.directory)?,
            host,
            organization: organization.clone(),
            names,
            kind,
            root,
            ca,
            log,
            timestamps: match timestamp {
                Some(key) => {
                    let names = TimestampNames::of(&organization, &common_name);
                    let name = names.map_err(Failure::configuration)?.authority;
                    Some(Timestamps { name, key })
                }
                None => None,
            },
            issuers,
            listen: arguments.listen,
        })
    }
}

/// Keys and passphrases as they were named.
struct Places {
    root_passphrase: Option<PassphraseSource>,
    ca_passphrase: Option<PassphraseSource>,
    log_passphrase: Option<PassphraseSource>,
    timestamp_passphrase: Option<PassphraseSource>,
    root_key: Option<KeyReference>,
    ca_key: Option<KeyReference>,
    log_key: Option<KeyReference>,
    timestamp_key: Option<KeyReference>,
}

/// An option does not name a key. The text is not repeated: there may be a PIN in it.
#[derive(Debug, thiserror::Error)]
#[error("{option} cannot be used")]
struct BadKey {
    option: &'static str,
    source: ReferenceError,
}

impl Places {
    fn read(arguments: &InitArguments) -> Result<Self, Failure> {
        let log_key = key("--log-key", arguments.log_key.as_deref())?;
        if matches!(log_key, Some(KeyReference::File(_))) {
            return Err(Failure::configuration(
                "--log-key names a file: a log's key in a file is made here, with its log; leave the option out",
            ));
        }
        let ca_key = key("--ca-key", arguments.ca_key.as_deref())?;
        if log_key.is_some() && log_key == ca_key {
            return Err(Failure::configuration(
                "--log-key and --ca-key name the same key: CA and log need one each",
            ));
        }
        let timestamp_key = key("--timestamp-key", arguments.timestamp_key.as_deref())?;
        if timestamp_key.is_some() && (timestamp_key == ca_key || timestamp_key == log_key) {
            return Err(Failure::configuration(
                "--timestamp-key names the key of the CA or of the log: the timestamp authority needs one of its own",
            ));
        }
        let timestamp_passphrase = arguments.timestamp_passphrase.as_deref();
        Ok(Self {
            timestamp_passphrase: secret::source("--timestamp-passphrase", timestamp_passphrase)?,
            timestamp_key,
            root_passphrase: secret::source("--root-passphrase", arguments.root_passphrase.as_deref())?,
            ca_passphrase: secret::source("--ca-passphrase", arguments.ca_passphrase.as_deref())?,
            log_passphrase: secret::source("--log-passphrase", arguments.log_passphrase.as_deref())?,
            root_key: key("--root-key", arguments.root_key.as_deref())?,
            ca_key,
            log_key,
        })
    }

    /// Whether the intermediate's key, when it is made, has a passphrase that the log's can share.
    fn protects_both(&self) -> bool {
        self.ca_key.is_none() && self.ca_passphrase.is_some()
    }
}

fn key(option: &'static str, text: Option<&str>) -> Result<Option<KeyReference>, Failure> {
    text.map(|text| key_reference(option, text)).transpose()
}

/// A path counts from here, in mayfly.yaml from the folder of that.
pub(in crate::cli) fn key_reference(option: &'static str, text: &str) -> Result<KeyReference, Failure> {
    if CaKey::from_str(text, true).is_ok() && !Path::new(text).exists() {
        return Err(Failure::configuration(format!(
            "{option} names a key, and there is none called {text}; the kind of new keys is --key-kind {text}"
        )));
    }
    match text.parse() {
        Ok(KeyReference::File(file)) => Ok(KeyReference::File(path::absolute(file)?)),
        Ok(elsewhere) => Ok(elsewhere),
        Err(source) => Err(Failure::configuration(BadKey { option, source })),
    }
}

/// What cannot be asked, since nobody is there.
#[derive(Debug, thiserror::Error)]
#[error("without a terminal, or with --yes, these options are needed: {}", .0.join("; "))]
struct Missing(Vec<&'static str>);

fn report_missing(
    arguments: &InitArguments,
    places: &Places,
    terminal: Option<&Terminal>,
) -> Result<(), Failure> {
    let root_is_safe = arguments.csr
        || places.root_key.is_some()
        || places.root_passphrase.is_some()
        || arguments.insecure_unencrypted_root_key;
    let ca_is_safe = places.ca_key.is_some() || places.ca_passphrase.is_some() || arguments.no_passphrase;
    let log_is_safe = places.log_key.is_some()
        || places.log_passphrase.is_some()
        || places.protects_both()
        || arguments.no_passphrase;
    let missing: Vec<_> = [
        (arguments.host.is_some(), "--host"),
        (arguments.organization.is_some(), "--organization"),
        (root_is_safe, "--root-passphrase (or --root-key)"),
        (ca_is_safe, "--ca-passphrase (or --ca-key, or --no-passphrase)"),
        (log_is_safe, "--log-passphrase (or --log-key, or --no-passphrase)"),
    ]
    .into_iter()
    .filter_map(|(given, option)| (!given).then_some(option))
    .collect();
    match terminal.is_some() || missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::configuration(Missing(missing))),
    }
}

fn kind(arguments: &InitArguments, places: &Places, terminal: Option<&Terminal>) -> Result<KeyKind, Failure> {
    let nothing_to_make = places.ca_key.is_some() && (arguments.csr || places.root_key.is_some());
    let (None, Some(terminal), false) = (arguments.key_kind, terminal, nothing_to_make) else {
        return Ok(arguments.key_kind.unwrap_or(CaKey::P384).into());
    };
    loop {
        let typed = terminal.ask("Kind of the CA's keys: p384, p256 or rsa4096", Some("p384"))?;
        match CaKey::from_str(&typed, true) {
            Ok(kind) => return Ok(kind.into()),
            Err(_) => terminal.say("There is no such kind.")?,
        }
    }
}

fn root(
    arguments: &InitArguments,
    places: &Places,
    terminal: Option<&Terminal>,
) -> Result<Option<Root>, Failure> {
    if arguments.csr {
        return Ok(None);
    }
    let key = match (&places.root_key, &places.root_passphrase) {
        (Some(reference), passphrase) => RootKey::Existing(KeySettings {
            reference: reference.clone(),
            passphrase: passphrase.clone(),
        }),
        (None, Some(source)) => RootKey::New(Some(secret::read(source, "the root's key", terminal)?)),
        (None, None) if arguments.insecure_unencrypted_root_key => RootKey::New(None),
        (None, None) => RootKey::New(Some(typed_for_root(terminal)?)),
    };
    let lifetimes = Lifetimes {
        root: YEAR * arguments.root_years,
        intermediate: YEAR * arguments.ca_years,
    };
    Ok(Some(Root { key, lifetimes }))
}

/// The root's key is never left open by pressing the return key.
fn typed_for_root(terminal: Option<&Terminal>) -> Result<Passphrase, Failure> {
    let terminal = terminal.ok_or_else(|| Missing(vec!["--root-passphrase"]))?;
    loop {
        if let Some(passphrase) = terminal.new_passphrase("the root's key")? {
            return Ok(passphrase);
        }
        terminal.say("The root's key must have one. Write it on paper, and keep that apart from the key.")?;
    }
}

struct ServerKeys {
    ca: ServerKey,
    log: ServerKey,
    timestamp: Option<ServerKey>,
}

fn server_keys(
    arguments: &InitArguments,
    places: Places,
    terminal: Option<&Terminal>,
) -> Result<ServerKeys, Failure> {
    let mut shared: Option<Option<Secret>> = arguments.no_passphrase.then_some(None);
    let mut make = |key: Option<KeyReference>, source: Option<PassphraseSource>, of: &str| {
        if let Some(reference) = key {
            let passphrase = source;
            return Ok(ServerKey::Existing(KeySettings {
                reference,
                passphrase,
            }));
        }
        let secret = match (source, &shared) {
            (Some(source), _) => {
                let passphrase = secret::read(&source, of, terminal)?;
                Some(Secret { passphrase, source })
            }
            (None, Some(shared)) => shared.clone(),
            (None, None) => typed_for_server(terminal)?,
        };
        shared.get_or_insert_with(|| secret.clone());
        Ok::<_, Failure>(ServerKey::New(secret))
    };
    let makes_a_key = places.ca_key.is_none() || places.log_key.is_none();
    let ca = make(places.ca_key, places.ca_passphrase, "the intermediate's key")?;
    let log = make(places.log_key, places.log_passphrase, "the log's key")?;
    // Where the other keys are elsewhere and nobody is there to ask, there is no passphrase: better no authority than an open key.
    let is_said = places.timestamp_key.is_some() || places.timestamp_passphrase.is_some();
    let can_be_kept = is_said || terminal.is_some() || makes_a_key || arguments.no_passphrase;
    let timestamp = match can_be_kept && !arguments.no_timestamp_authority {
        true => Some(make(
            places.timestamp_key,
            places.timestamp_passphrase,
            "the timestamp authority's key",
        )?),
        false => None,
    };
    Ok(ServerKeys { ca, log, timestamp })
}

fn typed_for_server(terminal: Option<&Terminal>) -> Result<Option<Secret>, Failure> {
    let terminal = terminal.ok_or_else(|| Missing(vec!["--ca-passphrase", "--log-passphrase"]))?;
    loop {
        if let Some(passphrase) = terminal.new_passphrase("the server's keys (empty for none)")? {
            return Ok(Some(Secret::typed(passphrase)));
        }
        if terminal.confirm("Leave the server's keys unencrypted, in files with mode 0600?")? {
            return Ok(None);
        }
    }
}

fn confirm_log_key(
    arguments: &InitArguments,
    host: &Host,
    log: &ServerKey,
    terminal: Option<&Terminal>,
) -> Result<(), Failure> {
    match log {
        ServerKey::Existing(key) if !arguments.the_key_never_signed_for_a_log => {
            confirm_new_key(&host.log_origin(), &key.to_string(), terminal).map_err(Failure::at_command_line)
        }
        ServerKey::Existing(_) | ServerKey::New(_) => Ok(()),
    }
}
