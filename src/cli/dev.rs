//! `mayfly dev`: the newcomer's command.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use clap::{Args, Subcommand, ValueEnum};
use ct_log::output;
use mayfly::{
    clock::SystemClock,
    dev::{
        IdentityProvider, Issuers, Minter,
        data_dir::{DataDir, write_public},
        issuer_file,
        ready::Ready,
    },
    issue::Authority,
    issuer::ceremony::KeyKind,
    log::{Shards, embedded::SubmissionSettings},
    pem_block,
    server::{Listeners, ServeError},
    telemetry::KeyMetrics,
    trust::TrustMaterial,
};

use super::{
    deployment::{self, Around, Running},
    dev_timestamps,
    failure::Failure,
    guide::Guide,
    place::{DEFAULT_DATA_DIR, Keep, Place},
    signal, token,
};

/// The port of Fulcio's own compose file.
const DEFAULT_PORT: u16 = 5555;
/// The port at which Fulcio serves metrics.
const DEFAULT_METRICS_PORT: u16 = 2112;

const EXAMPLES: &str = "\
Examples:
  mayfly dev                            prints the commands to sign and verify
  mayfly dev --ephemeral --port 0       on a free port, without leaving anything behind
  mayfly dev --json --port 0            for scripts: one line of JSON when ready

Everything listens on 127.0.0.1 only. The login page believes whatever address is typed, so nobody
outside this machine should trust these certificates.";

/// Run everything on this machine, to try it out
///
/// A certificate authority, its log, and an identity provider with a login page, in one process.
/// The first start makes their keys; the files that tell clients where to go are written at every
/// start.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, verbatim_doc_comment)]
pub(crate) struct DevArguments {
    #[command(subcommand)]
    command: Option<DevCommand>,

    /// Where to keep keys, certificates and the log
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,

    /// Keep nothing: all is gone at the end
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,

    /// Port of the API; 0 for any that is free
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PORT)]
    port: u16,

    /// Port of the metrics [default: 2112, or any that is free if --port is 0]
    #[arg(long, value_name = "N")]
    metrics_port: Option<u16>,

    /// Kind of the CA's keys at the first start
    #[arg(long, alias = "ca-key", value_enum, value_name = "KIND", default_value_t = CaKey::P384)]
    key_kind: CaKey,

    /// When ready, print one line of JSON instead of instructions
    #[arg(long)]
    json: bool,
}

/// Kinds of CA keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CaKey {
    /// What Fulcio's specification asks of a root
    P384,
    /// Several times faster to sign and to verify with
    P256,
}

impl From<CaKey> for KeyKind {
    fn from(key: CaKey) -> Self {
        match key {
            CaKey::P384 => Self::EcdsaP384,
            CaKey::P256 => Self::EcdsaP256,
        }
    }
}

#[derive(Debug, Subcommand)]
enum DevCommand {
    Token(token::TokenArguments),
}

/// What to print when ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announcement {
    Instructions,
    Json,
}

/// What the arguments mean.
#[derive(Debug, PartialEq, Eq)]
struct DevSettings {
    keep: Keep,
    port: u16,
    metrics_port: u16,
    ca_key: KeyKind,
    announcement: Announcement,
}

impl From<DevArguments> for DevSettings {
    fn from(arguments: DevArguments) -> Self {
        let free_ports = arguments.port == 0;
        Self {
            keep: if arguments.ephemeral {
                Keep::Nothing
            } else {
                Keep::In(arguments.data_dir)
            },
            port: arguments.port,
            metrics_port: arguments
                .metrics_port
                .unwrap_or(if free_ports { 0 } else { DEFAULT_METRICS_PORT }),
            ca_key: arguments.key_kind.into(),
            announcement: if arguments.json {
                Announcement::Json
            } else {
                Announcement::Instructions
            },
        }
    }
}

pub(crate) fn run(mut arguments: DevArguments) -> Result<(), Failure> {
    match arguments.command.take() {
        Some(DevCommand::Token(arguments)) => token::run(arguments),
        None => tokio::runtime::Runtime::new()?.block_on(start(arguments.into())),
    }
}

