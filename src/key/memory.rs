//! Keeps what is in this process's memory in it: no core dumps, no tracing by other users' processes, no swap.

use std::io;

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
    thread::{CapabilitySet, capabilities},
};

/// Why memory is not locked: what was not done, since half a lock would make allocations fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotLocked {
    /// More memory than is allowed to be locked will be needed.
    #[error(
        "memory is not locked, so keys could be swapped to a disk: allow it with LimitMEMLOCK=infinity (systemd), \
         `ulimit -l unlimited`, or the capability IPC_LOCK; or turn swap off"
    )]
    Limit,
    /// The kernel says no.
    #[error("memory is not locked, so keys could be swapped to a disk")]
    Refused(#[source] io::Error),
}

/// From here on the kernel writes no core dump of this process, and lets no process of another user, nor of the same without
/// privileges, read its memory.
///
/// # Errors
/// The kernel does not allow it.
pub fn refuse_dumps() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

/// From here on no page of this process is swapped, of what it has and of what it will have. Pages that are never touched cost
/// nothing.
///
/// # Errors
/// [`NotLocked`]; nothing is locked then.
pub fn lock() -> Result<(), NotLocked> {
    let is_unlimited = getrlimit(Resource::Memlock).current.is_none();
    let may_exceed = || {
        let sets = capabilities(None);
        sets.is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK))
    };
    if !is_unlimited && !may_exceed() {
        return Err(NotLocked::Limit);
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|error| NotLocked::Refused(error.into()))
}
