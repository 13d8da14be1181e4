//! How a key is named: a path, or a URI as sigstore's tools write them.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::pkcs11::uri::Pkcs11Uri;

/// The place of a private key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyReference {
    /// A PKCS#8 PEM file: a path, or `file:` and a path.
    File(PathBuf),
    /// An object on a PKCS#11 token: a `pkcs11:` URI (RFC 7512), as written.
    Pkcs11(String),
    /// `awskms://[ENDPOINT]/KEY`, where KEY is a key's id or ARN, or `alias/NAME`.
    AwsKms(AwsKmsKey),
    /// `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V`: what follows the slashes.
    GcpKms(String),
    /// `azurekms://VAULT.vault.azure.net/KEY[/VERSION]`.
    AzureKms(AzureKmsKey),
    /// `hashivault://KEY[/VERSION]`: a key of the Transit engine.
    HashiVault(HashiVaultKey),
}

/// A key in AWS KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKmsKey {
    /// Host and port of the endpoint, if it is not the region's own; `http` is spoken to loopback only.
    pub endpoint: Option<String>,
    /// Key id, key ARN, `alias/NAME` or alias ARN.
    pub key_id: String,
}

/// A key in Azure Key Vault or Managed HSM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureKmsKey {
    /// Host, and port if there is one.
    pub vault: String,
    /// The key's name.
    pub name: String,
    /// Its version; the newest at the start if it is not given.
    pub version: Option<String>,
}

/// A key in the Transit engine of Vault or OpenBao.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashiVaultKey {
    /// The key's name.
    pub name: String,
    /// Its version; the newest at the start if it is not given.
    pub version: Option<u32>,
}

/// Not the name of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing.
    #[error("names no key")]
    Empty,
    /// A scheme that is none of ours.
    #[error(
        "`{0}` is not a kind of key: write a path, or pkcs11:, awskms://, gcpkms://, azurekms:// or hashivault:// as \
         docs/keys.md explains"
    )]
    Scheme(String),
    /// What follows the scheme is not as it must be.
    #[error("must be written as {0}")]
    Form(&'static str),
    /// A PIN in the URI.
    #[error(
        "has a PIN in it, which would be read by whoever reads this file: name its place as `passphrase` instead"
    )]
    PinValue,
}

const AWS_FORM: &str =
    "awskms:///KEY, where KEY is a key's id or ARN or alias/NAME, or awskms://ENDPOINT/KEY";
const GCP_FORM: &str =
    "gcpkms://projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY/cryptoKeyVersions/VERSION";
const AZURE_FORM: &str =
    "azurekms://VAULT.vault.azure.net/KEY or azurekms://VAULT.vault.azure.net/KEY/VERSION";
const VAULT_FORM: &str = "hashivault://KEY or hashivault://KEY/VERSION";

impl KeyReference {
    /// The same, with a relative path counted from `folder`.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            other => other,
        }
    }

    /// The path, if the key is in a file.
    #[must_use]
    pub fn as_file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }

    /// Whether the name says where the PIN comes from (`pin-source`), so that nothing else should.
    #[must_use]
    pub fn names_its_pin(&self) -> bool {
        match self {
            Self::Pkcs11(uri) => uri.parse().is_ok_and(|uri: Pkcs11Uri| uri.pin_file.is_some()),
            _ => false,
        }
    }
}

impl FromStr for KeyReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        // A colon after a slash is a path's.
        match text.split_once(':') {
            _ if text.is_empty() => Err(ReferenceError::Empty),
            None => Ok(Self::File(text.into())),
            Some((scheme, _)) if scheme.contains('/') => Ok(Self::File(text.into())),
            Some(("file", "")) => Err(ReferenceError::Empty),
            Some(("file", path)) => Ok(Self::File(path.strip_prefix("//").unwrap_or(path).into())),
            Some(("pkcs11", attributes)) if attributes.contains("pin-value") => Err(ReferenceError::PinValue),
            Some(("pkcs11", _)) => match text.parse::<Pkcs11Uri>() {
                Ok(_) => Ok(Self::Pkcs11(text.to_owned())),
                Err(form) => Err(ReferenceError::Form(form)),
            },
            Some(("awskms", rest)) => aws_kms(rest).ok_or(ReferenceError::Form(AWS_FORM)),
            Some(("gcpkms", rest)) => gcp_kms(rest).ok_or(ReferenceError::Form(GCP_FORM)),
            Some(("azurekms", rest)) => azure_kms(rest).ok_or(ReferenceError::Form(AZURE_FORM)),
            Some(("hashivault", rest)) => hashi_vault(rest).ok_or(ReferenceError::Form(VAULT_FORM)),
            Some((scheme, _)) => Err(ReferenceError::Scheme(scheme.to_owned())),
        }
    }
}

fn aws_kms(rest: &str) -> Option<KeyReference> {
    let (endpoint, key_id) = rest.strip_prefix("//")?.split_once('/')?;
    let endpoint = (!endpoint.is_empty()).then(|| endpoint.to_owned());
    let is_word = |word: &str| {
        word.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_/:".contains(c))
    };
    (!key_id.is_empty() && is_word(key_id)).then(|| {
        KeyReference::AwsKms(AwsKmsKey {
            endpoint,
            key_id: key_id.to_owned(),
        })
    })
}

