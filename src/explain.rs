//! What would become of a token, step by step: for the operator who writes an issuer file. Nothing is verified here and
//! nothing is issued; the steps are those of the request's path, by the same code.

use std::{fmt, sync::Arc};

use serde_json::{Map, Value, json};

use crate::{
    admission::{TokenReuse, Unanswered},
    identity::{IdentityError, Names, SubjectName},
    trusted_issuer::{NearMiss, TrustedIssuer, TrustedIssuers},
};

/// What `claims` would get from a file's issuers if their token were genuine.
#[derive(Debug)]
pub struct Explanation {
    iss: Option<String>,
    audiences: Vec<String>,
    outcome: Result<Matched, NoEntry>,
}

/// The entry for the token, and what it says.
#[derive(Debug)]
struct Matched {
    entry: Arc<TrustedIssuer>,
    identity: Result<Names, IdentityError>,
    conditions: Vec<(String, Result<bool, Unanswered>)>,
    names_key: bool,
}

/// Why no entry is for the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoEntry {
    /// `iss` is absent or no string.
    #[error("the token has no `iss`")]
    NoIssuer,
    /// Nobody trusts it.
    #[error(
        "no entry of `oidc-issuers` is for this `iss`, and no pattern of `meta-issuers` matches it{}",
        near_text(.0.as_ref())
    )]
    UnknownIssuer(Option<NearMiss>),
    /// The entries of this issuer are for other audiences.
    #[error("the issuer is trusted for the audience {}, which the token does not name", .0.join(" or "))]
    OtherAudience(Vec<String>),
}

fn near_text(near: Option<&NearMiss>) -> String {
    near.map_or_else(String::new, |near| {
        format!(
            ": `{}` is there, which differs in {}",
            near.name(),
            near.differences()
        )
    })
}

impl Explanation {
    /// Follows `claims` through `issuers`.
    #[must_use]
    pub fn of(claims: &Map<String, Value>, issuers: &TrustedIssuers) -> Self {
        let iss = claims.get("iss").and_then(Value::as_str);
        let audiences: Vec<String> = match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            Some(Value::String(audience)) => vec![audience.clone()],
            _ => Vec::new(),
        };
        Self {
            iss: iss.map(str::to_owned),
            outcome: find(iss, &audiences, issuers).map(|entry| Matched::of(entry, claims)),
            audiences,
        }
    }

    /// Why a genuine token with these claims would get no certificate, in the order of the request's path; limits and
    /// single use aside.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let matched = match &self.outcome {
            Ok(matched) => matched,
            Err(reason) => return Some(reason.to_string()),
        };
        if let Err(error) = &matched.identity {
            return Some(error.to_string());
        }
        let unmet = matched.conditions.iter().find(|(_, answer)| *answer != Ok(true));
        if let Some((name, answer)) = unmet {
            return Some(format!("condition `{name}`: {}", condition_text(answer)));
        }
        let names_no_key = !matched.names_key && matched.entry.admission().key_binding().is_some();
        names_no_key
            .then(|| "the token does not name the key that it is for, as `key-binding` wants it".to_owned())
    }

    /// The same for machines.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let matched = self.outcome.as_ref().ok();
        let names = matched.and_then(|matched| matched.identity.as_ref().ok());
        json!({
            "issuer": self.iss,
            "audiences": self.audiences,
            "entry": matched.map(|matched| json!({
                "issuer": matched.entry.name().as_str(),
                "audience": matched.entry.audience(),
                "type": matched.entry.issuer_type(),
            })),
            "conditions": matched.map(|matched| matched.conditions.iter().map(|(name, answer)| json!({
                "name": name,
                "holds": answer.as_ref().ok(),
                "problem": answer.as_ref().err().map(ToString::to_string),
            })).collect::<Vec<_>>()),
            "name": names.map(Names::subject),
            "extensions": names.map(|names| {
                names.extensions().iter().map(|(extension, value)| json!({
                    "oid": extension.oid().to_string(),
                    "name": extension.name(),
                    "value": value,
                })).collect::<Vec<_>>()
            }),
            "refusal": self.refusal(),
        })
    }
}

fn find(
    iss: Option<&str>,
    audiences: &[String],
    issuers: &TrustedIssuers,
) -> Result<Arc<TrustedIssuer>, NoEntry> {
    let iss = iss.ok_or(NoEntry::NoIssuer)?;
    let entries = issuers
        .find(iss)
        .ok_or_else(|| NoEntry::UnknownIssuer(issuers.near(iss)))?;
    let entry = TrustedIssuer::for_audiences(entries, audiences);
    entry.map(Arc::clone).ok_or_else(|| {
        NoEntry::OtherAudience(
            entries
                .iter()
                .map(|entry| format!("`{}`", entry.wanted_audience()))
                .collect(),
        )
    })
}

impl Matched {
    fn of(entry: Arc<TrustedIssuer>, claims: &Map<String, Value>) -> Self {
        let text = |claim: &str| claims.get(claim).and_then(Value::as_str).unwrap_or_default();
        let identity = entry.rule().apply(text("iss"), text("sub"), claims);
        let conditions = entry.admission().conditions().iter();
        Self {
            identity,
            conditions: conditions
                .map(|condition| (condition.name().to_owned(), condition.holds(claims)))
                .collect(),
            names_key: entry.admission().named_key(claims, entry.audience()).is_some(),
            entry,
        }
    }
}

fn condition_text(answer: &Result<bool, Unanswered>) -> String {
    match answer {
        Ok(true) => "holds".to_owned(),
        Ok(false) => "does not hold".to_owned(),
        Err(unanswered) => format!("cannot be answered: {unanswered}"),
    }
}

/// One fact a line, in the order of the request's path.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "issuer       {}", self.iss.as_deref().unwrap_or("none"))?;
        writeln!(f, "audience     {}", self.audiences.join(", "))?;
        if let Ok(matched) = &self.outcome {
            matched.write(f)?;
        }
        match self.refusal() {
            None => writeln!(f, "result       a certificate for this name"),
            Some(refusal) => writeln!(f, "result       refused: {refusal}"),
        }
    }
}

impl Matched {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entry, rules) = (&self.entry, self.entry.admission());
        writeln!(
            f,
            "entry        {}, audience {}, type {}",
            entry.name(),
            entry.audience(),
            entry.issuer_type()
        )?;
        if rules.conditions().is_empty() {
            writeln!(f, "condition    none: every valid token is admitted")?;
        }
        for (name, answer) in &self.conditions {
            writeln!(f, "condition    {name}: {}", condition_text(answer))?;
        }
        if let Some(binding) = rules.key_binding() {
            let named = if self.names_key { "named" } else { "not named" };
            writeln!(f, "key          {named} in the token ({})", binding.name())?;
        }
        if rules.reuse() == TokenReuse::Refused {
            writeln!(f, "single use   one certificate for this token")?;
        }
        let Ok(names) = &self.identity else { return Ok(()) };
        match names.subject() {
            SubjectName::Email(name) => writeln!(f, "name         email {name}")?,
            SubjectName::Uri(name) => writeln!(f, "name         URI {name}")?,
            SubjectName::Username(name) => writeln!(f, "name         username {name}")?,
        }
        for (extension, value) in names.extensions().iter() {
            writeln!(
                f,
                "  {:<24}{:<40}{}",
                extension.oid().to_string(),
                extension.name(),
                value.escape_debug()
            )?;
        }
        Ok(())
    }
}
