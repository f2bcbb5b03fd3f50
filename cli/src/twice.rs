//! Objects that stand in files twice: the API server would have one of them, and nobody can tell which.

use std::collections::BTreeMap;

use registry_config::{DocumentError, Problem, describe_problems, position_of};

use crate::files::{Document, Unreadable};

/// The name of an object: its kind, its namespace and what it is called there.
type Name = (String, Option<String>, String);

/// The same documents, with each object that stood there before taken for one that cannot be read.
pub(crate) fn refuse(found: Vec<Result<Document, Unreadable>>, home: &str) -> Vec<Result<Document, Unreadable>> {
    let mut first: BTreeMap<Name, usize> = BTreeMap::new();
    let mut kept: Vec<Result<Document, Unreadable>> = Vec::new();
    for document in found {
        let name = document.as_ref().ok().and_then(|document| name(document, home));
        let before = name.as_ref().and_then(|name| kept[*first.get(name)?].as_ref().ok());
        let document = match (document, before) {
            (Ok(document), Some(before)) if !is_same_namespace(&document, before) => {
                Err(complaint(&document, before, home))
            }
            (document, None) => {
                first.extend(name.map(|name| (name, kept.len())));
                document
            }
            (document, Some(_)) => document,
        };
        kept.push(document);
    }
    kept
}

/// What an object is called, if it is one that answers depend on.
fn name(document: &Document, home: &str) -> Option<Name> {
    let metadata = &document.value()["metadata"];
    let namespace = if document.is_own() {
        Some(metadata["namespace"].as_str().unwrap_or(home).to_owned())
    } else if document.is_namespace() {
        None
    } else {
        return None;
    };
    Some((document.kind.clone(), namespace, metadata["name"].as_str()?.to_owned()))
}

/// Whether both are namespaces with the same labels: folders that each bring the namespace along say one thing.
fn is_same_namespace(one: &Document, other: &Document) -> bool {
    let labels = |document: &Document| {
        let mut labels = document.value()["metadata"]["labels"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        // The API server adds it to each.
        labels.remove("kubernetes.io/metadata.name");
        labels
    };
    one.is_namespace() && labels(one) == labels(other)
}

fn complaint(document: &Document, before: &Document, home: &str) -> Unreadable {
    let name = match name(document, home) {
        Some((kind, Some(namespace), name)) => format!("{kind} {namespace}/{name}"),
        Some((kind, None, name)) => format!("{kind} {name}"),
        None => document.kind.clone(),
    };
    let (line, _) = position_of(&before.text, &format!("{}metadata.name", before.prefix));
    let advice = if document.is_namespace() {
        "give both the same labels, or remove one"
    } else {
        "remove it, or give it another name"
    };
    let why = format!(
        "{name} is in {}:{line} as well; one of them would replace the other: {advice}",
        before.file.display()
    );
    let problem = DocumentError::Invalid(vec![Problem::new("metadata.name", why)]);
    describe_problems(&document.file, &document.text, &document.prefix, &problem).join("\n")
}
