//! `verify`: the audit of a whole log.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::failure::Failure;
use super::file::StateFile;
use super::place::{KeyArguments, Place, PlaceArguments};
use crate::check::{Depth, Progress, Report, check_from};
use crate::output::{self, StandardOutput};

/// How often the state of an audit is stored, and a line written where there is no terminal.
const STORE_EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(super) const AFTER_HELP: &str = "\
Examples:
  {program} verify --key log.pem https://log.example/2027
  {program} verify --trusted-root trusted_root.json https://ca.example.com/log
  {program} verify --key log.pem --state audit.json https://log.example/2027
  {program} verify /var/lib/mayfly/log

It recomputes every leaf hash, tile and the root from the entries; verifies the checkpoint,
every entry's index and time, every issuer's hash, every certificate's signature and chain, and
that what was logged of a precertificate is that precertificate's. Nothing is changed, and the
log may be running.

With --state an audit that was cut short goes on where it was, and a later one checks what is
new and that the log only grew: the roots of the checkpoints that were seen before are
recomputed. The file is believed, so keep it where nobody else can write.

Exit codes:
  0  the log is sound: everything up to its checkpoint was checked
  1  it could not be checked (unreachable, unreadable, an old checkpoint from a cache)
  2  the command line is wrong
  4  the log is NOT sound";

/// What `verify` was given.
#[derive(Args, Debug)]
pub struct VerifyArguments {
    #[command(flatten)]
    place: PlaceArguments,

    #[command(flatten)]
    key: KeyArguments,

    /// Where to keep how far the audit came
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Check tree and encodings, but no certificate: for certificates unknown to this program
    #[arg(long)]
    structure_only: bool,
}

pub(super) async fn run(arguments: VerifyArguments) -> Result<(), Failure> {
    let place = arguments.place.open(arguments.key.source()).await?;
    writeln!(StandardOutput, "log {}, id {}", place.origin, place.key.log_id())?;
    let depth = match arguments.structure_only {
        true => Depth::Structure,
        false => Depth::Certificates,
    };
    let state = arguments.state.as_deref();
    let state = state.map(|path| State::open(path, &place)).transpose()?;
    let report = audit(&place, depth, state).await?;
    writeln!(StandardOutput, "{report}")?;
    verdict(&report)
}

async fn audit(place: &Place, depth: Depth, state: Option<State>) -> Result<Report, Failure> {
    let mut progress = match &state {
        Some(state) => state.begin.clone(),
        None => Progress::new(),
    };
    let mut watcher = Watcher::new(state.as_ref(), place);
    let log = (&place.origin, &place.key);
    let watch = |progress: &Progress| watcher.see(progress);
    let report = check_from(&place.source, log, depth, (&mut progress, watch)).await;
    watcher.end()?;
    // A checkpoint that contradicts those before must not take their place.
    if let Some(state) = state.filter(|_| !report.is_unsound()) {
        state.store(&progress, place)?;
    }
    Ok(report)
}

fn verdict(report: &Report) -> Result<(), Failure> {
    if report.is_sound() {
        Ok(writeln!(StandardOutput, "the log is sound")?)
    } else if report.is_unsound() {
        Err(Failure::unsound("the log is NOT sound"))
    } else {
        Err(Failure::from("the log could not be checked"))
    }
}

/// The file of an audit, and what it said at the beginning.
struct State {
    file: StateFile,
    begin: Progress,
}

impl State {
    fn open(path: &Path, place: &Place) -> Result<State, Failure> {
        let file = StateFile::open(path)?;
        let begin = match file.read()? {
            Some(json) => Progress::from_json(&json, &place.origin, &place.key)
                .map_err(|error| format!("{}: {error}", path.display()))?,
            None => Progress::new(),
        };
        Ok(State { file, begin })
    }

    fn store(&self, progress: &Progress, place: &Place) -> io::Result<()> {
        let json = progress.to_json(&place.origin, &place.key)?;
        self.file.write(&json)
    }
}

/// Shows how far the audit is, and stores it.
struct Watcher<'a> {
    state: Option<&'a State>,
    place: &'a Place,
    shown: Shown,
    stored: Option<Instant>,
    failed: Option<io::Error>,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl<'a> Watcher<'a> {
    fn new(state: Option<&'a State>, place: &'a Place) -> Watcher<'a> {
        let now = Instant::now();
        let shown = if io::stderr().is_terminal() {
            Shown::Bar(ProgressBar::no_length().with_style(style()))
        } else {
            Shown::Lines { last: now }
        };
        Watcher {
            state,
            place,
            shown,
            stored: None,
            failed: None,
        }
    }

    fn see(&mut self, progress: &Progress) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                if bar.length().is_none() {
                    bar.set_length(progress.target());
                    bar.reset_eta();
                }
                bar.set_position(progress.entries());
            }
            Shown::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                output::say(format_args!(
                    "{} of {} entries",
                    progress.entries(),
                    progress.target()
                ));
            }
            Shown::Lines { .. } => {}
        }
        let due = self.stored.is_none_or(|stored| stored.elapsed() >= STORE_EVERY);
        if let Some(state) = self.state.filter(|_| due) {
            self.stored = Some(Instant::now());
            if let Err(error) = state.store(progress, self.place) {
                self.failed.get_or_insert(error);
            }
        }
    }

    fn end(self) -> Result<(), Failure> {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
        match (self.failed, self.state) {
            (Some(error), Some(state)) => {
                let path = state.file.path().display();
                Err(format!("{path} cannot be written: {error}").into())
            }
            _ => Ok(()),
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{wide_bar} {human_pos}/{human_len} entries, {per_sec}, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
