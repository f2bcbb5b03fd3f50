//! Which namespaces a Registry admits, and within which bounds: a pure reading of its spec and of the namespaces' labels.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crds::{
    AccessPolicy, IdentityAdmission, NamespaceSelection, NamespaceSelector, PolicyAdmission, Registry, RegistryIdentity,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};

use crate::names;

/// How many identities, or policies, of a namespace an entry admits where it does not say.
const DEFAULT_MOST: usize = 100;

/// The labels of namespaces, by name.
pub(crate) type Namespaces = HashMap<String, BTreeMap<String, String>>;

/// How an object of some namespace stands to a Registry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Admission<'a, E> {
    /// It is of the Registry's own namespace.
    Home,
    /// An entry admits it; with the entry's number.
    Guest(usize, &'a E),
    /// An entry would admit it, and has admitted as many of its namespace as it does already: number, and how many.
    Excess(usize, usize),
    /// Nothing admits it.
    Refused,
}

impl<'a> Admission<'a, IdentityAdmission> {
    /// How identities of `namespace` stand to `registry`.
    pub(super) fn of_identities(registry: &'a Registry, namespaces: &Namespaces, namespace: &str) -> Self {
        let entries = registry.spec.allowed_identities.as_deref().unwrap_or_default();
        find(registry, namespaces, namespace, entries, |entry| &entry.namespaces)
    }

    /// The name that an identity signs in with: that of a guest begins with the prefix of the entry.
    pub(super) fn username(&self, identity: &RegistryIdentity) -> String {
        let own = names::username(identity);
        let Self::Guest(_, entry) = self else { return own };
        let prefix = entry.username_prefix.clone();
        let prefix = prefix.unwrap_or_else(|| format!("{}.", identity.namespace().unwrap_or_default()));
        if own.starts_with(&prefix) {
            own
        } else {
            format!("{prefix}{own}")
        }
    }
}

impl<'a> Admission<'a, PolicyAdmission> {
    /// How policies of `namespace` stand to `registry`.
    pub(super) fn of_policies(registry: &'a Registry, namespaces: &Namespaces, namespace: &str) -> Self {
        let entries = registry.spec.allowed_policies.as_deref().unwrap_or_default();
        find(registry, namespaces, namespace, entries, |entry| &entry.namespaces)
    }
}

fn find<'a, E>(
    registry: &Registry,
    namespaces: &Namespaces,
    namespace: &str,
    entries: &'a [E],
    selection: impl Fn(&E) -> &NamespaceSelection,
) -> Admission<'a, E> {
    if registry.namespace().as_deref() == Some(namespace) {
        return Admission::Home;
    }
    let labels = namespaces.get(namespace);
    let mut entries = entries.iter().enumerate();
    let found = entries.find(|(_, entry)| selects(selection(entry), namespace, labels));
    found.map_or(Admission::Refused, |(number, entry)| Admission::Guest(number, entry))
}

/// How each of the identities that name a Registry stands to it, by UID. Where an entry admits no more of a namespace, those whose UIDs
/// are `in_force` stay before others, and otherwise the order counts.
pub(super) fn of_identities<'a>(
    registry: &'a Registry,
    namespaces: &Namespaces,
    identities: &[Arc<RegistryIdentity>],
    in_force: &HashSet<&str>,
) -> HashMap<String, Admission<'a, IdentityAdmission>> {
    let found = identities.iter().map(|identity| {
        let (uid, namespace) = (
            identity.uid().unwrap_or_default(),
            identity.namespace().unwrap_or_default(),
        );
        let admission = Admission::of_identities(registry, namespaces, &namespace);
        let is_new = !in_force.contains(uid.as_str());
        (uid, namespace, admission, is_new)
    });
    within_limits(found.collect(), |entry| most(entry.max_identities))
}

