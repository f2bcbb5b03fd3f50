//! The schemas of our kinds, with one thing that the API server does silently told instead: fields that they do not have.

use anyhow::{Context, Result};
use jsonschema::Validator;
use serde_json::{Value, json};

/// A value that its schema does not admit.
pub(crate) struct Mismatch {
    /// Where, such as `spec.rules[0].role`.
    pub(crate) path: String,
    pub(crate) message: String,
}

/// The schema of a kind; `None` where it is none of ours.
pub(crate) fn of_kind(kind: &str) -> Result<Option<Validator>> {
    let all = crds::all();
    let found = all.iter().find(|definition| definition.spec.names.kind == kind);
    let version = found.and_then(|definition| definition.spec.versions.first());
    let Some(schema) = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref()) else {
        return Ok(None);
    };
    let mut schema = serde_json::to_value(schema)?;
    // The API server knows these of every object.
    for field in ["apiVersion", "kind", "metadata"] {
        schema["properties"][field] = json!({});
    }
    close(&mut schema);
    let validator = jsonschema::draft202012::new(&schema).context("the schema of our own kind is not one")?;
    Ok(Some(validator))
}

/// What a schema does not admit of an object.
pub(crate) fn mismatches(schema: &Validator, object: &Value) -> Vec<Mismatch> {
    let found = schema.iter_errors(object).map(|error| Mismatch {
        path: dotted(&error.instance_path().to_string()),
        message: error.to_string(),
    });
    found.collect()
}

/// Lets objects have no other fields than those of the schema, where that is all that they are for.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            // What may be absent may be null for those who read it.
            if fields.get("nullable") == Some(&Value::Bool(true))
                && let Some(Value::String(one)) = fields.get("type").cloned()
            {
                fields.insert("type".to_owned(), json!([one, "null"]));
                if let Some(Value::Array(values)) = fields.get_mut("enum") {
                    values.push(Value::Null);
                }
            }
            let keeps_others = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
                || fields.contains_key("additionalProperties");
            if fields.get("properties").is_some_and(Value::is_object) && !keeps_others {
                fields.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}

/// `/spec/rules/0/role` as `spec.rules[0].role`.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').filter(|step| !step.is_empty()) {
        if step.bytes().all(|byte| byte.is_ascii_digit()) {
            path = format!("{path}[{step}]");
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&step.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}
