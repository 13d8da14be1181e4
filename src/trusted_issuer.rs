//! Who is trusted to say who somebody is: the checked form of one issuer file.

mod name;
mod spelling;

use std::{collections::HashMap, sync::Arc};

use self::name::PatternSet;
pub use self::{
    name::{IssuerName, IssuerNameError, IssuerPattern},
    spelling::NearMiss,
};
use crate::{
    admission::{self, AdmissionRules, KeyBinding},
    identity::Rule,
};

/// The claim whose value the applicant signs to prove possession of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeClaim {
    /// `sub`
    Subject,
    /// `email`
    Email,
}

impl ChallengeClaim {
    /// The name of the claim.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subject => "sub",
            Self::Email => "email",
        }
    }
}

/// One entry of the issuer file for one audience, checked and compiled.
#[derive(Debug)]
pub struct TrustedIssuer {
    name: IssuerName,
    audience: String,
    challenge: ChallengeClaim,
    rule: Rule,
    admission: AdmissionRules,
    ca_certificates: Option<Arc<str>>,
    definition: String,
}

impl TrustedIssuer {
    /// An entry: tokens that `name` signs for `audience` are turned into identities by `rule`, and all are admitted.
    #[must_use]
    pub fn new(name: IssuerName, audience: String, challenge: ChallengeClaim, rule: Rule) -> Self {
        Self {
            name,
            audience,
            challenge,
            rule,
            admission: AdmissionRules::default(),
            ca_certificates: None,
            definition: String::new(),
        }
    }

    /// Admits only what these rules admit.
    #[must_use]
    pub fn with_admission(mut self, rules: AdmissionRules) -> Self {
        self.admission = rules;
        self
    }

    /// Trusts these certificates (PEM) beside the system's when the issuer's keys are fetched.
    #[must_use]
    pub fn with_ca_certificates(mut self, pem: Option<Arc<str>>) -> Self {
        self.ca_certificates = pem;
        self
    }

    /// The canonical text of everything in the file that made this entry: equal texts mean equal entries.
    #[must_use]
    pub fn with_definition(mut self, definition: String) -> Self {
        self.definition = definition;
        self
    }

    /// The `iss` values of its tokens.
    #[must_use]
    pub fn name(&self) -> &IssuerName {
        &self.name
    }

    /// The `aud` value that its tokens must carry (`client-id` in the file).
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Of the entries for one issuer, the one for a token with these `aud` values: the first in the file's order.
    #[must_use]
    pub fn for_audiences<'a>(
        entries: &'a [Arc<Self>],
        audiences: &[impl AsRef<str>],
    ) -> Option<&'a Arc<Self>> {
        let takes = |entry: &&Arc<Self>| {
            audiences
                .iter()
                .any(|audience| entry.takes_audience(audience.as_ref()))
        };
        entries.iter().find(takes)
    }

    /// Whether a token with this `aud` value is for this entry: the audience itself, or with a key's thumbprint behind
    /// it if this entry's tokens name their key there.
    fn takes_audience(&self, given: &str) -> bool {
        match self.admission.key_binding() {
            Some(KeyBinding::Audience) => admission::in_audience(given, &self.audience).is_some(),
            _ => given == self.audience,
        }
    }

    /// The `aud` value that a caller is to ask for, in words.
    #[must_use]
    pub fn wanted_audience(&self) -> String {
        match self.admission.key_binding() {
            Some(KeyBinding::Audience) => format!("{}?jkt=<thumbprint of the key>", self.audience),
            _ => self.audience.clone(),
        }
    }

    /// The claim that clients are told to sign.
    #[must_use]
    pub fn challenge(&self) -> ChallengeClaim {
        self.challenge
    }

    /// How its claims become an identity.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Which of its tokens get a certificate.
    #[must_use]
    pub fn admission(&self) -> &AdmissionRules {
        &self.admission
    }

    /// Certificates, PEM, under which the issuer's own TLS certificate may stand.
    #[must_use]
    pub fn ca_certificates(&self) -> Option<&Arc<str>> {
        self.ca_certificates.as_ref()
    }

    /// The `type` in the issuer file, such as `email`.
    #[must_use]
    pub fn issuer_type(&self) -> &str {
        self.rule.issuer_type()
    }

    /// The domain of the names for which it vouches, for the types that have one.
    #[must_use]
    pub fn subject_domain(&self) -> Option<&str> {
        self.rule.subject_domain()
    }

    /// Whether anything here may depend on this claim, beside `iss`, `sub`, `aud` and the times, on
    /// which everything does.
    #[must_use]
    pub fn reads(&self, claim: &str) -> bool {
        // Every token's address may be signed as proof of possession.
        claim == ChallengeClaim::Email.name() || self.rule.reads(claim) || self.admission.reads(claim)
    }

    fn is_entry_of(&self, other: &Self) -> bool {
        self.name.as_str() == other.name.as_str() && self.audience == other.audience
    }
}

