//! Checks of operators: which types they accept, and what they give.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, operators};

use super::{Checked, Checker, Scope, with_article};
use crate::vocabulary::ValueType::{Bool, Bytes, Double, Duration, Dyn, Int, List, Map, Null, Object, Timestamp, Uint};
use crate::vocabulary::{Presence, ROOTS, ValueType, variables};

/// What the operands of an operator that a macro brought in are called.
const MACRO_CONDITION: &str = "the condition of a macro";

/// An operator, apart from its operands.
#[derive(Clone, Copy)]
pub(super) enum Operator {
    Conditional,
    /// `&&` and `||`.
    Logical(&'static str),
    Not,
    /// `==` and `!=`.
    Equality(&'static str),
    /// `<`, `<=`, `>` and `>=`.
    Order(&'static str),
    In,
    Index,
    Negate,
    /// `+`, `-`, `*`, `/` and `%`.
    Arithmetic(&'static str),
    /// What macros ask of their accumulator before each round.
    NotStrictlyFalse,
    /// `a.?b` and `a[?b]`.
    Optional,
}

impl Operator {
    /// The operator that a call stands for, if it is none of a function. The names of operators cannot be written as
    /// calls.
    pub(super) fn of(call: &CallExpr) -> Option<Self> {
        Some(match call.func_name.as_str() {
            operators::CONDITIONAL => Self::Conditional,
            operators::LOGICAL_AND => Self::Logical("&&"),
            operators::LOGICAL_OR => Self::Logical("||"),
            operators::LOGICAL_NOT => Self::Not,
            operators::EQUALS => Self::Equality("=="),
            operators::NOT_EQUALS => Self::Equality("!="),
            operators::LESS => Self::Order("<"),
            operators::LESS_EQUALS => Self::Order("<="),
            operators::GREATER => Self::Order(">"),
            operators::GREATER_EQUALS => Self::Order(">="),
            operators::IN => Self::In,
            operators::INDEX => Self::Index,
            operators::NEGATE => Self::Negate,
            operators::ADD => Self::Arithmetic("+"),
            operators::SUBSTRACT => Self::Arithmetic("-"),
            operators::MULTIPLY => Self::Arithmetic("*"),
            operators::DIVIDE => Self::Arithmetic("/"),
            operators::MODULO => Self::Arithmetic("%"),
            operators::NOT_STRICTLY_FALSE => Self::NotStrictlyFalse,
            operators::OPT_SELECT | operators::OPT_INDEX => Self::Optional,
            _ => return None,
        })
    }
}

impl Checker<'_> {
    /// The type of an operation's result.
    pub(super) fn operation(
        &self,
        expression: &IdedExpr,
        operator: Operator,
        operands: &[IdedExpr],
        scope: Option<&Scope<'_>>,
    ) -> Checked<ValueType> {
        let refuse = |message: String| Err(self.positions.error(self.positions.token(expression), message));
        let is_expanded = self.positions.is_written_as_call(expression);
        match (operator, operands) {
            (Operator::Conditional, [condition, yes, no]) => {
                let place = if is_expanded {
                    MACRO_CONDITION
                } else {
                    "what stands before `?`"
                };
                self.boolean(condition, place, scope)?;
                let yes = self.value(yes, scope)?;
                Ok(yes.join(self.value(no, scope)?))
            }
            (Operator::Logical(_), [accumulator, condition]) if is_expanded => {
                self.boolean(accumulator, MACRO_CONDITION, scope)?;
                self.boolean(condition, MACRO_CONDITION, scope)
            }
            (Operator::Logical(symbol), [left, right]) => {
                self.boolean(left, &format!("the left side of `{symbol}`"), scope)?;
                self.boolean(right, &format!("the right side of `{symbol}`"), scope)
            }
            (Operator::Not, [operand]) => self.boolean(operand, "what follows `!`", scope),
            (Operator::NotStrictlyFalse, [operand]) => self.value(operand, scope).map(|_| Bool),
            (Operator::Equality(symbol), [left, right]) => {
                let types = (self.infer(left, scope)?, self.infer(right, scope)?);
                equality_problem(symbol, types.0, types.1).map_or(Ok(Bool), refuse)
            }
            (Operator::Order(symbol), [left, right]) => {
                let (left, right) = (self.value(left, scope)?, self.value(right, scope)?);
                if left.is_orderable_with(right) {
                    Ok(Bool)
                } else {
                    refuse(mismatch(symbol, left, right))
                }
            }
            (Operator::In, [needle, collection]) => {
                let needle = self.value(needle, scope)?;
                match self.value(collection, scope)? {
                    Dyn => Ok(Bool),
                    List(element) if needle.is_comparable_with(*element) => Ok(Bool),
                    List(element) => refuse(format!(
                        "`in` can never be true: the list holds values of type {element}, and its left side is {}",
                        with_article(needle)
                    )),
                    Map(_) if matches!(needle, Dyn | ValueType::String | Int | Uint | Bool) => Ok(Bool),
                    Map(_) => refuse(format!("the key of a map cannot be {}", with_article(needle))),
                    ValueType::String => {
                        refuse("`in` looks into lists and maps: for a text write `text.contains(part)`".to_owned())
                    }
                    other => refuse(format!(
                        "`in` looks into lists and maps, and this is {}",
                        with_article(other)
                    )),
                }
            }
            (Operator::Index, [operand, index]) => {
                let found = self.infer(operand, scope)?;
                let index = self.value(index, scope)?;
                index_type(found, index).or_else(refuse)
            }
            (Operator::Negate, [operand]) => match self.value(operand, scope)? {
                found @ (Int | Double | Dyn) => Ok(found),
                other => refuse(format!("`-` needs a number, and this is {}", with_article(other))),
            },
            (Operator::Arithmetic(symbol), [left, right]) => {
                let (left, right) = (self.value(left, scope)?, self.value(right, scope)?);
                arithmetic_type(symbol, left, right).map_or_else(|| refuse(mismatch(symbol, left, right)), Ok)
            }
            (Operator::Optional, _) => refuse("optional fields are not supported: ask `has()` first".to_owned()),
            _ => refuse("this operator has another number of operands".to_owned()),
        }
    }

    /// Refuses an operand that cannot be a boolean.
    fn boolean(&self, operand: &IdedExpr, place: &str, scope: Option<&Scope<'_>>) -> Checked<ValueType> {
        match self.value(operand, scope)? {
            Bool | Dyn => Ok(Bool),
            other => {
                let message = format!("{place} must be true or false, and this is {}", with_article(other));
                Err(self.error_at_start(operand, message))
            }
        }
    }
}

/// What is wrong with `==` or `!=` between two types, if anything.
fn equality_problem(symbol: &str, left: ValueType, right: ValueType) -> Option<String> {
    match (left, right) {
        (Object(object), Null) | (Null, Object(object)) => variables(ROOTS)
            .into_iter()
            .find(|(path, variable)| path == object.path && variable.presence == Presence::Always)
            .map(|(path, variable)| format!("`{path}` is never null: it is {}", variable.description)),
        _ if left.is_comparable_with(right) => None,
        _ => Some(format!(
            "`{symbol}` compares {} with {}, which are never equal",
            with_article(left),
            with_article(right)
        )),
    }
}

fn mismatch(symbol: &str, left: ValueType, right: ValueType) -> String {
    let hint = match (left, right) {
        (Int | Uint | Double, Int | Uint | Double) => ": convert one of them, as in `int(request.n)`",
        _ => "",
    };
    format!(
        "`{symbol}` does not work between {} and {}{hint}",
        with_article(left),
        with_article(right)
    )
}

/// The type of `collection[index]`.
fn index_type(collection: ValueType, index: ValueType) -> Result<ValueType, String> {
    match (collection, index) {
        (Dyn, _) => Ok(Dyn),
        (List(element), Int | Uint | Double | Dyn) => Ok(*element),
        (List(_), other) => Err(format!(
            "a list is indexed with a number, not with {}",
            with_article(other)
        )),
        (Map(value), ValueType::String | Int | Uint | Bool | Dyn) => Ok(*value),
        (Map(_), other) => Err(format!("the key of a map cannot be {}", with_article(other))),
        (Object(object), _) => Err(format!(
            "`{path}` cannot be indexed: write `{path}.field`",
            path = object.path
        )),
        (other, _) => Err(format!("{} cannot be indexed", with_article(other))),
    }
}

/// The type of an arithmetic operation's result, if the operator accepts the types. Numbers of different types do not
/// mix, as everywhere in CEL.
fn arithmetic_type(symbol: &str, left: ValueType, right: ValueType) -> Option<ValueType> {
    match (symbol, left, right) {
        ("%", Double, _) | ("%", _, Double) => None,
        (_, Int | Uint | Double, _) | ("+", ValueType::String | Bytes, _) if left == right => Some(left),
        ("+", List(a), List(b)) => Some(List(a.join(*b).interned())),
        ("+" | "-", Timestamp, Duration) | ("+", Duration, Timestamp) => Some(Timestamp),
        ("+" | "-", Duration, Duration) | ("-", Timestamp, Timestamp) => Some(Duration),
        (_, Dyn, other) | (_, other, Dyn) if !matches!(other, Bool | Null | Map(_) | Object(_)) => Some(Dyn),
        _ => None,
    }
}
