//! The development identity provider over HTTP, as clients and browsers use it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "identity_provider/authorization_code.rs"]
mod authorization_code;
#[path = "identity_provider/browser.rs"]
mod browser;
#[path = "identity_provider/device.rs"]
mod device;
#[path = "identity_provider/harness.rs"]
mod harness;
#[path = "identity_provider/minted.rs"]
mod minted;
