//! Files with Kubernetes objects or access documents.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, bail};
use crds::{AccessPolicy, Registry, RegistryIdentity};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use registry_config::{AccessContent, AccessIndex, DocumentError, Problem, ServerConfig, describe_problems};
use serde::de::DeserializeOwned;
use serde_json::Value;
use wharfinger_operator::preview::Objects;

use crate::arguments::Common;
use crate::twice;

/// Our kinds.
const OWN_KINDS: [&str; 3] = ["Registry", "RegistryIdentity", "AccessPolicy"];
/// What the API server calls the group and version of our kinds.
const API_VERSION: &str = "wharfinger.dev/v1alpha1";
const OWN_GROUP: &str = "wharfinger.dev/";
/// The label that every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// One object of a file: a YAML document, or an entry of a list in one.
pub(crate) struct Document {
    pub(crate) file: PathBuf,
    /// The text of the YAML document, after as many empty lines as come before it in the file.
    pub(crate) text: String,
    /// Where the object stands in it, such as `items[2].`.
    pub(crate) prefix: String,
    pub(crate) kind: String,
    value: Value,
}

/// What is wrong with a file, or a part of it, that cannot be read as an object at all: a line as compilers write it.
pub(crate) type Unreadable = String;

/// What files hold.
pub(crate) enum Contents {
    /// An access document.
    Document(Box<AccessContent>),
    /// Kubernetes objects.
    Objects(Set),
}

/// Objects of the kinds that matter here.
#[derive(Default)]
pub(crate) struct Set {
    pub(crate) registries: Vec<Registry>,
    pub(crate) identities: Vec<RegistryIdentity>,
    pub(crate) policies: Vec<AccessPolicy>,
    /// The labels of namespaces, by name.
    pub(crate) namespaces: HashMap<String, BTreeMap<String, String>>,
}

/// Reads what a question is about; objects without a namespace are of `home`. Nothing is left out: an answer without a Deny
/// would be the wrong one.
pub(crate) fn read(paths: &[PathBuf], home: &str) -> Result<Contents> {
    let (mut set, mut content) = (Set::default(), None);
    for document in documents(paths, home) {
        let document = document.map_err(anyhow::Error::msg)?;
        if document.kind != AccessIndex::KIND {
            set.add(&document)?;
            continue;
        }
        let index = AccessIndex::parse(&document.text);
        let index = index.with_context(|| format!("cannot read `{}`", document.file.display()))?;
        let found = index
            .content
            .context("the access document has no content: it is kept elsewhere")?;
        if content.replace(found).is_some() {
            bail!("there are several access documents: a registry has one");
        }
    }
    match content {
        Some(_) if !set.is_empty() => {
            bail!("there are an access document and Kubernetes objects: ask about one of them")
        }
        Some(content) => Ok(Contents::Document(Box::new(content))),
        None => Ok(Contents::Objects(set)),
    }
}

/// Every object of files, and of the YAML files in directories. Objects without a namespace are of `home`.
pub(crate) fn documents(paths: &[PathBuf], home: &str) -> Vec<Result<Document, Unreadable>> {
    twice::refuse(inside(paths, &mut HashSet::new()), home)
}

/// The objects of files that nobody has read yet: one may be named, and be in a directory that is named as well.
fn inside(paths: &[PathBuf], known: &mut HashSet<PathBuf>) -> Vec<Result<Document, Unreadable>> {
    let mut found = Vec::new();
    for path in paths {
        if path.canonicalize().is_ok_and(|file| !known.insert(file)) {
            continue;
        }
        if !path.is_dir() {
            found.extend(objects(path));
            continue;
        }
        match fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => {
                let mut entries: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
                entries.retain(|path| {
                    path.is_dir()
                        || path
                            .extension()
                            .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known))
                });
                entries.sort();
                found.extend(inside(&entries, known));
            }
            Err(error) => found.push(Err(format!("{}: {error}", path.display()))),
        }
    }
    found
}

