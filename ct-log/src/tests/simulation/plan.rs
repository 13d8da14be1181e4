//! What a seed decides before its run: the place of the log, and which faults there are, how often.

use std::time::Duration;

use crate::threads::schedule::random;

/// Where the log of a run is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Directory,
    Database,
    Bucket,
    /// Entries in a database, files in a bucket.
    Both,
}

pub(super) const PLACES: [Place; 4] = [Place::Directory, Place::Database, Place::Bucket, Place::Both];

/// Every run has some of the faults only: one that has all of them often finds least.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) place: Place,
    pub(super) writers: usize,
    pub(super) clients: usize,
    /// Entries that are logged at the beginning, so that the run comes to the end of a tile.
    pub(super) bulk: u64,
    /// How long there are faults.
    pub(super) duration: Duration,
    /// Longest pause between two submissions of a client.
    pub(super) pause: Duration,
    /// Of 1,000 calls of the storage, how many fail, each in a way of its own.
    pub(super) failing: u64,
    /// Of 1,000 calls, how many take long.
    pub(super) slow: u64,
    /// How many of each happen, at moments that are drawn.
    pub(super) events: Vec<Event>,
}

/// What happens to the log from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A process is killed.
    Kill,
    /// A process stands still for a while.
    Pause,
    /// A process ends in order, and starts again.
    Restart,
    /// A clock is set.
    Clock,
    /// The machine of a directory, or the server of a database, loses power.
    PowerCut,
    /// The storage is away for a while.
    Away,
    /// There is no space for a while.
    Full,
    /// The server of a database is told to commit without syncing, for a while.
    Asynchronous,
    /// The database is put back to an earlier state: what it acknowledged since is lost.
    Restored,
    /// An older copy of the directory is started.
    OlderCopy,
}

const EVERYWHERE: [Event; 6] = [
    Event::Kill,
    Event::Kill,
    Event::Pause,
    Event::Restart,
    Event::Clock,
    Event::Clock,
];

impl Plan {
    pub(super) fn draw(place: Place) -> Plan {
        let mut possible = EVERYWHERE.to_vec();
        match place {
            Place::Directory => {
                possible.extend([Event::PowerCut, Event::PowerCut, Event::Full, Event::OlderCopy]);
            }
            Place::Database | Place::Both => {
                possible.extend([
                    Event::PowerCut,
                    Event::Away,
                    Event::Asynchronous,
                    Event::Asynchronous,
                ]);
                if place == Place::Database && random(4) == 0 {
                    possible.extend([Event::Restored]);
                }
            }
            Place::Bucket => possible.extend([Event::Away, Event::Away]),
        }
        let kinds = 1 + random(3);
        let chosen: Vec<_> = (0..kinds).map(|_| one_of(&possible)).collect();
        let events = (0..random(6)).map(|_| one_of(&chosen)).collect();
        Plan {
            place,
            writers: match place {
                Place::Directory => 1,
                Place::Database | Place::Bucket | Place::Both => 1 + random(3) as usize,
            },
            clients: 1 + random(3) as usize,
            bulk: match random(4) {
                0 => 240 + random(30),
                _ => 0,
            },
            duration: Duration::from_millis(2_000 + random(25_000)),
            pause: Duration::from_millis([200, 1_500, 6_000][random(3) as usize]),
            failing: [0, 5, 20, 60][random(4) as usize],
            slow: [0, 5, 30][random(3) as usize],
            events,
        }
    }
}

pub(super) fn one_of<T: Copy>(choices: &[T]) -> T {
    choices[random(choices.len() as u64) as usize]
}

/// True that many times of 1,000.
pub(super) fn by_chance(of_thousand: u64) -> bool {
    of_thousand > 0 && random(1_000) < of_thousand
}

pub(super) fn up_to(longest: Duration) -> Duration {
    Duration::from_micros(random(longest.as_micros() as u64 + 1))
}
