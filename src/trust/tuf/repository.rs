//! A repository in a folder: what is published, and what is to be.

use std::{
    fs::{self, File, TryLockError},
    num::NonZeroU64,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use tough::schema::{RoleType, Root, Targets};

use super::{
    Periods, Proposal, Roles, Signer, TargetFile, TufError,
    folder::{STAGED, TARGETS, io_error, pending_folder, public_folder},
    metadata::{SPECIFICATION, after, end},
    publication::{Online, Publication},
    published::Published,
};
use crate::{clock::Timestamp, durability::sync_folder_of};

/// How long the lock is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A repository's folder, which no other command works on meanwhile.
#[derive(Debug)]
pub struct Repository {
    folder: PathBuf,
    /// Held as long as this is: a lock on the folder itself.
    _lock: File,
}

impl Repository {
    /// Takes the lock, and removes what an interrupted command left.
    ///
    /// # Errors
    /// [`TufError::Locked`], or if the folder cannot be read or written.
    pub fn open(folder: &Path) -> Result<Self, TufError> {
        let lock = File::open(folder).map_err(io_error(folder))?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                // A server takes it for a moment every few seconds.
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => thread::sleep(PATIENCE / 20),
                Err(TryLockError::WouldBlock) => return Err(TufError::Locked(folder.to_owned())),
                Err(TryLockError::Error(error)) => return Err(io_error(folder)(error)),
            }
        }
        let repository = Self {
            folder: folder.to_owned(),
            _lock: lock,
        };
        repository.clean()?;
        Ok(repository)
    }

    /// Proposes the first root, and targets of which there are none yet, in an empty folder.
    ///
    /// # Errors
    /// [`TufError::Threshold`]; if the folder cannot be written.
    pub fn create(folder: &Path, roles: &Roles, now: Timestamp) -> Result<Self, TufError> {
        let repository = Self::open(folder)?;
        let root = roles.to_root(NonZeroU64::MIN, now)?;
        let targets = no_targets(&roles.periods, now)?;
        repository.propose(Some(root), Some(targets), &[])?;
        Ok(repository)
    }

    /// Proposes these files in place of all that are there (specification 4.5).
    ///
    /// # Errors
    /// [`TufError::Pending`], [`TufError::NotPublished`]; a file that cannot be a target; if the folder cannot be written.
    pub fn propose_targets(&self, files: &[TargetFile], now: Timestamp) -> Result<(), TufError> {
        let present = self.published()?;
        let mut targets = next_targets(&present.targets.signed, &Periods::of(&present.root.signed), now)?;
        targets.targets.clear();
        for file in files {
            let (name, target) = file.target()?;
            targets.add_target(name, target);
        }
        self.propose(None, Some(targets), files)
    }

    /// Proposes the same files for another period.
    ///
    /// # Errors
    /// [`TufError::Pending`], [`TufError::NotPublished`]; if the folder cannot be written.
    pub fn propose_renewal(&self, now: Timestamp) -> Result<(), TufError> {
        let present = self.published()?;
        let targets = next_targets(&present.targets.signed, &Periods::of(&present.root.signed), now)?;
        self.propose(None, Some(targets), &[])
    }

    /// Proposes another root (specification 6.1), whose keys and thresholds may be the same: then it only lasts longer. Targets
    /// are proposed again if they would not count under that root, or not for long.
    ///
    /// # Errors
    /// [`TufError::Threshold`], [`TufError::Pending`], [`TufError::NotPublished`]; if the folder cannot be written.
    pub fn propose_roles(&self, roles: &Roles, now: Timestamp) -> Result<(), TufError> {
        let present = self.published()?;
        let version = after(present.root.signed.version, RoleType::Root)?;
        let root = roles.to_root(version, now)?;
        let [_, standing, ..] = present.standing();
        let counts = root.verify_role(&present.targets).is_ok() && !standing.ends_soon(now);
        let targets = match counts {
            true => None,
            false => Some(next_targets(&present.targets.signed, &roles.periods, now)?),
        };
        self.propose(Some(root), targets, &[])
    }

    /// What is proposed.
    ///
    /// # Errors
    /// [`TufError::NothingPending`], [`TufError::Outdated`], [`TufError::Foreign`]; if the folder cannot be read.
    pub fn proposal(&self) -> Result<Proposal, TufError> {
        self.pending(self.present()?.as_ref())
    }

    /// Adds to what is proposed the signatures of those who may sign it. It is this very value that is signed.
    ///
    /// # Errors
    /// A key that does not sign; if the folder cannot be written.
    pub async fn sign(&self, proposal: &mut Proposal, signers: &[Signer]) -> Result<(), TufError> {
        proposal.sign(signers).await?;
        proposal.write(&pending_folder(&self.folder))
    }

    /// Publishes what is proposed, with a snapshot and a timestamp that these `online` keys sign: whole or not at all.
    ///
    /// # Errors
    /// [`TufError::Missing`] if signatures are, [`TufError::NothingPending`], [`TufError::Outdated`], [`TufError::Expired`],
    /// [`TufError::Refused`]; a key that does not sign; if the folder cannot be written.
    pub async fn publish(&self, online: &[Signer], now: Timestamp) -> Result<(), TufError> {
        let next = self.next(online, now).await?;
        self.put(&next, now).await?;
        self.drop_pending()
    }

    /// What is published once it has what is proposed.
    pub(super) async fn next(&self, online: &[Signer], now: Timestamp) -> Result<Published, TufError> {
        let present = self.present()?;
        let before = present.as_ref();
        let change = self.pending(before)?;
        let missing = change.missing();
        if !missing.is_empty() {
            return Err(TufError::Missing(missing));
        }
        let root = change.root.or_else(|| before.map(|present| present.root.clone()));
        let targets = change
            .targets
            .or_else(|| before.map(|present| present.targets.clone()));
        let (Some(root), Some(targets)) = (root, targets) else {
            return Err(TufError::NotPublished(self.folder.clone()));
        };
        let online = Online::new(&root.signed, online, now);
        let snapshot = online
            .snapshot(&targets, before.map(|present| &present.snapshot))
            .await?;
        let timestamp = online
            .timestamp(&snapshot, before.map(|present| &present.timestamp))
            .await?;
        Ok(Published {
            root,
            targets,
            snapshot,
            timestamp,
        })
    }

    /// Publishes another timestamp, and another snapshot if less than half of its time is left (specification 6.3).
    ///
    /// # Errors
    /// [`TufError::NotPublished`], [`TufError::Missing`], [`TufError::Expired`] if root or targets are over,
    /// [`TufError::Refused`]; a key that does not sign; if the folder cannot be written.
    pub async fn refresh(&self, online: &[Signer], now: Timestamp) -> Result<(), TufError> {
        let mut next = self.published()?;
        let online = Online::new(&next.root.signed, online, now);
        if next.is_snapshot_due(now) {
            next.snapshot = online.snapshot(&next.targets, Some(&next.snapshot)).await?;
        }
        next.timestamp = online.timestamp(&next.snapshot, Some(&next.timestamp)).await?;
        self.put(&next, now).await
    }

    /// What a server does with the online key of the repository in a folder: publishes what is proposed once everybody else has
    /// signed it, and renews the timestamp when it is time. While somebody works on the repository it leaves it alone.
    ///
    /// # Errors
    /// As [`Repository::publish`] and [`Repository::refresh`]. What is proposed and cannot be published does not keep the
    /// timestamp from being renewed.
    pub async fn attend(folder: &Path, online: &[Signer], now: Timestamp) -> Result<(), TufError> {
        let pending = pending_folder(folder);
        let proposed = pending.try_exists().map_err(io_error(&pending))?;
        if !proposed && !Published::read(folder)?.is_due(now) {
            return Ok(());
        }
        let repository = match Self::open(folder) {
            Err(TufError::Locked(_)) => return Ok(()),
            opened => opened?,
        };
        let complete = repository
            .proposal()
            .is_ok_and(|proposal| proposal.missing().is_empty());
        let published = match complete {
            true => repository.publish(online, now).await,
            false => Ok(()),
        };
        if repository.published()?.is_due(now) {
            repository.refresh(online, now).await?;
        }
        published
    }

    /// Forgets what is proposed, whole: a part of it might be something else that could be signed.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn drop_pending(&self) -> Result<(), TufError> {
        let pending = pending_folder(&self.folder);
        if !pending.try_exists().map_err(io_error(&pending))? {
            return Ok(());
        }
        let aside = self.folder.join(format!("{STAGED}dropped"));
        fs::rename(&pending, &aside).map_err(io_error(&pending))?;
        sync_folder_of(&pending).map_err(io_error(&self.folder))?;
        fs::remove_dir_all(&aside).map_err(io_error(&aside))
    }

    /// What is published.
    ///
    /// # Errors
    /// [`TufError::NotPublished`]; if the folder cannot be read.
    pub fn published(&self) -> Result<Published, TufError> {
        Published::read(&self.folder)
    }

    fn propose(
        &self,
        root: Option<Root>,
        targets: Option<Targets>,
        files: &[TargetFile],
    ) -> Result<(), TufError> {
        let pending = pending_folder(&self.folder);
        if pending.try_exists().map_err(io_error(&pending))? {
            return Err(TufError::Pending(pending));
        }
        let present = self.present()?;
        let before = present.as_ref().map(|present| &present.root);
        Proposal::new(before, root, targets).stage(&pending, files)
    }

    async fn put(&self, next: &Published, now: Timestamp) -> Result<(), TufError> {
        next.check_ends(now)?;
        let publication = Publication::begin(&public_folder(&self.folder))?;
        publication.write(next, &pending_folder(&self.folder).join(TARGETS))?;
        publication.check(next).await?;
        publication.finish()
    }

    fn present(&self) -> Result<Option<Published>, TufError> {
        Published::read_if_there(&self.folder)
    }

    /// What is proposed, for this state.
    fn pending(&self, present: Option<&Published>) -> Result<Proposal, TufError> {
        let pending = pending_folder(&self.folder);
        let proposal = Proposal::read(&pending, present.map(|present| &present.root))?
            .ok_or_else(|| TufError::NothingPending(self.folder.clone()))?;
        let follows = |proposed: Option<NonZeroU64>, present: Option<NonZeroU64>| {
            let Some(proposed) = proposed else { return true };
            present.map_or(1, |present| present.get().saturating_add(1)) == proposed.get()
        };
        let root = proposal.root.as_ref().map(|root| root.signed.version);
        let targets = proposal.targets.as_ref().map(|targets| targets.signed.version);
        let fits = follows(root, present.map(|present| present.root.signed.version))
            && follows(targets, present.map(|present| present.targets.signed.version));
        match fits {
            true => Ok(proposal),
            false => Err(TufError::Outdated(pending)),
        }
    }

    fn clean(&self) -> Result<(), TufError> {
        for entry in fs::read_dir(&self.folder).map_err(io_error(&self.folder))? {
            let entry = entry.map_err(io_error(&self.folder))?;
            let left_over = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(STAGED));
            if left_over {
                fs::remove_dir_all(entry.path()).map_err(io_error(&entry.path()))?;
            }
        }
        self.drop_published()
    }

    /// A change that was published whole, by a command that was interrupted before it could remove it. One that cannot be read is
    /// left to those who want to sign it.
    fn drop_published(&self) -> Result<(), TufError> {
        let Some(present) = self.present()? else {
            return Ok(());
        };
        let Ok(Some(change)) = Proposal::read(&pending_folder(&self.folder), Some(&present.root)) else {
            return Ok(());
        };
        let root = change.root.is_none_or(|root| root.signed == present.root.signed);
        let targets = change
            .targets
            .is_none_or(|targets| targets.signed == present.targets.signed);
        match root && targets {
            true => self.drop_pending(),
            false => Ok(()),
        }
    }
}

/// Without delegations: clients take the field for more than nothing.
fn no_targets(periods: &Periods, now: Timestamp) -> Result<Targets, TufError> {
    let end = end(now, periods.targets, RoleType::Targets)?;
    let mut targets = Targets::new(SPECIFICATION.to_owned(), NonZeroU64::MIN, end);
    targets.delegations = None;
    Ok(targets)
}

/// The same once more.
fn next_targets(present: &Targets, periods: &Periods, now: Timestamp) -> Result<Targets, TufError> {
    let mut next = present.clone();
    next.version = after(present.version, RoleType::Targets)?;
    next.expires = end(now, periods.targets, RoleType::Targets)?;
    Ok(next)
}
