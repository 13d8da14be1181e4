//! `mayfly.yaml` and the issuer file that it names: commented, and good for a start as they are.

use std::{borrow::Cow, path::Path};

use mayfly::{
    config::{ConfigErrors, issuers},
    key::{KeySettings, passphrase::PassphraseSource},
    token::{FetchPolicy, LoopbackHttp},
};
use url::Url;

use super::{
    arguments::InitArguments,
    host::Host,
    plan::{Plan, ServerKey},
};
use crate::cli::failure::Failure;

const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// The issuer file for GitHub, as it is published: for `acme`, to be changed.
const GITHUB_FILE: &str = include_str!("../../../config/github.yaml");

/// Whose tokens count at first.
#[derive(Clone, Debug)]
pub(super) enum Issuers {
    Email {
        url: Url,
        client_id: String,
        /// Its host, if it is on a private network.
        private: Option<String>,
    },
    GitHub {
        organization: Option<String>,
        client_id: String,
    },
}

impl Issuers {
    pub(super) fn of(arguments: &InitArguments, host: &Host) -> Result<Self, Failure> {
        let client_id = arguments.client_id.clone().unwrap_or_else(|| host.to_string());
        let Some(url) = &arguments.issuer else {
            let organization = arguments.github_organization.clone();
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if organization
                .as_deref()
                .is_some_and(|name| name.is_empty() || !name.chars().all(allowed))
            {
                return Err(Failure::configuration(
                    "--github-organization is not the name of one",
                ));
            }
            return Ok(Self::GitHub {
                organization,
                client_id,
            });
        };
        let url = Url::parse(url).ok().filter(Url::has_host);
        let url = url
            .ok_or_else(|| Failure::configuration("--issuer is not a URL such as https://idp.example.com"))?;
        let private = url
            .host_str()
            .map(str::to_owned)
            .filter(|_| arguments.private_issuer);
        Ok(Self::Email {
            url,
            client_id,
            private,
        })
    }

    /// The `iss` of its tokens.
    pub(super) fn url(&self) -> &str {
        match self {
            // A URL without a path is written back with one.
            Self::Email { url, .. } if url.path() == "/" => url.as_str().trim_end_matches('/'),
            Self::Email { url, .. } => url.as_str(),
            Self::GitHub { .. } => GITHUB,
        }
    }

    pub(super) fn file(&self) -> String {
        match self {
            Self::Email { client_id, .. } => email_file(self.url(), client_id),
            Self::GitHub {
                organization,
                client_id,
            } => github_file(organization.as_deref(), client_id),
        }
    }

    /// Whether the file that is to be at `path` can be used.
    pub(super) fn check(&self, path: &Path) -> Result<(), ConfigErrors> {
        let private = match self {
            Self::Email { private, .. } => private.clone(),
            Self::GitHub { .. } => None,
        };
        let policy = FetchPolicy::new(LoopbackHttp::Refused).with_private_hosts(private);
        issuers::parse(path, &self.file(), &policy).map(|_| ())
    }
}

fn email_file(url: &str, client_id: &str) -> String {
    let (url, client_id) = (scalar(url), scalar(client_id));
    format!(
        "\
# Who is trusted to say who somebody is: made by `mayfly init`. docs/issuers.md is the reference, config/ of the source has
# files to start from for other identity providers. `mayfly config check` says what is wrong with it.

oidc-issuers:
  {url}: # the `iss` of its tokens, letter for letter
    issuer-url: {url}
    client-id: {client_id} # the `aud` of its tokens
    type: email # the certificate names the address in `email`, which the issuer must have verified
    # Who of its users may sign. Without this line: all of them.
    # allow: claims.email.endsWith(\"@example.com\")
"
    )
}

/// Without an organisation nobody is let in: no name on GitHub has a space in it.
fn github_file(organization: Option<&str>, client_id: &str) -> String {
    let condition = match organization {
        Some(organization) => format!(
            "our-organisation: claims.repository_owner == \"{organization}\" # && claims.repository_owner_id == \"123456\""
        ),
        None => "our-organisation: claims.repository_owner == \"PUT YOURS HERE\" # && claims.repository_owner_id == \
                 \"123456\""
            .to_owned(),
    };
    GITHUB_FILE
        .replace(
            "our-organisation: claims.repository_owner == \"acme\" && claims.repository_owner_id == \"123456\"",
            &condition,
        )
        .replace("gh api orgs/acme", &format!("gh api orgs/{}", organization.unwrap_or("NAME")))
        .replace("client-id: mayfly.example.com", &format!("client-id: {}", scalar(client_id)))
        .replace("audience=mayfly.example.com", &format!("audience={client_id}"))
}

/// A section for later.
const TUF: &str = "\
# The TUF repository by which clients keep what they trust current, once `mayfly trust tuf init` has made it (docs/tuf.md).
# tuf:
#   directory: tuf
#   key: tuf-online.pem
";

