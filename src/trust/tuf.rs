//! A TUF repository (The Update Framework, specification 1.0, consistent snapshots) from which clients take what they
//! are to trust, knowing its first root alone.
//!
//! | role | signs | its keys are |
//! |---|---|---|
//! | root | which keys and how many signatures each role needs | offline, several, with a threshold |
//! | targets | the files: `trusted_root.json` and the like | offline, several, with a threshold |
//! | snapshot, timestamp | which versions are current, for days only | online, the same for both |
//!
//! A folder holds `public`, which is served as it is, and at times `pending`, a change whose signatures are still
//! being collected. The types of the metadata, its canonical form and the checks of signatures are `tough`'s. Signing and
//! writing are not: its editor wants all keys at once, and writes files in place.

mod folder;
mod key;
mod metadata;
mod proposal;
mod publication;
mod published;
mod repository;
mod roles;
mod target_file;

use std::{io, path::PathBuf};

use tough::schema::RoleType;

pub use self::{
    folder::{FIRST_ROOT, STAGED, pending_folder, public_folder},
    key::{PublicKey, Signer},
    proposal::{Missing, Proposal},
    published::{Published, Standing},
    repository::Repository,
    roles::{POSSIBLE_DAYS, Periods, RoleKeys, Roles},
    target_file::{TRUSTED_ROOT, TargetFile, TargetFileError, read_export},
};

/// Why a repository cannot be made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TufError {
    /// A file operation failed.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The metadata is not what is written here.
    #[error("{} is not metadata of its role", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A key that not all clients accept.
    #[error("a TUF key must be ECDSA on P-256: go-tuf, python-tuf and tough have no other in common here")]
    KeyKind,
    /// It did not sign.
    #[error(transparent)]
    Key(#[from] crate::key::KeyError),
    /// A role with a key twice, without a key, or with more signatures to give than keys.
    #[error("the role {0} needs from one to as many signatures as it has keys, each of another key")]
    Threshold(RoleType),
    /// Whoever has the online key could say what clients are to trust.
    #[error(
        "an online key is a key of root or targets, too: it needs one of its own, since it is where the server is"
    )]
    OnlineKey,
    /// For less than a day, or more than ten years.
    #[error("the metadata of {0} must be valid for 1 to 3650 days")]
    Days(RoleType),
    /// What waits for signatures has something in it that would not be shown to those who sign.
    #[error("the {role} metadata in {} is not as Mayfly makes it, so nobody should sign it: drop it", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose metadata it is.
        role: RoleType,
    },
    /// A name that not all clients, file systems and terminals take as it is.
    #[error("{0:?} cannot be the name of a target: it needs letters, digits, `.`, `-` and `_`")]
    TargetName(String),
    /// A file that the targets name is not there, or another than was signed.
    #[error("{} is missing, or not the file that was signed", .0.display())]
    TargetContents(PathBuf),
    /// Another client's eyes saw another state.
    #[error("a client would see another state than was made, so nothing was published")]
    Differs,
    /// A version that was published already, with other contents.
    #[error("{} was published before: this folder was rolled back to an older state; copy what is public back", .0.display())]
    RolledBack(PathBuf),
    /// One role does not name the other.
    #[error("the {0} metadata is incomplete")]
    Incomplete(RoleType),
    /// A role lacks signatures.
    #[error("signatures are missing: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Missing(Vec<Missing>),
    /// Nothing that one could sign or publish.
    #[error("{} has no change that waits for signatures", .0.display())]
    NothingPending(PathBuf),
    /// Another change is on its way.
    #[error("{} waits for signatures: add them, or drop it", .0.display())]
    Pending(PathBuf),
    /// No repository there.
    #[error("{} holds no TUF repository that was published", .0.display())]
    NotPublished(PathBuf),
    /// Another command is at work.
    #[error("another command works on {}", .0.display())]
    Locked(PathBuf),
    /// It was staged for another state.
    #[error(
        "{} was made for another version than is published now: drop it, and make it again",
        .0.display()
    )]
    Outdated(PathBuf),
    /// Metadata whose time is over.
    #[error("{0} ends before it could be published: renew it")]
    Expired(RoleType),
    /// What was made is not what a client accepts, so it was not published.
    #[error("a client would refuse what was made, so nothing was published")]
    Refused(#[source] Box<tough::error::Error>),
    /// A version, time or form that TUF cannot express.
    #[error("the {0} metadata cannot be written")]
    Unwritable(RoleType),
}
