//! Checks of variables and fields.

use cel::IdedExpr;
use cel::common::ast::{Expr, SelectExpr, operators};

use super::{Checked, Checker, Scope, with_article};
use crate::closest;
use crate::vocabulary::{ValueType, Variable, functions, variables};

impl Checker<'_> {
    /// The type of a variable.
    pub(super) fn variable(&self, expression: &IdedExpr, name: &str, scope: Option<&Scope<'_>>) -> Checked<ValueType> {
        if let Some(scope) = scope {
            if name == scope.variable {
                return Ok(scope.variable_type);
            }
            if name == scope.accumulator {
                return Ok(scope.accumulator_type);
            }
        }
        if let Some(root) = self.roots.iter().find(|root| root.name == name) {
            return Ok(root.value_type);
        }
        let message = match name.strip_prefix('.') {
            Some(absolute) => format!("`{name}` starts with a dot: write `{absolute}`"),
            None => format!("unknown variable `{name}`{}", suggest_variable(self.roots, name)),
        };
        Err(self.error_at_start(expression, message))
    }

    /// The type of a field, or of the question whether there is one.
    pub(super) fn select(
        &self,
        expression: &IdedExpr,
        select: &SelectExpr,
        scope: Option<&Scope<'_>>,
    ) -> Checked<ValueType> {
        let found = match self.infer(&select.operand, scope)? {
            ValueType::Object(object) => object
                .field(&select.field)
                .map(|field| field.value_type)
                .ok_or_else(|| {
                    let names: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
                    let hint = closest(&select.field, names.iter().copied()).map_or_else(
                        || format!(": its fields are {}", names.join(", ")),
                        |name| format!("; did you mean `{name}`?"),
                    );
                    format!("unknown field `{}` of `{}`{hint}", select.field, object.path)
                }),
            ValueType::Map(value) => Ok(*value),
            ValueType::Dyn => Ok(ValueType::Dyn),
            _ if functions().iter().any(|function| function.name == select.field) => {
                Err(format!("`{0}` is a function: write `{0}(...)`", select.field))
            }
            other => Err(format!(
                "`.{}` asks for a field, and {} has none",
                select.field,
                with_article(other)
            )),
        }
        .map_err(|message| self.positions.error(self.positions.field(expression, select), message))?;
        Ok(if select.test { ValueType::Bool } else { found })
    }
}

/// Whether an expression is a path of the vocabulary, or an entry of a map of the vocabulary by a constant key.
pub(super) fn is_path(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Ident(_) => true,
        Expr::Select(select) => !select.test && is_path(&select.operand),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [operand, key] => is_path(operand) && matches!(key.expr, Expr::Literal(_)),
            _ => false,
        },
        _ => false,
    }
}

fn suggest_variable(roots: &'static [Variable], name: &str) -> String {
    let paths: Vec<String> = variables(roots).into_iter().map(|(path, _)| path).collect();
    let field = paths.iter().find(|path| path.rsplit('.').next() == Some(name));
    let names = roots.iter().map(|root| root.name);
    if let Some(meant) = field.map(String::as_str).or_else(|| closest(name, names.clone())) {
        return format!("; did you mean `{meant}`?");
    }
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!(": there {verb} {}; a text needs quotes", names.join(" and "))
}
