//! Mayfly: a keyless code-signing certificate authority.
//!
//! In the order of a request:
//!
//! | step | module |
//! |---|---|
//! | a request arrives, in any of Fulcio's dialects | [`server`] |
//! | **the path, as one function** | [`issue`] |
//! | token -> verified token | [`token`], by the [`trusted_issuer`]s |
//! | verified token -> identity, by rules that are data | [`identity`], values for [`extension`]s |
//! | identity -> admitted: the operator's conditions and limits | [`admission`] |
//! | admitted + proof of key possession -> applicant | [`proof`] |
//! | applicant -> draft: all certificate policy | [`profile`] |
//! | draft -> precertificate; logged -> certificate | [`issuer`], the only holder of the CA key |
//! | precertificate -> logged | [`log`], over the crate `ct_log` |
//! | every signature on record | [`audit`] |
//! | digest -> digest with the time, signed: a request of its own | [`timestamp`] |
//!
//! Round it: [`config`] (files to checked settings), [`deployment`] (settings to an authority), [`key`] (where private keys are),
//! [`clock`], [`telemetry`], [`staging`] (folders that appear whole), [`explain`] (what a token would get), [`trust`] (the files that clients need), [`dev`] (the development identity
//! provider).
//!
//! # Threat model in ten lines
//!
//! Hostile: every byte of a request; tokens of strangers; the network to identity providers, and what an
//! identity provider that is trusted for its own names says of others'; power loss at any instant.
//! Trusted: the operator, the configuration, the host. What must hold whatever the hostile do:
//! no certificate without a verified token and a proof of possession, nor for another identity than the
//! token's; none that is not durably in the log at the index that its SCT names; none beyond the issuer's
//! life or outside the one profile; no connection to a host that no configured issuer names; no panic, hang
//! or unbounded memory; no secret in any output. The long form is `.github/SECURITY.md`.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

/// The commit that this was built from: a hash, or `unknown`.
pub const COMMIT: &str = env!("MAYFLY_BUILD_COMMIT");

/// The version with its commit, as `--version` says it.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("MAYFLY_BUILD_COMMIT"), ")");

pub mod admission;
pub mod audit;
mod breaker;
pub mod causes;
pub mod clock;
pub mod config;
pub mod deployment;
pub mod dev;
mod durability;
pub mod explain;
pub mod extension;
pub mod identity;
pub mod issue;
pub mod issuer;
pub mod key;
pub mod log;
mod loopback;
pub mod pem_block;
pub mod profile;
pub mod proof;
mod response;
pub mod server;
pub mod staging;
pub mod telemetry;
pub mod timestamp;
pub mod token;
pub mod trust;
pub mod trusted_issuer;