/// The same of policies; those whose names in the document are `in_force` stay before others, and older ones before younger.
pub(super) fn of_policies<'a>(
    registry: &'a Registry,
    namespaces: &Namespaces,
    policies: &[Arc<AccessPolicy>],
    in_force: impl Fn(&AccessPolicy) -> bool,
) -> HashMap<String, Admission<'a, PolicyAdmission>> {
    let mut oldest: Vec<&Arc<AccessPolicy>> = policies.iter().collect();
    oldest.sort_by_key(|policy| (policy.creation_timestamp(), policy.uid()));
    let found = oldest.into_iter().map(|policy| {
        let namespace = policy.namespace().unwrap_or_default();
        let admission = Admission::of_policies(registry, namespaces, &namespace);
        (
            policy.uid().unwrap_or_default(),
            namespace,
            admission,
            !in_force(policy),
        )
    });
    within_limits(found.collect(), |entry| most(entry.max_policies))
}

/// An object's UID and namespace, how it stands, and whether it is not in force yet.
type Asking<'a, E> = (String, String, Admission<'a, E>, bool);

fn within_limits<E>(mut asking: Vec<Asking<'_, E>>, most: impl Fn(&E) -> usize) -> HashMap<String, Admission<'_, E>> {
    asking.sort_by_key(|(.., is_new)| *is_new);
    // By entry and namespace: one tenant must not take the places of another.
    let mut counts: HashMap<(usize, String), usize> = HashMap::new();
    let admitted = asking.into_iter().map(|(uid, namespace, admission, _)| {
        let Admission::Guest(number, entry) = admission else {
            return (uid, admission);
        };
        let count = counts.entry((number, namespace)).or_default();
        *count += 1;
        let most = most(entry);
        let is_within = *count <= most;
        (
            uid,
            if is_within {
                Admission::Guest(number, entry)
            } else {
                Admission::Excess(number, most)
            },
        )
    });
    admitted.collect()
}

/// How many objects of a namespace an entry admits.
fn most(limit: Option<i32>) -> usize {
    limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(DEFAULT_MOST)
}

/// What is wrong with selectors, which then select nothing.
pub(super) fn problems(registry: &Registry) -> Vec<String> {
    let identities = registry.spec.allowed_identities.iter().flatten();
    let policies = registry.spec.allowed_policies.iter().flatten();
    let of_identities = identities
        .enumerate()
        .map(|(index, entry)| (format!("spec.allowedIdentities[{index}]"), &entry.namespaces));
    let of_policies = policies
        .enumerate()
        .map(|(index, entry)| (format!("spec.allowedPolicies[{index}]"), &entry.namespaces));
    let wrong = of_identities.chain(of_policies).filter_map(|(path, selection)| {
        let why = selection.selector.as_ref().map(compile)?.err()?;
        Some(format!("{path}.namespaces.selector: {why}, so it selects nothing"))
    });
    wrong.collect()
}

fn selects(selection: &NamespaceSelection, namespace: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
    match (&selection.names, &selection.selector) {
        (Some(names), None) => names.iter().any(|name| name == namespace),
        // A namespace that is not known is none that anybody has labelled.
        (None, Some(selector)) => {
            labels.is_some_and(|labels| compile(selector).is_ok_and(|selector| selector.matches(labels)))
        }
        // The schema sees to it that exactly one is given; anything else would be an object older than the schema.
        _ => false,
    }
}

fn compile(selector: &NamespaceSelector) -> Result<Selector, String> {
    if let Some(field) = selector.unknown.keys().next() {
        return Err(format!("this version does not know `{field}`"));
    }
    for requirement in selector.match_expressions.iter().flatten() {
        let LabelSelectorRequirement { key, operator, values } = requirement;
        let has_values = values.as_ref().is_some_and(|values| !values.is_empty());
        // As the API server has it for selectors of its own; `NotIn` of nothing would select everything.
        match operator.as_str() {
            "In" | "NotIn" if !has_values => return Err(format!("`{operator}` for `{key}` needs `values`")),
            "Exists" | "DoesNotExist" if has_values => {
                return Err(format!("`{operator}` for `{key}` takes no `values`"));
            }
            _ => {}
        }
    }
    let selector = LabelSelector {
        match_labels: selector.match_labels.clone(),
        match_expressions: selector.match_expressions.clone(),
    };
    Selector::try_from(selector).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn admits(namespaces: &Value) -> Vec<&'static str> {
        let registry: Registry = serde_json::from_value(json!({
            "apiVersion": "wharfinger.dev/v1alpha1", "kind": "Registry",
            "metadata": { "name": "main", "namespace": "home" },
            "spec": { "storage": { "emptyDir": {} }, "allowedIdentities": [{ "namespaces": namespaces }] },
        }))
        .unwrap();
        let labels = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect()
        };
        let known: Namespaces = [
            ("a".to_owned(), labels(&[("tier", "one"), ("registry", "allowed")])),
            ("b".to_owned(), labels(&[("tier", "two")])),
            ("c".to_owned(), labels(&[])),
        ]
        .into();
        // `unknown` is a namespace of which no watch has told yet.
        let all = ["a", "b", "c", "unknown"].into_iter();
        let admitted = all.filter(|namespace| {
            matches!(
                Admission::of_identities(&registry, &known, namespace),
                Admission::Guest(0, _)
            )
        });
        admitted.collect()
    }

    #[test]
    fn selectors_have_the_semantics_of_label_selectors_and_invalid_ones_select_nothing() {
        for (namespaces, want) in [
            (json!({ "names": ["a", "x"] }), vec!["a"]),
            (json!({ "names": ["unknown"] }), vec!["unknown"]),
            (json!({ "selector": {} }), vec!["a", "b", "c"]),
            (
                json!({ "selector": { "matchLabels": { "registry": "allowed" } } }),
                vec!["a"],
            ),
            (json!({ "selector": { "matchLabels": { "registry": "" } } }), vec![]),
            (
                json!({ "selector": { "matchExpressions": [{ "key": "tier", "operator": "Exists" }] } }),
                vec!["a", "b"],
            ),
            (
                json!({ "selector": { "matchExpressions": [{ "key": "tier", "operator": "DoesNotExist" }] } }),
                vec!["c"],
            ),
            (
                json!({ "selector": { "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["two", "x"] }] } }),
                vec!["b"],
            ),
            (
                json!({ "selector": { "matchExpressions": [{ "key": "tier", "operator": "NotIn", "values": ["two"] }] } }),
                vec!["a", "c"],
            ),
            (
                json!({ "selector": {
                    "matchLabels": { "registry": "allowed" },
                    "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["two"] }],
                } }),
                vec![],
            ),
            (
                json!({ "selector": { "matchExpressions": [{ "key": "tier", "operator": "Like", "values": ["t"] }] } }),
                vec![],
            ),
            (
                json!({ "selector": { "matchExpressions": [{ "key": "tier", "operator": "NotIn", "values": [] }] } }),
                vec![],
            ),
            (
                json!({ "selector": { "matchExpressions": [{ "key": "tier", "operator": "NotIn" }] } }),
                vec![],
            ),
            (
                json!({ "selector": { "matchExpressions": [{ "key": "tier", "operator": "Exists", "values": ["one"] }] } }),
                vec![],
            ),
            (
                json!({ "selector": { "matchLabel": { "registry": "allowed" } } }),
                vec![],
            ),
            (json!({}), vec![]),
            (json!({ "names": ["a"], "selector": {} }), vec![]),
        ] {
            assert_eq!(admits(&namespaces), want, "{namespaces}");
        }
    }

    #[test]
    fn an_absent_list_admits_nobody_and_an_invalid_selector_is_told() {
        let with = |spec: Value| -> Registry {
            let mut whole = json!({ "storage": { "emptyDir": {} } });
            whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            serde_json::from_value(json!({
                "apiVersion": "wharfinger.dev/v1alpha1", "kind": "Registry",
                "metadata": { "name": "main", "namespace": "home" }, "spec": whole,
            }))
            .unwrap()
        };
        let registry = with(json!({}));
        let known = Namespaces::from([("a".to_owned(), BTreeMap::new())]);
        assert_eq!(Admission::of_identities(&registry, &known, "a"), Admission::Refused);
        assert_eq!(Admission::of_policies(&registry, &known, "a"), Admission::Refused);
        assert_eq!(Admission::of_policies(&registry, &known, "home"), Admission::Home);
        assert_eq!(problems(&registry), [""; 0]);
        let registry = with(json!({ "allowedPolicies": [{
            "namespaces": { "selector": { "matchLabel": {} } }, "repositoryPrefixes": ["a"], "role": "pull",
        }] }));
        assert_eq!(
            problems(&registry),
            [
                "spec.allowedPolicies[0].namespaces.selector: this version does not know `matchLabel`, so it selects nothing"
            ]
        );
    }
}