/// `mayfly.yaml`.
pub(super) fn settings(plan: &Plan) -> String {
    let Plan { host, listen, .. } = plan;
    let ca = key(&plan.ca, "ca-key.pem");
    let log = key(&plan.log, "log-key.pem");
    let timestamp = timestamp(plan);
    let private = match &plan.issuers {
        Issuers::Email {
            private: Some(host), ..
        } => format!("private-identity-providers:\n  - {}\n", scalar(host)),
        Issuers::Email { .. } | Issuers::GitHub { .. } => {
            "# private-identity-providers:\n#   - dex.corp.example\n".to_owned()
        }
    };
    format!(
        "\
# What `mayfly serve --config mayfly.yaml` runs with: made by `mayfly init`. Paths count from the folder of this file.
# No secret stands here. config/mayfly.yaml of the source has all that can stand here; docs/operating.md explains it.

# Where clients reach the API: what the files at /trust/ and of `mayfly trust export` say.
url: {url}

# Where the API is served: gRPC and HTTP on one port. Clients reach it by a proxy that speaks TLS before it, or by itself, with
# `tls` below and the address 0.0.0.0:443.
listen: {listen}

# Where Prometheus metrics are served, or `off`.
metrics-listen: 127.0.0.1:2112

# The server's own certificate, without a proxy. It has nothing to do with `ca`.
# tls:
#   certificate: tls.pem # the server's certificate first, then the ones above it
#   key: tls-key.pem

# The certificate authority: the intermediate. The root's key is not needed here, and must not be here.
ca:
  chain: ca.pem # the certificate that signs, then the ones above it, the root last
{ca}
# The certificate transparency log, without which nothing is issued.
log:
  directory: log # back it up, and never roll it back
  origin: {origin} # the log's name for ever
  # How far the log was: with an older copy of the directory it does not start. Best on another device, and out of its backup.
  high-water: log.mark
{log}
# The timestamp authority: signatures with its timestamps outlive their certificates (docs/timestamps.md).
{timestamp}
{TUF}
# Who is trusted to say who somebody is.
issuers: issuers.yaml

# Hosts of identity providers on your own network. Those with private addresses are not contacted unless named here.
{private}
# One line of JSON per signature, written before the certificate leaves.
audit: audit.jsonl
",
        url = scalar(&host.url()),
        origin = scalar(&host.log_origin()),
    )
}

/// The section `timestamp`, as a comment if there is no authority.
fn timestamp(plan: &Plan) -> String {
    match &plan.timestamps {
        Some(timestamps) => {
            let key = key(&timestamps.key, "timestamp-key.pem");
            format!(
                "timestamp:\n  chain: timestamp.pem # its certificate, then the root\n{key}  # ntp: [127.0.0.1] # time \
                 servers that must confirm this machine's clock\n"
            )
        }
        None => "# timestamp:\n#   chain: timestamp.pem\n#   key: timestamp-key.pem\n".to_owned(),
    }
}

/// The lines `key` and `passphrase` of a section.
fn key(key: &ServerKey, file: &str) -> String {
    let settings = settings_of(key, file);
    let mut lines = format!("  key: {}\n", scalar(&settings.reference.to_string()));
    if let Some(passphrase) = settings.passphrase {
        let passphrase = scalar(&passphrase.to_string()).into_owned();
        lines.push_str(&format!(
            "  passphrase: {passphrase} # what unlocks it: file:PATH, env:NAME or credential:NAME (of systemd)\n"
        ));
    }
    lines
}

/// The key as `mayfly serve` finds it: a new one in `file`.
pub(super) fn settings_of(key: &ServerKey, file: &str) -> KeySettings {
    match key {
        ServerKey::Existing(settings) => settings.clone(),
        ServerKey::New(secret) => KeySettings {
            passphrase: secret
                .as_ref()
                .map(|secret| -> PassphraseSource { secret.source.clone() }),
            ..KeySettings::plain_file(file.into())
        },
    }
}

/// Text as a YAML scalar. JSON's strings are YAML's, too.
fn scalar(text: &str) -> Cow<'_, str> {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || "./".contains(c));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=;?~+".contains(c);
    let word =
        ["true", "false", "yes", "no", "null", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    match first && !word && !text.ends_with(':') && text.chars().all(plain) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(serde_json::Value::from(text).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars() {
        for text in [
            "ca.pem",
            "/etc/mayfly/ca.pem",
            "env:MAYFLY_CA",
            "pkcs11:token=ca;object=x?module-path=/usr/lib/x.so",
        ] {
            assert_eq!(scalar(text), text);
        }
        for (text, quoted) in [
            ("a b", "\"a b\""),
            ("no", "\"no\""),
            ("#x", "\"#x\""),
            ("1", "\"1\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(text), quoted);
        }
    }

    #[test]
    fn an_issuer_file_lets_in_whom_it_says() {
        let check = |issuers: &Issuers| issuers.check(Path::new("issuers.yaml")).unwrap();
        for (organization, said) in [
            (Some("octo-org"), "== \"octo-org\""),
            (None, "== \"PUT YOURS HERE\""),
        ] {
            let issuers = Issuers::GitHub {
                organization: organization.map(str::to_owned),
                client_id: "ca.example.com".to_owned(),
            };
            check(&issuers);
            let file = issuers.file();
            assert!(
                file.contains(said) && file.contains("client-id: ca.example.com\n"),
                "{file}"
            );
            assert!(
                !file.contains("owner == \"acme\"") && !file.contains("mayfly.example.com"),
                "{file}"
            );
        }
        check(&Issuers::Email {
            url: Url::parse("https://idp.example.com").unwrap(),
            client_id: "a: b".to_owned(),
            private: None,
        });
    }
}
