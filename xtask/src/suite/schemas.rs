//! kubeconform: the rendered chart and the examples against the schemas that the test cluster's API server publishes, our
//! own kinds among them. Nothing is downloaded, and the version is the right one by nature.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use node::Node;
use serde_json::{Map, Value, json};

use crate::suite::chart;
use crate::{exec, repository, terminal};

/// Where in a published document the schemas are; what refers to one of them begins so.
const SCHEMAS: &str = "#/components/schemas/";

/// Checks every manifest that people apply.
pub(crate) fn check(node: &Node) -> Result<String> {
    let folder = repository::target().join("xtask").join("schemas");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let files = manifests(node, &folder)?;
    let mut versions = BTreeSet::new();
    for file in &files {
        versions.extend(api_versions(&fs::read_to_string(file)?));
    }
    for version in &versions {
        publish(node, &folder, version)?;
    }
    let location = format!(
        "{}/{{{{.Group}}}}/{{{{.ResourceKind}}}}-{{{{.ResourceAPIVersion}}}}.json",
        folder.display()
    );
    let mut conform = Command::new(node.tools().path("kubeconform"));
    conform
        .args(["-strict", "-summary", "-schema-location", &location])
        .args(&files);
    let said =
        exec::capture(&mut conform).with_context(|| "manifests that the API server would not take as they are")?;
    terminal::output(&said);
    Ok(said.lines().last().unwrap_or_default().to_owned())
}

/// The chart with each set of values, and the examples for the cluster.
fn manifests(node: &Node, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (number, values) in chart::VALUES.into_iter().enumerate() {
        let file = folder.join(format!("chart-{number}.yaml"));
        fs::write(&file, exec::capture(&mut chart::render(node.tools(), values))?)?;
        files.push(file);
    }
    for entry in fs::read_dir(repository::path("examples"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Those of the objects themselves; what is nested is indented.
fn api_versions(manifest: &str) -> BTreeSet<String> {
    let lines = manifest.lines().filter_map(|line| line.strip_prefix("apiVersion: "));
    lines
        .map(|version| version.trim().trim_matches('"').to_owned())
        .collect()
}

/// Writes the schemas of a group's version to where kubeconform looks for them.
fn publish(node: &Node, folder: &Path, version: &str) -> Result<()> {
    let (path, group, number) = match version.split_once('/') {
        Some((group, number)) => (format!("/openapi/v3/apis/{version}"), group, number),
        None => (format!("/openapi/v3/api/{version}"), version, version),
    };
    let published = node
        .kubectl(&["get", "--raw", &path])
        .with_context(|| format!("no schemas of `{version}`"))?;
    let mut document: Value = serde_json::from_str(&published)?;
    let folder = folder.join(group);
    fs::create_dir_all(&folder)?;
    let all = format!("openapi-{number}.json");
    let schemas = document["components"]["schemas"]
        .as_object_mut()
        .context("a document without schemas")?;
    for (name, schema) in schemas.iter_mut() {
        for kind in kinds(schema, group, number) {
            let reference = json!({"$ref": format!("{all}{SCHEMAS}{name}")});
            fs::write(
                folder.join(format!("{}-{number}.json", kind.to_lowercase())),
                reference.to_string(),
            )?;
        }
        refuse_unknown_fields(schema);
    }
    Ok(fs::write(folder.join(all), document.to_string())?)
}

/// The kinds of this group and version that a schema is of.
fn kinds(schema: &Value, group: &str, version: &str) -> Vec<String> {
    let of = schema["x-kubernetes-group-version-kind"]
        .as_array()
        .into_iter()
        .flatten();
    let ours = of.filter(|kind| kind["version"] == version && (kind["group"] == group || kind["group"] == ""));
    ours.filter_map(|kind| kind["kind"].as_str().map(ToOwned::to_owned))
        .collect()
}

/// The API server drops what it does not know; here that is a mistake.
fn refuse_unknown_fields(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let is_closed = object.contains_key("properties")
        && !object.contains_key("additionalProperties")
        && object.get("x-kubernetes-preserve-unknown-fields") != Some(&Value::Bool(true));
    if is_closed {
        object.insert("additionalProperties".into(), Value::Bool(false));
    }
    let properties = object.get_mut("properties").and_then(Value::as_object_mut);
    let nested = properties.into_iter().flat_map(Map::values_mut).collect::<Vec<_>>();
    nested.into_iter().for_each(refuse_unknown_fields);
    for inner in ["items", "additionalProperties"] {
        if let Some(schema) = object.get_mut(inner) {
            refuse_unknown_fields(schema);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_wherever_the_schema_knows_all() {
        let mut schema = json!({
            "properties": {
                "spec": {"properties": {"list": {"items": {"properties": {"a": {}}}}}},
                "free": {"properties": {"a": {}}, "x-kubernetes-preserve-unknown-fields": true},
                "map": {"additionalProperties": {"properties": {"a": {}}}},
            }
        });
        refuse_unknown_fields(&mut schema);
        assert_eq!(schema["additionalProperties"], false);
        let properties = &schema["properties"];
        assert_eq!(
            properties["spec"]["properties"]["list"]["items"]["additionalProperties"],
            false
        );
        assert_eq!(properties["free"].get("additionalProperties"), None);
        assert_eq!(properties["map"]["additionalProperties"]["additionalProperties"], false);
    }

    #[test]
    fn only_versions_of_objects_are_read() {
        let manifest = "apiVersion: v1\nkind: A\n---\napiVersion: apps/v1\nspec:\n  apiVersion: nested/v1\n";
        assert_eq!(api_versions(manifest), ["apps/v1".to_owned(), "v1".to_owned()].into());
    }
}
