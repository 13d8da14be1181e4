//! Whether a store does what the log relies on. Asked at every start: another store may be behind the same name.

use std::io::{self, ErrorKind};

use crate::threads::fill_random;

use super::bucket::{Bucket, Put};
use super::error::differs;

/// No store gives this tag to an object of the log.
const NO_TAG: &str = "\"00000000000000000000000000000000\"";

/// Writes an object of a random name in all the ways that the log does, and removes it.
pub(super) fn run(bucket: &Bucket, place: &str) -> io::Result<()> {
    let mut name = [0; 16];
    fill_random(&mut name).map_err(|_| io::Error::other("no random bytes"))?;
    let key = format!("probe/{}", hex::encode(name));
    let tested = conditional_writes(bucket, &key, place);
    let removed = bucket.delete(&key);
    if let Err(error) = removed {
        // The store may keep everything; the object is of no use to anybody.
        tracing::debug!(key, %error, "the object of the self-test stays");
    }
    tested
}

fn conditional_writes(bucket: &Bucket, key: &str, place: &str) -> io::Result<()> {
    let tag = first(bucket, key)?;
    must_refuse(bucket, place, "If-None-Match", |bucket| {
        bucket.create(key, b"second")
    })?;
    must_refuse(bucket, place, "If-Match", |bucket| {
        bucket.replace(key, b"third", NO_TAG)
    })?;
    must_hold(bucket, key, b"first")?;
    match bucket.replace(key, b"fourth", &tag) {
        Put::Done { .. } => must_hold(bucket, key, b"fourth"),
        Put::Refused => Err(unfit(place, "it refused a write whose If-Match was right")),
        Put::Unsent(error) | Put::Unknown(error) => Err(error),
    }
}

fn first(bucket: &Bucket, key: &str) -> io::Result<String> {
    bucket.put_equal(key, b"first")?;
    let read = bucket.get(key)?.ok_or_else(|| {
        let text =
            format!("{key} was written, but is not there: the store must answer with what was written last");
        io::Error::new(ErrorKind::Unsupported, text)
    })?;
    if read.bytes != b"first" {
        return Err(differs(key));
    }
    read.etag
        .ok_or_else(|| io::Error::new(ErrorKind::Unsupported, "the store gives its objects no ETag"))
}

/// An answer that is lost is asked for again: the test is of the store, not of the network.
fn must_refuse(bucket: &Bucket, place: &str, header: &str, write: impl Fn(&Bucket) -> Put) -> io::Result<()> {
    let mut attempts = bucket.attempts();
    loop {
        match write(bucket) {
            Put::Refused => return Ok(()),
            Put::Done { .. } => return Err(unfit(place, &format!("it ignores {header}"))),
            Put::Unsent(_) | Put::Unknown(_) if attempts.pause() => {}
            Put::Unsent(error) | Put::Unknown(error) => return Err(error),
        }
    }
}

fn must_hold(bucket: &Bucket, key: &str, bytes: &[u8]) -> io::Result<()> {
    match bucket.get(key)? {
        Some(object) if object.bytes == bytes => Ok(()),
        _ => Err(differs(key)),
    }
}

fn unfit(place: &str, why: &str) -> io::Error {
    let text = format!(
        "{place} cannot hold a log: {why}, so two writers could take the same place in the tree. Use a store with \
         conditional writes, such as Amazon S3 or Cloudflare R2, and nothing in between that removes headers"
    );
    io::Error::new(ErrorKind::Unsupported, text)
}
