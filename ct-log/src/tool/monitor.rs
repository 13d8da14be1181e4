//! `monitor`: follows a log, proves that it only grows, and shows the certificates that name somebody.

mod deliver;
mod sighting;
mod state;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt as _;

use super::failure::Failure;
use super::place::{KnownKeyArguments, Place, PlaceArguments};
use crate::check::{Problem, SignedCheckpoint, Source, check_growth, check_prefix};
use crate::output;
use crate::tile::FULL_WIDTH;
use crate::tree::Frontier;
use crate::{Checkpoint, SequencedEntry, Tile, TileKind, UnixMillis};
use deliver::Delivery;
use sighting::{Filter, Sighting};
use state::{State, StateFileOf};

/// Entries that are read, proved and delivered at a time: the most that is delivered again after a crash.
const CHUNK_TILES: u64 = 16;

const READ_AHEAD: usize = 4;

pub(super) const AFTER_HELP: &str = "\
Examples:
  {program} monitor --trusted-root trusted_root.json --state me.json \\
    --identity me@example.com https://ca.example.com/log
  {program} monitor --key log.pem --state org.json --interval 10 \\
    --identity-regex 'https://github\\.com/octo-org/.*' --webhook https://example.com/hook \\
    https://log.example/2027

The first run begins with the first entry of the log, later ones where the last one ended. Each
entry is shown only after it was proved to be in the tree of a signed checkpoint, and each
checkpoint only counts if its tree begins with that of the one before. A certificate is shown at
least once: the state moves on after it was written or the webhook answered 2xx.

Output, one JSON object a line: index, timestamp (ms), type, identities (SAN), issuer (of the
OIDC token), serial, fingerprint (SHA-256 of the logged DER). The webhook gets the same lines,
as application/x-ndjson. What is no certificate that can be read is shown in any case, with a
problem.

If the log forks or rolls back, both signed checkpoints are kept beside the state file as
<state>.alarm-<time>.before and .now, a line with \"alarm\" is shown and posted, and the exit
code is 4.

Exit codes:
  0  with --once: all new entries were read and delivered
  1  it could not be read or delivered; the state is kept, run it again
  2  the command line is wrong
  4  ALARM: the log contradicts itself";

/// What `monitor` was given.
#[derive(Args, Debug)]
pub struct MonitorArguments {
    #[command(flatten)]
    place: PlaceArguments,

    #[command(flatten)]
    key: KnownKeyArguments,

    /// Where to keep how far the log was followed
    #[arg(long, value_name = "FILE")]
    state: PathBuf,

    #[command(flatten)]
    filter: sighting::FilterArguments,

    /// Post to this URL instead of writing to standard output
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,

    /// Read what is new, and end
    #[arg(long)]
    once: bool,

    /// Seconds between two looks at the checkpoint
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,

    /// Warn if the newest checkpoint is older than this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    stale_after: u64,
}

pub(super) async fn run(arguments: MonitorArguments) -> Result<(), Failure> {
    let filter = Filter::new(&arguments.filter)?;
    let delivery = Delivery::new(arguments.webhook.as_deref())?;
    let place = arguments.place.open(arguments.key.source()).await?;
    let file = StateFileOf::open(&arguments.state)?;
    let state = file.read(&place)?;
    let mut monitor = Monitor {
        place,
        file,
        state,
        filter,
        delivery,
        stale_after: Duration::from_secs(arguments.stale_after),
    };
    loop {
        let looked = monitor.look().await;
        match looked {
            Ok(()) if arguments.once => return Ok(()),
            Ok(()) => {}
            Err(failure) if arguments.once || failure.is_unsound() => return Err(failure),
            // It may work the next time, and nothing was skipped.
            Err(failure) => failure.warn(),
        }
        tokio::time::sleep(Duration::from_secs(arguments.interval)).await;
    }
}

struct Monitor {
    place: Place,
    file: StateFileOf,
    state: State,
    filter: Filter,
    delivery: Delivery,
    stale_after: Duration,
}

impl Monitor {
    /// Reads all that is new.
    async fn look(&mut self) -> Result<(), Failure> {
        let note = self.place.source.checkpoint().await?;
        let checkpoint = Checkpoint::verify(&note, &self.place.origin, &self.place.key)?;
        self.warn_if_stale(&checkpoint);
        let now = (note, checkpoint);
        match self.state.last() {
            Some(before) if before.0 == now.0 => {}
            Some(before) => match check_growth(&self.place.source, before, &now).await {
                Ok(()) => {}
                Err(problem @ Problem::Stale { .. }) => {
                    output::say(format_args!("warning: {problem}"));
                    return Ok(());
                }
                Err(problem) if is_contradiction(&problem) => return Err(self.alarm(&problem, &now).await),
                Err(problem) => return Err(problem.into()),
            },
            None => {}
        }
        // Remembered before anything of it is read: a rollback after a crash is one too.
        self.state.meet(now);
        self.file.write(&self.state, &self.place)?;
        while self.state.size() < checkpoint.size() {
            self.advance(&checkpoint).await?;
        }
        Ok(())
    }

