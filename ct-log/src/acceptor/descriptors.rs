//! File descriptors, of which each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of the process's file descriptors, the part that connections may have; the rest is the log's.
const DESCRIPTOR_SHARE: u64 = 2;

/// Raises the soft limit on open files to the hard one: at the soft one of 1,024 that most systems
/// start with, few connections would be left.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit on open files cannot be raised");
    }
}

/// How many connections there may be, if so many are wanted.
pub(super) fn connections(wanted: usize) -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(descriptors / DESCRIPTOR_SHARE).unwrap_or(usize::MAX);
    wanted.min(most)
}
