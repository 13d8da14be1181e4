//! What an expression uses: nothing that it may not, and which claims.

use std::collections::BTreeSet;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators,
};
use regex::{Regex, RegexBuilder};

use super::{CLAIMS, CONDITION_FUNCTIONS, ConditionError, MATCHES_COMPILED, Reads};

/// How deep an expression may nest: evaluation recurses as deep.
const MAX_DEPTH: usize = 64;

/// The most memory that one compiled regular expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A walk over an expression: that it uses only what it may; takes the regular expressions out of it.
#[derive(Debug)]
pub(super) struct Survey {
    /// Names bound by the loop round the present place; empty outside.
    bound: Vec<String>,
    pub(super) regexes: Vec<Regex>,
    pub(super) reads: Reads,
    /// Every name that the expression spells out.
    pub(super) names: BTreeSet<String>,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            bound: Vec::new(),
            regexes: Vec::new(),
            reads: Reads::These(BTreeSet::new()),
            names: BTreeSet::new(),
        }
    }
}

impl Survey {
    pub(super) fn expression(
        &mut self,
        expression: &mut IdedExpr,
        depth: usize,
    ) -> Result<(), ConditionError> {
        if depth > MAX_DEPTH {
            return Err(ConditionError::TooDeep);
        }
        let inner = depth.saturating_add(1);
        match &mut expression.expr {
            Expr::Unspecified => Ok(()),
            Expr::Literal(literal) => {
                if let LiteralValue::String(text) = literal {
                    self.names.insert(text.inner().to_owned());
                }
                Ok(())
            }
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
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if !self.bound.contains(name) => {
                    Err(ConditionError::Variable(format!("{name}.{}", select.field)))
                }
                _ => {
                    self.names.insert(select.field.clone());
                    self.expression(&mut select.operand, inner)
                }
            },
            Expr::Struct(_) => Err(ConditionError::Message),
            Expr::List(list) => list
                .elements
                .iter_mut()
                .try_for_each(|item| self.expression(item, inner)),
            Expr::Map(map) => map
                .entries
                .iter_mut()
                .try_for_each(|entry| self.entry(entry, inner)),
            Expr::Call(call) => self.call(call, inner),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, inner),
        }
    }

    fn call(&mut self, call: &mut CallExpr, depth: usize) -> Result<(), ConditionError> {
        if let Some(name) = self.claim_by_index(call) {
            self.read(&name);
            return Ok(());
        }
        if let Some(name) = self.cut_name(call) {
            return Err(ConditionError::Hyphen(name));
        }
        if call.func_name == operators::ADD && !self.bound.is_empty() && !self.collects(call) {
            return Err(ConditionError::SumInLoop);
        }
        if let (
            operators::IN,
            [
                _,
                IdedExpr {
                    expr: Expr::Literal(_),
                    ..
                },
            ],
        ) = (call.func_name.as_str(), call.args.as_slice())
        {
            return Err(ConditionError::NotAList);
        }
        if call.func_name == "matches" {
            let regex = self.regex(&mut call.target, &mut call.args)?;
            call.func_name = MATCHES_COMPILED.to_owned();
            call.args = vec![regex];
        } else if is_function(&call.func_name) && !CONDITION_FUNCTIONS.contains(&call.func_name.as_str()) {
            return Err(ConditionError::Function(call.func_name.clone()));
        }
        let target = call.target.iter_mut().map(Box::as_mut);
        target
            .chain(&mut call.args)
            .try_for_each(|part| self.expression(part, depth))
    }

    /// Whether this sum is how a macro adds to its result, a name that nobody can write.
    fn collects(&self, call: &CallExpr) -> bool {
        let result = self.bound.get(1);
        matches!(call.args.first(), Some(IdedExpr { expr: Expr::Ident(name), .. }) if Some(name) == result)
    }

    /// What the loop runs over is evaluated once, before it.
    fn comprehension(
        &mut self,
        comprehension: &mut ComprehensionExpr,
        depth: usize,
    ) -> Result<(), ConditionError> {
        self.expression(&mut comprehension.iter_range, depth)?;
        if !self.bound.is_empty() {
            return Err(ConditionError::NestedLoop);
        }
        self.bound = vec![comprehension.iter_var.clone(), comprehension.accu_var.clone()];
        self.bound.extend(comprehension.iter_var2.clone());
        for part in [
            &mut comprehension.accu_init,
            &mut comprehension.loop_cond,
            &mut comprehension.loop_step,
            &mut comprehension.result,
        ] {
            self.expression(part, depth)?;
        }
        self.bound.clear();
        Ok(())
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

    /// `my-claim` in `claims.my-claim`, which is a difference.
    fn cut_name(&self, call: &CallExpr) -> Option<String> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (
                operators::SUBSTRACT,
                [
                    IdedExpr {
                        expr: Expr::Select(select),
                        ..
                    },
                    IdedExpr {
                        expr: Expr::Ident(rest),
                        ..
                    },
                ],
            ) if rest != CLAIMS && !self.bound.contains(rest) && self.is_claims(&select.operand) => {
                Some(format!("{}-{rest}", select.field))
            }
            _ => None,
        }
    }

    fn read(&mut self, claim: &str) {
        self.names.insert(claim.to_owned());
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

/// Whether the value is a text, a list or the like as it stands.
pub(super) fn is_never_boolean(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
        Expr::Ident(name) => name == CLAIMS,
        Expr::List(_) | Expr::Map(_) => true,
        _ => false,
    }
}

/// Operators and the helpers of macros have names that no identifier can have.
fn is_function(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// The regular expression library draws a picture first.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}
