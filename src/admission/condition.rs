//! `allow:` — one condition on claims, in the Common Expression Language (CEL).
//!
//! What a condition may use is decided when the file is loaded, so that its evaluation is bounded by the size of the
//! expression and of the token: no loop inside a loop, and regular expressions written out, compiled once.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, ExecutionError, Value,
    common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators},
    extractors::This,
    objects::{Key, Map},
    parser::{ParseErrors, PrattParser},
};
use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;

/// The longest expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 4096;

/// How deep an expression may nest: evaluation recurses as deep.
const MAX_DEPTH: usize = 64;

/// The most memory that one compiled regular expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

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
        let mut survey = Survey::default();
        survey.expression(&mut parsed, 0)?;
        Ok(Self {
            name: name.to_owned(),
            expression: parsed,
            regexes: survey.regexes.into(),
            reads: survey.reads,
        })
    }

    /// The name in the issuer file; `allow` for a condition without one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the condition holds for these claims.
    ///
    /// # Errors
    /// It can't be said: a claim is missing or of another type than the condition needs.
    pub fn holds(&self, claims: &serde_json::Map<String, Json>) -> Result<bool, Unanswered> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        let seen = match &self.reads {
            Reads::All => object(claims.iter()),
            Reads::These(names) => object(names.iter().filter_map(|name| claims.get_key_value(name))),
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
            Err(ExecutionError::NoSuchKey(claim)) => Err(Unanswered::ClaimMissing(claim.to_string())),
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
}

fn object<'a>(entries: impl Iterator<Item = (&'a String, &'a Json)>) -> Value {
    let entry = |(key, value): (&String, &Json)| (Key::from(key.as_str()), cel_value(value));
    let map: HashMap<Key, Value> = entries.map(entry).collect();
    Value::Map(Map { map: Arc::new(map) })
}

/// Whole numbers are CEL's int where they fit, so that `claims.run_attempt == 1` is what it looks like.
fn cel_value(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(cel_value).collect())),
        Json::Object(map) => object(map.iter()),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::Int(number),
            (None, Some(number), _) => Value::UInt(number),
            (None, None, number) => Value::Float(number.unwrap_or(f64::NAN)),
        },
    }
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
    /// A name that is neither `claims` nor bound by a macro.
    #[error("uses `{0}`, which is not known")]
    Variable(String),
    /// A function outside the allow-list.
    #[error("calls `{0}`, which is not known")]
    Function(String),
    /// A loop in a loop takes time that grows with the square of the token.
    #[error("has `all`, `exists`, `map` or `filter` inside another")]
    NestedLoop,
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
            Self::Variable(name) => format!("Did you mean `claims.{name}`?"),
            Self::Function(_) => format!("Known here: {}", CONDITION_FUNCTIONS.join(", ")),
            Self::NestedLoop => "Write `value in claims.list` where that is meant".to_owned(),
            Self::DynamicRegex => r#"Write claims.name.matches("^…$")"#.to_owned(),
            Self::TooLong | Self::TooDeep => "Split it into several named conditions".to_owned(),
            Self::Regex(_) | Self::Message => String::new(),
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

/// A walk over an expression: that it uses only what it may; takes the regular expressions out of it.
#[derive(Debug)]
struct Survey {
    /// Names bound by the loops round the present place.
    bound: Vec<String>,
    loops: usize,
    regexes: Vec<Regex>,
    reads: Reads,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            bound: Vec::new(),
            loops: 0,
            regexes: Vec::new(),
            reads: Reads::These(BTreeSet::new()),
        }
    }
}

