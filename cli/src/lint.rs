//! `lint`: what the operator, or a registry, would refuse in files.

use std::process::ExitCode;

use anyhow::{Result, bail};
use registry_config::{Access, AccessIndex, DocumentError, Problem, ServerConfig, broad_denies, describe_problems};
use serde::Serialize;
use wharfinger_operator::preview::problems_of_policy;

use crate::arguments::{Common, Files};
use crate::files::{Document, Set, documents as documents_of};
use crate::{output, schema};

/// What is wrong, and where: a line as compilers write it.
#[derive(Debug, Serialize)]
struct Complaint {
    /// `file:line:column: what is wrong`
    text: String,
}

/// `lint`
pub(crate) fn run(common: &Common, files: &Files) -> Result<ExitCode> {
    let (mut complaints, mut documents) = (Vec::new(), Vec::new());
    for found in documents_of(&files.files, common.home()) {
        match found {
            Ok(document) => documents.push(document),
            Err(text) => complaints.push(Complaint { text }),
        }
    }
    let (mut set, mut places) = (Set::default(), Vec::new());
    for document in &documents {
        let mut problems = check(document)?;
        // What is right alone is looked at together with the rest.
        if problems.is_empty() && document.kind != AccessIndex::KIND {
            match set.add(document) {
                Ok(()) => places.push(document),
                Err(error) => problems.push(format!("{}: {error:#}", document.file.display())),
            }
        }
        complaints.extend(problems.into_iter().map(|text| Complaint { text }));
    }
    complaints.extend(together(common, set, &places));
    if documents.is_empty() && complaints.is_empty() {
        bail!("there is no object in these files, so nothing was checked");
    }
    output::answer(common.output, &complaints, |complaints| {
        let lines: Vec<&str> = complaints.iter().map(|complaint| complaint.text.as_str()).collect();
        if lines.is_empty() {
            format!("{} objects, nothing to complain about", documents.len())
        } else {
            lines.join("\n")
        }
    })?;
    Ok(if complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What is wrong with a document alone.
fn check(document: &Document) -> Result<Vec<String>> {
    let said = |error: &DocumentError, prefix: &str| describe_problems(&document.file, &document.text, prefix, error);
    if document.kind == AccessIndex::KIND {
        let problems = AccessIndex::parse(&document.text).and_then(|index| match index.content {
            Some(content) => {
                let broad = broad_denies(&content);
                Access::compile(content).map_err(DocumentError::Invalid)?;
                if broad.is_empty() {
                    Ok(())
                } else {
                    Err(DocumentError::Invalid(broad))
                }
            }
            None => Err(DocumentError::Incomplete("`content` is missing".to_owned())),
        });
        return Ok(problems.err().map(|error| said(&error, "content.")).unwrap_or_default());
    }
    if document.is_server_config() {
        let problems = ServerConfig::accept(&document.text).err();
        return Ok(problems.map(|error| said(&error, "")).unwrap_or_default());
    }
    let Some(schema) = schema::of_kind(&document.kind)? else {
        return Ok(Vec::new());
    };
    let mismatches = schema.mismatches(document.value());
    let is_readable = mismatches.iter().all(|mismatch| mismatch.is_unknown_field);
    let found = mismatches.into_iter();
    let mut problems: Vec<Problem> = found
        .map(|mismatch| Problem::new(mismatch.path, mismatch.message))
        .collect();
    if is_readable && document.kind == "AccessPolicy" {
        let found = document.parse().map(|policy| problems_of_policy(&policy));
        problems.extend(found.unwrap_or_else(|error| vec![Problem::new("", error.root_cause())]));
    }
    if problems.is_empty() {
        return Ok(Vec::new());
    }
    Ok(said(&DocumentError::Invalid(problems), &document.prefix))
}

/// What is wrong with documents because of each other: names that are taken, what a Registry does not admit.
fn together(common: &Common, set: Set, places: &[&Document]) -> Vec<Complaint> {
    let home = common.home();
    let Set {
        mut registries,
        identities,
        policies,
        namespaces,
    } = set;
    let mut complaints = Vec::new();
    for registry in &mut registries {
        registry.metadata.namespace.get_or_insert_with(|| home.to_owned());
    }
    for registry in registries {
        let about = Set {
            registries: Vec::new(),
            identities: identities.clone(),
            policies: policies.clone(),
            namespaces: namespaces.clone(),
        };
        let preview = about.of(registry, home).preview();
        for refused in preview.refused {
            let document = places.iter().find(|document| {
                let metadata = &document.value()["metadata"];
                let namespace = metadata["namespace"].as_str().unwrap_or(home);
                document.kind == refused.kind && metadata["name"] == refused.name && namespace == refused.namespace
            });
            let Some(document) = document else { continue };
            let path = "metadata.name".to_owned();
            let message = format!(
                "{} `{}`: {}: {}",
                refused.kind, refused.name, refused.reason, refused.message
            );
            let error = DocumentError::Invalid(vec![Problem { path, message }]);
            let lines = describe_problems(&document.file, &document.text, &document.prefix, &error);
            complaints.extend(lines.into_iter().map(|text| Complaint { text }));
        }
    }
    complaints
}
