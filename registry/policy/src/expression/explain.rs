//! What the parts of a condition give for one request: for people who want to know why it holds or does not.

use std::thread;

use cel::common::ast::{CallExpr, Expr, operators};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use cel::{Context, IdedExpr, Value};
use serde::Serialize;

use super::position::Positions;
use super::{Compiled, Expression, environment, parse};
use crate::facts::{Facts, Variables};
use crate::{Caller, Request};

/// How many characters of a value are shown.
const MAX_SHOWN: usize = 200;

/// A part of a condition, and what it gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// The part as it is written, on one line.
    pub text: String,
    /// How deep it is within others: the whole is at 0.
    pub depth: usize,
    /// What it gives, or why it gives nothing.
    pub value: Result<String, String>,
}

impl Expression {
    /// The whole, its operands of `&&`, `||`, `!` and `? :`, and theirs, each with what it gives; then the facts that it reads. A part
    /// is evaluated alone, also where the whole does not come to it.
    pub fn explain(&self, caller: &Caller<'_>, request: &Request<'_>) -> Vec<Part> {
        // Expressions nest deeper than the stacks of threads allow.
        thread::scope(|scope| {
            let explaining = thread::Builder::new()
                .name("explain".to_owned())
                .stack_size(parse::STACK)
                .spawn_scoped(scope, || self.explain_here(caller, request));
            let explained = explaining.ok().and_then(|thread| thread.join().ok());
            explained.unwrap_or_default()
        })
    }

    fn explain_here(&self, caller: &Caller<'_>, request: &Request<'_>) -> Vec<Part> {
        // Where parts stand in the text is not kept for decisions. The text was parsed before, so it can be again.
        let Ok(program) = environment::shared().compile(self.source()) else {
            return Vec::new();
        };
        let Compiled { root, patterns } = &self.0.compiled;
        let facts = Facts::new(caller, request);
        let variables = Variables::new(&facts, patterns);
        let mut context = Context::with_env(environment::shared());
        context.set_variable_resolver(&variables);
        let mut found = Explained {
            source: self.source(),
            positions: Positions(program.source_info()),
            context: &context,
            parts: Vec::new(),
        };
        found.logic(root, 0);
        found.facts(root);
        found.parts
    }
}

struct Explained<'e, 'p, 'v> {
    source: &'e str,
    positions: Positions<'e>,
    context: &'e Context<'p, 'v>,
    parts: Vec<Part>,
}

impl Explained<'_, '_, '_> {
    /// An expression that is true or false, and the parts that make it so.
    fn logic(&mut self, expression: &IdedExpr, depth: usize) {
        // Of the whole everything is shown, the parentheses before it included.
        let text = if depth == 0 {
            self.source.trim()
        } else {
            &self.source[self.positions.start(expression)..self.end(expression)]
        };
        self.push(expression, text, depth);
        for operand in operands(expression) {
            self.logic(operand, depth + 1);
        }
    }

    /// Where the text of an operand ends: the parentheses that its last operand is in included.
    fn end(&self, expression: &IdedExpr) -> usize {
        let start = self.positions.start(expression);
        let Some(last) = operands(expression).pop() else {
            return start + extent(&self.source[start..]);
        };
        let mut end = self.end(last);
        while open_parentheses(&self.source[start..end]) > 0 {
            let Some(next) = self.source[end..].find(')') else {
                break;
            };
            end += next + 1;
        }
        end
    }

    /// The facts that an expression reads, each once.
    fn facts(&mut self, expression: &IdedExpr) {
        if let Some(path) = path(expression) {
            if path.contains('.') && self.parts.iter().all(|part| part.text != path) {
                self.push(expression, &path, 1);
            }
            return;
        }
        super::limits::for_each_child(expression, &mut |child| self.facts(child));
    }

    fn push(&mut self, expression: &IdedExpr, text: &str, depth: usize) {
        let value = Value::resolve_val(expression, self.context);
        let value = value.map(|value| show(value.as_ref()));
        self.parts.push(Part {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            depth,
            value: value.map_err(|error| environment::describe(&error)),
        });
    }
}

/// The operands of a logical operator, those of a chain of the same one side by side.
fn operands(expression: &IdedExpr) -> Vec<&IdedExpr> {
    let Some(call) = logical(expression) else {
        return Vec::new();
    };
    let flatten = |operand: &'_ IdedExpr| logical(operand).is_some_and(|inner| inner.func_name == call.func_name);
    let is_chain = matches!(call.func_name.as_str(), operators::LOGICAL_AND | operators::LOGICAL_OR);
    call.args
        .iter()
        .flat_map(|operand| {
            if is_chain && flatten(operand) {
                operands(operand)
            } else {
                vec![operand]
            }
        })
        .collect()
}

fn logical(expression: &IdedExpr) -> Option<&CallExpr> {
    match &expression.expr {
        Expr::Call(call)
            if matches!(
                call.func_name.as_str(),
                operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT | operators::CONDITIONAL
            ) =>
        {
            Some(call)
        }
        _ => None,
    }
}

/// The path of a fact, as in `identity.groups`.
fn path(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) if matches!(name.as_str(), "identity" | "request") => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", path(&select.operand)?, select.field)),
        _ => None,
    }
}

