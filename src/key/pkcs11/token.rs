//! A key on a token: opens sessions, signs, and opens anew what was lost.

use std::sync::Arc;

use cryptoki::{
    context::Pkcs11,
    mechanism::Mechanism,
    object::ObjectHandle,
    session::Session,
    slot::{Slot, TokenInfo},
};
use der::Decode;
use spki::SubjectPublicKeyInfoRef;

use super::{
    error::Pkcs11Error,
    module::{Calling, Module},
    objects::{self, Kind},
    pool::{Lent, Pool},
    uri::{Pkcs11Uri, TokenUri},
};
use crate::key::{SignatureAlgorithm, passphrase::PassphraseSource, remote::der_signature};

/// What the key is asked to sign when it is found. No certificate, SCT or checkpoint begins like this.
const TRIAL: &[u8] = b"Mayfly asks whether this is its key";

/// DigestInfo of a SHA-256 digest, without the digest (RFC 8017 9.2, note 1).
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// The sessions of a key.
pub(super) type Sessions = Pool<Ready>;

/// A session that is logged in, and the key in it.
pub(super) struct Ready {
    session: Session,
    key: ObjectHandle,
    kind: Kind,
}

/// A key on a token.
pub(super) struct TokenKey {
    module: Arc<Module>,
    uri: Pkcs11Uri,
    pin: Option<PassphraseSource>,
    sessions: Arc<Sessions>,
}

impl TokenKey {
    /// Finds the key, and its public half: DER SubjectPublicKeyInfo, proven by a signature.
    pub(super) fn find(
        uri: Pkcs11Uri,
        pin: Option<PassphraseSource>,
    ) -> Result<(Self, Vec<u8>), Pkcs11Error> {
        let module = Module::load(uri.module.as_ref())?;
        let sessions = Arc::new(Sessions::default());
        module.register(&sessions);
        let key = Self {
            module,
            uri,
            pin,
            sessions,
        };
        let start = key.module.calling().start();
        let spki_der = match key.public_half() {
            // It may be newer than the library's start.
            Err(Pkcs11Error::NoToken { .. }) => {
                key.module.restart(start)?;
                key.public_half()?
            }
            found => found?,
        };
        Ok((key, spki_der))
    }

    fn public_half(&self) -> Result<Vec<u8>, Pkcs11Error> {
        let calling = self.module.calling();
        let (ready, token) = self.open(&calling.library)?;
        let (label, serial, model) = (token.label(), token.serial_number(), token.model());
        tracing::info!(
            token = label,
            serial,
            model,
            "a private key is on a PKCS#11 token"
        );
        if objects::is_extractable(&ready.session, ready.key)? {
            tracing::warn!(
                token = label,
                "the private key can be taken out of its token: its CKA_EXTRACTABLE is true, or CKA_SENSITIVE false"
            );
        }
        let halves = objects::public_halves(&ready.session, ready.key)?;
        self.sessions.give_back(ready);
        drop(calling);
        let mut supported = false;
        for spki_der in &halves {
            let Ok(spki) = SubjectPublicKeyInfoRef::from_der(spki_der) else {
                continue;
            };
            let Some(algorithm) = SignatureAlgorithm::of(&spki) else {
                continue;
            };
            supported = true;
            let signature = self.sign(algorithm.digest(TRIAL).as_ref())?;
            if algorithm.verifies(&spki, TRIAL, &signature) {
                return Ok(spki_der.clone());
            }
        }
        Err(match (halves.is_empty(), supported) {
            (true, _) => Pkcs11Error::NoPublicKey,
            (false, false) => Pkcs11Error::Unsupported,
            (false, true) => Pkcs11Error::OtherPublicKey,
        })
    }

