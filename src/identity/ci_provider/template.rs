//! One value of `ci-issuer-metadata`: the name of a claim, or a Go template over claims.

use std::{collections::BTreeSet, fmt, sync::Arc};

use gotmpl::{
    MissingKey, Value,
    parse::{CommandNode, Expr, ListNode, Node, Parser, PipeNode},
};

/// Stands after a template to see whether the parser gets there; no template may contain it.
const SENTINEL: char = '\u{1}';

/// Functions that a template may call. They need no more time and memory than their arguments have bytes, because the
/// format of `printf` is the template's own.
const FUNCTIONS: &[&str] = &["and", "eq", "index", "ne", "not", "or", "print", "printf"];

/// A compiled template. Rendering it does no parsing, and never evaluates a value as a template.
pub struct Template {
    engine: Engine,
    names: BTreeSet<String>,
    printed: BTreeSet<String>,
}

enum Engine {
    /// The value of this claim or default.
    Claim(String),
    Go(gotmpl::Template),
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// Nothing but white space.
    #[error("is empty")]
    Empty,
    /// Not a Go template.
    #[error("is not a valid Go template: {0}")]
    Syntax(Box<gotmpl::TemplateError>),
    /// Go would say "unexpected EOF" or "unexpected {{end}}".
    #[error("has an if without its end, or an else or end without its if")]
    Unbalanced,
    /// A function that no template may call.
    #[error("calls the function `{0}`, which is not supported (supported: {list})", list = FUNCTIONS.join(", "))]
    Function(String),
    /// A construct of Go's language that claims do not need, such as loops and variables.
    #[error("uses {0}, which is not supported: use fields, `index . \"name\"`, and if/else/end")]
    Construct(&'static str),
}

impl Template {
    /// Compiles a value of the issuer file: with `{{` a Go template, otherwise the name of a claim or default.
    ///
    /// # Errors
    /// The template is malformed, or uses more of Go's language than claims need.
    pub fn compile(source: &str) -> Result<Self, TemplateError> {
        if source.trim().is_empty() {
            return Err(TemplateError::Empty);
        }
        if !source.contains("{{") {
            let names = BTreeSet::from([source.to_owned()]);
            return Ok(Self {
                engine: Engine::Claim(source.to_owned()),
                printed: names.clone(),
                names,
            });
        }
        let survey = Survey::of(&tree(source)?)?;
        let template = gotmpl::Template::new("")
            .missing_key(MissingKey::Error)
            .func("index", index)
            .parse(source)
            .map_err(syntax)?;
        survey.rehearse(&template)?;
        Ok(Self {
            engine: Engine::Go(template),
            names: survey.names,
            printed: survey.printed,
        })
    }

    /// The claims and defaults that the template may read.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Those of them that it prints whatever the values are.
    pub(super) fn printed(&self) -> impl Iterator<Item = &str> {
        self.printed.iter().map(String::as_str)
    }

