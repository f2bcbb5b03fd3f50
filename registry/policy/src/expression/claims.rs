//! Expressions over the claims of a token: who somebody is by what an issuer says of them.

use std::fmt;

use cel::common::types::{CelList, CelString};
use cel::common::value::Val;
use serde_json::Map;

use super::compiled::Compiled;
use super::{ExpressionError, Purpose, parse};
use crate::facts::{ClaimVariables, MAX_LIST_LENGTH};

/// An expression over `claims` that gives a text, such as `claims.sub`.
pub struct ClaimText(Claims);

/// An expression over `claims` that gives a text or a list of texts, such as `claims.groups`.
pub struct ClaimTexts(Claims);

struct Claims {
    source: Box<str>,
    compiled: Compiled,
}

impl ClaimText {
    /// Parses and checks an expression, with the guarantees of an [`Expression`](super::Expression).
    ///
    /// # Errors
    /// The first thing that is wrong with the text, and where.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        Claims::parse(source, Purpose::Text).map(Self)
    }

    /// The text for these claims.
    ///
    /// # Errors
    /// Why there is none, such as a claim that is missing.
    pub fn evaluate(&self, claims: &Map<String, serde_json::Value>) -> Result<String, String> {
        self.0
            .evaluate(claims, |value| text(value).ok_or_else(|| no_text(value)))
    }
}

impl ClaimTexts {
    /// Parses and checks an expression, with the guarantees of an [`Expression`](super::Expression).
    ///
    /// # Errors
    /// The first thing that is wrong with the text, and where.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        Claims::parse(source, Purpose::Texts).map(Self)
    }

    /// The texts for these claims, at most [`MAX_LIST_LENGTH`]: conditions would not see more.
    ///
    /// # Errors
    /// Why there are none, such as a claim that is missing.
    pub fn evaluate(&self, claims: &Map<String, serde_json::Value>) -> Result<Vec<String>, String> {
        self.0.evaluate(claims, |value| {
            let Some(list) = value.downcast_ref::<CelList<'_>>() else {
                return text(value).map(|text| vec![text]).ok_or_else(|| no_text(value));
            };
            let elements = list.inner();
            if elements.len() > MAX_LIST_LENGTH {
                return Err(format!(
                    "{} entries are more than the {MAX_LIST_LENGTH} that conditions see",
                    elements.len()
                ));
            }
            let texts = elements.iter().map(|element| {
                let element = element.as_ref();
                text(element).ok_or_else(|| no_text(element))
            });
            texts.collect()
        })
    }
}

impl Claims {
    fn parse(source: &str, purpose: Purpose) -> Result<Self, ExpressionError> {
        Ok(Self {
            compiled: parse::parse(source, purpose)?,
            source: source.into(),
        })
    }

    fn evaluate<T>(
        &self,
        claims: &Map<String, serde_json::Value>,
        read: impl FnOnce(&dyn Val) -> Result<T, String>,
    ) -> Result<T, String> {
        let variables = ClaimVariables::new(claims, &self.compiled.patterns);
        self.compiled.evaluate(&variables, read)
    }
}

fn text(value: &dyn Val) -> Option<String> {
    value
        .downcast_ref::<CelString<'_>>()
        .map(|text| text.inner().to_owned())
}

fn no_text(value: &dyn Val) -> String {
    format!("the result is no text but a value of type {}", value.get_type().name())
}

impl fmt::Debug for ClaimText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClaimText").field(&self.0.source).finish()
    }
}

impl fmt::Debug for ClaimTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClaimTexts").field(&self.0.source).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn text(expression: &str, claims: &Value) -> Result<String, String> {
        let expression = ClaimText::parse(expression).map_err(|error| format!("refused: {error}"))?;
        expression.evaluate(claims.as_object().unwrap())
    }

    fn texts(expression: &str, claims: &Value) -> Result<Vec<String>, String> {
        let expression = ClaimTexts::parse(expression).map_err(|error| format!("refused: {error}"))?;
        expression.evaluate(claims.as_object().unwrap())
    }

    #[test]
    fn a_text_is_made_of_claims() {
        let claims = json!({ "sub": "4f2a", "email": "eve@example.com", "verified": true, "nested": { "name": "n" } });
        for (expression, want) in [
            ("claims.sub", Ok("4f2a")),
            ("claims['sub']", Ok("4f2a")),
            ("claims.nested.name", Ok("n")),
            ("'user-' + claims.sub", Ok("user-4f2a")),
            ("has(claims.name) ? claims.name : claims.email", Ok("eve@example.com")),
            (
                "claims.name",
                Err("`name` is missing: ask `has()` or `in` before reading it"),
            ),
            ("claims.verified", Err("the result is no text but a value of type bool")),
            (
                "claims",
                Err("refused: line 1, column 1: the result must be a text, not a map(string, dyn)"),
            ),
            (
                "1",
                Err("refused: line 1, column 1: the result must be a text, not an int"),
            ),
            (
                "identity.username",
                Err("refused: line 1, column 1: unknown variable `identity`: there is `claims`; a text needs quotes"),
            ),
            (
                "",
                Err("refused: line 1, column 1: the expression is empty: leave the field out if there is none"),
            ),
        ] {
            let found = text(expression, &claims);
            assert_eq!(found.as_deref().map_err(String::as_str), want, "{expression}");
        }
    }

    #[test]
    fn texts_are_made_of_claims() {
        let many: Vec<String> = (0..300).map(|number| number.to_string()).collect();
        let claims = json!({
            "groups": ["a", "b"], "org": "acme", "realm": { "roles": ["r"] }, "many": many, "mixed": ["a", 1], "none": null,
        });
        for (expression, want) in [
            ("claims.groups", Ok(vec!["a", "b"])),
            ("claims.org", Ok(vec!["acme"])),
            ("[claims.org, 'fixed']", Ok(vec!["acme", "fixed"])),
            ("claims.realm.roles + [claims.org]", Ok(vec!["r", "acme"])),
            ("has(claims.absent) ? claims.absent : []", Ok(vec![])),
            (
                "claims.many",
                Err("300 entries are more than the 256 that conditions see"),
            ),
            ("claims.mixed", Err("the result is no text but a value of type int")),
            (
                "claims.none",
                Err("the result is no text but a value of type null_type"),
            ),
            (
                "[1]",
                Err("refused: line 1, column 1: the result must be a text or a list of texts, not a list(int)"),
            ),
        ] {
            let found = texts(expression, &claims);
            let found = found.as_ref().map(|texts| texts.iter().map(String::as_str).collect());
            assert_eq!(found.map_err(String::as_str), want, "{expression}");
        }
    }
}
