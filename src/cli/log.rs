//! `mayfly log`: what `ct-log` does, in this program.

use clap::Args;
use ct_log::tool::{EXIT_CODES, LogCommand};

/// Audit, follow, copy, restore or serve a certificate log
///
/// The same commands as those of the program ct-log. They need no configuration of Mayfly, and work
/// with every log that speaks static-ct-api.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES, verbatim_doc_comment)]
pub(crate) struct LogArguments {
    #[command(subcommand)]
    pub(crate) command: LogCommand,
}