/// How many bytes an operand has that begins where `text` does and has no operands of its own: up to the next operator that binds
/// less, or to a parenthesis that was opened before it.
fn extent(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut before = None;
    for (at, character) in unquoted(text) {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth > 0 => depth -= 1,
            ')' | ']' | '}' | '?' | ':' | ',' if depth == 0 => return text[..at].trim_end().len(),
            '&' | '|' if depth == 0 && before == Some((at.wrapping_sub(1), character)) => {
                return text[..at - 1].trim_end().len();
            }
            _ => {}
        }
        before = Some((at, character));
    }
    text.trim_end().len()
}

/// How many parentheses are opened in a text and not closed.
fn open_parentheses(text: &str) -> usize {
    unquoted(text).fold(0, |open, (_, character)| match character {
        '(' => open + 1,
        ')' => open.saturating_sub(1),
        _ => open,
    })
}

/// The characters of a text that are within no quotes, with their places.
fn unquoted(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut is_escaped) = (None, false);
    text.char_indices().filter(move |(_, character)| {
        let Some(open) = quote else {
            if matches!(character, '"' | '\'') {
                quote = Some(*character);
            }
            return quote.is_none();
        };
        if is_escaped {
            is_escaped = false;
        } else if *character == '\\' {
            is_escaped = true;
        } else if *character == open {
            quote = None;
        }
        false
    })
}

/// A value as it would be written.
fn show(value: &dyn Val) -> String {
    let shown = written(value);
    match shown.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}

fn written(value: &dyn Val) -> String {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return format!("'{}'", text.inner());
    }
    if let Some(found) = value.downcast_ref::<CelBool>() {
        return found.inner().to_string();
    }
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return number.inner().to_string();
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return number.inner().to_string();
    }
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return number.inner().to_string();
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return "null".to_owned();
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        let elements: Vec<String> = list.inner().iter().map(|element| written(element.as_ref())).collect();
        return format!("[{}]", elements.join(", "));
    }
    if value.downcast_ref::<CelMap<'_>>().is_some() {
        return "a map".to_owned();
    }
    format!("a value of type {}", value.get_type().name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Identity};

    fn explain(source: &str) -> Vec<String> {
        let groups = ["dev".to_owned()];
        let caller = Caller {
            identity: Some(Identity {
                id: "i",
                username: "ann",
                groups: &groups,
                ..Identity::default()
            }),
            ..Caller::default()
        };
        let request = Request {
            repository: Some("team/app"),
            ..Request::bare(Action::GetManifest, "GET")
        };
        let parts = Expression::parse(source).unwrap().explain(&caller, &request);
        let line = |part: Part| {
            let value = part.value.unwrap_or_else(|why| format!("error: {why}"));
            format!("{}{} = {value}", "  ".repeat(part.depth), part.text)
        };
        parts.into_iter().map(line).collect()
    }

    #[test]
    fn each_operand_is_shown_with_what_it_gives() {
        assert_eq!(
            explain(
                "identity.username == 'ann' && ('ops' in identity.groups ||\n  request.repository.startsWith('te')) && !has(request.n)"
            ),
            [
                "identity.username == 'ann' && ('ops' in identity.groups || request.repository.startsWith('te')) && !has(request.n) = true",
                "  identity.username == 'ann' = true",
                "  'ops' in identity.groups || request.repository.startsWith('te') = true",
                "    'ops' in identity.groups = false",
                "    request.repository.startsWith('te') = true",
                "  !has(request.n) = true",
                "    has(request.n) = false",
                "  identity.username = 'ann'",
                "  identity.groups = ['dev']",
                "  request.repository = 'team/app'",
            ]
        );
    }

    #[test]
    fn parts_are_shown_with_their_parentheses_and_quotes() {
        let lines = explain("!(has(request.tags) && (identity.username in ['a)', 'b || c'] || true)) ? true : (false)");
        let texts: Vec<&str> = lines.iter().map(|line| line.trim_start()).collect();
        assert_eq!(
            texts[1..],
            [
                "!(has(request.tags) && (identity.username in ['a)', 'b || c'] || true)) = false",
                "has(request.tags) && (identity.username in ['a)', 'b || c'] || true) = true",
                "has(request.tags) = true",
                "identity.username in ['a)', 'b || c'] || true = true",
                "identity.username in ['a)', 'b || c'] = false",
                "true = true",
                "true = true",
                "false = false",
                "identity.username = 'ann'",
            ]
        );
    }

    #[test]
    fn what_cannot_be_evaluated_says_why() {
        assert_eq!(
            explain("request.n > 5u || identity.groups.exists(g, g == 'a && b') || identity.username.matches('^a')"),
            [
                "request.n > 5u || identity.groups.exists(g, g == 'a && b') || identity.username.matches('^a') = true",
                "  request.n > 5u = error: `request.n` is missing: ask `has()` or `in` before reading it",
                "  identity.groups.exists(g, g == 'a && b') = false",
                "  identity.username.matches('^a') = true",
                "  request.n = error: `request.n` is missing: ask `has()` or `in` before reading it",
                "  identity.groups = ['dev']",
                "  identity.username = 'ann'",
            ]
        );
    }
}
