//! What a log may date its entries and checkpoints (C4): both take their times from here, under one lock with the durable head.
//!
//! * An entry is never dated before the newest checkpoint, of this writer or of another as far as it is known. Otherwise that
//!   checkpoint, which does not hold the entry, would show that the entry was left out for so long.
//! * A checkpoint is never dated before the last entry that it holds, nor after one that it does not hold: not after the batch that
//!   is on its way, and not after the moment at which this writer last saw that there is no more.

use crate::leaf::UnixMillis;
use crate::storage::CLOCK_TOLERANCE_MS;

/// The times that were given out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dates {
    /// Of the newest checkpoint that is published, or may be.
    checkpoint: UnixMillis,
    /// The same, without the checkpoint that was dated last.
    before: UnixMillis,
    /// Another writer's entry was dated before the checkpoint that was dated last, or may have been.
    overtaken: bool,
    /// Of the batch that is on its way, or of which nobody knows whether it still is.
    under_way: Option<UnixMillis>,
    others: Others,
}

/// Whether anybody else appends to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    None,
    /// At that time this writer had all that there was.
    FollowedUntil(UnixMillis),
}

/// The clock is behind what was given out, by more than is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockBehind;

impl Dates {
    /// Of a log whose newest checkpoint has that time.
    pub(crate) fn new(checkpoint: UnixMillis, others: Others) -> Dates {
        Dates {
            checkpoint,
            before: checkpoint,
            overtaken: false,
            under_way: None,
            others,
        }
    }

    /// Dates a batch that follows an entry of the time `last`. It is on its way from now on.
    pub(crate) fn batch(&mut self, last: UnixMillis, now: UnixMillis) -> Result<UnixMillis, ClockBehind> {
        self.check_clock(last, now)?;
        let date = now.max(self.newest(last));
        self.under_way = Some(date);
        Ok(date)
    }

    /// Dates a checkpoint whose last entry has the time `last`. Nothing if every time is too early for the checkpoints before
    /// it, or too late for the batch that is on its way.
    pub(crate) fn checkpoint(&mut self, last: UnixMillis, now: UnixMillis) -> Option<UnixMillis> {
        let next = UnixMillis::new(self.checkpoint.get().saturating_add(1));
        let earliest = last.max(next);
        let mut latest = self.under_way.map_or(now, |date| date.min(now));
        if let Others::FollowedUntil(time) = self.others {
            latest = latest.min(time);
        }
        // Nobody dates an entry before the last one, however many append meanwhile.
        if std::mem::take(&mut self.overtaken) && last >= next {
            latest = latest.min(last);
        }
        let date = match latest < earliest {
            false => latest,
            // The clock is behind, or nothing is new. A batch on its way is not older than the last entry.
            true if self.under_way.is_none_or(|date| date >= earliest) => earliest,
            true => return None,
        };
        (self.before, self.checkpoint) = (self.checkpoint, date);
        Some(date)
    }

    /// The checkpoint that was dated last is not published, and never will be: another writer appended an entry that is dated before
    /// it, or may be, and that it does not hold.
    pub(crate) fn overtaken(&mut self) {
        (self.checkpoint, self.overtaken) = (self.before, true);
    }

    /// Another writer published a checkpoint of that time.
    pub(crate) fn saw_checkpoint(&mut self, time: UnixMillis) {
        self.checkpoint = self.checkpoint.max(time);
        self.before = self.before.max(time);
    }

    /// The batch is durable: until it was dated, nobody else had appended anything.
    pub(crate) fn committed(&mut self) {
        let date = self.under_way.take();
        if let (Others::FollowedUntil(time), Some(date)) = (&mut self.others, date) {
            *time = date.max(*time);
        }
    }

    /// Nothing is on its way.
    pub(crate) fn settle(&mut self) {
        self.under_way = None;
    }

    /// This writer had all that there was at that time.
    pub(crate) fn followed(&mut self, until: UnixMillis) {
        if let Others::FollowedUntil(time) = &mut self.others {
            *time = until;
        }
    }

    /// Refuses a clock that is too far behind the newest time that was given out.
    pub(crate) fn check_clock(&self, last: UnixMillis, now: UnixMillis) -> Result<(), ClockBehind> {
        let behind = self.newest(last).get().saturating_sub(now.get());
        if behind > CLOCK_TOLERANCE_MS {
            return Err(ClockBehind);
        }
        Ok(())
    }

    fn newest(&self, last: UnixMillis) -> UnixMillis {
        self.checkpoint.max(last)
    }
}
