//! Whom a token is for.

use serde::Deserialize;
use serde_json::{Map, Value};

/// How many audiences a token may have: one that is for very many is for nobody.
const MAX_AUDIENCES: usize = 16;

/// Whom a token is for (RFC 7519, section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several, or none.
    Many(Vec<String>),
}

/// Why the token of a ServiceAccount is not for a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudienceRefusal {
    /// It is for very many.
    TooMany,
    /// It is for the API server as well: whoever could read it here could use it there.
    ApiServer,
    /// It is for somebody else.
    Other,
}

impl Audience {
    /// Whether a token of a ServiceAccount that `issuer`, the API server, has made is for one of `ours`.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check_account(&self, issuer: &str, ours: &[String]) -> Result<(), AudienceRefusal> {
        let all = match self {
            Self::One(audience) => std::slice::from_ref(audience),
            Self::Many(audiences) => audiences,
        };
        if all.len() > MAX_AUDIENCES {
            Err(AudienceRefusal::TooMany)
        } else if all.iter().any(|audience| audience == issuer) {
            Err(AudienceRefusal::ApiServer)
        } else if all.iter().any(|audience| ours.contains(audience)) {
            Ok(())
        } else {
            Err(AudienceRefusal::Other)
        }
    }
}

/// Whether the claims of a token name an audience that is ours (RFC 7519, section 4.1.3).
pub(crate) fn is_among(claims: &Map<String, Value>, is_ours: impl Fn(&str) -> bool) -> bool {
    let is_ours = |audience: &Value| audience.as_str().is_some_and(&is_ours);
    match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.len() <= MAX_AUDIENCES && audiences.iter().any(is_ours),
        Some(audience) => is_ours(audience),
        None => false,
    }
}
