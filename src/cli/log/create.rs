//! `mayfly log create`: the birth of logs whose keys nobody made with them.

use std::{io::Write, path::PathBuf};

use clap::Args;
use ct_log::output::StandardOutput;
use mayfly::{
    config::Settings,
    key::memory,
    log::embedded::{PromiseSettings, ShardSettings},
    telemetry::KeyMetrics,
};

use crate::cli::{failure::Failure, terminal::Terminal};

const AFTER_HELP: &str = "\
Examples:
  mayfly log create --config mayfly.yaml
  mayfly log create --config mayfly.yaml --the-key-never-signed-for-a-log

A log whose key is in a file is made with it by the first `mayfly serve`. One whose key is in an
HSM, a key management service or a Vault is made by this command, once: nobody can tell a new key
there from one whose log was lost, and a second log under one key is a fork, after which no client
should believe the CA again. Shards that are there already are left as they are.

Exit codes: 0 all logs are there; 1 one could not be made; 2 the command line or the configuration
is wrong.";

/// Make the logs of a configuration whose keys are not in files, once
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP, verbatim_doc_comment)]
pub(super) struct CreateArguments {
    /// The configuration, YAML
    #[arg(long, value_name = "FILE", env = "MAYFLY_CONFIG")]
    config: PathBuf,

    /// Say so instead of being asked
    #[arg(long)]
    the_key_never_signed_for_a_log: bool,
}

/// Nobody said that the key is new.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log {origin} was not made: say with --the-key-never-signed-for-a-log that its key {key} never signed for a log, or \
     restore the log's directory if it did"
)]
pub(crate) struct NotConfirmed {
    /// The log's name.
    pub(crate) origin: String,
    /// The key's.
    pub(crate) key: String,
}

pub(super) fn run(arguments: &CreateArguments) -> Result<(), Failure> {
    memory::refuse_dumps()?;
    let settings = Settings::load(&arguments.config).map_err(Failure::configuration)?;
    let Some(log) = settings.log() else {
        return Err(Failure::configuration(
            "the configuration has no `log`: there is nothing to make",
        ));
    };
    let runtime = tokio::runtime::Runtime::new()?;
    for shard in &log.shards {
        let what = runtime.block_on(create(shard, &log.promise, arguments))?;
        writeln!(StandardOutput, "{}: {what}", shard.origin)?;
    }
    Ok(())
}

async fn create(
    shard: &ShardSettings,
    promise: &PromiseSettings,
    arguments: &CreateArguments,
) -> Result<String, Failure> {
    let Some(key) = shard.key_elsewhere() else {
        return Ok("is made by the first start, if it is not there".to_owned());
    };
    if shard.is_here()? {
        return Ok("is there already".to_owned());
    }
    if !arguments.the_key_never_signed_for_a_log {
        confirm_new_key(&shard.origin, &key.to_string(), Terminal::find().as_ref())
            .map_err(Failure::at_command_line)?;
    }
    let log = shard.create(promise, &KeyMetrics::new()?).await?;
    let id = log.public_key().log_id();
    log.shutdown().await;
    Ok(format!(
        "made, with the key {key}; its id is {}",
        hex::encode(id.as_bytes())
    ))
}

/// The name of the log must be typed: nobody does that without looking.
///
/// # Errors
/// If there is no terminal, or something else was typed.
pub(crate) fn confirm_new_key(origin: &str, key: &str, terminal: Option<&Terminal>) -> Result<(), Failure> {
    let not_confirmed = || NotConfirmed {
        origin: origin.to_owned(),
        key: key.to_owned(),
    };
    let terminal = terminal.ok_or_else(not_confirmed)?;
    terminal.say(&format!(
        "A new log {origin} is made under the key {key}. If this key ever signed for a log, restore that log instead: two logs \
         under one key are a fork, and clients must stop believing both."
    ))?;
    let typed = terminal.ask("If it never did, type the name of the log", None)?;
    match typed == origin {
        true => Ok(()),
        false => Err(not_confirmed().into()),
    }
}
