//! `allow:` — one condition on claims, in the Common Expression Language (CEL).
//!
//! What a condition may use is decided when the file is loaded, so that its evaluation is bounded by the size of the
//! expression and of the token: no loop inside a loop, and regular expressions written out, compiled once.

mod survey;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, ExecutionError, Value,
    common::ast::IdedExpr,
    extractors::This,
    objects::{Key, Map},
    parser::{ParseErrors, PrattParser},
};
use regex::Regex;
use serde_json::Value as Json;

use self::survey::Survey;

/// The longest expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 4096;

/// The most items of a list or object that a condition looks at. `in` and `==` go through them, inside a loop over others.
const MAX_ITEMS: usize = 1000;

/// The one variable.
const CLAIMS: &str = "claims";

/// Functions that a condition may call; operators and macros (`has`, `all`, `exists`, …) come on top.
pub const CONDITION_FUNCTIONS: [&str; 12] = [
    "bool",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];

/// `matches` with the regular expression's number in place of its text.
const MATCHES_COMPILED: &str = "@matches";

/// The functions of the CEL specification, the same for every condition.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// One named condition, compiled.
pub struct Condition {
    name: String,
    expression: IdedExpr,
    regexes: Arc<[Regex]>,
    reads: Reads,
    /// Every name that the expression spells out.
    names: BTreeSet<String>,
}

/// The claims that an expression may look at: converting all of a token's costs more than everything else here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reads {
    These(BTreeSet<String>),
    All,
}

impl Condition {
    /// Compiles `expression`, which must give true for a token to be admitted. `name` is what callers are told.
    ///
    /// # Errors
    /// It is not CEL, or uses what no condition may.
    pub fn compile(name: &str, expression: &str) -> Result<Self, ConditionError> {
        if expression.len() > MAX_EXPRESSION_BYTES {
            return Err(ConditionError::TooLong);
        }
        // The library's other parser overflows the stack on some hundred parentheses.
        let mut parsed = PrattParser::new()
            .parse(expression)
            .map_err(|errors| syntax(&errors))?;
        if survey::is_never_boolean(&parsed) {
            return Err(ConditionError::NotBoolean);
        }
        let mut survey = Survey::default();
        survey.expression(&mut parsed, 0)?;
        Ok(Self {
            name: name.to_owned(),
            expression: parsed,
            regexes: survey.regexes.into(),
            reads: survey.reads,
            names: survey.names,
        })
    }

    /// The name in the issuer file; `allow` for a condition without one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the answer may depend on this claim.
    pub(super) fn reads(&self, claim: &str) -> bool {
        match &self.reads {
            Reads::All => true,
            Reads::These(names) => names.contains(claim),
        }
    }

    /// Whether the condition holds for these claims.
    ///
    /// # Errors
    /// It can't be said: a claim is missing or of another type than the condition needs.
    pub fn holds(&self, claims: &serde_json::Map<String, Json>) -> Result<bool, Unanswered> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        let seen = match &self.reads {
            Reads::All => object(claims.iter())?,
            Reads::These(names) => object(names.iter().filter_map(|name| claims.get_key_value(name)))?,
        };
        context.add_variable_from_value(CLAIMS, seen);
        if !self.regexes.is_empty() {
            let regexes = Arc::clone(&self.regexes);
            let matches = move |This(text): This<Arc<String>>, regex: i64| -> Result<bool, ExecutionError> {
                let regex = usize::try_from(regex).ok().and_then(|at| regexes.get(at));
                Ok(regex.is_some_and(|regex| regex.is_match(&text)))
            };
            context
                .add_function(MATCHES_COMPILED, matches)
                .map_err(|_| Unanswered::Other)?;
        }
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(Unanswered::NotBoolean),
            // A name out of another claim is not repeated.
            Err(ExecutionError::NoSuchKey(claim)) if self.names.contains(claim.as_str()) => {
                Err(Unanswered::ClaimMissing(claim.to_string()))
            }
            Err(_) => Err(Unanswered::Other),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.name).finish()
    }
}

/// Why a condition is neither true nor false. No value of a claim is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    /// `claims.name` without such a claim.
    #[error("the token has no claim `{0}`")]
    ClaimMissing(String),
    /// The expression gives a string, say.
    #[error("it is neither true nor false")]
    NotBoolean,
    /// An operator or function got a value of a type that it does not take.
    #[error("a claim has another type than it needs")]
    Other,
    /// More than `MAX_ITEMS`.
    #[error("a claim has more than 1000 items")]
    TooManyItems,
}

