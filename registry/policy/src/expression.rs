//! CEL expressions: parsed and checked once, evaluated per request. A condition is an [`Expression`].

mod absence;
mod check;
mod claims;
mod compiled;
mod environment;
mod explain;
mod known;
mod limits;
mod parse;
mod position;
mod syntax_error;

use std::fmt;
use std::sync::Arc;

use cel::common::types::CelBool;

use crate::facts::{Facts, Variables};
use crate::vocabulary::{CLAIM_ROOTS, ROOTS, Variable};
pub use absence::Absence;
pub use claims::{ClaimText, ClaimTexts};
use compiled::Compiled;
pub use explain::Part;

/// A condition over the [`vocabulary`](crate::vocabulary) that was parsed and checked. Cloning is cheap.
///
/// # Guarantees
///
/// The result is a boolean, every variable and function exists, and an evaluation takes bounded time, memory and
/// stack: the text, the depth and the size of an expression are limited, and it iterates only over the lists of the
/// vocabulary, one at a time.
#[derive(Clone)]
pub struct Expression(Arc<Inner>);

struct Inner {
    source: Box<str>,
    compiled: Compiled,
}

impl Expression {
    /// The longest text, in bytes.
    pub const MAX_LENGTH: usize = limits::MAX_LENGTH;

    /// Parses and checks a condition.
    ///
    /// May wait for another thread's expression to be parsed; takes a tenth of a millisecond for usual expressions, and nothing
    /// for those that somebody holds already.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the text, and where.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        if let Some(known) = known::find(source) {
            return Ok(Self(known));
        }
        let compiled = parse::parse(source, Purpose::Condition)?;
        let parsed = Arc::new(Inner {
            source: source.into(),
            compiled,
        });
        known::remember(&parsed);
        Ok(Self(parsed))
    }

    /// The condition as it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether the condition holds; otherwise what kept it from being evaluated. What that means is up to the effect
    /// of the policy.
    pub(crate) fn evaluate(&self, facts: &Facts<'_>) -> Result<bool, String> {
        let compiled = &self.0.compiled;
        let variables = Variables::new(facts, &compiled.patterns);
        compiled.evaluate(&variables, |value| match value.downcast_ref::<CelBool>() {
            Some(holds) => Ok(*holds.inner()),
            None => Err(format!(
                "the result is no boolean but a value of type {}",
                value.get_type().name()
            )),
        })
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.source).finish()
    }
}

impl PartialEq for Expression {
    /// Equal texts are equal conditions.
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Expression {}

/// What an expression is for: what it may refer to, and what it has to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    /// True or false about a request.
    Condition,
    /// A text of the claims of a token.
    Text,
    /// Texts of the claims of a token.
    Texts,
}

impl Purpose {
    fn roots(self) -> &'static [Variable] {
        match self {
            Self::Condition => ROOTS,
            Self::Text | Self::Texts => CLAIM_ROOTS,
        }
    }
}

/// Why a text is no expression of its kind, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ExpressionError {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong there, and what to do about it.
    pub message: String,
}

#[cfg(test)]
mod tests;