/// Why the ports cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot start: choose other ports with --port and --metrics-port, or 0 for any that is free")]
struct PortsTaken(#[source] ServeError);

async fn start(settings: DevSettings) -> Result<(), Failure> {
    let reload = signal::reload_requests()?;
    let on_loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let metrics = Some(on_loopback(settings.metrics_port));
    let listeners = Listeners::bind(on_loopback(settings.port), metrics)
        .await
        .map_err(PortsTaken)?;
    let place = Place::prepare(&settings.keep, settings.ca_key).await?;
    let ready = ready(&listeners, place.data_dir());
    let issuers = Issuers::at(&ready.api);
    write_public(&place.data_dir().issuers(), &issuer_file(&issuers))?;
    let timestamps = dev_timestamps::open(&place, settings.ca_key).await?;
    let (authority, issuer_file) =
        deployment::open(&place, settings.ca_key, ready.api.parse()?, &timestamps).await?;
    write_trust_files(&ready, &authority)?;
    write_log_key(place.data_dir(), &authority)?;
    ready.write(place.data_dir())?;
    let provider = IdentityProvider::new(Minter::new(place.provider_key()?, issuers), Arc::new(SystemClock));
    let around = Around {
        routes: provider.router(),
        submissions: SubmissionSettings::default(),
        keys: KeyMetrics::new()?,
        timestamps: Some(timestamps.into()),
        trusted_proxies: ct_log::acceptor::loopback(),
    };
    let running = Running::new((authority, issuer_file), (listeners, None), around, reload)?;
    match settings.announcement {
        Announcement::Instructions => output::announce(Guide::new(&ready, &place).to_string())?,
        Announcement::Json => output::announce(ready.to_json()? + "\n")?,
    }
    running.until_stopped().await
}

fn ready(listeners: &Listeners, data_dir: &DataDir) -> Ready {
    let api = format!("http://{}", listeners.api_address());
    let issuers = Issuers::at(&api);
    let metrics = listeners
        .metrics_address()
        .map_or_else(String::new, |address| format!("http://{address}/metrics"));
    Ready {
        metrics,
        issuer: issuers.email().to_owned(),
        github_issuer: issuers.github().to_owned(),
        trusted_root: data_dir.trusted_root(),
        signing_config: data_dir.signing_config(),
        data_dir: data_dir.path().to_owned(),
        api,
    }
}

/// What the server answers at /trust, too.
fn write_trust_files(ready: &Ready, authority: &Authority) -> Result<(), Failure> {
    let material = TrustMaterial::of(authority);
    write_public(&ready.trusted_root, &material.trusted_root()?.to_json())?;
    write_public(&ready.signing_config, &material.signing_config()?.to_json())?;
    Ok(())
}

/// For `mayfly log` and other auditors.
fn write_log_key(data_dir: &DataDir, authority: &Authority) -> Result<(), Failure> {
    let shards = authority.log().embedded();
    for log in shards.iter().flat_map(Shards::iter) {
        let pem = pem_block::encode("PUBLIC KEY", log.public_key().spki_der());
        write_public(&data_dir.log_public_key(), &pem)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Arguments, Command};

    fn settings(line: &str) -> DevSettings {
        match Arguments::try_parse_from(line.split(' ')).unwrap().command {
            Command::Dev(arguments) => arguments.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults() {
        let expected = DevSettings {
            keep: Keep::In(DEFAULT_DATA_DIR.into()),
            port: 5555,
            metrics_port: 2112,
            ca_key: KeyKind::EcdsaP384,
            announcement: Announcement::Instructions,
        };
        assert_eq!(settings("mayfly dev"), expected);
    }

    #[test]
    fn port_0_frees_both_ports_unless_one_is_named() {
        assert_eq!(settings("mayfly dev --port 0").metrics_port, 0);
        assert_eq!(settings("mayfly dev --port 0 --metrics-port 9").metrics_port, 9);
        assert_eq!(settings("mayfly dev --port 8080").metrics_port, 2112);
    }

    #[test]
    fn ephemeral_keeps_nothing() {
        let settings = settings("mayfly dev --ephemeral --json");
        assert_eq!(
            (settings.keep, settings.announcement),
            (Keep::Nothing, Announcement::Json)
        );
    }

    #[test]
    fn contradictions() {
        for line in [
            "mayfly dev --ephemeral --data-dir x",
            "mayfly dev --port 65536",
            "mayfly dev --port 1 token --email a@b",
            "mayfly dev token",
            "mayfly dev token --email a@b --github a/b",
            "mayfly dev token --email nobody",
            "mayfly dev token --github nothing",
            "mayfly serve",
            "mayfly",
        ] {
            Arguments::try_parse_from(line.split(' ')).unwrap_err();
        }
    }
}
