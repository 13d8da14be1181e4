//! Keys on PKCS#11 tokens, with SoftHSM 2. Run with `--ignored` where `softhsm2-util`, `pkcs11-tool` and `cc` are;
//! `tests/interop/run cargo_ignored` does.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod away;
mod faults;
mod finding;
mod pins;
mod signing;
mod token;