/// The objects of a file.
fn objects(path: &Path) -> Vec<Result<Document, Unreadable>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return vec![Err(format!("{}: cannot be read: {error}", path.display()))],
    };
    let parts = split(&text).into_iter();
    parts.flat_map(|text| parse(path, &text)).collect()
}

/// The YAML documents of a text, each after as many empty lines as come before it.
fn split(text: &str) -> Vec<String> {
    let (mut found, mut current) = (Vec::new(), String::new());
    for (number, line) in text.lines().enumerate() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            found.push(std::mem::replace(&mut current, "\n".repeat(number + 1)));
        } else {
            current.push_str(line);
            current.push('\n');
        }
    }
    found.push(current);
    found.retain(|text| {
        text.lines()
            .any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    });
    found
}

fn parse(path: &Path, text: &str) -> Vec<Result<Document, Unreadable>> {
    let value: Value = match serde_saphyr::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let at = error.location().map(|at| format!("{}:{}: ", at.line(), at.column()));
            // What comes after the first line is the text again.
            let said = error.to_string();
            let said = said.lines().next().unwrap_or_default().to_owned();
            return vec![Err(format!(
                "{}:{}{said}",
                path.display(),
                at.unwrap_or_else(|| " ".to_owned())
            ))];
        }
    };
    unfold(path, text, "", value)
}

/// The object at a place of a text, or those in it where it is a list of some, which may hold others.
fn unfold(path: &Path, text: &str, prefix: &str, mut value: Value) -> Vec<Result<Document, Unreadable>> {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items").filter(|_| is_list).map(Value::take) {
        Some(Value::Array(items)) => {
            let items = items.into_iter().enumerate();
            items
                .flat_map(|(index, item)| unfold(path, text, &format!("{prefix}items[{index}]."), item))
                .collect()
        }
        _ => vec![Document::new(path, text, prefix.to_owned(), value)],
    }
}

impl Document {
    fn new(path: &Path, text: &str, prefix: String, value: Value) -> Result<Self, Unreadable> {
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        let document = Self {
            file: path.to_owned(),
            text: text.to_owned(),
            prefix,
            kind,
            value,
        };
        match document.identify() {
            Ok(()) => Ok(document),
            Err((field, why)) => {
                let problem = DocumentError::Invalid(vec![Problem::new(field, why)]);
                Err(describe_problems(path, text, &document.prefix, &problem).join("\n"))
            }
        }
    }

    /// Whether it is what it says to be. A kind that is misspelt would be left out of every answer.
    fn identify(&self) -> Result<(), (&'static str, String)> {
        let version = self.value["apiVersion"].as_str();
        let is_ours = self.is_own();
        match version {
            _ if self.kind.is_empty() => Err(("", "this is no object: it has no `kind`".to_owned())),
            // Taken for another's kind, it would hide what it should hold.
            _ if self.kind == "List" => Err(("", "this is a list without `items`".to_owned())),
            None if self.kind == AccessIndex::KIND || self.kind == ServerConfig::KIND => Ok(()),
            None => Err((
                "kind",
                format!(
                    "`{}` has no `apiVersion`; a registry's own documents are of kind `{}` or `{}`",
                    self.kind,
                    AccessIndex::KIND,
                    ServerConfig::KIND
                ),
            )),
            Some(API_VERSION) if !is_ours => Err((
                "kind",
                format!(
                    "there is no kind `{}` in {API_VERSION}: {} are there",
                    self.kind,
                    OWN_KINDS.join(", ")
                ),
            )),
            Some(version) if version != API_VERSION && (is_ours || version.starts_with(OWN_GROUP)) => Err((
                "apiVersion",
                format!("`{version}` is not the version of `{}`: write {API_VERSION}", self.kind),
            )),
            Some(_) if is_ours && self.value["metadata"]["name"].as_str().is_none_or(str::is_empty) => Err((
                "metadata.name",
                format!("this {} has no name, by which others and answers know it", self.kind),
            )),
            Some(_) => Ok(()),
        }
    }

