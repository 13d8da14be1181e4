//! The embedded log's shards: one log for each interval of notAfter, so that each ends some day and the next takes over.
//!
//! A certificate goes to the shard whose window its notAfter is in (C14), whatever the clock says: shortly before a window
//! begins, certificates of ten minutes already end in it. The clock decides only what operators are told.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ct_log::{Log, Phase, Unavailable, Window};

use crate::{clock::Timestamp, profile::LIFETIME};

/// How long before certificates have no shard any more an operator is told: clients need the next shard's key first, and
/// some update what they trust once a month.
pub const NOTICE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The shards in the order of their windows; at least one. Without windows there is one log, for all certificates.
#[derive(Clone, Debug)]
pub struct Shards(Arc<[Log]>);

impl Shards {
    /// # Errors
    /// None, windows that overlap, or two shards of one key or one path.
    pub fn new(mut logs: Vec<Log>) -> Result<Self, ShardsError> {
        logs.sort_by_key(|log| log.window().map(Window::start));
        if logs.is_empty() {
            return Err(ShardsError::None);
        }
        for (earlier, later) in logs.iter().zip(logs.iter().skip(1)) {
            let apart = match (earlier.window(), later.window()) {
                (Some(earlier), Some(later)) => earlier.end() <= later.start(),
                _ => false,
            };
            if !apart {
                let names = [earlier, later].map(|log| log.origin().to_string());
                return Err(ShardsError::Overlap(names));
            }
        }
        let ids: BTreeSet<_> = logs
            .iter()
            .map(|log| *log.public_key().log_id().as_bytes())
            .collect();
        let paths: BTreeSet<_> = logs.iter().map(|log| path_of(log.origin().as_str())).collect();
        if ids.len() < logs.len() {
            return Err(ShardsError::SameKey);
        }
        if paths.len() < logs.len() {
            return Err(ShardsError::SamePath);
        }
        Ok(Self(logs.into()))
    }

    /// All of them, also those that are read only.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Log> {
        self.0.iter()
    }

    /// Whether all of them can be read.
    pub(super) fn reading(&self) -> Result<(), String> {
        self.iter().try_for_each(|log| match log.health() {
            Err(problem @ (Unavailable::Failed(_) | Unavailable::Unreachable | Unavailable::ShutDown)) => {
                Err(format!("{}: {problem}", log.origin()))
            }
            // What keeps entries out leaves those that are there.
            _ => Ok(()),
        })
    }

    /// Whether one of them takes entries.
    pub(super) fn submissions(&self) -> Result<(), String> {
        let problem = |log: &Log| {
            let problem = log.health().err()?;
            Some(format!("{}: {problem}", log.origin()))
        };
        let problems: Vec<_> = self.iter().filter_map(problem).collect();
        match problems.len() < self.iter().len() {
            true => Ok(()),
            false => Err(problems.join("; ")),
        }
    }

    /// The position of the shard for certificates that end then (C14).
    pub(super) fn position(&self, not_after: Timestamp) -> Option<usize> {
        let not_after = system_time(not_after)?;
        let covers = |log: &Log| log.window().is_none_or(|window| window.covers(not_after));
        self.iter().position(covers)
    }

    /// Until when certificates have a shard, seen from `now`. Shards that are read only do not count.
    #[must_use]
    pub fn outlook(&self, now: Timestamp) -> Outlook {
        let open = self.iter().filter(|log| log.phase() != Phase::ReadOnly);
        Outlook::of(open.map(Log::window), now)
    }
}

impl From<Log> for Shards {
    fn from(log: Log) -> Self {
        Self(Arc::new([log]))
    }
}

/// Where a log is served under the API's origin: the path of the log's own origin, which is its URL without the
/// scheme (C2SP static-ct-api); `/log` if that names a host only.
#[must_use]
pub fn path_of(origin: &str) -> &str {
    origin.find('/').and_then(|at| origin.get(at..)).unwrap_or("/log")
}