    /// Fills the template with a map from names to strings.
    pub(super) fn render(&self, data: &Value) -> Result<String, gotmpl::TemplateError> {
        match &self.engine {
            Engine::Go(template) => template.execute_to_string(data),
            Engine::Claim(name) => match data.field(name) {
                Some(Value::String(text)) => Ok(text.to_string()),
                _ => Err(gotmpl::TemplateError::MissingKey { key: name.clone() }),
            },
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

fn syntax(error: gotmpl::TemplateError) -> TemplateError {
    TemplateError::Syntax(Box::new(error))
}

/// The parsed template, with the sentinel as its last text. The parser takes a missing `{{end}}` for granted and
/// ignores what follows one too many, where Go refuses both; then the sentinel is inside a branch, or nowhere.
fn tree(source: &str) -> Result<ListNode, TemplateError> {
    if source.contains(SENTINEL) {
        return Err(TemplateError::Construct("a control character"));
    }
    let guarded = format!("{source}{SENTINEL}");
    let parse = |source: &str| Parser::new(source, "{{", "}}").and_then(Parser::parse);
    // What is wrong with the template itself is said in its own words.
    let parsed = parse(&guarded).map_err(|guarded| parse(source).err().unwrap_or(guarded));
    let (list, defines) = parsed.map_err(syntax)?;
    if !defines.is_empty() {
        return Err(TemplateError::Construct("a named template"));
    }
    match list.nodes.as_slice() {
        [Node::Text(_)] => Err(TemplateError::Empty),
        [.., Node::Text(last)] if last.text.ends_with(SENTINEL) => Ok(list),
        _ => Err(TemplateError::Unbalanced),
    }
}

/// `index` as Go does it on a map of strings: a missing key is the empty string, not an error.
fn index(arguments: &[Value]) -> gotmpl::Result<Value> {
    let [data, Value::String(name)] = arguments else {
        return Err(gotmpl::TemplateError::Exec(
            "index takes the claims and one name".to_owned(),
        ));
    };
    Ok(data
        .field(name)
        .cloned()
        .unwrap_or_else(|| Value::String("".into())))
}

/// Whether a part of a template is reached whatever the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Always,
    Sometimes,
}

/// A walk over a parsed template: which names it reads, and that it uses nothing else. The parser bounds its depth.
#[derive(Debug, Default)]
struct Survey {
    names: BTreeSet<String>,
    printed: BTreeSet<String>,
}

impl Survey {
    fn of(tree: &ListNode) -> Result<Self, TemplateError> {
        let mut survey = Self::default();
        survey.list(tree, Position::Always)?;
        Ok(survey)
    }

    /// One rendering with made-up claims finds what the parser does not, such as a function without its arguments.
    fn rehearse(&self, template: &gotmpl::Template) -> Result<(), TemplateError> {
        let sample = |name: &String| (Arc::from(name.as_str()), Value::String("sample".into()));
        let data = Value::Map(Arc::new(self.names.iter().map(sample).collect()));
        template.execute_to_string(&data).map_err(syntax)?;
        Ok(())
    }

    fn list(&mut self, list: &ListNode, position: Position) -> Result<(), TemplateError> {
        list.nodes.iter().try_for_each(|node| self.node(node, position))
    }

    fn node(&mut self, node: &Node, position: Position) -> Result<(), TemplateError> {
        match node {
            Node::Text(_) => Ok(()),
            Node::List(list) => self.list(list, position),
            Node::Action(action) => {
                if position == Position::Always {
                    self.printed.extend(sole_name(&action.pipe));
                }
                self.pipe(&action.pipe)
            }
            Node::If(branch) => {
                self.pipe(&branch.pipe)?;
                self.list(&branch.body, Position::Sometimes)?;
                branch
                    .else_body
                    .as_ref()
                    .map_or(Ok(()), |list| self.list(list, Position::Sometimes))
            }
            Node::Range(_) | Node::Break(_) | Node::Continue(_) => Err(TemplateError::Construct("a loop")),
            Node::With(_) => Err(TemplateError::Construct("`with`")),
            Node::Template(_) | Node::Define(_) => Err(TemplateError::Construct("a named template")),
        }
    }

    fn pipe(&mut self, pipe: &PipeNode) -> Result<(), TemplateError> {
        if !pipe.decl.is_empty() {
            return Err(TemplateError::Construct("a variable"));
        }
        pipe.commands.iter().try_for_each(|command| self.command(command))
    }

    fn command(&mut self, command: &CommandNode) -> Result<(), TemplateError> {
        if let Some(name) = indexed_name(command) {
            self.names.insert(name.to_owned());
            return Ok(());
        }
        match command.args.as_slice() {
            [Expr::Identifier(_, name), Expr::String(..), ..] if name == "printf" => {}
            [Expr::Identifier(_, name), ..] if name == "printf" => {
                return Err(TemplateError::Construct("`printf` without a quoted format"));
            }
            _ => {}
        }
        command
            .args
            .iter()
            .try_for_each(|argument| self.expression(argument))
    }

    fn expression(&mut self, expression: &Expr) -> Result<(), TemplateError> {
        match expression {
            Expr::String(..) => Ok(()),
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Identifier(_, name) if name == "index" => Err(TemplateError::Construct(
                "`index` other than on `.` with a quoted name",
            )),
            Expr::Identifier(_, name) if FUNCTIONS.contains(&name.as_str()) => Ok(()),
            Expr::Identifier(_, name) => Err(TemplateError::Function(name.to_string())),
            Expr::Field(_, fields) => match fields.as_slice() {
                [name] => {
                    self.names.insert(name.to_string());
                    Ok(())
                }
                _ => Err(TemplateError::Construct(
                    "a field of a field (claims are strings)",
                )),
            },
            Expr::Chain(..) => Err(TemplateError::Construct(
                "a field of a field (claims are strings)",
            )),
            Expr::Variable(..) => Err(TemplateError::Construct("a variable")),
            Expr::Dot(_) => Err(TemplateError::Construct("`.` alone")),
            Expr::Number(..) | Expr::Bool(..) | Expr::Nil(_) => Err(TemplateError::Construct(
                "a number, boolean or nil (claims are strings)",
            )),
        }
    }
}

/// The name in `index . "name"`.
fn indexed_name(command: &CommandNode) -> Option<&str> {
    match command.args.as_slice() {
        [Expr::Identifier(_, function), Expr::Dot(_), Expr::String(_, name)] if function == "index" => {
            Some(name)
        }
        _ => None,
    }
}

/// The name that a pipeline does nothing but print: `.name`, or `index . "name"`, in parentheses or not.
fn sole_name(pipe: &PipeNode) -> Option<String> {
    let [command] = pipe.commands.as_slice() else {
        return None;
    };
    match command.args.as_slice() {
        [Expr::Field(_, fields)] => fields.first().map(ToString::to_string),
        [Expr::Pipe(_, inner)] => sole_name(inner),
        _ => indexed_name(command).map(str::to_owned),
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