    /// Whether it is of one of our kinds.
    pub(crate) fn is_own(&self) -> bool {
        OWN_KINDS.contains(&self.kind.as_str())
    }

    /// Whether it is a namespace of Kubernetes, and not another's object of that kind.
    pub(crate) fn is_namespace(&self) -> bool {
        self.kind == "Namespace" && self.value["apiVersion"] == "v1"
    }

    /// Whether it is the server document of a registry that stands alone, and not another's object of that kind.
    pub(crate) fn is_server_config(&self) -> bool {
        self.kind == ServerConfig::KIND && self.value["apiVersion"].is_null()
    }

    /// The object as JSON.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// The object that it is.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.value.clone()).with_context(|| format!("cannot read `{}`", self.file.display()))
    }
}

impl Set {
    /// Adds the object of a document, if it is of one of the kinds.
    pub(crate) fn add(&mut self, document: &Document) -> Result<()> {
        match document.kind.as_str() {
            "Registry" => self.registries.push(document.parse()?),
            "RegistryIdentity" => self.identities.push(document.parse()?),
            "AccessPolicy" => self.policies.push(document.parse()?),
            _ if document.is_namespace() => {
                let namespace: Namespace = document.parse()?;
                self.namespaces.insert(namespace.name_any(), namespace.labels().clone());
            }
            _ => {}
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.registries.is_empty() && self.identities.is_empty() && self.policies.is_empty()
    }

    /// A Registry of these, or the only one, with what is about it. Objects without a namespace are of that of the command line.
    pub(crate) fn about(mut self, name: Option<&str>, common: &Common) -> Result<Objects> {
        let home = common.home();
        for registry in &mut self.registries {
            registry.metadata.namespace.get_or_insert_with(|| home.to_owned());
        }
        let full =
            |registry: &Registry| format!("{}/{}", registry.namespace().unwrap_or_default(), registry.name_any());
        let all: Vec<String> = self.registries.iter().map(full).collect();
        self.registries.retain(|registry| {
            name.is_none_or(|name| registry.name_any() == name)
                && common
                    .namespace
                    .as_deref()
                    .is_none_or(|wanted| registry.namespace().as_deref() == Some(wanted))
        });
        let names: Vec<String> = self.registries.iter().map(full).collect();
        let registry = match (self.registries.pop(), names.len()) {
            (Some(only), 1) => only,
            (None, _) if all.is_empty() => bail!("there is no Registry in the files"),
            (None, _) => bail!("there is no such Registry in the files, only {}", all.join(", ")),
            (Some(_), _) => bail!(
                "the files have several Registries, so name one with --namespace and --registry: {}",
                names.join(", ")
            ),
        };
        Ok(Self {
            registries: Vec::new(),
            ..self
        }
        .of(registry, home))
    }

    /// What of these is about a Registry.
    pub(crate) fn of(mut self, registry: Registry, home: &str) -> Objects {
        for identity in &mut self.identities {
            identity.metadata.namespace.get_or_insert_with(|| home.to_owned());
        }
        for policy in &mut self.policies {
            policy.metadata.namespace.get_or_insert_with(|| home.to_owned());
        }
        let mut objects = Objects::about(registry, self.identities, self.policies, self.namespaces);
        // Of a namespace that the files do not have, its name is known.
        let identities = objects.identities.iter().filter_map(ResourceExt::namespace);
        let mentioned = identities.chain(objects.policies.iter().filter_map(ResourceExt::namespace));
        for name in mentioned.collect::<Vec<_>>() {
            let labels = objects.namespaces.entry(name.clone()).or_default();
            labels.insert(NAMESPACE_NAME.to_owned(), name);
        }
        objects
    }
}
