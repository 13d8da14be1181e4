//! What is published, and for how long still.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU64,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use tough::schema::{
    Metafile, Role, RoleType, Root, Signed, Snapshot, Targets, Timestamp as TimestampMetadata,
};

use super::{
    Periods, Roles, TufError,
    folder::{
        TARGETS, TIMESTAMP, newest_root, public_folder, read, root_file, snapshot_file, target_file,
        targets_file,
    },
    metadata::{DAY, decode, timestamp},
    proposal::{show_root, show_targets},
};
use crate::clock::Timestamp;

/// The longest that somebody who keeps offline keys needs to bring them together.
const NOTICE: Duration = DAY.saturating_mul(30);

/// All metadata that is current. Reading it takes no lock: what it names stays where it is while another state takes its
/// place.
#[derive(Clone, Debug)]
pub struct Published {
    pub(super) root: Signed<Root>,
    pub(super) targets: Signed<Targets>,
    pub(super) snapshot: Signed<Snapshot>,
    pub(super) timestamp: Signed<TimestampMetadata>,
}

/// How a role's metadata stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose.
    pub role: RoleType,
    /// Its version.
    pub version: u64,
    /// Clients refuse it from then on.
    pub end: Timestamp,
    /// For how long the role's metadata is signed.
    period: Duration,
}

impl Published {
    /// What is published in the folder of a repository.
    ///
    /// # Errors
    /// [`TufError::NotPublished`]; if it cannot be read.
    pub fn read(folder: &Path) -> Result<Self, TufError> {
        Self::read_if_there(folder)?.ok_or_else(|| TufError::NotPublished(folder.to_owned()))
    }

    pub(super) fn read_if_there(folder: &Path) -> Result<Option<Self>, TufError> {
        let public = public_folder(folder);
        let Some(version) = newest_root(&public)? else {
            return Ok(None);
        };
        let timestamp: Signed<TimestampMetadata> = decode(&public.join(TIMESTAMP))?;
        let current = named(&timestamp.signed.meta, "snapshot.json", RoleType::Timestamp)?;
        let snapshot: Signed<Snapshot> = decode(&public.join(snapshot_file(current)))?;
        let current = named(&snapshot.signed.meta, "targets.json", RoleType::Snapshot)?;
        Ok(Some(Self {
            root: decode(&public.join(root_file(version)))?,
            targets: decode(&public.join(targets_file(current)))?,
            snapshot,
            timestamp,
        }))
    }

    /// A file that clients get by this name, read from the repository's folder; nothing if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn target(&self, folder: &Path, name: &str) -> Result<Option<Vec<u8>>, TufError> {
        let mut targets = self.targets.signed.targets.iter();
        let found = targets.find(|(target, _)| target.raw() == name);
        let contents = found.map(|(name, target)| {
            let file = public_folder(folder)
                .join(TARGETS)
                .join(target_file(name, target));
            read(&file, target.length)
        });
        contents.transpose()
    }

    /// Who signs for which role.
    ///
    /// # Errors
    /// [`TufError::Threshold`], [`TufError::KeyKind`] if the root is not one that was made here.
    pub fn roles(&self) -> Result<Roles, TufError> {
        Roles::of(&self.root.signed)
    }

    /// Root, targets, snapshot and timestamp.
    #[must_use]
    pub fn standing(&self) -> [Standing; 4] {
        let periods = Periods::of(&self.root.signed);
        [
            standing(&self.root, periods.root),
            standing(&self.targets, periods.targets),
            standing(&self.snapshot, periods.snapshot),
            standing(&self.timestamp, periods.timestamp),
        ]
    }

    /// Whether it is time for another timestamp: a quarter of this one's is gone, or half of the snapshot's. What is left is for
    /// whoever must find out why there was none.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        let [.., timestamp] = self.standing();
        self.is_snapshot_due(now) || timestamp.left(now) < timestamp.period * 3 / 4
    }

    pub(super) fn is_snapshot_due(&self, now: Timestamp) -> bool {
        let [.., snapshot, _] = self.standing();
        snapshot.left(now) < snapshot.period / 2
    }

    /// Whether root, targets and snapshot still count.
    pub(super) fn check_ends(&self, now: Timestamp) -> Result<(), TufError> {
        let [signed @ .., _] = self.standing();
        let over = signed.iter().find(|role| role.end <= now);
        over.map_or(Ok(()), |role| Err(TufError::Expired(role.role)))
    }
}

/// Who signs, and which files there are.
impl fmt::Display for Published {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_root(formatter, &self.root.signed)?;
        show_targets(formatter, &self.targets.signed)
    }
}

impl Standing {
    /// Whether it is time to renew it by hand: for what is signed for a year, within a month of its end.
    #[must_use]
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        self.left(now) < NOTICE.min(self.period / 4)
    }

    /// When it ends, for people (RFC 9110 section 5.6.7).
    #[must_use]
    pub fn end_date(&self) -> String {
        httpdate::fmt_http_date(UNIX_EPOCH + self.end.since_epoch())
    }

    /// What to do and until when, if it ends soon.
    #[must_use]
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let command = match self.role {
            RoleType::Root => "rotate",
            RoleType::Targets | RoleType::DelegatedTargets => "publish",
            RoleType::Snapshot | RoleType::Timestamp => "refresh",
        };
        self.ends_soon(now).then(|| {
            format!(
                "clients refuse the TUF repository from {} on, when its {} ends: renew it with `mayfly trust tuf {command}`",
                self.end_date(),
                self.role
            )
        })
    }

    fn left(&self, now: Timestamp) -> Duration {
        self.end.since_epoch().saturating_sub(now.since_epoch())
    }
}

fn standing<T: Role>(metadata: &Signed<T>, days: u32) -> Standing {
    Standing {
        role: T::TYPE,
        version: metadata.signed.version().get(),
        end: timestamp(metadata.signed.expires()),
        period: DAY * days,
    }
}

fn named(meta: &HashMap<String, Metafile>, name: &str, by: RoleType) -> Result<NonZeroU64, TufError> {
    let file = meta.get(name).ok_or(TufError::Incomplete(by))?;
    Ok(file.version)
}
