//! Bad input: every kind over JSON v2, legacy v1 and gRPC, each refused with its status, code and reason. A refusal
//! comes without a certificate, leaves nothing in the log or the audit record, tells no secret to anybody (answers,
//! log lines of all levels, metrics), opens no connection, and the next good request is granted.
//!
//! Slow heads and slow bodies are in `limits.rs`, with limits made short.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "bad_input/accepted.rs"]
mod accepted;
#[path = "bad_input/ask.rs"]
mod ask;
#[path = "bad_input/body.rs"]
mod body;
#[path = "bad_input/claims.rs"]
mod claims;
#[path = "bad_input/envelope.rs"]
mod envelope;
#[path = "support/fake_issuer.rs"]
mod fake_issuer;
#[path = "bad_input/fixture.rs"]
mod fixture;
#[path = "bad_input/frame.rs"]
mod frame;
#[path = "support/instance.rs"]
mod instance;
#[path = "bad_input/key.rs"]
mod key;
#[path = "bad_input/leaf.rs"]
mod leaf;
#[path = "bad_input/log_output.rs"]
mod log_output;
#[path = "bad_input/provider.rs"]
mod provider;
mod running;
