//! What a pass found, in words: the outcome for identities and policies, and the Registry's own status.

mod certificate;
mod pods;

use std::collections::{HashMap, HashSet};

use crds::{
    AccessStatus, Counts, Endpoints, ExternalTrafficPolicy, Registry, RegistryStatus, ServiceType,
    condition_types as types, reasons,
};
use kube::api::{Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use registry_config::TokenSettings;
use registry_policy::Mode;
use serde_json::{Value, json};

use super::apply::Application;
use super::proof::{Proof, is_ready};
use super::publish::Publication;
use super::snapshot::{Claim, Snapshot, key_entry};
use super::validate::{Manage, Plan, Storage};
use crate::api;
use crate::conditions::conditions;
use crate::context::Context;
use crate::names;
use crate::outcome::{IdentityOutcome, Outcome, PolicyOutcome, Verdict};

/// Everything that a pass found.
pub(super) struct Findings<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) plan: &'a Plan,
    pub(super) application: &'a Application,
    pub(super) publication: &'a Publication,
    pub(super) proof: &'a Proof,
    /// What keeps the Secrets of identities from following their passwords, by UID.
    pub(super) consumers: HashMap<String, Verdict>,
}

impl Findings<'_> {
    /// Whether every Pod enforces the plan's document.
    pub(super) fn is_enforced(&self) -> bool {
        self.is_published() && self.proof.verdict.is_yes()
    }

    /// The hosts, with their ports, that images of this Registry are named with.
    pub(super) fn hosts(&self) -> Vec<String> {
        let Endpoints { external, internal } = endpoints(self);
        let host = |url: String| {
            url.split_once("://")
                .map(|(_, host)| host.trim_end_matches('/').to_owned())
        };
        [external, internal].into_iter().flatten().filter_map(host).collect()
    }

    fn reference(&self) -> ObjectRef<Registry> {
        ObjectRef::from_obj(self.snapshot.registry.as_ref())
    }

    /// Whether the plan's document is the one in force.
    fn is_published(&self) -> bool {
        self.publication.was_written() || !self.plan.is_outdated
    }
}

/// What is to be said of each identity and policy.
pub(super) fn outcome(findings: &Findings<'_>, proofs: &super::proof::Proofs) -> Outcome {
    let registry = findings.reference();
    let general = programmed(findings);
    if findings.is_enforced() {
        proofs.keep_entries(&registry, entries(findings.plan));
    }
    // While Pods take a new document over, what stands unchanged in the one that they all had is still enforced.
    let programmed = |entry: &str| {
        let unchanged = general.reason == reasons::PENDING && proofs.has_entry(&registry, entry);
        if general.is_yes() || unchanged {
            Verdict::yes(reasons::PROGRAMMED, "every Pod enforces this")
        } else {
            general.clone()
        }
    };
    let identities: HashMap<_, _> = findings
        .plan
        .identities
        .iter()
        .map(|(uid, identity)| {
            let programmed = if !identity.is_hashed() {
                Verdict::no(reasons::HASH_PENDING, "the password's hash is being computed")
            } else if identity.accepted.is_yes() {
                programmed(&entry_text(uid, &identity.entry))
            } else {
                Verdict::no(identity.accepted.reason, "not accepted, and so not enforced")
            };
            let outcome = IdentityOutcome {
                generation: identity.generation,
                username: identity.username.clone(),
                accepted: identity.accepted.clone(),
                resolved: findings
                    .consumers
                    .get(uid)
                    .cloned()
                    .unwrap_or_else(|| identity.resolved.clone()),
                programmed,
                disabled: identity.disabled,
                credentials_secret: identity.credentials_secret.clone(),
            };
            (uid.clone(), outcome)
        })
        .collect();
    let policies = findings
        .plan
        .policies
        .iter()
        .map(|(uid, policy)| {
            let programmed = match (&policy.in_force, policy.accepted.is_yes()) {
                (Some(_), true) => programmed(&entry_text(uid, &policy.in_force)),
                // Something else than this generation is enforced.
                _ => Verdict::no(
                    policy.accepted.reason,
                    "this generation is not accepted, and so not enforced",
                ),
            };
            (
                uid.clone(),
                PolicyOutcome {
                    generation: policy.generation,
                    accepted: policy.accepted.clone(),
                    programmed,
                },
            )
        })
        .collect();
    Outcome { identities, policies }
}

