//! Where a key's service is, if a URI names its host.

use url::Url;

use crate::loopback::is_loopback;

/// The `https` URL of `authority`, a host and perhaps a port. Nothing for other text, such as one with a user or a path.
#[must_use]
pub fn https_url_of(authority: &str) -> Option<Url> {
    let has_more = authority.contains(['/', '\\', '@', '?', '#']) || authority.trim() != authority;
    let url = Url::parse(&format!("https://{authority}/")).ok()?;
    (!has_more && url.path() == "/").then_some(url)
}

/// The same, but `http` if it is this machine itself.
#[must_use]
pub fn url_of(authority: &str) -> Option<Url> {
    let url = https_url_of(authority)?;
    match is_loopback(&url.host()?) {
        true => Url::parse(&format!("http://{authority}/")).ok(),
        false => Some(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for (authority, url) in [
            ("kms.example.com", "https://kms.example.com/"),
            ("kms.example.com:8443", "https://kms.example.com:8443/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("localhost:443", "http://localhost:443/"),
            ("[::1]:80", "http://[::1]/"),
            ("localhost.example.com", "https://localhost.example.com/"),
        ] {
            assert_eq!(url_of(authority).map(String::from).as_deref(), Some(url));
        }
        for authority in [
            "",
            "user@host",
            "host/path",
            "host?query",
            "host#",
            "ho st",
            " host",
            "host:port",
        ] {
            assert_eq!(url_of(authority), None, "{authority}");
        }
    }
}
