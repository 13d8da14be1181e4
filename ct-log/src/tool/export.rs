//! `export`: a static copy of a log, which any web server can serve.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::copying::{self, Keep};
use super::failure::Failure;
use super::file;
use super::place::{AnySource, KeyArguments, Place, PlaceArguments};
use crate::Checkpoint;
use crate::check::{Problem, Source as _, StaticCopy, check_growth};
use crate::output::StandardOutput;
use crate::public_files;
use crate::storage::{Directory, Store};

pub(super) const AFTER_HELP: &str = "\
Examples:
  {program} export --key log.pem --to /srv/mirror https://log.example/2027
  {program} export --to /srv/mirror /var/lib/mayfly/log
  {program} verify --key log.pem /srv/mirror

The copy holds the checkpoint, every tile that it needs, full and partial, the issuers and
log.v3.json, under the paths of static-ct-api. Everything is audited before it is kept, as by
verify, and the checkpoint is replaced last: what it covers is always there. Run it again to
bring the copy up to date, or after it was cut short: what is there is audited again, not read
again. A file that exists is never changed; a copy of another log, or of a fork, is left as
it is.

Serve data tiles as application/octet-stream, issuers as application/pkix-cert, both immutable;
the checkpoint as text/plain, uncached.

Exit codes:
  0  the copy is complete
  1  it could not be made; run it again
  2  the command line is wrong
  4  the log is NOT sound, or it does not continue the one in the copy";

/// What `export` was given.
#[derive(Args, Debug)]
pub struct ExportArguments {
    #[command(flatten)]
    place: PlaceArguments,

    #[command(flatten)]
    key: KeyArguments,

    /// Where the copy goes; made if need be
    #[arg(long, value_name = "DIRECTORY")]
    to: PathBuf,
}

pub(super) async fn run(arguments: ExportArguments) -> Result<(), Failure> {
    let place = arguments.place.open(arguments.key.source()).await?;
    let now = copying::newest(&place).await?;
    let to = &arguments.to;
    if to.join("log.json").exists() {
        return Err(format!("{} is a log that can be written, not a static copy", to.display()).into());
    }
    public_files::make_folders(to)?;
    // Two at once would find each other's unfinished files.
    let _lock = file::lock(&to.join("tmp.lock"))?;
    if let Some(copy) = StaticCopy::find(to) {
        let note = copy.checkpoint().await?;
        let before = Checkpoint::verify(&note, &place.origin, &place.key);
        let before = before.map_err(|error| Failure::unsound(format!("{}: {error}", to.display())))?;
        match check_growth(&place.source, &(note, before), &now).await {
            Ok(()) => {}
            Err(problem @ Problem::Stale { .. }) => return Err(problem.into()),
            Err(problem) if problem.is_the_logs() => return Err(Failure::unsound(problem)),
            Err(problem) => return Err(problem.into()),
        }
    }
    let store = Store::new(Arc::new(Directory::new(to)));
    store.make_copy_directories()?;
    store.clear_temporaries()?;
    let copied = copying::copy(&place, now, (&store, Keep::Everything)).await?;
    file::replace(&to.join("log.v3.json"), &log_info(&place).await?)?;
    file::replace(&to.join("checkpoint"), copied.checkpoint.0.as_bytes())?;
    fs::remove_dir(to.join("tmp"))?;
    writeln!(
        StandardOutput,
        "{}\nthe copy in {} is complete and sound",
        copied.report,
        to.display()
    )?;
    Ok(())
}

/// As the log has it, or made of what is known.
async fn log_info(place: &Place) -> Result<Vec<u8>, Failure> {
    match &place.source {
        AnySource::Remote(log) => Ok(log.log_info().await?),
        AnySource::Copy(copy) => Ok(copy.log_info()?),
        AnySource::Directory(_) => Ok(crate::http::log_info_of(&place.origin, &place.key)?),
    }
}
