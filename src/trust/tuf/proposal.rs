//! A change that waits for signatures, in a folder that can be carried from one signer to the next.

use std::{
    fmt, mem,
    path::{Path, PathBuf},
    slice,
};

use ct_log::public_files::make_folder;
use tough::schema::{Role, RoleType, Root, Signed, Targets};

use super::{
    Periods, PublicKey, Roles, Signer, TargetFile, TufError,
    folder::{STAGED, TARGETS, io_error, target_file},
    metadata::{decode_if_there, encode, has_signed, keys_of, sign, timestamp, unsigned},
    target_file::{self, SIGSTORE},
};
use crate::staging::{StagedFolder, replace_file, write_public_file};

const ROOT: &str = "root.json";
const TARGETS_METADATA: &str = "targets.json";

/// Signatures that a role still needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Whose metadata it is.
    pub role: RoleType,
    /// The version of the root that asks for them: a new root needs those of the one before it, too.
    pub root: u64,
    /// Valid signatures that are there.
    pub signed: u64,
    /// How many must be there.
    pub threshold: u64,
    /// The keys of the role that have not signed, in hexadecimal.
    pub keys: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            role,
            root,
            signed,
            threshold,
            keys,
        } = self;
        let keys = keys.join(", ");
        write!(
            formatter,
            "{role} has {signed} of the {threshold} that root {root} wants (not yet: {keys})"
        )
    }
}

/// The next root, the next targets, or both, with the signatures so far. There is nothing in them that is not shown.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The root that is published.
    present: Option<Root>,
    pub(super) root: Option<Signed<Root>>,
    pub(super) targets: Option<Signed<Targets>>,
}

impl Proposal {
    pub(super) fn new(present: Option<&Signed<Root>>, root: Option<Root>, targets: Option<Targets>) -> Self {
        Self {
            present: present.map(|root| root.signed.clone()),
            root: root.map(unsigned),
            targets: targets.map(unsigned),
        }
    }

    /// Nothing if there is no such folder, or nothing in it. It may come from another machine: whatever would not have been
    /// made here is refused, and signatures that do not count are left out.
    pub(super) fn read(folder: &Path, present: Option<&Signed<Root>>) -> Result<Option<Self>, TufError> {
        let mut proposal = Self {
            present: present.map(|root| root.signed.clone()),
            root: decode_if_there(&folder.join(ROOT))?,
            targets: decode_if_there(&folder.join(TARGETS_METADATA))?,
        };
        if proposal.root.is_none() && proposal.targets.is_none() {
            return Ok(None);
        }
        let foreign = |role| TufError::Foreign {
            path: folder.to_owned(),
            role,
        };
        if let Some(root) = &proposal.root
            && !is_as_made_here(&root.signed)?
        {
            return Err(foreign(RoleType::Root));
        }
        if let Some(targets) = &proposal.targets
            && !target_file::is_as_made_here(&targets.signed)
        {
            return Err(foreign(RoleType::Targets));
        }
        let roots: Vec<Root> = proposal.roots().cloned().collect();
        if let Some(root) = &mut proposal.root {
            keep_what_counts(root, &roots);
        }
        if let (Some(targets), [.., root]) = (&mut proposal.targets, roots.as_slice()) {
            keep_what_counts(targets, slice::from_ref(root));
        }
        Ok(Some(proposal))
    }

    /// Makes the folder, with the files that the targets are about.
    pub(super) fn stage(&self, folder: &Path, files: &[TargetFile]) -> Result<(), TufError> {
        let staged = StagedFolder::beside(folder, STAGED).map_err(io_error(folder))?;
        self.write(staged.path())?;
        let targets = staged.path().join(TARGETS);
        make_folder(&targets).map_err(io_error(&targets))?;
        for file in files {
            let (name, target) = file.target()?;
            let path = targets.join(target_file(&name, &target));
            write_public_file(&path, &file.contents).map_err(io_error(&path))?;
        }
        staged.publish().map_err(io_error(folder))
    }