    /// Reads, proves and delivers the next few tiles.
    async fn advance(&mut self, checkpoint: &Checkpoint) -> Result<(), Failure> {
        let (frontier, sightings) = match self.read(checkpoint).await {
            Ok(read) => read,
            Err(problem) if is_contradiction(&problem) => {
                let now = self.state.last().cloned();
                return Err(match now {
                    Some(now) => self.alarm(&problem, &now).await,
                    None => Failure::unsound(problem),
                });
            }
            Err(problem) => return Err(problem.into()),
        };
        self.delivery.deliver(&sightings).await?;
        self.state.advance(frontier);
        Ok(self.file.write(&self.state, &self.place)?)
    }

    async fn read(&self, checkpoint: &Checkpoint) -> Result<(Frontier, Vec<Sighting>), Problem> {
        let mut frontier = self.state.frontier().clone();
        let mut sightings = Vec::new();
        let tiles = next_tiles(frontier.size(), checkpoint.size());
        let source = &self.place.source;
        let read = |tile: Tile| async move { (tile, source.tile(tile).await) };
        let mut tiles = futures_util::stream::iter(tiles).map(read).buffered(READ_AHEAD);
        while let Some((tile, bytes)) = tiles.next().await {
            let bytes = bytes.map_err(Problem::Unreadable)?;
            let entries = SequencedEntry::decode_all(&bytes).map_err(|_| Problem::DataTile(tile))?;
            if entries.len() != usize::from(tile.width()) {
                return Err(Problem::DataTile(tile));
            }
            let first = tile.index().saturating_mul(u64::from(FULL_WIDTH));
            for (position, entry) in (first..).zip(&entries) {
                // The beginning of the first tile was read before.
                if position < frontier.size() {
                    continue;
                }
                if entry.index().get() != position {
                    let index = entry.index();
                    return Err(Problem::Index { position, index });
                }
                frontier.push(entry.leaf_hash().map_err(|_| Problem::Entry { position })?);
                sightings.extend(self.filter.sight(entry));
            }
        }
        check_prefix(source, (frontier.size(), frontier.root()), checkpoint).await?;
        Ok((frontier, sightings))
    }

    /// Keeps the evidence, tells everybody.
    async fn alarm(&self, problem: &Problem, now: &SignedCheckpoint) -> Failure {
        let before = self.state.last();
        let kept = self.file.keep_evidence(before, now);
        let (before, now) = match kept {
            Ok(paths) => paths,
            Err(error) => {
                return Failure::unsound(format!("{problem}\nThe evidence cannot be kept: {error}"));
            }
        };
        let line = serde_json::json!({
            "alarm": problem.to_string(),
            "log": self.place.origin.as_str(),
            "before": before,
            "now": now,
        });
        if let Err(error) = self.delivery.deliver_line(&line).await {
            error.warn();
        }
        Failure::unsound(format!(
            "ALARM: {problem}\nThe signed checkpoints are in {before} and {now}"
        ))
    }

    fn warn_if_stale(&self, checkpoint: &Checkpoint) {
        let age = UnixMillis::now()
            .get()
            .saturating_sub(checkpoint.timestamp().get());
        let age = Duration::from_millis(age);
        if age > self.stale_after {
            output::say(format_args!(
                "warning: the newest checkpoint is {} s old: the log has stopped, or somebody keeps newer ones back",
                age.as_secs()
            ));
        }
    }
}

/// Whether it can never be right again. What is missing may come back.
fn is_contradiction(problem: &Problem) -> bool {
    problem.is_the_logs() && !matches!(problem, Problem::Unreadable(_))
}

/// The data tiles with the next entries, as many as are read at a time.
fn next_tiles(start: u64, end: u64) -> Vec<Tile> {
    let width = u64::from(FULL_WIDTH);
    let first = start / width;
    let tile = |index: u64| {
        let entries = end.checked_sub(index.checked_mul(width)?)?.min(width);
        Tile::new(TileKind::Entries, index, u16::try_from(entries).ok()?)
    };
    (first..first.saturating_add(CHUNK_TILES))
        .map_while(tile)
        .collect()
}
