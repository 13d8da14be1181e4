//! A draft for an identity whose holder proved no key.

use mayfly::{
    clock::Timestamp,
    identity::Identity,
    profile::{Draft, Profile, ProfileError},
};

pub fn unproved(profile: Profile, identity: Identity, now: Timestamp) -> Result<Draft, ProfileError> {
    profile.draft(identity, now)
}
