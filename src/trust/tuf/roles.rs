//! Which keys sign for which role, how many of them, and for how long.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU64,
    ops::RangeInclusive,
};

use serde_json::Value;
use tough::schema::{self, RoleType, Root};

use super::{
    PublicKey, TufError,
    metadata::{SPECIFICATION, end},
};
use crate::clock::Timestamp;

/// A field of ours beside a role's keys, which clients pass over: for how many days its metadata is signed. It stands in
/// the root since whoever renews the timestamp has nothing else that can be relied on.
const DAYS: &str = "x-mayfly-days";

/// Between what can be renewed and what is no protection.
pub const POSSIBLE_DAYS: RangeInclusive<u32> = 1..=3650;

/// The keys of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleKeys {
    /// Each another one.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: NonZeroU64,
}

impl RoleKeys {
    fn check(&self, role: RoleType) -> Result<(), TufError> {
        let different: HashSet<_> = self.keys.iter().map(PublicKey::id).collect();
        let count = u64::try_from(different.len()).unwrap_or(u64::MAX);
        match different.len() == self.keys.len() && self.threshold.get() <= count {
            true => Ok(()),
            false => Err(TufError::Threshold(role)),
        }
    }
}

/// For how many days the metadata of each role is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// The root's.
    pub root: u32,
    /// That of the targets.
    pub targets: u32,
    /// The snapshot's.
    pub snapshot: u32,
    /// The timestamp's: the longest that a client can be kept on an old state.
    pub timestamp: u32,
}

impl Default for Periods {
    fn default() -> Self {
        Self {
            root: 365,
            targets: 365,
            snapshot: 30,
            timestamp: 7,
        }
    }
}

/// All roles of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Say who signs, and for what.
    pub root: RoleKeys,
    /// Sign for the files.
    pub targets: RoleKeys,
    /// Sign snapshot and timestamp.
    pub online: RoleKeys,
    /// For how long they sign.
    pub periods: Periods,
}

impl Roles {
    /// The root's metadata of this version (specification 4.3).
    pub(super) fn to_root(&self, version: NonZeroU64, now: Timestamp) -> Result<Root, TufError> {
        self.check_apart()?;
        let roles = [
            (RoleType::Root, &self.root, self.periods.root),
            (RoleType::Targets, &self.targets, self.periods.targets),
            (RoleType::Snapshot, &self.online, self.periods.snapshot),
            (RoleType::Timestamp, &self.online, self.periods.timestamp),
        ];
        let mut root = Root {
            spec_version: SPECIFICATION.to_owned(),
            consistent_snapshot: true,
            version,
            expires: end(now, self.periods.root, RoleType::Root)?,
            keys: HashMap::new(),
            roles: HashMap::new(),
            _extra: HashMap::new(),
        };
        for (role, members, days) in roles {
            members.check(role)?;
            if !POSSIBLE_DAYS.contains(&days) {
                return Err(TufError::Days(role));
            }
            let ids = members.keys.iter().map(|key| key.key_id().clone());
            let keys = schema::RoleKeys {
                keyids: ids.collect(),
                threshold: members.threshold,
                _extra: HashMap::from([(DAYS.to_owned(), Value::from(days))]),
            };
            root.roles.insert(role, keys);
            let keys = members.keys.iter();
            root.keys
                .extend(keys.map(|key| (key.key_id().clone(), key.key().clone())));
        }
        Ok(root)
    }

    fn check_apart(&self) -> Result<(), TufError> {
        let mut offline = self.root.keys.iter().chain(&self.targets.keys);
        match offline.any(|key| self.online.keys.contains(key)) {
            true => Err(TufError::OnlineKey),
            false => Ok(()),
        }
    }

    /// What a root says.
    pub(super) fn of(root: &Root) -> Result<Self, TufError> {
        Ok(Self {
            root: keys(root, RoleType::Root)?,
            targets: keys(root, RoleType::Targets)?,
            online: keys(root, RoleType::Timestamp)?,
            periods: Periods::of(root),
        })
    }
}

fn keys(root: &Root, role: RoleType) -> Result<RoleKeys, TufError> {
    let threshold = root.roles.get(&role).map(|role| role.threshold);
    let keys = root.keys(role).map(PublicKey::from_key);
    Ok(RoleKeys {
        keys: keys.collect::<Result<_, _>>()?,
        threshold: threshold.ok_or(TufError::Threshold(role))?,
    })
}

impl Periods {
    /// What a root says; for what it does not say, the usual.
    pub(super) fn of(root: &Root) -> Self {
        let usual = Self::default();
        let days = |role: RoleType, usual: u32| {
            let field = root.roles.get(&role).and_then(|role| role._extra.get(DAYS));
            let days = field.and_then(Value::as_u64);
            let days = days.and_then(|days| u32::try_from(days).ok());
            days.filter(|days| POSSIBLE_DAYS.contains(days)).unwrap_or(usual)
        };
        Self {
            root: days(RoleType::Root, usual.root),
            targets: days(RoleType::Targets, usual.targets),
            snapshot: days(RoleType::Snapshot, usual.snapshot),
            timestamp: days(RoleType::Timestamp, usual.timestamp),
        }
    }
}
