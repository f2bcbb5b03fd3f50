//! Whom a token is for.

use serde_json::{Map, Value};

/// How many audiences a token may have: one that is for very many is for nobody.
const MAX_AUDIENCES: usize = 16;

/// Whether the claims of a token name an audience that is ours (RFC 7519, section 4.1.3).
pub(crate) fn is_among(claims: &Map<String, Value>, is_ours: impl Fn(&str) -> bool) -> bool {
    let is_ours = |audience: &Value| audience.as_str().is_some_and(&is_ours);
    match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.len() <= MAX_AUDIENCES && audiences.iter().any(is_ours),
        Some(audience) => is_ours(audience),
        None => false,
    }
}