/// Every trusted issuer. `(iss, aud)` chooses the entry: the exact issuer before any pattern, then the first pattern
/// in the file that matches; of its entries, the first in the file whose audience the token names.
#[derive(Debug)]
pub struct TrustedIssuers {
    entries: Vec<Arc<TrustedIssuer>>,
    exact: HashMap<String, Arc<[Arc<TrustedIssuer>]>>,
    /// The exact names by what those that are nearly the same have in common.
    skeletons: HashMap<String, String>,
    patterns: Vec<Arc<[Arc<TrustedIssuer>]>>,
    pattern_set: PatternSet,
}

impl TrustedIssuers {
    /// Takes entries that differ in `(iss, aud)`; of two that do not, the first counts.
    #[must_use]
    pub fn new(issuers: Vec<TrustedIssuer>) -> Self {
        Self::of_entries(issuers.into_iter().map(Arc::new).collect())
    }

    fn of_entries(entries: Vec<Arc<TrustedIssuer>>) -> Self {
        let mut groups: Vec<(&str, Vec<Arc<TrustedIssuer>>)> = Vec::new();
        let mut places = HashMap::new();
        for entry in &entries {
            let place = *places.entry(entry.name.as_str()).or_insert(groups.len());
            match groups.get_mut(place) {
                Some((_, group)) => group.push(Arc::clone(entry)),
                None => groups.push((entry.name.as_str(), vec![Arc::clone(entry)])),
            }
        }
        let (mut exact, mut patterns) = (HashMap::new(), Vec::new());
        for (name, group) in groups {
            let group: Arc<[_]> = group.into();
            match group.first().map(|entry| &entry.name) {
                Some(IssuerName::Pattern(_)) => patterns.push(group),
                _ => drop(exact.insert(name.to_owned(), group)),
            }
        }
        let pattern_set = PatternSet::new(patterns.iter().filter_map(|group| match &group.first()?.name {
            IssuerName::Pattern(pattern) => Some(pattern),
            IssuerName::Exact(_) => None,
        }));
        let mut skeletons = HashMap::new();
        for entry in &entries {
            if let IssuerName::Exact(name) = &entry.name
                && let Some(skeleton) = spelling::skeleton(name)
            {
                skeletons.entry(skeleton).or_insert_with(|| name.clone());
            }
        }
        Self {
            entries,
            exact,
            skeletons,
            patterns,
            pattern_set,
        }
    }

    /// The entries for tokens with this `iss`, one for each audience, in the file's order; never empty.
    #[must_use]
    pub fn find(&self, iss: &str) -> Option<&Arc<[Arc<TrustedIssuer>]>> {
        match self.exact.get(iss) {
            Some(entries) => Some(entries),
            None => self.patterns.get(self.pattern_set.first_match(iss)?),
        }
    }

    /// The exact issuer whose name is nearly `iss`, which nobody trusts.
    #[must_use]
    pub fn near(&self, iss: &str) -> Option<NearMiss> {
        let name = self.skeletons.get(&spelling::skeleton(iss)?)?;
        NearMiss::between(name, iss)
    }

    /// The entries for one `iss` value or pattern each: those of a group differ in audience.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Arc<[Arc<TrustedIssuer>]>> {
        self.exact.values().chain(&self.patterns)
    }

    /// All entries, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TrustedIssuer>> {
        self.entries.iter()
    }

    /// What differs from `old`. Entries that do not differ are replaced by the old ones, which remember what the
    /// limits on them have counted.
    #[must_use]
    pub fn succeed(self, old: &Self) -> (Self, Changes) {
        let mut changes = Changes::default();
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in self.entries {
            let predecessor = old.entries.iter().find(|old| old.is_entry_of(&entry));
            match predecessor {
                Some(same) if same.definition == entry.definition => {
                    entries.push(Arc::clone(same));
                    continue;
                }
                Some(_) => changes.altered.push(entry_label(&entry)),
                None => changes.added.push(entry_label(&entry)),
            }
            entries.push(entry);
        }
        let is_gone = |old: &&Arc<TrustedIssuer>| !entries.iter().any(|entry| entry.is_entry_of(old));
        changes.removed = old
            .entries
            .iter()
            .filter(is_gone)
            .map(|old| entry_label(old))
            .collect();
        (Self::of_entries(entries), changes)
    }
}

fn entry_label(entry: &TrustedIssuer) -> String {
    format!("{} ({})", entry.name, entry.audience)
}

/// What a new issuer file changes, each entry as `issuer (audience)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Entries that the old file lacked.
    pub added: Vec<String>,
    /// Entries that the new file lacks.
    pub removed: Vec<String>,
    /// Entries of both that mean something else now.
    pub altered: Vec<String>,
}
