//! What the operator makes of objects, without a cluster: for tools that tell people before, or beside, the operator does.
//!
//! No Secret is read. Every password is taken to be there, and what was in force before is not known.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crds::{AccessPolicy, Registry, RegistryIdentity};
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use registry_config::{AccessContent, PasswordHashing, Problem, TokenKey};
use registry_policy::Effect;

use super::admission::Namespaces;
use super::snapshot::{Rotation, Snapshot, Source};
use super::validate;
use crate::cluster_issuer::ClusterIssuer;
use crate::hashing::{HashResult, HashSlot, Which};
use crate::outcome::Verdict;
use crate::password_source::{PasswordSource, SecretForm};
use crate::settings::{LogFormat, Settings};
use crate::state::{SourceVersion, StoredHash};
use crate::stores::{registries_of, registry_of};

/// A Registry, and the objects that name it.
#[derive(Debug, Clone)]
pub struct Objects {
    /// The Registry.
    pub registry: Registry,
    /// Identities, of any namespace.
    pub identities: Vec<RegistryIdentity>,
    /// Policies, of any namespace.
    pub policies: Vec<AccessPolicy>,
    /// The labels of namespaces, by name.
    pub namespaces: HashMap<String, BTreeMap<String, String>>,
}

/// What the operator would make of objects.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The content of the access document; hashes in it are nobody's.
    pub content: AccessContent,
    /// What it would refuse, wholly or in part, of the Registry, the identities and the policies.
    pub refused: Vec<Refused>,
    /// Usernames of identities that nobody can sign in as, with why.
    pub nobody: BTreeMap<String, String>,
}

/// An object that is not accepted as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The reason of the condition that says so.
    pub reason: &'static str,
    /// What is wrong, where, and what to do about it.
    pub message: String,
}

impl Objects {
    /// A Registry, and those of the objects that name it.
    pub fn about(
        registry: Registry,
        mut identities: Vec<RegistryIdentity>,
        mut policies: Vec<AccessPolicy>,
        namespaces: HashMap<String, BTreeMap<String, String>>,
    ) -> Self {
        let reference = ObjectRef::from_obj(&registry);
        identities.retain(|identity| registry_of(identity) == reference);
        policies.retain(|policy| registries_of(policy).any(|target| target == reference));
        Self {
            registry,
            identities,
            policies,
            namespaces,
        }
    }

    /// What the operator would make of these.
    pub fn preview(self) -> Preview {
        let snapshot = self.into_snapshot();
        let plan = validate::validate(&snapshot, &settings());
        let mut refused = Vec::new();
        let registry = snapshot.registry.as_ref();
        refused.extend(plan.workload.err().map(|why| found("Registry", registry, &why)));
        for identity in &snapshot.identities {
            let verdict = plan.identities.get(&identity.uid().unwrap_or_default());
            let verdict = verdict
                .map(|judged| &judged.accepted)
                .filter(|accepted| !accepted.is_yes());
            refused.extend(verdict.map(|why| found("RegistryIdentity", identity.as_ref(), why)));
        }
        for policy in &snapshot.policies {
            let verdict = plan.policies.get(&policy.uid().unwrap_or_default());
            let verdict = verdict.filter(|judged| !judged.accepted.is_yes() || judged.is_narrowed);
            let verdict = verdict.map(|judged| &judged.accepted);
            refused.extend(verdict.map(|why| found("AccessPolicy", policy.as_ref(), why)));
        }
        let is_listed = |name: &str| plan.content.identities.iter().any(|entry| entry.username == name);
        // A name that somebody asks for and does not get stays free for those whom a proxy, an issuer or a user file names.
        let holders = plan.identities.values().filter(|judged| judged.holds_username);
        let nobody = holders.filter(|judged| !is_listed(&judged.username));
        let nobody = nobody.map(|judged| {
            let why = if judged.disabled {
                "the identity is disabled".to_owned()
            } else if judged.accepted.is_yes() {
                "the identity has no way to sign in".to_owned()
            } else {
                judged.accepted.message.clone()
            };
            (judged.username.clone(), why)
        });
        Preview {
            nobody: nobody.collect(),
            content: plan.content,
            refused,
        }
    }

