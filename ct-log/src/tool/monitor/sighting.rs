//! What a certificate says about whom, and whether that is of interest.

use clap::Args;
use const_oid::ObjectIdentifier;
use der::{Decode as _, asn1::Utf8StringRef};
use regex::Regex;
use serde::Serialize;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::super::failure::Failure;
use crate::tree::sha256;
use crate::{Entry, SequencedEntry};

/// The issuer of the OIDC token (Fulcio's OIDs): a `UTF8String` in DER.
const ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");

/// The same in its old form: the bare text.
const ISSUER_BARE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.1");

/// A user name that is no address, as an `OtherName`.
const USERNAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

/// Which certificates are shown: all, unless something is given here.
#[derive(Args, Debug)]
pub(super) struct FilterArguments {
    /// Certificates with this SAN: URI, email address, DNS name or user name
    #[arg(long, value_name = "TEXT")]
    identity: Vec<String>,

    /// Certificates with a SAN that this matches as a whole
    #[arg(long, value_name = "REGEX")]
    identity_regex: Vec<String>,

    /// Certificates for tokens of this issuer; with identities, both must match
    #[arg(long, value_name = "URL")]
    issuer: Vec<String>,

    /// Certificates for tokens of an issuer that this matches as a whole
    #[arg(long, value_name = "REGEX")]
    issuer_regex: Vec<String>,
}

/// A certificate in the log.
#[derive(Debug, Serialize)]
pub(super) struct Sighting {
    index: u64,
    /// Milliseconds since 1970.
    timestamp: u64,
    r#type: &'static str,
    identities: Vec<String>,
    issuer: Option<String>,
    /// Hexadecimal.
    serial: Option<String>,
    /// SHA-256 of the certificate or precertificate, hexadecimal.
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
}

pub(super) struct Filter {
    identities: Patterns,
    issuers: Patterns,
}

struct Patterns {
    exact: Vec<String>,
    patterns: Vec<Regex>,
}

impl Filter {
    pub(super) fn new(arguments: &FilterArguments) -> Result<Filter, Failure> {
        Ok(Filter {
            identities: Patterns::new(&arguments.identity, &arguments.identity_regex)?,
            issuers: Patterns::new(&arguments.issuer, &arguments.issuer_regex)?,
        })
    }

    /// The certificate in this entry, if it is to be shown. What cannot be read is: it may be anybody's.
    pub(super) fn sight(&self, entry: &SequencedEntry) -> Option<Sighting> {
        let sighting = Sighting::of(entry);
        let wanted = sighting.problem.is_some()
            || (self.identities.want(&sighting.identities) && self.issuers.want(sighting.issuer.as_slice()));
        wanted.then_some(sighting)
    }
}

impl Patterns {
    fn new(exact: &[String], patterns: &[String]) -> Result<Patterns, Failure> {
        let mut compiled = Vec::new();
        for pattern in patterns {
            // A pattern that matches a part would also match where others put that part into their names.
            let whole = format!("^(?:{pattern})$");
            compiled.push(Regex::new(&whole).map_err(Failure::usage)?);
        }
        Ok(Patterns {
            exact: exact.to_vec(),
            patterns: compiled,
        })
    }

    fn want(&self, texts: &[String]) -> bool {
        let matches = |text: &String| {
            self.exact.contains(text) || self.patterns.iter().any(|pattern| pattern.is_match(text))
        };
        (self.exact.is_empty() && self.patterns.is_empty()) || texts.iter().any(matches)
    }
}

impl Sighting {
    fn of(entry: &SequencedEntry) -> Sighting {
        let (r#type, der) = match entry.entry() {
            Entry::Certificate { der } => ("certificate", der),
            Entry::Precertificate { precertificate, .. } => ("precertificate", precertificate),
        };
        let mut sighting = Sighting {
            index: entry.index().get(),
            timestamp: entry.timestamp().get(),
            r#type,
            identities: Vec::new(),
            issuer: None,
            serial: None,
            fingerprint: hex::encode(sha256(der)),
            problem: None,
        };
        if sighting.read(der).is_none() {
            sighting.problem = Some("the certificate cannot be read");
        }
        sighting
    }

    fn read(&mut self, der: &[u8]) -> Option<()> {
        let certificate = Certificate::from_der(der).ok()?;
        let tbs = certificate.tbs_certificate();
        self.serial = Some(hex::encode(tbs.serial_number().as_bytes()));
        if let Some((_, names)) = tbs.get_extension::<SubjectAltName>().ok()? {
            for name in &names.0 {
                self.identities.extend(identity(name)?);
            }
        }
        for extension in tbs.extensions().into_iter().flatten() {
            let value = extension.extn_value.as_bytes();
            if extension.extn_id == ISSUER {
                self.issuer = Some(Utf8StringRef::from_der(value).ok()?.as_str().to_owned());
            } else if extension.extn_id == ISSUER_BARE && self.issuer.is_none() {
                self.issuer = Some(std::str::from_utf8(value).ok()?.to_owned());
            }
        }
        Some(())
    }
}

/// The text of a name; nothing inside for one that is of no known kind.
fn identity(name: &GeneralName) -> Option<Option<String>> {
    Some(match name {
        GeneralName::Rfc822Name(text) | GeneralName::DnsName(text) => Some(text.to_string()),
        GeneralName::UniformResourceIdentifier(text) => Some(text.to_string()),
        GeneralName::OtherName(other) if other.type_id == USERNAME => {
            let text: Utf8StringRef<'_> = other.value.decode_as().ok()?;
            Some(text.as_str().to_owned())
        }
        _ => None,
    })
}
