//! The static check of a parsed expression: every variable, field and function must exist, the operands must be of
//! types that the operators accept, and the result must be of the type that is asked for.
//!
//! The CEL library has no type checker, so without this a misspelt field is found at the first request, as an error
//! that denies.

mod call;
mod comprehension;
mod operator;
mod path;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr};

use super::position::Positions;
use super::{ExpressionError, Purpose};
use crate::vocabulary::{ValueType, Variable};

/// Checks a whole expression.
pub(super) fn check(root: &IdedExpr, positions: &Positions<'_>, purpose: Purpose) -> Result<(), ExpressionError> {
    let checker = Checker {
        positions,
        roots: purpose.roots(),
    };
    let found = checker.value(root, None)?;
    purpose
        .accepts(found)
        .map_err(|wanted| checker.error_at_start(root, wanted))
}

impl Purpose {
    /// Whether an expression for this may have a result of type `found`, and if not, why.
    fn accepts(self, found: ValueType) -> Result<(), String> {
        match (self, found) {
            (Self::Condition, ValueType::Bool)
            | (Self::Text | Self::Texts, ValueType::String | ValueType::Dyn)
            | (Self::Texts, ValueType::List(ValueType::String | ValueType::Dyn)) => Ok(()),
            (Self::Condition, ValueType::Dyn) => Err(
                "the result must be true or false, and what this gives is known only at each request: compare it, as in \
                 `... == true`"
                    .to_owned(),
            ),
            (Self::Condition, other) => Err(format!("the result must be true or false, not {}", with_article(other))),
            (Self::Text, other) => Err(format!("the result must be a text, not {}", with_article(other))),
            (Self::Texts, other) => Err(format!(
                "the result must be a text or a list of texts, not {}",
                with_article(other)
            )),
        }
    }
}

struct Checker<'e> {
    positions: &'e Positions<'e>,
    roots: &'static [Variable],
}

/// The names that a macro brings in. Macros do not nest, so there is at most one.
#[derive(Clone, Copy)]
struct Scope<'e> {
    variable: &'e str,
    variable_type: ValueType,
    accumulator: &'e str,
    accumulator_type: ValueType,
}

type Checked<T> = Result<T, ExpressionError>;

impl Checker<'_> {
    /// The type of an expression whose value is used. An object is no value.
    fn value(&self, expression: &IdedExpr, scope: Option<&Scope<'_>>) -> Checked<ValueType> {
        let found = self.infer(expression, scope)?;
        if let ValueType::Object(object) = found {
            let names: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
            let message = format!(
                "`{}` is no value: use one of its fields, {}",
                object.path,
                names.join(", ")
            );
            return Err(self.error_at_start(expression, message));
        }
        Ok(found)
    }

    fn infer(&self, expression: &IdedExpr, scope: Option<&Scope<'_>>) -> Checked<ValueType> {
        match &expression.expr {
            Expr::Literal(literal) => Ok(type_of_literal(literal)),
            Expr::Ident(name) => self.variable(expression, name, scope),
            Expr::Select(select) => self.select(expression, select, scope),
            Expr::Call(call) => self.call(expression, call, scope),
            Expr::List(list) => self.list(expression, list, scope),
            Expr::Map(map) => self.map(map, scope),
            Expr::Comprehension(comprehension) => self.comprehension(expression, comprehension, scope),
            Expr::Struct(construction) => {
                let message = format!("there is no type `{}` to construct", construction.type_name);
                Err(self.error_at_start(expression, message))
            }
            Expr::Unspecified => Err(self.error_at_start(expression, "this is no expression")),
        }
    }

    fn call(&self, expression: &IdedExpr, call: &CallExpr, scope: Option<&Scope<'_>>) -> Checked<ValueType> {
        match operator::Operator::of(call) {
            Some(operator) => self.operation(expression, operator, &call.args, scope),
            None => self.function_call(expression, call, scope),
        }
    }

    fn list(&self, expression: &IdedExpr, list: &ListExpr, scope: Option<&Scope<'_>>) -> Checked<ValueType> {
        if !list.optional_indices.is_empty() {
            return Err(self.error_at_start(expression, "optional elements are not supported"));
        }
        let types = list
            .elements
            .iter()
            .map(|element| self.value(element, scope))
            .collect::<Checked<Vec<_>>>()?;
        Ok(ValueType::List(join_all(types)))
    }

    fn map(&self, map: &MapExpr, scope: Option<&Scope<'_>>) -> Checked<ValueType> {
        let mut types = Vec::with_capacity(map.entries.len());
        for entry in &map.entries {
            let entry = match &entry.expr {
                EntryExpr::MapEntry(entry) if !entry.optional => entry,
                EntryExpr::MapEntry(entry) => {
                    return Err(self.error_at_start(&entry.key, "optional entries are not supported"));
                }
                EntryExpr::StructField(field) => {
                    return Err(self.error_at_start(&field.value, "fields are not supported in a map"));
                }
            };
            let key = self.value(&entry.key, scope)?;
            if !matches!(
                key,
                ValueType::Dyn | ValueType::String | ValueType::Int | ValueType::Uint | ValueType::Bool
            ) {
                let message = format!("the key of a map cannot be {}", with_article(key));
                return Err(self.error_at_start(&entry.key, message));
            }
            types.push(self.value(&entry.value, scope)?);
        }
        Ok(ValueType::Map(join_all(types)))
    }

    fn error_at_start(&self, expression: &IdedExpr, message: impl Into<String>) -> ExpressionError {
        self.positions.error(self.positions.start(expression), message.into())
    }
}

fn type_of_literal(literal: &LiteralValue) -> ValueType {
    match literal {
        LiteralValue::Boolean(_) => ValueType::Bool,
        LiteralValue::Bytes(_) => ValueType::Bytes,
        LiteralValue::Double(_) => ValueType::Double,
        LiteralValue::Int(_) => ValueType::Int,
        LiteralValue::Null => ValueType::Null,
        LiteralValue::String(_) => ValueType::String,
        LiteralValue::UInt(_) => ValueType::Uint,
    }
}

/// The type of the elements of a list literal, or of the values of a map literal.
fn join_all(types: Vec<ValueType>) -> &'static ValueType {
    types
        .into_iter()
        .reduce(ValueType::join)
        .unwrap_or(ValueType::Dyn)
        .interned()
}

/// A type as a noun of a sentence.
fn with_article(found: ValueType) -> String {
    match found {
        ValueType::Null => "null".to_owned(),
        ValueType::Dyn => "a value whose type is known only at each request".to_owned(),
        ValueType::Int => "an int".to_owned(),
        ValueType::Object(object) => format!("the object `{}`", object.path),
        other => format!("a {other}"),
    }
}
