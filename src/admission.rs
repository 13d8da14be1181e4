//! `Identity` -> `Admitted`: the operator's conditions and limits for one entry of the issuer file.
//!
//! Fulcio gives a certificate to every valid token of a trusted issuer. These rules, all of them optional, say which
//! of them get one here. They see verified claims only, and change nothing about the identity.

mod condition;
mod key_binding;
mod rate_limit;
mod single_use;

use std::{fmt, sync::Arc};

pub(crate) use self::key_binding::in_audience;
use self::single_use::{TokenUse, Unusable};
pub use self::{
    condition::{CONDITION_FUNCTIONS, Condition, ConditionError, MAX_EXPRESSION_BYTES, Unanswered},
    key_binding::{KeyBinding, KeyThumbprint},
    rate_limit::{LimitReached, LimitScope, MAX_COUNTED_IDENTITIES, Rate, RateError, RateLimits},
    single_use::{MAX_REMEMBERED_TOKENS, UsedTokens},
};
use crate::{
    clock::{Timestamp, whole_seconds},
    identity::Identity,
};

/// How often one token gives a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenReuse {
    /// As often as it is sent before it expires, as for Fulcio: some clients sign several files with one token.
    #[default]
    Allowed,
    /// Once.
    Refused,
}

/// What one entry of the issuer file says about admission; nothing by default.
#[derive(Debug, Default)]
pub struct AdmissionRules {
    conditions: Vec<Condition>,
    limits: RateLimits,
    reuse: TokenReuse,
    key_binding: Option<KeyBinding>,
}

impl AdmissionRules {
    /// Rules that admit a token if every one of `conditions` holds, and `limits` are not reached.
    #[must_use]
    pub fn new(conditions: Vec<Condition>, limits: RateLimits) -> Self {
        Self {
            conditions,
            limits,
            ..Self::default()
        }
    }

    /// How often one token gives a certificate.
    #[must_use]
    pub fn with_reuse(mut self, reuse: TokenReuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// Where a token must name the key that it is for.
    #[must_use]
    pub fn with_key_binding(mut self, binding: Option<KeyBinding>) -> Self {
        self.key_binding = binding;
        self
    }

    /// All must hold.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// How often one token gives a certificate.
    #[must_use]
    pub fn reuse(&self) -> TokenReuse {
        self.reuse
    }

    /// Whether a decision may depend on this claim, beside the name that the token gets.
    #[must_use]
    pub(crate) fn reads(&self, claim: &str) -> bool {
        let binding = self.key_binding.is_some_and(|binding| binding.claim() == claim);
        binding || self.conditions.iter().any(|condition| condition.reads(claim))
    }

    /// The key that a token with these claims, for `audience`, is for.
    #[must_use]
    pub fn named_key(
        &self,
        claims: &serde_json::Map<String, serde_json::Value>,
        audience: &str,
    ) -> Option<KeyThumbprint> {
        self.key_binding?.thumbprint(claims, audience)
    }

    /// Where a token must name the key that it is for.
    #[must_use]
    pub fn key_binding(&self) -> Option<KeyBinding> {
        self.key_binding
    }
}

/// An identity that may have a certificate. Only [`Admission::admit`] makes one.
#[derive(Debug)]
pub struct Admitted {
    identity: Identity,
    key: Option<KeyThumbprint>,
    token_use: Option<TokenUse>,
}

impl Admitted {
    /// Who.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The one key that the token is for, if its issuer's tokens name one.
    #[must_use]
    pub fn key(&self) -> Option<&KeyThumbprint> {
        self.key.as_ref()
    }

    /// The certificate is about to be handed over: a token that is good for one has given it.
    pub(crate) fn complete(&self) {
        if let Some(token_use) = &self.token_use {
            token_use.complete();
        }
    }
}

/// An identity that was refused, and why.
#[derive(Debug)]
pub struct Refused {
    /// Who; boxed to keep results small.
    pub identity: Box<Identity>,
    /// Why.
    pub error: AdmissionError,
}

/// Decides on admission, by the rules of the entry that the token chose.
#[derive(Debug, Default)]
pub struct Admission {
    used: UsedTokens,
}

impl Admission {
    /// Applies the rules in the order of what they cost others: conditions first, so that a stranger's token takes
    /// nothing from the limits.
    ///
    /// # Errors
    /// The first rule that does not admit it.
    pub fn admit(&self, identity: Identity, now: Timestamp) -> Result<Admitted, Refused> {
        match self.decide(&identity, now) {
            Ok((key, token_use)) => Ok(Admitted {
                identity,
                key,
                token_use,
            }),
            Err(error) => Err(Refused {
                identity: Box::new(identity),
                error,
            }),
        }
    }

