//! Scopes of tokens.

use wharfinger_registry::token::{Scope, ScopeTarget};

use super::is_name;

/// Nothing is granted that was not asked for by its name, or by `*`.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(scopes) = Scope::parse_all([text]) else { return };
    let asked: Vec<&str> = text.split(' ').filter(|scope| !scope.is_empty()).collect();
    assert!(
        scopes.len() <= asked.len() && asked.len() <= 64,
        "{} scopes",
        asked.len()
    );
    for scope in scopes {
        let (start, name) = match &scope.target {
            ScopeTarget::Repository(name) => {
                assert!(is_name(name.as_str()), "{name}");
                ("repository", name.as_str())
            }
            ScopeTarget::Catalog => ("registry", "catalog"),
        };
        let is_asked = asked.iter().any(|asked| {
            let Some((target, actions)) = asked.rsplit_once(':') else {
                return false;
            };
            let names: Vec<&str> = actions.split(',').collect();
            let is_granted = scope
                .grants
                .iter()
                .all(|grant| names.contains(&grant.as_str()) || names.contains(&"*"));
            target.starts_with(start) && target.ends_with(name) && is_granted
        });
        assert!(is_asked, "{scope:?} was not asked for in {text:?}");
    }
}
