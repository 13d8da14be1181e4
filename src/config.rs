//! Configuration files: strict, every problem at once, each with its line and a way out.
//!
//! [`Settings`] is the checked form of `mayfly.yaml`, [`issuers`] reads the issuer file that it names. No file holds
//! a secret: keys are named by path.

mod fields;
pub mod issuers;
mod path;
mod problem;
mod settings;
mod yaml;

pub use problem::{ConfigErrors, Problem};
pub use settings::{AlsoTrusted, CaFiles, Settings, TimestampFiles, TufFiles, issuer_file_of};