fn object<'a>(entries: impl Iterator<Item = (&'a String, &'a Json)>) -> Result<Value, Unanswered> {
    let entry = |(key, value): (&String, &Json)| Ok((Key::from(key.as_str()), cel_value(value)?));
    let map = entries.map(entry).collect::<Result<HashMap<_, _>, _>>()?;
    if map.len() > MAX_ITEMS {
        return Err(Unanswered::TooManyItems);
    }
    Ok(Value::Map(Map { map: Arc::new(map) }))
}

/// Whole numbers are CEL's int where they fit, so that `claims.run_attempt == 1` is what it looks like.
fn cel_value(value: &Json) -> Result<Value, Unanswered> {
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) if items.len() > MAX_ITEMS => return Err(Unanswered::TooManyItems),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(cel_value).collect::<Result<_, _>>()?)),
        Json::Object(map) => object(map.iter())?,
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::Int(number),
            (None, Some(number), _) => Value::UInt(number),
            (None, None, number) => Value::Float(number.unwrap_or(f64::NAN)),
        },
    })
}

/// Why an `allow` cannot be used. `Display` completes a sentence that begins with the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConditionError {
    /// Longer than [`MAX_EXPRESSION_BYTES`].
    #[error("is longer than 4096 bytes")]
    TooLong,
    /// Not an expression.
    #[error("is not a CEL expression: {0}")]
    Syntax(String),
    /// Nested deeper than any condition needs.
    #[error("nests more than 64 levels deep")]
    TooDeep,
    /// A name that is neither `claims` nor bound by a macro; with what is selected of it, if something is.
    #[error("uses `{0}`, which is not known")]
    Variable(String),
    /// The name of a claim cut at a hyphen.
    #[error("subtracts: `{0}` is not one name here")]
    Hyphen(String),
    /// A value that is never true.
    #[error("is neither true nor false, whatever the token says")]
    NotBoolean,
    /// `in` with a text on its right side, say.
    #[error("looks with `in` into something that is not a list")]
    NotAList,
    /// A function outside the allow-list.
    #[error("calls `{0}`, which is not known")]
    Function(String),
    /// A loop in a loop takes time that grows with the square of the token.
    #[error("has `all`, `exists`, `map` or `filter` inside another")]
    NestedLoop,
    /// Sums of long claims in a loop take memory that grows with the square of the token.
    #[error("adds with `+` inside `all`, `exists`, `map` or `filter`")]
    SumInLoop,
    /// `matches` with a regular expression out of a claim.
    #[error("calls `matches` with something else than one quoted regular expression")]
    DynamicRegex,
    /// `matches` with what is no regular expression, or one that needs too much memory.
    #[error("calls `matches` with a regular expression that cannot be used: {0}")]
    Regex(String),
    /// A construct that claims do not need.
    #[error("constructs a message, which conditions cannot")]
    Message,
}

impl ConditionError {
    /// What to do about it.
    #[must_use]
    pub fn suggestion(&self) -> String {
        match self {
            Self::Variable(name) => match name.split_once('.') {
                Some((_, field)) => format!("Did you mean `claims.{field}`?"),
                None => format!("Did you mean `claims.{name}`?"),
            },
            Self::Hyphen(name) => format!(r#"Did you mean `claims["{name}"]`?"#),
            Self::NotBoolean => r#"Compare a claim, as in claims.hd == "example.com""#.to_owned(),
            Self::NotAList => r#"Write claims.hd in ["example.com", "example.org"]"#.to_owned(),
            Self::NestedLoop => "Write `value in claims.list` where that is meant".to_owned(),
            Self::SumInLoop => "Add outside, or compare the parts".to_owned(),
            Self::DynamicRegex => r#"Write claims.name.matches("^…$")"#.to_owned(),
            Self::TooLong | Self::TooDeep => "Split it into several named conditions".to_owned(),
            // What is close to the name of a function, the reader of the file says.
            Self::Function(_) | Self::Regex(_) | Self::Message => String::new(),
            Self::Syntax(_) => {
                r#"An example: claims.repository_owner == "acme" && claims.ref == "refs/heads/main""#
                    .to_owned()
            }
        }
    }
}

fn syntax(errors: &ParseErrors) -> ConditionError {
    let first = errors.errors.first();
    ConditionError::Syntax(first.map_or_else(
        || "nothing is known about the error".to_owned(),
        |error| {
            let what = error.msg.trim_start_matches("Syntax error: ");
            format!("column {}: {what}", error.pos.1)
        },
    ))
}

#[cfg(test)]
mod tests;
