//! The acceptor, from the inside and over sockets.

mod clients;
mod shares;
mod sockets;
