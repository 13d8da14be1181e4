//! `restore`: a log's directory from a copy of what it published.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::copying::{self, Copied, Keep};
use super::failure::Failure;
use super::key_file;
use super::place::{FromArguments, Place};
use crate::Checkpoint;
use crate::check::{SignedCheckpoint, StoredLog, check_growth};
use crate::output::{self, StandardOutput};
use crate::public_files;
use crate::storage::{self, Directory, LockError, Store};

pub(super) const AFTER_HELP: &str = "\
Examples:
  {program} restore --key key.pem --directory /srv/log --from https://mirror.example/2027
  {program} restore --key key.pem --directory /srv/log --from /srv/mirror --at-least 123456

For a log whose directory was lost while its key was not, and to take over a log that another
program wrote (Sunlight, TesseraCT), if its entries are no larger than this one takes. The
source is audited as a whole, as by verify, and must be signed by the key. Its public
half is enough here, so the key may be encrypted, or in an HSM; the log needs it all to go on.

DANGER. The log goes on after the last entry of the source. If it gave out SCTs beyond that,
those entries are lost, and their places go to others: clients hold promises that the log broke,
and whoever saw a checkpoint beyond it can prove a fork. Use the newest copy there is; ask every
mirror, monitor and witness for the largest checkpoint they have seen, and give it with
--checkpoint or --at-least. If the source is behind, retire the log instead. Make sure that
nothing else runs with this key.

Exit codes:
  0  the directory is complete: start the log
  1  it could not be made, or the source is behind what is known
  2  the command line is wrong
  4  the source is NOT sound";

/// What `restore` was given.
#[derive(Args, Debug)]
pub struct RestoreArguments {
    /// The log's public key, PEM or DER, or its private key: PKCS#8, PEM, mode 0600
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// The directory to make; it must be empty, or hold an unfinished restore
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,

    #[command(flatten)]
    from: FromArguments,

    /// Refuse a source with fewer entries
    #[arg(long, value_name = "ENTRIES", default_value_t = 0)]
    at_least: u64,

    /// Refuse a source whose tree does not begin with that of this signed checkpoint
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,

    /// Confirm that SCTs beyond the source, if there are any, are broken for good
    #[arg(long)]
    i_accept_that_later_scts_are_lost: bool,
}

pub(super) async fn run(arguments: RestoreArguments) -> Result<(), Failure> {
    let key = key_file::read_public_half(&arguments.key)?;
    let place = arguments.from.open(&key).await?;
    let now = copying::newest(&place).await?;
    for path in &arguments.checkpoint {
        refuse_behind(path, &place, &now).await?;
    }
    if now.1.size() < arguments.at_least {
        let text = format!(
            "the source has {} entries, but the log had {}: find a newer copy, or retire the log",
            now.1.size(),
            arguments.at_least
        );
        return Err(text.into());
    }
    if !arguments.i_accept_that_later_scts_are_lost {
        confirm(&place, &now)?;
    }
    restore(&arguments.directory, &place, now).await
}

async fn restore(directory: &Path, place: &Place, now: SignedCheckpoint) -> Result<(), Failure> {
    public_files::make_folders(directory)?;
    refuse_occupied(directory)?;
    let files = Directory::new(directory);
    let _lock = files.lock().map_err(|error| match error {
        LockError::Held => format!("{} is open in another process", directory.display()),
        LockError::Missing => format!("{} is not there", directory.display()),
        LockError::Io(error) => error.to_string(),
    })?;
    let store = Store::new(Arc::new(files));
    store.make_directories()?;
    store.clear_temporaries()?;
    let copied = copying::copy(place, now, (&store, Keep::FullTiles)).await?;
    let Copied {
        checkpoint: (note, checkpoint),
        partial,
        report,
    } = copied;
    let restored = storage::Restored {
        note,
        checkpoint,
        partial,
    };
    restored.write(&store, (&place.origin, &place.key))?;
    super::file::sync_folder_of(directory)?;
    // As the log itself will read it.
    StoredLog::read(directory)?;
    writeln!(
        StandardOutput,
        "{report}\nthe log in {} is restored, with {} entries; start it with the same key and origin",
        directory.display(),
        checkpoint.size()
    )?;
    Ok(())
}

/// An unfinished restore has no identity yet, and may go on.
fn refuse_occupied(directory: &Path) -> Result<(), Failure> {
    const OURS: [&str; 6] = ["lock", "tmp", "wal", "tile", "issuer", "checkpoint"];
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if !OURS.iter().any(|ours| name == *ours) {
            let text = format!(
                "{} is not empty ({} is in it): a log is restored into an empty directory",
                directory.display(),
                name.to_string_lossy()
            );
            return Err(text.into());
        }
    }
    Ok(())
}

async fn refuse_behind(path: &Path, place: &Place, now: &SignedCheckpoint) -> Result<(), Failure> {
    let note = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let checkpoint = Checkpoint::verify(&note, &place.origin, &place.key);
    let checkpoint = checkpoint.map_err(|error| format!("{}: {error}", path.display()))?;
    if checkpoint.size() > now.1.size() {
        let text = format!(
            "the source has {} entries, but {} is a checkpoint of {}: find a newer copy, or retire the log",
            now.1.size(),
            path.display(),
            checkpoint.size()
        );
        return Err(text.into());
    }
    let grown = check_growth(&place.source, &(note, checkpoint), now).await;
    grown.map_err(|problem| {
        if problem.is_the_logs() {
            Failure::unsound(problem)
        } else {
            problem.into()
        }
    })
}

/// Asks on the terminal; without one, the option must be given.
fn confirm(place: &Place, now: &SignedCheckpoint) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "give --i-accept-that-later-scts-are-lost, after reading what restore --help says about it",
        ));
    }
    output::flush();
    write!(
        io::stderr(),
        "The log {} will go on after entry {}. SCTs that it gave out for later places will be broken for good, which is a \
         fork that others can prove. Type yes if there are none, or if you accept that: ",
        place.origin,
        now.1.size()
    )?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err("nothing was done".into()),
    }
}
