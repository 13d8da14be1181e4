//! Gives a token its PIN. A token locks itself after a few wrong ones, so a PIN that it refused is not given again, however
//! often somebody asks for a signature.

use std::{collections::BTreeMap, sync::Mutex};

use cryptoki::{
    error::{Error as LibraryError, RvError},
    session::{Session, SessionState, UserType},
    slot::TokenInfo,
    types::RawAuthPin,
};

use super::{error::Pkcs11Error, module::locked};
use crate::key::passphrase::{Passphrase, PassphraseSource};

/// The PINs that tokens refused, by the tokens' serial numbers.
#[derive(Default)]
pub(super) struct Logins(Mutex<BTreeMap<String, Passphrase>>);

impl Logins {
    /// Logs the process in to the token of `session`, unless it is already: a login holds for all sessions.
    pub(super) fn login(
        &self,
        session: &Session,
        token: &TokenInfo,
        source: Option<&PassphraseSource>,
    ) -> Result<(), Pkcs11Error> {
        // Held during the login, so that no second thread tries the same wrong PIN meanwhile.
        let mut refused = locked(&self.0);
        if !token.login_required() || is_logged_in(session)? {
            return Ok(());
        }
        let pin = source.ok_or(Pkcs11Error::NoPin)?.read()?;
        let serial = token.serial_number();
        if refused
            .get(serial)
            .is_some_and(|wrong| wrong.expose() == pin.expose())
        {
            return Err(Pkcs11Error::RefusedBefore);
        }
        if token.user_pin_locked() {
            return Err(Pkcs11Error::Locked);
        }
        // Each restart would take one more of the tries that are left.
        if token.user_pin_final_try() {
            return Err(Pkcs11Error::LastTry);
        }
        let given = RawAuthPin::new(Box::new(pin.expose().to_vec()));
        match session.login_with_raw(UserType::User, &given) {
            Ok(()) | Err(LibraryError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                refused.remove(serial);
                Ok(())
            }
            Err(error) if is_about_the_pin(&error) => {
                refused.insert(serial.to_owned(), pin);
                Err(Pkcs11Error::WrongPin(error))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn is_logged_in(session: &Session) -> Result<bool, LibraryError> {
    let state = session.get_session_info()?.session_state();
    Ok(matches!(state, SessionState::RoUser | SessionState::RwUser))
}

fn is_about_the_pin(error: &LibraryError) -> bool {
    let LibraryError::Pkcs11(code, _) = error else {
        return false;
    };
    matches!(
        code,
        RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinExpired
            | RvError::PinLocked
            | RvError::PinTooWeak
    )
}
