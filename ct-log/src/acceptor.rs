//! Accepting the connections of clients.

mod address;

pub use address::{ClientAddress, ClientNetwork};
