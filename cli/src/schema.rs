//! The schemas of our kinds, with one thing that the API server does silently told instead: fields that they do not have.

use anyhow::{Context, Result};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use registry_policy::closest;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// A value that its schema does not admit.
pub(crate) struct Mismatch {
    /// Where, such as `spec.rules[0].role`.
    pub(crate) path: String,
    pub(crate) message: String,
    /// Whether it is a field that nobody knows: the rest of the object can be looked at all the same.
    pub(crate) is_unknown_field: bool,
}

/// The schema of one of our kinds.
pub(crate) struct Schema {
    text: Value,
    validator: Validator,
}

/// The schema of a kind; `None` where it is none of ours.
pub(crate) fn of_kind(kind: &str) -> Result<Option<Schema>> {
    let all = crds::all();
    let found = all.iter().find(|definition| definition.spec.names.kind == kind);
    let version = found.and_then(|definition| definition.spec.versions.first());
    let Some(schema) = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref()) else {
        return Ok(None);
    };
    let mut text = serde_json::to_value(schema)?;
    // The API server knows these of every object.
    text["properties"]["apiVersion"] = json!({});
    text["properties"]["kind"] = json!({});
    text["properties"]["metadata"] = metadata();
    close(&mut text);
    let validator = jsonschema::draft202012::new(&text).context("the schema of our own kind is not one")?;
    Ok(Some(Schema { text, validator }))
}

/// The fields of every object's `metadata`, whatever their values: those are for the API server to judge.
fn metadata() -> Value {
    let generator = SchemaSettings::default().into_generator();
    let mut schema = generator.into_root_schema_for::<ObjectMeta>().to_value();
    let fields = schema["properties"].as_object_mut().into_iter().flatten();
    let fields: serde_json::Map<String, Value> = fields.map(|(name, _)| (name.clone(), json!({}))).collect();
    json!({ "properties": fields })
}

impl Schema {
    /// What it does not admit of an object.
    pub(crate) fn mismatches(&self, object: &Value) -> Vec<Mismatch> {
        self.validator
            .iter_errors(object)
            .flat_map(|error| self.described(&error))
            .collect()
    }

    fn described(&self, error: &ValidationError<'_>) -> Vec<Mismatch> {
        let path = dotted(&error.instance_path().to_string());
        let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() else {
            return vec![Mismatch {
                path,
                message: error.to_string(),
                is_unknown_field: false,
            }];
        };
        let known = self.fields_beside(&error.schema_path().to_string());
        let found = unexpected.iter().map(|field| Mismatch {
            path: if path.is_empty() {
                field.clone()
            } else {
                format!("{path}.{field}")
            },
            message: unknown_field(field, &known),
            is_unknown_field: true,
        });
        found.collect()
    }

    /// The fields that an object has whose `additionalProperties` stand at a place of the schema.
    fn fields_beside(&self, pointer: &str) -> Vec<&str> {
        let object = pointer
            .rsplit_once('/')
            .and_then(|(parent, _)| self.text.pointer(parent));
        let fields = object.and_then(|object| object["properties"].as_object());
        fields.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }
}

fn unknown_field(field: &str, known: &[&str]) -> String {
    match closest(field, known.iter().copied()) {
        Some(meant) => format!("unknown field `{field}`; did you mean `{meant}`?"),
        None => format!("unknown field `{field}`: there are {}", known.join(", ")),
    }
}

/// Lets objects have no other fields than those of the schema, also where the API server keeps others for the operator to refuse.
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
            let has_fields = fields.get("properties").is_some_and(Value::is_object);
            if has_fields && !fields.contains_key("additionalProperties") {
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
