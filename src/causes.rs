//! Errors with what caused them, for lines that people read.

pub use ct_log::tls::in_one_line;
