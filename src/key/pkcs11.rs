//! Keys on PKCS#11 tokens: hardware security modules, smart cards, SoftHSM.
//!
//! | module | what it does |
//! |---|---|
//! | [`uri`] | reads the name of a key, in every build |
//! | `module` | loads the libraries that speak to tokens, each once in a process |
//! | `login` | gives a token its PIN, and never a wrong one twice |
//! | `objects` | finds the private key and its public half |
//! | `pool` | lends sessions |
//! | `token` | signs, and opens anew what was lost |
//! | `signer` | the blocking calls, on threads of their own |

#[cfg(feature = "pkcs11")]
mod error;
#[cfg(feature = "pkcs11")]
mod login;
#[cfg(feature = "pkcs11")]
mod module;
#[cfg(feature = "pkcs11")]
mod objects;
#[cfg(feature = "pkcs11")]
mod pool;
#[cfg(feature = "pkcs11")]
mod signer;
#[cfg(feature = "pkcs11")]
mod token;
pub(super) mod uri;

#[cfg(feature = "pkcs11")]
pub(super) use signer::find;