    fn decide(
        &self,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(Option<KeyThumbprint>, Option<TokenUse>), AdmissionError> {
        let token = identity.token();
        let rules = token.issuer().admission();
        check_conditions(&rules.conditions, token.claims())?;
        let key = match rules.key_binding {
            None => None,
            Some(binding) => Some(
                rules
                    .named_key(token.claims(), token.issuer().audience())
                    .ok_or(AdmissionError::KeyNotNamed(binding))?,
            ),
        };
        // Before the limits, so that a token that is sent again and again takes nothing from them either.
        let token_use = match rules.reuse {
            TokenReuse::Allowed => None,
            TokenReuse::Refused => Some(self.used.begin(token.hash(), token.expires(), now)?),
        };
        rules.limits.count(identity.name())?;
        Ok((key, token_use))
    }
}

fn check_conditions(
    conditions: &[Condition],
    claims: &serde_json::Map<String, serde_json::Value>,
) -> Result<(), AdmissionError> {
    for condition in conditions {
        match condition.holds(claims) {
            Ok(true) => {}
            Ok(false) => return Err(AdmissionError::condition(condition, None)),
            Err(unanswered) => return Err(AdmissionError::condition(condition, Some(unanswered))),
        }
    }
    Ok(())
}

/// Why a verified identity gets no certificate. The text is safe to show the caller and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// A condition does not hold.
    #[error(
        "the token is valid, but the operator of this service admits only tokens for which the condition `{condition}` holds, and {unmet}"
    )]
    ConditionNotMet {
        /// Its name in the issuer file.
        condition: Arc<str>,
        /// Whether it is false or cannot be answered.
        unmet: Unmet,
    },
    /// The token does not name the key that it is for.
    #[error("tokens of this issuer must name the key that they are for, in {}: request one with the key's JWK thumbprint there", place(*.0))]
    KeyNotNamed(KeyBinding),
    /// A token that is good for one certificate has given it.
    #[error(
        "the token was used before, and tokens of this issuer are good for one certificate: ask the issuer for a new token"
    )]
    TokenUsed,
    /// So many tokens are remembered that no more can be.
    #[error(
        "too many tokens of issuers with single-use tokens are remembered at the moment: try again in some minutes"
    )]
    TooManyTokens,
    /// A rate limit.
    #[error("the limit of certificates for {} is reached: try again in {} s", whose(.0.scope), whole_seconds(.0.retry_after))]
    RateLimited(LimitReached),
}

/// How a condition is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet(Option<Unanswered>);

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("it does not hold for this one"),
            Some(unanswered) => write!(f, "for this one it cannot be answered: {unanswered}"),
        }
    }
}

impl AdmissionError {
    fn condition(condition: &Condition, unanswered: Option<Unanswered>) -> Self {
        Self::ConditionNotMet {
            condition: condition.name().into(),
            unmet: Unmet(unanswered),
        }
    }

    /// The stable, machine-readable reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ConditionNotMet { .. } => "not_admitted",
            Self::KeyNotNamed(_) => "key_not_named",
            Self::TokenUsed => "token_used",
            Self::TooManyTokens => "overloaded",
            Self::RateLimited(_) => "rate_limited",
        }
    }

    /// The name of the condition that does not hold, if it was one.
    #[must_use]
    pub fn condition_name(&self) -> Option<&str> {
        match self {
            Self::ConditionNotMet { condition, .. } => Some(condition),
            _ => None,
        }
    }
}

impl From<LimitReached> for AdmissionError {
    fn from(reached: LimitReached) -> Self {
        Self::RateLimited(reached)
    }
}

impl From<Unusable> for AdmissionError {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Used => Self::TokenUsed,
            Unusable::MemoryFull => Self::TooManyTokens,
        }
    }
}

const fn place(binding: KeyBinding) -> &'static str {
    match binding {
        KeyBinding::Confirmation => "the claim cnf.jkt",
        KeyBinding::Nonce => "the claim nonce",
        KeyBinding::Audience => "the audience, as `audience?jkt=thumbprint`",
    }
}

const fn whose(scope: LimitScope) -> &'static str {
    match scope {
        LimitScope::Issuer => "this issuer",
        LimitScope::Identity => "this identity",
    }
}