/// Whether everything that is accepted is in force in every Pod.
fn programmed(findings: &Findings<'_>) -> Verdict {
    match &findings.plan.manage {
        _ if findings.is_published() => findings.proof.verdict.clone(),
        Manage::Nothing { why } => why.clone(),
        Manage::Everything { .. } => Verdict::no(reasons::PENDING, "the access document is about to be published"),
    }
}

fn entries(plan: &Plan) -> HashSet<String> {
    let identities = plan
        .identities
        .iter()
        .map(|(uid, identity)| entry_text(uid, &identity.entry));
    let policies = plan
        .policies
        .iter()
        .map(|(uid, policy)| entry_text(uid, &policy.in_force));
    let keys = plan.content.token.keys.iter().map(|key| key_entry(&key.kid));
    identities.chain(policies).chain(keys).collect()
}

fn entry_text(uid: &str, entry: &impl serde::Serialize) -> String {
    format!(
        "{uid} {}",
        serde_json::to_string(entry).expect("entries have only string keys")
    )
}

/// Writes the Registry's status where it differs.
pub(super) async fn write(context: &Context, findings: &Findings<'_>) -> Result<(), api::Error> {
    let registry = &findings.snapshot.registry;
    let status = status(findings);
    if registry.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let registries: Api<Registry> = Api::namespaced(context.client.clone(), &registry.namespace().unwrap_or_default());
    write_status(&registries, registry.as_ref(), json!(status)).await
}

