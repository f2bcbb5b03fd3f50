//! Checks of function calls: the name, the form and the types of the arguments.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue};

use super::{Checked, Checker, Scope};
use crate::expression::environment::network;
use crate::network::parse_network;
use crate::pattern::{Kind, Pattern};
use crate::vocabulary::{Function, MACROS, Style, ValueType, functions, write_call};
use crate::{ExpressionError, closest};

impl Checker<'_> {
    /// The type of a call's result.
    pub(super) fn function_call(
        &self,
        expression: &IdedExpr,
        call: &CallExpr,
        scope: Option<&Scope<'_>>,
    ) -> Checked<ValueType> {
        let style = if call.target.is_some() {
            Style::Member
        } else {
            Style::Global
        };
        let candidates = self.functions_called(expression, &call.func_name, style)?;
        let arguments = call.target.as_deref().into_iter().chain(&call.args);
        let types = arguments
            .map(|argument| self.value(argument, scope))
            .collect::<Checked<Vec<_>>>()?;
        let fitting = candidates.iter().find(|function| {
            function.parameters.len() == types.len()
                && function
                    .parameters
                    .iter()
                    .zip(&types)
                    .all(|(want, got)| want.accepts(*got))
        });
        if fitting.is_some() {
            self.literal_argument(call)?;
        }
        fitting.map(|function| function.result).ok_or_else(|| {
            let mut written = String::new();
            // Writing to a string cannot fail.
            let _ = write_call(&mut written, style, &call.func_name, &types);
            let signatures: Vec<String> = candidates.iter().map(|function| format!("`{function}`")).collect();
            let message = format!("`{written}` does not exist; there is {}", signatures.join(", "));
            self.error_at_name(expression, message)
        })
    }

    /// Checks what a function is given as a text in quotes, where the text decides whether the call can work at all. A
    /// pattern must be one: it is compiled here and now.
    fn literal_argument(&self, call: &CallExpr) -> Checked<()> {
        let Some(argument) = call.args.last() else {
            return Ok(());
        };
        let text = match &argument.expr {
            Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
            _ => None,
        };
        let wrong = match (Kind::of_function(&call.func_name), call.func_name.as_str(), text) {
            (Some(kind), _, Some(text)) => Pattern::compile(kind, text).err(),
            (Some(_), name, None) => Some(format!(
                "the pattern of `{name}` is written out in quotes, so that it is compiled only once; compare computed texts with `==` or `startsWith`"
            )),
            (None, "cidr" | "containsCIDR", Some(text)) => parse_network(text).err(),
            (None, "ip" | "containsIP", Some(text)) => network::parse_ip(text).err(),
            (None, _, _) => None,
        };
        wrong.map_or(Ok(()), |message| Err(self.error_at_start(argument, message)))
    }

    /// The signatures that a call of this name and form may mean; at least one.
    fn functions_called(&self, call: &IdedExpr, name: &str, style: Style) -> Checked<Vec<&'static Function>> {
        let named: Vec<_> = functions().iter().filter(|function| function.name == name).collect();
        let fitting: Vec<_> = named
            .iter()
            .copied()
            .filter(|function| function.style == style)
            .collect();
        if !fitting.is_empty() {
            return Ok(fitting);
        }
        let message = match (named.first(), style) {
            (Some(_), Style::Global) => format!("`{name}` is called on a value: write it as in `x.{name}(...)`"),
            (Some(_), Style::Member) => format!("`{name}` is not called on a value: write it as in `{name}(x)`"),
            (None, _) if name == "has" => "`has` takes one field: write it as in `has(request.reference)`".to_owned(),
            (None, _) if MACROS.contains(&name) => {
                format!(
                    "`{name}` is called on a list, with a name and a condition: write it as in `request.tags.{name}(t, t != 'latest')`"
                )
            }
            (None, _) => unknown_function(name),
        };
        Err(self.error_at_name(call, message))
    }

    fn error_at_name(&self, call: &IdedExpr, message: String) -> ExpressionError {
        self.positions.error(self.positions.called_name(call), message)
    }
}

fn unknown_function(name: &str) -> String {
    let names: BTreeSet<&str> = functions().iter().map(|function| function.name).collect();
    let meant = closest(name, names.iter().copied().chain(MACROS))
        .map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
    format!(
        "unknown function `{name}`{meant}; the functions are {}, and the macros {}",
        names.into_iter().collect::<Vec<_>>().join(", "),
        MACROS.join(", ")
    )
}