    /// Signs a digest. Takes as long as the token does.
    pub(super) fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
        let calling = self.module.calling();
        match self.sign_in_session(&calling, digest) {
            Err(Opening(error)) if error.is_absence() => {
                let start = calling.start();
                drop(calling);
                // Who asks next finds the token, if it is there again.
                if let Err(failed) = self.module.restart(start) {
                    tracing::warn!(error = ?failed, "the PKCS#11 library cannot be started anew");
                }
                Err(error)
            }
            Err(Opening(error) | Signing(error)) => Err(error),
            Ok(signature) => Ok(signature),
        }
    }

    fn sign_in_session(&self, calling: &Calling<'_>, digest: &[u8]) -> Result<Vec<u8>, SignFailure> {
        let open = || self.open(&calling.library).map(|(ready, _)| ready);
        let lent = self
            .sessions
            .take(open, Pkcs11Error::is_session_count)
            .map_err(Opening)?;
        let (ready, signed) = match lent {
            Lent::New(ready) => {
                let signed = ready.sign(digest);
                (ready, signed)
            }
            Lent::Used(ready) => match ready.sign(digest) {
                Err(error) if error.is_absence() => {
                    // The token was away meanwhile, or logged out: so it was for the other sessions.
                    drop(ready);
                    self.sessions.clear();
                    let ready = open().map_err(Opening)?;
                    let signed = ready.sign(digest);
                    (ready, signed)
                }
                signed => (ready, signed),
            },
        };
        match signed {
            Ok(signature) => {
                self.sessions.give_back(ready);
                Ok(signature)
            }
            // The session is dropped: nobody knows what state it is in.
            Err(error) => Err(Signing(error)),
        }
    }

    fn open(&self, library: &Pkcs11) -> Result<(Ready, TokenInfo), Pkcs11Error> {
        let (slot, token) = find_token(library, &self.uri.token)?;
        let session = library.open_ro_session(slot)?;
        self.module.logins.login(&session, &token, self.pin.as_ref())?;
        let key = objects::private_key(&session, &self.uri)?;
        let kind = objects::kind(&session, key)?;
        Ok((Ready { session, key, kind }, token))
    }
}

impl Drop for TokenKey {
    fn drop(&mut self) {
        // Closing sessions is a call as well.
        let _calling = self.module.calling();
        self.sessions.clear();
    }
}

/// Where it failed.
enum SignFailure {
    /// There is no session.
    Opening(Pkcs11Error),
    /// The session did not sign.
    Signing(Pkcs11Error),
}
use SignFailure::{Opening, Signing};

impl Ready {
    fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
        match self.kind {
            Kind::Ecdsa => {
                let raw = self.session.sign(&Mechanism::Ecdsa, self.key, digest)?;
                der_signature(&raw).ok_or(Pkcs11Error::Garbled)
            }
            Kind::Rsa => {
                let info = [&SHA256_DIGEST_INFO, digest].concat();
                Ok(self.session.sign(&Mechanism::RsaPkcs, self.key, &info)?)
            }
        }
    }
}

/// The one token that `uri` names.
fn find_token(library: &Pkcs11, uri: &TokenUri) -> Result<(Slot, TokenInfo), Pkcs11Error> {
    let mut found = Vec::new();
    let mut all = Vec::new();
    for slot in library.get_slots_with_token()? {
        // One reader that fails does not hide the others.
        let Ok(token) = library.get_token_info(slot) else {
            continue;
        };
        if !token.token_initialized() {
            continue;
        }
        all.push(format!(
            "{:?} with serial {}",
            token.label(),
            token.serial_number()
        ));
        if uri.fits(slot, &token) {
            found.push((slot, token));
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => Err(Pkcs11Error::ManyTokens { found: all }),
        (None, _) => Err(Pkcs11Error::NoToken { found: all }),
    }
}

impl TokenUri {
    fn fits(&self, slot: Slot, token: &TokenInfo) -> bool {
        let is = |wanted: &Option<String>, given: &str| wanted.as_ref().is_none_or(|wanted| wanted == given);
        is(&self.label, token.label())
            && is(&self.serial, token.serial_number())
            && is(&self.manufacturer, token.manufacturer_id())
            && is(&self.model, token.model())
            && self.slot_id.is_none_or(|id| id == slot.id())
    }
}