    fn into_snapshot(self) -> Snapshot {
        let Self {
            mut registry,
            mut identities,
            mut policies,
            namespaces,
        } = self;
        registry.metadata.uid.get_or_insert_with(|| "registry".to_owned());
        // Objects from files have none yet, and are told apart by it.
        for (number, identity) in identities.iter_mut().enumerate() {
            identity
                .metadata
                .uid
                .get_or_insert_with(|| format!("identity-{number}"));
        }
        for (number, policy) in policies.iter_mut().enumerate() {
            policy.metadata.uid.get_or_insert_with(|| format!("policy-{number}"));
        }
        identities.sort_by_key(|identity| (identity.creation_timestamp(), identity.uid()));
        policies.sort_by_key(|policy| (policy.namespace(), policy.name_any()));
        let hashing = validate::password_hashing(&registry).unwrap_or_default();
        let (mut sources, mut hashes) = (HashMap::new(), HashMap::new());
        for identity in &identities {
            let Some(source) = PasswordSource::of(identity) else {
                continue;
            };
            let uid = identity.uid().unwrap_or_default();
            let version = SourceVersion {
                secret: source.secret.clone(),
                key: source.key.clone(),
                uid: String::new(),
                resource_version: String::new(),
                form: source.form,
            };
            let slot = HashSlot {
                identity: uid.clone(),
                which: Which::Current,
            };
            // What a hash costs that somebody brings along only its Secret tells.
            let hashing = match source.form {
                SecretForm::Password => hashing,
                SecretForm::Hash => PasswordHashing::default(),
            };
            let hash = StoredHash {
                hash: hashing.of_nobody(),
                source: version,
            };
            hashes.insert(slot, HashResult::Hashed(hash));
            let present = Source::Present {
                uid: String::new(),
                resource_version: String::new(),
                rotation: Rotation::default(),
            };
            sources.insert(uid, present);
        }
        let no_key = TokenKey {
            kid: String::new(),
            private_key: String::new(),
            refresh_only: false,
        };
        Snapshot {
            identities: identities.into_iter().map(Arc::new).collect(),
            policies: policies.into_iter().map(Arc::new).collect(),
            namespaces: Namespaces::from_iter(namespaces),
            sources,
            hashes,
            // Objects do not say what the cluster calls itself.
            cluster_issuer: Some(Arc::new(ClusterIssuer {
                issuer: String::new(),
                jwks: serde_json::json!({ "keys": [] }),
            })),
            ..Snapshot::alone(Arc::new(registry), no_key, Timestamp::now())
        }
    }
}

/// Everything that is wrong with what a policy says, whatever Registry it is for; fields that nobody knows aside.
pub fn problems_of_policy(policy: &AccessPolicy) -> Vec<Problem> {
    let entry = validate::policy_entry(policy);
    let problems = match entry.compile() {
        Err(problems) => problems,
        Ok(compiled) if compiled.effect == Effect::Deny => registry_config::absences(&compiled),
        Ok(_) => Vec::new(),
    };
    let problems = problems.into_iter().map(|problem| Problem {
        path: format!("spec.{}", problem.path),
        ..problem
    });
    problems.collect()
}

fn found<K: Resource>(kind: &'static str, object: &K, why: &Verdict) -> Refused {
    Refused {
        kind,
        namespace: object.meta().namespace.clone().unwrap_or_default(),
        name: object.meta().name.clone().unwrap_or_default(),
        reason: why.reason,
        message: why.message.clone(),
    }
}

/// What does not matter for who may do what. Any image is allowed: which ones are is the operator's to say.
fn settings() -> Settings {
    Settings {
        registry_image: String::new(),
        allowed_image_prefixes: Vec::new(),
        installation: String::new(),
        namespace: String::new(),
        pod_name: String::new(),
        listen: ([127, 0, 0, 1], 0).into(),
        log_format: LogFormat::Text,
    }
}