impl Survey {
    fn expression(&mut self, expression: &mut IdedExpr, depth: usize) -> Result<(), ConditionError> {
        if depth > MAX_DEPTH {
            return Err(ConditionError::TooDeep);
        }
        let inner = depth.saturating_add(1);
        match &mut expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if self.bound.contains(name) => Ok(()),
            Expr::Ident(name) if name == CLAIMS => {
                self.reads = Reads::All;
                Ok(())
            }
            Expr::Ident(name) => Err(ConditionError::Variable(name.clone())),
            Expr::Select(select) if self.is_claims(&select.operand) => {
                self.read(&select.field);
                Ok(())
            }
            Expr::Select(select) => self.expression(&mut select.operand, inner),
            Expr::Struct(_) => Err(ConditionError::Message),
            Expr::List(list) => list
                .elements
                .iter_mut()
                .try_for_each(|item| self.expression(item, inner)),
            Expr::Map(map) => map
                .entries
                .iter_mut()
                .try_for_each(|entry| self.entry(entry, inner)),
            Expr::Call(call) => {
                if let Some(name) = self.claim_by_index(call) {
                    self.read(&name);
                    return Ok(());
                }
                if call.func_name == "matches" {
                    let regex = self.regex(&mut call.target, &mut call.args)?;
                    call.func_name = MATCHES_COMPILED.to_owned();
                    call.args = vec![regex];
                } else if is_function(&call.func_name)
                    && !CONDITION_FUNCTIONS.contains(&call.func_name.as_str())
                {
                    return Err(ConditionError::Function(call.func_name.clone()));
                }
                let target = call.target.iter_mut().map(Box::as_mut);
                target
                    .chain(&mut call.args)
                    .try_for_each(|part| self.expression(part, inner))
            }
            Expr::Comprehension(comprehension) => {
                self.expression(&mut comprehension.iter_range, inner)?;
                if self.loops > 0 {
                    return Err(ConditionError::NestedLoop);
                }
                let before = self.bound.len();
                self.bound
                    .extend([comprehension.iter_var.clone(), comprehension.accu_var.clone()]);
                self.bound.extend(comprehension.iter_var2.clone());
                self.loops = 1;
                let parts = [
                    &mut comprehension.accu_init,
                    &mut comprehension.loop_cond,
                    &mut comprehension.loop_step,
                    &mut comprehension.result,
                ];
                parts
                    .into_iter()
                    .try_for_each(|part| self.expression(part, inner))?;
                self.loops = 0;
                self.bound.truncate(before);
                Ok(())
            }
        }
    }

    /// Whether this is the variable, and not a name that a loop has bound over it.
    fn is_claims(&self, expression: &IdedExpr) -> bool {
        matches!(&expression.expr, Expr::Ident(name) if name == CLAIMS && !self.bound.contains(name))
    }

    /// The name in `claims["name"]`.
    fn claim_by_index(&self, call: &CallExpr) -> Option<String> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (
                operators::INDEX,
                [
                    claims,
                    IdedExpr {
                        expr: Expr::Literal(LiteralValue::String(name)),
                        ..
                    },
                ],
            ) => self.is_claims(claims).then(|| name.inner().to_owned()),
            _ => None,
        }
    }

    fn read(&mut self, claim: &str) {
        if let Reads::These(names) = &mut self.reads {
            names.insert(claim.to_owned());
        }
    }

    fn entry(&mut self, entry: &mut IdedEntryExpr, depth: usize) -> Result<(), ConditionError> {
        match &mut entry.expr {
            EntryExpr::StructField(_) => Err(ConditionError::Message),
            EntryExpr::MapEntry(entry) => {
                self.expression(&mut entry.key, depth)?;
                self.expression(&mut entry.value, depth)
            }
        }
    }

    /// `matches(text, "regex")` and `text.matches("regex")`: makes the first like the second, and puts the compiled
    /// regular expression's number in the place of its text.
    fn regex(
        &mut self,
        target: &mut Option<Box<IdedExpr>>,
        arguments: &mut Vec<IdedExpr>,
    ) -> Result<IdedExpr, ConditionError> {
        if target.is_none() && arguments.len() == 2 {
            *target = Some(Box::new(arguments.remove(0)));
        }
        let [
            IdedExpr {
                id,
                expr: Expr::Literal(LiteralValue::String(text)),
            },
        ] = arguments.as_slice()
        else {
            return Err(ConditionError::DynamicRegex);
        };
        let regex = RegexBuilder::new(text.inner())
            .size_limit(MAX_REGEX_BYTES)
            .build()
            .map_err(|error| ConditionError::Regex(last_line(&error)))?;
        let number = i64::try_from(self.regexes.len()).unwrap_or(i64::MAX);
        self.regexes.push(regex);
        Ok(IdedExpr {
            id: *id,
            expr: Expr::Literal(LiteralValue::Int(number.into())),
        })
    }
}