    /// Replaces the metadata in the folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), TufError> {
        let replace = |name: &str, bytes: Vec<u8>| {
            let path: PathBuf = folder.join(name);
            replace_file(&path, &bytes).map_err(io_error(&path))
        };
        if let Some(root) = &self.root {
            replace(ROOT, encode(root)?)?;
        }
        if let Some(targets) = &self.targets {
            replace(TARGETS_METADATA, encode(targets)?)?;
        }
        Ok(())
    }

    pub(super) async fn sign(&mut self, signers: &[Signer]) -> Result<(), TufError> {
        let roots: Vec<Root> = self.roots().cloned().collect();
        if let Some(root) = &mut self.root {
            let keys: Vec<_> = roots
                .iter()
                .flat_map(|known| keys_of(known, RoleType::Root))
                .collect();
            sign(root, &keys, signers).await?;
        }
        if let (Some(targets), Some(root)) = (&mut self.targets, roots.last()) {
            sign(targets, &keys_of(root, RoleType::Targets), signers).await?;
        }
        Ok(())
    }

    /// The signatures that it still needs, but for those of the online keys.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        for root in self.roots() {
            let metadata = self.root.as_ref();
            missing.extend(metadata.and_then(|metadata| missing_by(root, metadata)));
        }
        if let Some(root) = self.roots().last() {
            let metadata = self.targets.as_ref();
            missing.extend(metadata.and_then(|metadata| missing_by(root, metadata)));
        }
        missing
    }

    /// Whether a key signs some of it, or what follows from it.
    #[must_use]
    pub fn concerns(&self, key: &PublicKey) -> bool {
        let has = |root: &Root, role| keys_of(root, role).contains(key.key_id());
        let last = self.roots().last();
        (self.root.is_some() && self.roots().any(|root| has(root, RoleType::Root)))
            || (self.targets.is_some() && last.is_some_and(|root| has(root, RoleType::Targets)))
            || last.is_some_and(|root| has(root, RoleType::Timestamp))
    }

    /// The present root and the next, as far as there are.
    fn roots(&self) -> impl Iterator<Item = &Root> {
        let next = self.root.as_ref().map(|root| &root.signed);
        self.present.iter().chain(next)
    }
}

/// Whether its roles alone, which are all that is shown of it, lead to this root.
fn is_as_made_here(root: &Root) -> Result<bool, TufError> {
    let mut same = Roles::of(root)?.to_root(root.version, timestamp(root.expires))?;
    same.expires = root.expires;
    Ok(serde_json::to_value(same).ok() == serde_json::to_value(root).ok())
}

/// Each key's signature once, if it is right for one of these roots: one that is not, or a second one, would spoil the others.
fn keep_what_counts<T: Role>(metadata: &mut Signed<T>, roots: &[Root]) {
    let all = mem::take(&mut metadata.signatures);
    for signature in all {
        if metadata
            .signatures
            .iter()
            .any(|kept| kept.keyid == signature.keyid)
        {
            continue;
        }
        let key = signature.keyid.clone();
        metadata.signatures.push(signature);
        if !roots.iter().any(|root| has_signed(root, &key, metadata)) {
            metadata.signatures.pop();
        }
    }
}

/// What `root` still wants of this metadata.
pub(super) fn missing_by<T: Role>(root: &Root, metadata: &Signed<T>) -> Option<Missing> {
    let (signed, unsigned): (Vec<_>, Vec<_>) = keys_of(root, T::TYPE)
        .into_iter()
        .partition(|key| has_signed(root, key, metadata));
    let threshold = root.roles.get(&T::TYPE).map_or(1, |role| role.threshold.get());
    let signed = u64::try_from(signed.len()).unwrap_or(u64::MAX);
    (signed < threshold).then(|| Missing {
        role: T::TYPE,
        root: root.version.get(),
        signed,
        threshold,
        keys: unsigned.iter().map(hex::encode).collect(),
    })
}

/// All that a signer answers for.
impl fmt::Display for Proposal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(root) = &self.root {
            show_root(formatter, &root.signed)?;
        }
        if let Some(targets) = &self.targets {
            show_targets(formatter, &targets.signed)?;
        }
        Ok(())
    }
}

/// Keys, thresholds, and for how long.
pub(super) fn show_root(formatter: &mut fmt::Formatter<'_>, root: &Root) -> fmt::Result {
    let days = Periods::of(root);
    writeln!(formatter, "root {}, until {}", root.version, root.expires)?;
    for (role, days) in [
        (RoleType::Root, days.root),
        (RoleType::Targets, days.targets),
        (RoleType::Snapshot, days.snapshot),
        (RoleType::Timestamp, days.timestamp),
    ] {
        let keys: Vec<_> = keys_of(root, role).iter().map(hex::encode).collect();
        let threshold = root.roles.get(&role).map_or(0, |role| role.threshold.get());
        writeln!(
            formatter,
            "  {role}, for {days} days: {threshold} of {}",
            keys.join(", ")
        )?;
    }
    Ok(())
}

/// Files with their SHA-256, and what older clients are told of them.
pub(super) fn show_targets(formatter: &mut fmt::Formatter<'_>, targets: &Targets) -> fmt::Result {
    writeln!(
        formatter,
        "targets {}, until {}",
        targets.version, targets.expires
    )?;
    let mut files: Vec<_> = targets.targets.iter().collect();
    files.sort_by_key(|(name, _)| *name);
    for (name, target) in files {
        let digest = hex::encode(&target.hashes.sha256);
        write!(formatter, "  {digest}  {}", name.raw())?;
        match target.custom.get(SIGSTORE) {
            Some(told) => writeln!(formatter, "  {told}")?,
            None => writeln!(formatter)?,
        }
    }
    Ok(())
}