/// What becomes of issuance as time goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing ends within [`NOTICE`].
    Lasting,
    /// From then on certificates have no shard, and nothing is issued.
    Ends(SystemTime),
    /// Certificates that are issued now have no shard.
    Uncovered,
}

impl Outlook {
    /// From these windows; a log without one never ends.
    pub(crate) fn of<'a>(windows: impl Iterator<Item = Option<&'a Window>>, now: Timestamp) -> Self {
        let Some(windows) = windows.collect::<Option<Vec<_>>>() else {
            return Self::Lasting;
        };
        let Some(first) = system_time(now.plus(LIFETIME)) else {
            return Self::Uncovered;
        };
        let mut end = first;
        while let Some(next) = windows.iter().find(|window| window.covers(end)) {
            end = next.end();
        }
        match end.duration_since(first) {
            Ok(Duration::ZERO) | Err(_) => Self::Uncovered,
            Ok(left) if left < NOTICE => Self::Ends(end),
            Ok(_) => Self::Lasting,
        }
    }

    /// What to tell an operator: what is the matter, and what to do.
    #[must_use]
    pub fn warning(self) -> Option<(String, &'static str)> {
        let what = match self {
            Self::Lasting => return None,
            Self::Ends(end) => format!(
                "no shard of the log takes certificates that end at {} or later: then nothing is issued any more",
                written(end)
            ),
            Self::Uncovered => {
                "no shard of the log takes certificates that are issued now: nothing is issued".to_owned()
            }
        };
        Some((
            what,
            "Add the next shard, and let clients know its key (docs/operating.md)",
        ))
    }
}

/// RFC 3339 in UTC, whole seconds.
pub(crate) fn written(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    der::DateTime::from_unix_duration(Duration::from_secs(seconds))
        .map_or_else(|_| format!("{seconds} s after 1970"), |time| time.to_string())
}

fn system_time(time: Timestamp) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(time.since_epoch())
}

/// Why logs are not the shards of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardsError {
    /// There are none.
    #[error("the log has no shard")]
    None,
    /// One certificate would belong to both.
    #[error("the windows of {} and {} overlap, or one of them has none", .0[0], .0[1])]
    Overlap([String; 2]),
    /// Two logs with one key contradict each other.
    #[error("two shards have the same key")]
    SameKey,
    /// Only one of them could be served.
    #[error("two shards have the same path in their origins")]
    SamePath,
}

#[cfg(test)]
mod tests {
    use ct_log::{LogKey, LogSettings, Origin};
    use tempfile::TempDir;

    use super::*;

