//! The names of a CA's certificates.

use const_oid::db::rfc4519;
use der::{Any, asn1::ObjectIdentifier};
use x509_cert::{
    attr::AttributeTypeAndValue,
    ext::pkix::name::DirectoryString,
    name::{Name, RdnSequence, RelativeDistinguishedName},
};

use super::{AuthorityNames, CeremonyError, TimestampNames};

/// Of common name and organisation, in characters (RFC 5280 appendix A.1, `ub-common-name`, `ub-organization-name`).
const LONGEST: usize = 64;

impl AuthorityNames {
    /// For an organisation: `common_name` with "root" and "intermediate" after it.
    ///
    /// # Errors
    /// [`CeremonyError::Name`] if a name is empty, too long for a certificate, or holds control characters.
    pub fn of(organization: &str, common_name: &str) -> Result<Self, CeremonyError> {
        let name = |role: &str| name(organization, &format!("{common_name} {role}"));
        Ok(Self {
            root: name("root")?,
            intermediate: name("intermediate")?,
        })
    }
}

/// The name of another intermediate: the root's organisation, and `common_name` or the root's with "intermediate" in place of "root".
///
/// # Errors
/// [`CeremonyError::Name`] if the root has no such names, or `common_name` cannot stand in a certificate.
pub fn next_intermediate(root: &Name, common_name: Option<&str>) -> Result<Name, CeremonyError> {
    below(root, common_name, "intermediate")
}

/// The name of another timestamp authority: the root's organisation, and `common_name` or the root's with "timestamping" in place of
/// "root".
///
/// # Errors
/// As [`next_intermediate`].
pub fn next_timestamp_authority(root: &Name, common_name: Option<&str>) -> Result<Name, CeremonyError> {
    below(root, common_name, "timestamping")
}

fn below(root: &Name, common_name: Option<&str>, role: &str) -> Result<Name, CeremonyError> {
    let value =
        |found: Option<DirectoryString>| found.map_or_else(String::new, |value| value.value().into_owned());
    let common_name = match common_name {
        Some(common_name) => common_name.to_owned(),
        None => {
            let of_root = value(root.common_name()?);
            let base = of_root.strip_suffix(" root").unwrap_or(&of_root);
            format!("{base} {role}")
        }
    };
    name(&value(root.organization()?), &common_name)
}

impl TimestampNames {
    /// For an organisation: `common_name` with "root" and "timestamping" after it.
    ///
    /// # Errors
    /// As [`AuthorityNames::of`].
    pub fn of(organization: &str, common_name: &str) -> Result<Self, CeremonyError> {
        Ok(Self {
            root: name(organization, &format!("{common_name} root"))?,
            authority: name(organization, &format!("{common_name} timestamping"))?,
        })
    }
}

fn name(organization: &str, common_name: &str) -> Result<Name, CeremonyError> {
    let mut names = RdnSequence::default();
    for (oid, value) in [(rfc4519::O, organization), (rfc4519::CN, common_name)] {
        names.push(RelativeDistinguishedName::try_from(vec![attribute(oid, value)?])?);
    }
    Ok(Name::hazmat_from_rdn_sequence(names))
}

fn attribute(oid: ObjectIdentifier, value: &str) -> Result<AttributeTypeAndValue, CeremonyError> {
    let fits = (1..=LONGEST).contains(&value.chars().count());
    if !fits || value.trim() != value || value.chars().any(char::is_control) {
        return Err(CeremonyError::Name(value.to_owned()));
    }
    let value = Any::encode_from(&value.to_owned())?;
    Ok(AttributeTypeAndValue { oid, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_organisation_is_called() {
        for organization in ["Acme", "Smith, Sons + Co/Kg; \"A=B\"", "株式会社", "#1"] {
            let names = AuthorityNames::of(organization, "Acme code signing").unwrap();
            let read = names.root.organization().unwrap().unwrap();
            assert_eq!(read.value(), organization);
            let read = names.intermediate.common_name().unwrap().unwrap();
            assert_eq!(read.value(), "Acme code signing intermediate");
        }
    }

    #[test]
    fn what_comes_next_is_called_after_the_root() {
        let names = AuthorityNames::of("Acme", "Acme code signing").unwrap();
        let next = |root, common_name| next_intermediate(root, common_name);
        assert_eq!(next(&names.root, None).unwrap(), names.intermediate);
        let times = TimestampNames::of("Acme", "Acme code signing").unwrap();
        let next_times = next_timestamp_authority(&names.root, None).unwrap();
        assert_eq!(next_times, times.authority);
        let named = next(&names.root, Some("2028")).unwrap();
        assert_eq!(named.common_name().unwrap().unwrap().value(), "2028");
        assert_eq!(named.organization().unwrap().unwrap().value(), "Acme");
        next(&Name::default(), None).unwrap_err();
    }

    #[test]
    fn what_no_certificate_can_say() {
        for organization in ["", " Acme", "a\nb", &"x".repeat(65)] {
            assert!(matches!(
                AuthorityNames::of(organization, "CA"),
                Err(CeremonyError::Name(_))
            ));
        }
        let longest = "x".repeat(LONGEST - " intermediate".len());
        AuthorityNames::of("Acme", &longest).unwrap();
        AuthorityNames::of("Acme", &format!("{longest}x")).unwrap_err();
    }
}
