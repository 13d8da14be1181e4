//! Where an authorization code may be sent: to this machine, or to the eyes of the person in front of it.

use url::Url;

use crate::loopback::is_loopback;

/// The out-of-band pseudo URI: the code is shown for copying into the terminal.
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// A redirect URI that the public client may use. Ports are free because clients listen on whatever port the
/// system gives them (RFC 8252 section 7.3).
#[derive(Clone, Debug)]
pub(super) enum RedirectUri {
    /// `http` on a loopback host, any port, any path.
    Loopback(Url),
    /// Show the code.
    OutOfBand,
}

impl RedirectUri {
    /// `None` for every other URI; that must be answered with a page, never with a redirect to it
    /// (RFC 6749 section 4.1.2.1).
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == OUT_OF_BAND {
            return Some(Self::OutOfBand);
        }
        let url = Url::parse(text).ok()?;
        let plain = url.scheme() == "http"
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        (plain && is_loopback(&url.host()?)).then_some(Self::Loopback(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_only() {
        for good in [
            "http://localhost",
            "http://localhost:1234",
            "http://localhost:1234/auth/callback?x=y",
            "http://127.0.0.1:8080/",
            "http://[::1]:8080/cb",
        ] {
            assert!(
                matches!(RedirectUri::parse(good), Some(RedirectUri::Loopback(_))),
                "{good}"
            );
        }
        for bad in [
            "",
            "/auth/callback",
            "https://localhost/",
            "http://localhost.evil/",
            "http://localhost./",
            "http://evil/",
            "http://evil@localhost/",
            "http://localhost:pw@localhost/",
            "http://localhost@evil/",
            "http://localhost/#fragment",
            "http://10.0.0.1/",
            "http://[::2]/",
            "javascript:alert(1)",
            "urn:ietf:wg:oauth:2.0:oob:auto",
        ] {
            assert!(RedirectUri::parse(bad).is_none(), "{bad}");
        }
        assert!(matches!(
            RedirectUri::parse(OUT_OF_BAND),
            Some(RedirectUri::OutOfBand)
        ));
    }
}
