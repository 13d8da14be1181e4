//! `mayfly serve`: the operator's command.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use mayfly::key::memory;

use super::{deployment, failure::Failure};

/// Serve as the configuration file says
///
/// The file names the listen addresses, the CA's chain and key, the log's directory, the issuer file
/// and, if the server terminates TLS itself, its certificate. SIGTERM lets the requests in flight
/// finish. SIGHUP, or a change of the issuer file, of the configuration or of its CA's or timestamp
/// authority's files, has them read again: a file with mistakes is refused whole, and what was in
/// force stays. Of the configuration, the CA, the key, chain and policy of the timestamp authority,
/// new shards of the log and what clients are told to trust take effect so; anything else takes a
/// restart. SIGHUP also has the audit record opened anew, if it was renamed.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ServeArguments {
    /// The configuration, YAML
    #[arg(long, value_name = "FILE", env = "MAYFLY_CONFIG")]
    config: PathBuf,
}

/// How long the end waits for calls that cannot be interrupted, such as one to a token that hangs.
const LAST_CALLS: Duration = Duration::from_secs(5);

pub(crate) fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    memory::refuse_dumps()?;
    if let Err(error) = memory::lock() {
        tracing::warn!("{error}");
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let served = runtime.block_on(deployment::serve_configured(&arguments.config));
    runtime.shutdown_timeout(LAST_CALLS);
    served
}
