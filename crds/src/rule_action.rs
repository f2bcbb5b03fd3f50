//! [`RuleAction`]: what a rule of a policy lists as its actions.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Action;

/// An action of a rule, or in a Deny `*` for every one on a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RuleAction {
    /// `*`: whatever is done on a repository, the actions of later versions included.
    Any(Star),
    /// The action of that name.
    Named(Action),
}

/// `*`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Star {
    /// `*`
    #[serde(rename = "*")]
    Star,
}

impl JsonSchema for RuleAction {
    fn schema_name() -> Cow<'static, str> {
        "RuleAction".into()
    }

    /// One list of names, so that the API server's message names them all.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Action::json_schema(generator);
        if let Some(names) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            names.insert(0, "*".into());
        }
        schema.insert(
            "description".to_owned(),
            "Something that a request does; `*` is every action on a repository, for Deny only.".into(),
        );
        schema
    }
}