/// Operators and the helpers of macros have names that no identifier can have.
fn is_function(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

/// The regular expression library draws a picture first.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(expression: &str) -> Result<bool, Unanswered> {
        let claims = json!({
            "repository_owner": "acme", "ref": "refs/tags/v1.2", "run_attempt": 2, "big": u64::MAX, "ratio": 0.5,
            "admin": true, "groups": ["dev", "ops"], "nothing": null,
            "kubernetes.io": {"namespace": "ci", "pod": {"name": "x"}},
        });
        Condition::compile("allow", expression)
            .unwrap_or_else(|error| panic!("{expression}: {error}"))
            .holds(claims.as_object().unwrap())
    }

    #[test]
    fn conditions_say_what_they_look_like() {
        for (expression, expected) in [
            (r#"claims.repository_owner == "acme""#, true),
            (r#"claims.repository_owner == 'evil'"#, false),
            (
                r#"claims.repository_owner == "acme" && claims.ref == "refs/heads/main""#,
                false,
            ),
            (
                r#"claims.ref.startsWith("refs/tags/") || claims.nosuch == 1"#,
                true,
            ),
            (r#"claims.ref.matches("^refs/tags/v[0-9.]+$")"#, true),
            (r#"matches(claims.ref, "^v")"#, false),
            (r#"claims.ref.matches("a") || claims.ref.matches("v1")"#, true),
            ("claims.run_attempt == 2 && claims.run_attempt < 3", true),
            ("claims.run_attempt == 2.0", true),
            ("claims.big > 5", true),
            ("claims.ratio < 1.0", true),
            ("claims.admin", true),
            ("claims.nothing == null", true),
            (r#""ops" in claims.groups"#, true),
            (r#"claims.groups.exists(g, g == "dev")"#, true),
            (r#"claims.groups.all(g, g.size() == 3)"#, true),
            (r#"claims.groups.exists(g, g.matches("^o"))"#, true),
            (r#"claims["kubernetes.io"].namespace == "ci""#, true),
            ("has(claims.nosuch)", false),
            (r#"has(claims.ref) ? claims.ref != "" : false"#, true),
            (r#"claims.repository_owner in ["acme", "other"]"#, true),
            (r#"{"acme": true}[claims.repository_owner]"#, true),
        ] {
            assert_eq!(answer(expression), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn only_claims_that_are_read_are_converted() {
        let reads = |expression: &str| Condition::compile("allow", expression).unwrap().reads;
        let these = |names: &[&str]| Reads::These(names.iter().map(|name| (*name).to_owned()).collect());
        for (expression, expected) in [
            ("claims.a == 1 && claims.b.c == 2", these(&["a", "b"])),
            (r#"claims["a.b"].c == 1 || has(claims.d)"#, these(&["a.b", "d"])),
            (r#"claims.list.exists(claims, claims == "x")"#, these(&["list"])),
            (r#""a" in claims"#, Reads::All),
            ("claims.exists(name, name == claims.a)", Reads::All),
            ("claims[claims.a] == 1", Reads::All),
            ("true", these(&[])),
        ] {
            assert_eq!(reads(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_not_true() {
        for (expression, expected) in [
            (
                "claims.nosuch == 1",
                Unanswered::ClaimMissing("nosuch".to_owned()),
            ),
            (
                "claims.nosuch == 1 || claims.nosuch2",
                Unanswered::ClaimMissing("nosuch2".to_owned()),
            ),
            ("claims.ref", Unanswered::NotBoolean),
            ("claims.run_attempt.startsWith('a')", Unanswered::Other),
            ("claims.ref + 1 == 2", Unanswered::Other),
            ("claims.run_attempt / 0 == 1", Unanswered::Other),
            ("claims.groups[7] == 'x'", Unanswered::Other),
        ] {
            assert_eq!(answer(expression), Err(expected), "{expression}");
        }
    }

    #[test]
    fn mistakes_are_found_when_the_file_is_loaded() {
        let error = |expression: &str| match Condition::compile("allow", expression) {
            Err(error) => error,
            Ok(_) => panic!("{expression}: accepted"),
        };
        for (expression, expected) in [
            (
                "repository_owner == 'acme'",
                ConditionError::Variable("repository_owner".to_owned()),
            ),
            (
                "claims.ref.startswith('a')",
                ConditionError::Function("startswith".to_owned()),
            ),
            ("claims.ref.matches(claims.sub)", ConditionError::DynamicRegex),
            ("claims.ref.matches('a', 'b')", ConditionError::DynamicRegex),
            (
                "claims.a.all(x, claims.b.all(y, x == y))",
                ConditionError::NestedLoop,
            ),
            (
                "claims.a.map(x, claims.b.map(y, y)) == []",
                ConditionError::NestedLoop,
            ),
            (
                "claims.a.exists(x, true) && x",
                ConditionError::Variable("x".to_owned()),
            ),
            ("Message{a: 1} == claims", ConditionError::Message),
        ] {
            assert_eq!(error(expression), expected, "{expression}");
        }
        assert!(matches!(
            error("claims.ref.matches('(')"),
            ConditionError::Regex(_)
        ));
        assert!(matches!(
            error("claims.ref.matches('(((a{999}){999}){999})')"),
            ConditionError::Regex(_)
        ));
        for expression in [
            "",
            "claims.ref ==",
            "claims.ref = 'a'",
            "claims.ref == 'a",
            "(",
            "claims ref",
        ] {
            assert!(
                matches!(error(expression), ConditionError::Syntax(_)),
                "{expression}"
            );
        }
        assert_eq!(error(&"1 + ".repeat(2000)), ConditionError::TooLong);
        for nested in [
            format!("{}1{} == 1", "[".repeat(1000), "]".repeat(1000)),
            format!("claims{} == 1", ".a".repeat(1500)),
            format!("claims.a == 1{}", "+1".repeat(1500)),
        ] {
            assert!(matches!(
                error(&nested),
                ConditionError::TooDeep | ConditionError::Syntax(_)
            ));
        }
        // Parentheses leave nothing behind.
        Condition::compile("allow", &format!("{}true{}", "(".repeat(1000), ")".repeat(1000))).unwrap();
    }
}
