//! `mayfly config`: what is wrong with a configuration, and what a token would get.

mod check;
mod explain;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mayfly::{
    config::{self, ConfigErrors, Settings},
    deployment,
    token::{FetchPolicy, LoopbackHttp},
};

use super::failure::Failure;

/// Check a configuration before it is served, and explain what it does
#[derive(Args, Debug)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Check(check::CheckArguments),
    Explain(explain::ExplainArguments),
}

pub(crate) fn run(arguments: ConfigArguments) -> Result<(), Failure> {
    match arguments.command {
        ConfigCommand::Check(arguments) => check::run(&arguments),
        ConfigCommand::Explain(arguments) => explain::run(&arguments),
    }
}

/// Which files are meant.
#[derive(Args, Debug)]
struct FileArguments {
    /// The configuration of `mayfly serve`, which names the issuer file
    #[arg(
        long,
        value_name = "FILE",
        env = "MAYFLY_CONFIG",
        default_value = "mayfly.yaml"
    )]
    config: PathBuf,

    /// An issuer file alone; no configuration is read then
    #[arg(long, value_name = "FILE")]
    issuers: Option<PathBuf>,
}

impl FileArguments {
    /// The settings, unless an issuer file alone is meant; with their problems, if they have some.
    fn settings(&self) -> Option<Result<Settings, ConfigErrors>> {
        self.issuers.is_none().then(|| Settings::load(&self.config))
    }

    /// The issuer file, if it can be told which it is.
    fn issuer_file(&self) -> Option<PathBuf> {
        self.issuers
            .clone()
            .or_else(|| config::issuer_file_of(&self.config))
    }
}

/// From where keys may be fetched, by these settings; without any, also from this machine.
fn fetch_policy(settings: Option<&Settings>) -> FetchPolicy {
    settings.map_or_else(
        || FetchPolicy::new(LoopbackHttp::Allowed),
        deployment::fetch_policy,
    )
}