fn gcp_kms(rest: &str) -> Option<KeyReference> {
    let resource = rest.strip_prefix("//")?;
    let parts: Vec<&str> = resource.split('/').collect();
    let names = match parts.as_slice() {
        [
            "projects",
            project,
            "locations",
            location,
            "keyRings",
            ring,
            "cryptoKeys",
            key,
            "cryptoKeyVersions",
            version,
        ] => [project, location, ring, key, version],
        _ => return None,
    };
    let is_name =
        |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && !"?#%".contains(c));
    names
        .iter()
        .all(|name| is_name(name))
        .then(|| KeyReference::GcpKms(resource.to_owned()))
}

fn azure_kms(rest: &str) -> Option<KeyReference> {
    let (vault, key) = rest.strip_prefix("//")?.split_once('/')?;
    let (name, version) = match key.split_once('/') {
        Some((name, version)) => (name, Some(version)),
        None => (key, None),
    };
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    (!vault.is_empty() && is_name(name) && version.is_none_or(is_name)).then(|| {
        KeyReference::AzureKms(AzureKmsKey {
            vault: vault.to_owned(),
            name: name.to_owned(),
            version: version.map(str::to_owned),
        })
    })
}

fn hashi_vault(rest: &str) -> Option<KeyReference> {
    let key = rest.strip_prefix("//")?;
    let (name, version) = match key.split_once('/') {
        Some((name, version)) => (name, Some(version.parse().ok().filter(|version| *version > 0)?)),
        None => (key, None),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (!name.is_empty() && name.chars().all(allowed)).then(|| {
        KeyReference::HashiVault(HashiVaultKey {
            name: name.to_owned(),
            version,
        })
    })
}

/// Without a scheme for files, otherwise the URI.
impl fmt::Display for KeyReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Pkcs11(uri) => formatter.write_str(uri),
            Self::AwsKms(AwsKmsKey { endpoint, key_id }) => {
                let endpoint = endpoint.as_deref().unwrap_or_default();
                write!(formatter, "awskms://{endpoint}/{key_id}")
            }
            Self::GcpKms(resource) => write!(formatter, "gcpkms://{resource}"),
            Self::AzureKms(AzureKmsKey { vault, name, version }) => {
                write!(formatter, "azurekms://{vault}/{name}")?;
                version
                    .iter()
                    .try_for_each(|version| write!(formatter, "/{version}"))
            }
            Self::HashiVault(HashiVaultKey { name, version }) => {
                write!(formatter, "hashivault://{name}")?;
                version
                    .iter()
                    .try_for_each(|version| write!(formatter, "/{version}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_written_back() {
        for text in [
            "ca-key.pem",
            "/etc/mayfly/ca:key.pem",
            "pkcs11:token=ca;object=intermediate?module-path=/usr/lib/softhsm/libsofthsm2.so",
            "awskms:///alias/ca",
            "awskms:///1234abcd-12ab-34cd-56ef-1234567890ab",
            "awskms:///arn:aws:kms:eu-central-1:111122223333:key/1234abcd",
            "awskms://127.0.0.1:5000/alias/ca",
            "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
            "azurekms://acme.vault.azure.net/ca",
            "azurekms://acme.vault.azure.net/ca/0123456789abcdef",
            "hashivault://ca",
            "hashivault://ca/3",
        ] {
            let key: KeyReference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(key.to_string(), text);
        }
        for text in ["file:ca-key.pem", "file://ca-key.pem"] {
            assert_eq!(text.parse(), Ok(KeyReference::File("ca-key.pem".into())));
        }
    }

    #[test]
    fn what_names_no_key_is_refused_with_the_right_form() {
        for (text, said) in [
            ("", "names no key"),
            ("file:", "names no key"),
            ("kms:ca", "`kms` is not a kind of key"),
            ("pkcs11:object=ca?pin-value=1234", "has a PIN in it"),
            ("pkcs11:ca", "pkcs11:token=TOKEN"),
            ("pkcs11:object=ca;type=cert", "type=private"),
            ("awskms:alias/ca", "awskms:///KEY"),
            ("awskms:///", "awskms:///KEY"),
            ("awskms:///a b", "awskms:///KEY"),
            (
                "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k",
                "cryptoKeyVersions/VERSION",
            ),
            (
                "gcpkms://projects//locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
                "gcpkms://",
            ),
            ("azurekms://acme.vault.azure.net", "azurekms://VAULT"),
            ("azurekms:///ca", "azurekms://VAULT"),
            ("azurekms://acme.vault.azure.net/ca/", "azurekms://VAULT"),
            ("hashivault://", "hashivault://KEY"),
            ("hashivault://ca/0", "hashivault://KEY"),
            ("hashivault://ca/newest", "hashivault://KEY"),
            ("hashivault://../sys/ca", "hashivault://KEY"),
        ] {
            let error = text.parse::<KeyReference>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
