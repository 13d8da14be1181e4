//! `mayfly init`: the key ceremony.

pub(super) mod arguments;
mod configuration;
pub(super) mod folder;
mod host;
mod install;
pub(super) mod keys;
mod make;
pub(super) mod plan;
mod request;
pub(super) mod secret;
mod summary;
pub(super) mod timestamps;

use std::io::Write;

pub(crate) use arguments::InitArguments;
use ct_log::output::StandardOutput;
use plan::Plan;
use summary::Summary;

use super::{failure::Failure, protect_memory, terminal::Terminal};

pub(crate) fn run(mut arguments: InitArguments) -> Result<(), Failure> {
    protect_memory()?;
    let json = arguments.json;
    let summary = match arguments.chain.take() {
        Some(chain) => {
            let runtime = tokio::runtime::Runtime::new()?;
            let chains = (chain.as_path(), arguments.timestamp_chain.as_deref());
            runtime.block_on(install::run(chains, &arguments.directory))?
        }
        None => make(&arguments)?,
    };
    let text = match json {
        true => summary.to_json()?,
        false => summary.to_string(),
    };
    Ok(StandardOutput.write_all(text.as_bytes())?)
}

/// Ctrl-C: what was made so far is removed.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: nothing was made")]
struct Interrupted;

fn make(arguments: &InitArguments) -> Result<Summary, Failure> {
    folder::check_vacant(&arguments.directory)?;
    let terminal = match arguments.yes {
        true => None,
        false => Terminal::find(),
    };
    let plan = Plan::new(arguments, terminal.as_ref())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let made = runtime.block_on(async {
        tokio::select! {
            made = make::run(&plan) => made,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                Err(Interrupted.into())
            }
        }
    });
    // A key may still be in the making.
    runtime.shutdown_background();
    made
}