/// Writes a status by one server-side apply. An object that is gone meanwhile needs none.
pub(crate) async fn write_status<K>(objects: &Api<K>, object: &K, status: Value) -> Result<(), api::Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let name = object.name_any();
    let kind = K::kind(&()).into_owned();
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": kind,
        // An object of the same name that came later is another one.
        "metadata": { "name": name, "uid": object.uid() },
        "status": status,
    });
    let params = PatchParams::apply(api::FIELD_MANAGER).force();
    let written = api::call(
        format!("write the status of {kind} `{name}`"),
        objects.patch_status(&name, &params, &Patch::Apply(&patch)),
    )
    .await;
    match written {
        Err(error) if error.is_not_found() || error.is_terminating() => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

fn status(findings: &Findings<'_>) -> RegistryStatus {
    let Findings {
        snapshot,
        plan,
        publication,
        proof,
        ..
    } = *findings;
    let registry = &snapshot.registry;
    let generation = registry.metadata.generation;
    let workload = plan.workload.as_ref().ok();
    let ready_pods = snapshot.pods.iter().filter(|pod| is_ready(pod)).count();

    let accepted = accepted(findings);
    let storage_ready = storage_ready(snapshot);
    let certificate = certificate::ready(registry, &snapshot.certificate, snapshot.now);
    let resolved = match (&snapshot.claim, workload.map(|workload| &workload.storage)) {
        (Claim::Absent, Some(Storage::ExistingClaim { name })) => Verdict::no(
            reasons::CLAIM_NOT_FOUND,
            format!(
                "PersistentVolumeClaim `{name}` does not exist in this namespace; create it, or give `size` instead of `claimName`"
            ),
        ),
        _ => match &certificate {
            Some(verdict) if snapshot.certificate.is_unresolved() => verdict.clone(),
            _ => plan
                .references
                .clone()
                .err()
                .unwrap_or_else(|| Verdict::yes(reasons::RESOLVED, "")),
        },
    };
    let programmed = programmed(findings);
    let ready = ready(
        findings,
        [&accepted, &resolved, &storage_ready],
        certificate.as_ref(),
        &programmed,
    );
    let special = special(snapshot, plan);
    let mut verdicts = vec![
        (types::READY, &ready),
        (types::ACCEPTED, &accepted),
        (types::RESOLVED_REFS, &resolved),
        (types::PROGRAMMED, &programmed),
        (types::STORAGE_READY, &storage_ready),
    ];
    verdicts.extend(certificate.iter().map(|verdict| (types::CERTIFICATE_READY, verdict)));
    verdicts.extend(special.iter().map(|(type_, verdict)| (*type_, verdict)));

    let before = registry.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let image = workload.map(|workload| workload.image.clone());
    RegistryStatus {
        observed_generation: generation,
        conditions: conditions(&verdicts, generation, before, snapshot.now),
        endpoints: Some(endpoints(findings)),
        version: image.as_deref().and_then(version),
        replicas: Some(count(snapshot.pods.len())),
        ready_replicas: Some(count(ready_pods)),
        selector: Some(names::pod_selector_text(&registry.name_any())),
        access: publication.document.as_ref().map(|document| AccessStatus {
            revision: i64::try_from(document.revision).unwrap_or(i64::MAX),
            digest: document.digest.clone(),
            programmed_replicas: count(proof.programmed_replicas),
        }),
        identities: Some(counts(
            plan.identities.values().map(|identity| identity.accepted.is_yes()),
        )),
        policies: Some(counts(plan.policies.values().map(|policy| policy.accepted.is_yes()))),
        token_lifetime: Some(
            plan.content
                .token
                .lifetime
                .max(TokenSettings::DEFAULT_LIFETIME)
                .to_string(),
        ),
        image,
    }
}

/// Whether the registry does what it is for; else the first thing that keeps it from that.
fn ready(
    findings: &Findings<'_>,
    [accepted, resolved, storage_ready]: [&Verdict; 3],
    certificate: Option<&Verdict>,
    programmed: &Verdict,
) -> Verdict {
    let Findings {
        snapshot,
        plan,
        application,
        publication,
        ..
    } = *findings;
    if let Some(why) = &publication.refused {
        return Verdict::no(reasons::LIMIT_EXCEEDED, why.clone());
    }
    if !accepted.is_yes() {
        return accepted.clone();
    }
    if snapshot.registry.spec.replicas == 0 {
        return Verdict::no(
            reasons::SCALED_TO_ZERO,
            "spec.replicas is 0: the registry is stopped and its data kept",
        );
    }
    let serves = snapshot.pods.iter().any(|pod| is_ready(pod));
    // Pods that have a certificate already go on with it.
    let certificate = certificate
        .filter(|verdict| verdict.holds == Some(false) && (!serves || verdict.reason == reasons::CERTIFICATE_EXPIRED));
    if let Some(certificate) = certificate {
        return certificate.clone();
    }
    let goes_on = serves && (snapshot.certificate.is_unresolved() || plan.references.is_err());
    if !resolved.is_yes() && !goes_on {
        return resolved.clone();
    }
    if storage_ready.holds == Some(false) {
        return storage_ready.clone();
    }
    if let Some(trouble) = &application.trouble {
        return trouble.clone();
    }
    if !serves {
        let starting = || Verdict::no(reasons::PROGRESSING, "the Pod is starting");
        return pods::trouble(&snapshot.pods).unwrap_or_else(starting);
    }
    if !programmed.is_yes() {
        return programmed.clone();
    }
    Verdict::yes(
        reasons::OK,
        "the registry serves and enforces the published identities and policies",
    )
}

/// The conditions that are only there while they are true.
pub(super) fn special(snapshot: &Snapshot, plan: &Plan) -> Vec<(&'static str, Verdict)> {
    let spec = &snapshot.registry.spec;
    let mut special = Vec::new();
    let mut add = |holds: bool, type_, reason, message: &str| {
        if holds {
            special.push((type_, Verdict::yes(reason, message)));
        }
    };
    let ended_in_front = spec
        .external_url
        .as_deref()
        .is_some_and(|url| url.starts_with("https://"));
    add(
        spec.tls.is_none() && !ended_in_front,
        types::INSECURE,
        reasons::NO_TLS,
        "clients send passwords and tokens in clear text; fine on 127.0.0.1 and for trying out",
    );
    add(
        spec.storage.empty_dir.is_some(),
        types::EPHEMERAL,
        reasons::EMPTY_DIR,
        "all images are lost when the Pod ends; use persistentVolumeClaim to keep them",
    );
    // Some are listed only because they are over, so that nobody comes by their names.
    let can_sign_in = plan
        .content
        .identities
        .iter()
        .any(|identity| identity.is_in_force(snapshot.now));
    let others_know_somebody = plan.content.token_server.is_some() || !plan.content.oidc.is_empty();
    add(
        !can_sign_in && !others_know_somebody,
        types::NO_IDENTITIES,
        reasons::NONE,
        "nobody can sign in yet: create a RegistryIdentity that names this Registry",
    );
    add(
        plan.content.policies.iter().all(|policy| policy.mode == Mode::Audit),
        types::NO_POLICIES,
        reasons::NONE,
        "nothing is allowed yet, even to those who can sign in: create an AccessPolicy that names this Registry, other than in `mode: Audit`",
    );
    add(
        hides_addresses(plan) && asks_for_addresses(plan),
        types::CLIENT_ADDRESS_HIDDEN,
        reasons::EXTERNAL_TRAFFIC_POLICY,
        "clients from outside of the cluster come with the address of a node, and rules about addresses judge that one; set `spec.expose.service.externalTrafficPolicy: Local`",
    );
    add(
        spec.paused == Some(true),
        types::PAUSED,
        reasons::PAUSED,
        "nothing is changed and nothing new is enforced, revocations included, until `spec.paused` is removed",
    );
    special
}

/// Whether the Service puts a node's address in the place of those of clients from outside.
fn hides_addresses(plan: &Plan) -> bool {
    plan.workload.as_ref().is_ok_and(|workload| {
        workload.service_type != ServiceType::ClusterIP
            && workload.external_traffic_policy != Some(ExternalTrafficPolicy::Local)
    })
}

/// Whether anything is decided by where clients come from.
fn asks_for_addresses(plan: &Plan) -> bool {
    let content = &plan.content;
    let mut policies = content.policies.iter();
    !content.allowed_source_ranges.is_empty() || policies.any(|policy| policy.mentions("client_ip"))
}

fn accepted(findings: &Findings<'_>) -> Verdict {
    match (&findings.plan.manage, &findings.plan.workload) {
        (Manage::Nothing { why }, _) if why.reason != reasons::PAUSED => why.clone(),
        (_, Err(why)) => why.clone(),
        (_, Ok(_)) => match &findings.application.trouble {
            Some(trouble) => trouble.clone(),
            None => Verdict::yes(reasons::ACCEPTED, ""),
        },
    }
}

fn storage_ready(snapshot: &Snapshot) -> Verdict {
    if let Some(failing) = pods::storage_trouble(&snapshot.pods) {
        return failing;
    }
    match &snapshot.claim {
        Claim::NotNeeded | Claim::Bound => {
            if snapshot.pods.iter().any(|pod| is_ready(pod)) {
                Verdict::yes(reasons::OK, "the registry reads and writes its storage")
            } else {
                Verdict::unknown(reasons::PENDING, "no Pod has used the storage yet")
            }
        }
        Claim::Absent => Verdict::unknown(reasons::CLAIM_PENDING, "the PersistentVolumeClaim does not exist yet"),
        Claim::Pending { why: Some(why) } => Verdict::no(
            reasons::CLAIM_PENDING,
            format!("the PersistentVolumeClaim is not bound: {why}"),
        ),
        Claim::Pending { why: None } => {
            Verdict::no(reasons::CLAIM_PENDING, "the PersistentVolumeClaim is not bound yet")
        }
    }
}

fn endpoints(findings: &Findings<'_>) -> Endpoints {
    let registry = &findings.snapshot.registry;
    let workload = findings.plan.workload.as_ref().ok();
    let (scheme, default_port) = if registry.spec.tls.is_some() {
        ("https", 443)
    } else {
        ("http", 80)
    };
    let port = workload.map_or(default_port, |workload| workload.service_port);
    let suffix = if port == default_port {
        String::new()
    } else {
        format!(":{port}")
    };
    let internal = format!(
        "{scheme}://{}.{}.svc{suffix}",
        registry.name_any(),
        registry.namespace().unwrap_or_default()
    );
    let service = findings.snapshot.service.as_ref().map(|service| &service.data);
    let derived = || {
        let (service, workload) = (service?, workload?);
        match workload.service_type {
            ServiceType::ClusterIP => None,
            ServiceType::NodePort => {
                let port = service["spec"]["ports"][0]["nodePort"].as_i64()?;
                let node = findings
                    .snapshot
                    .pods
                    .iter()
                    .find_map(|pod| pod.status.as_ref()?.host_ip.clone())?;
                Some(format!("{scheme}://{node}:{port}"))
            }
            ServiceType::LoadBalancer => {
                let ingress = &service["status"]["loadBalancer"]["ingress"][0];
                let host = ingress["hostname"].as_str().or_else(|| ingress["ip"].as_str())?;
                Some(format!("{scheme}://{host}{suffix}"))
            }
        }
    };
    Endpoints {
        external: registry.spec.external_url.clone().or_else(derived),
        internal: Some(internal),
    }
}

/// The tag of an image reference.
fn version(image: &str) -> Option<String> {
    let name = image.split('@').next()?;
    let (_, tag) = name.rsplit_once(':')?;
    (!tag.contains('/')).then(|| tag.to_owned())
}

fn counts(accepted: impl Iterator<Item = bool>) -> Counts {
    let (yes, no): (Vec<bool>, Vec<bool>) = accepted.partition(|accepted| *accepted);
    Counts {
        accepted: count(yes.len()),
        rejected: count(no.len()),
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