    const DAY: u64 = 24 * 60 * 60;
    /// 2027-01-01T00:00:00Z, 2028-01-01T00:00:00Z.
    const YEARS: [u64; 2] = [1_798_761_600, 1_830_297_600];

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(Duration::from_secs(seconds))
    }

    fn window(start: u64, end: u64) -> Window {
        let time = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        Window::new(time(start), time(end)).unwrap()
    }

    /// In `folder`, which must outlive it.
    fn log(folder: &TempDir, origin: &str, window: Option<Window>, key: &LogKey) -> Log {
        let directory = tempfile::tempdir_in(folder.path()).unwrap().keep();
        let settings = LogSettings::new(directory, Origin::new(origin).unwrap()).min_free_bytes(0);
        let settings = window.into_iter().fold(settings, LogSettings::window);
        let key = LogKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
        Log::create(settings, key).unwrap()
    }

    fn shards(folder: &TempDir, logs: &[(&str, Option<Window>)]) -> Result<Shards, ShardsError> {
        let key = || LogKey::generate().unwrap();
        let open = logs
            .iter()
            .map(|(origin, window)| log(folder, origin, *window, &key()));
        Shards::new(open.collect())
    }

    /// C14.
    #[test]
    fn a_certificate_belongs_to_the_shard_whose_window_its_end_is_in() {
        let [first, second] = YEARS;
        let folder = tempfile::tempdir().unwrap();
        // Not in the order of their windows.
        let logs = [
            ("ca.example/2027", Some(window(first, second))),
            ("ca.example/2026", Some(window(first - 365 * DAY, first))),
            ("ca.example/2029", Some(window(second + DAY, second + 366 * DAY))),
        ];
        let shards = shards(&folder, &logs).unwrap();
        let origin = |not_after| {
            let log = shards.iter().nth(shards.position(not_after)?)?;
            Some(log.origin().as_str().to_owned())
        };
        for (not_after, expected) in [
            (first - 365 * DAY - 1, None),
            (first - 365 * DAY, Some("ca.example/2026")),
            (first - 1, Some("ca.example/2026")),
            (first, Some("ca.example/2027")),
            (first + 1, Some("ca.example/2027")),
            (second - 1, Some("ca.example/2027")),
            (second, None),
            (second + DAY - 1, None),
            (second + DAY, Some("ca.example/2029")),
        ] {
            assert_eq!(origin(at(not_after)).as_deref(), expected, "{not_after}");
        }
        let last_nanosecond = at(first).minus(Duration::from_nanos(1));
        assert_eq!(origin(last_nanosecond).as_deref(), Some("ca.example/2026"));
    }

    #[test]
    fn one_log_without_a_window_takes_everything() {
        let folder = tempfile::tempdir().unwrap();
        let shards = shards(&folder, &[("ca.example/log", None)]).unwrap();
        for not_after in [0, YEARS[0], 253_402_300_799] {
            assert_eq!(shards.position(at(not_after)), Some(0));
        }
        assert_eq!(shards.outlook(at(YEARS[0])), Outlook::Lasting);
    }

    #[test]
    fn shards_that_contradict_each_other_are_refused() {
        let [first, second] = YEARS;
        let year = Some(window(first, second));
        let folder = tempfile::tempdir().unwrap();
        let shards = |logs: &[_]| shards(&folder, logs);
        assert_eq!(shards(&[]).unwrap_err(), ShardsError::None);
        for other in [
            Some(window(second - 1, second + 1)),
            Some(window(first, first + 1)),
            None,
        ] {
            let overlap = shards(&[("ca.example/a", year), ("ca.example/b", other)]);
            assert!(matches!(overlap, Err(ShardsError::Overlap(_))), "{other:?}");
        }
        let next = Some(window(second, second + DAY));
        let same_path = shards(&[("ca.example/a", year), ("other.example/a", next)]);
        assert_eq!(same_path.unwrap_err(), ShardsError::SamePath);
        let key = LogKey::generate().unwrap();
        let one = log(&folder, "ca.example/a", year, &key);
        let two = log(&folder, "ca.example/b", next, &key);
        assert_eq!(Shards::new(vec![one, two]).unwrap_err(), ShardsError::SameKey);
    }

    #[test]
    fn operators_are_told_a_month_before_certificates_have_no_shard() {
        let [first, second] = YEARS;
        let (this, next) = (window(first, second), window(second, second + 365 * DAY));
        let after_a_gap = window(second + 1, second + 365 * DAY);
        let ends = Outlook::Ends(this.end());
        for (windows, not_after, expected) in [
            (vec![this], second - 31 * DAY, Outlook::Lasting),
            (vec![this], second - 30 * DAY, Outlook::Lasting),
            (vec![this], second - 30 * DAY + 1, ends),
            (vec![this], second - 1, ends),
            (vec![this], second, Outlook::Uncovered),
            (vec![this, next], second - 1, Outlook::Lasting),
            (vec![next, this], second, Outlook::Lasting),
            (vec![this, after_a_gap], second - 1, ends),
            (vec![next], second - 1, Outlook::Uncovered),
            (vec![], second, Outlook::Uncovered),
        ] {
            let outlook = Outlook::of(windows.iter().map(Some), at(not_after).minus(LIFETIME));
            assert_eq!(outlook, expected, "{windows:?} at {not_after}");
            assert_eq!(outlook.warning().is_none(), expected == Outlook::Lasting);
        }
        assert!(ends.warning().unwrap().0.contains("2028-01-01T00:00:00Z"));
    }
}
