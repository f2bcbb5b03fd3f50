//! Settings that the registry takes over while it runs, checked by the function that the registry itself calls.

use crds::{Registry, reasons};
use registry_config::{
    BlobSettings, Challenge, Cors, Deletion, ManifestSettings, MissingReferences, Problem, parse_networks,
    parse_user_header,
};

use super::passwords;
use crate::outcome::Verdict;

/// Settings for the access document.
pub(super) struct Reloadable {
    pub(super) cors: Option<Cors>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) user_header: Option<String>,
    pub(super) allowed_source_ranges: Vec<String>,
    pub(super) challenge: Challenge,
    pub(super) basic_realm: Option<String>,
    /// Whether tokens of ServiceAccounts can be taken at all.
    pub(super) takes_account_tokens: bool,
    pub(super) manifests: ManifestSettings,
    pub(super) blobs: BlobSettings,
    pub(super) deletion: Deletion,
    /// What is wrong with them. The schema admits only good ones; anything else would be an object older than the schema,
    /// and is left out of the document, which the registry would refuse as a whole.
    pub(super) accepted: Result<(), Verdict>,
}

impl Reloadable {
    pub(super) fn of(registry: &Registry) -> Self {
        let spec = &registry.spec;
        let mut problems = Vec::new();
        let cors = spec.cors.as_ref().and_then(|cors| match self::cors(cors) {
            Ok(cors) => Some(cors),
            Err(found) => {
                problems.extend(within("spec.cors.", found));
                None
            }
        });
        let auth = spec.auth.clone().unwrap_or_default();
        let proxies = auth.trusted_proxies.as_ref();
        let mut trusted_proxies = proxies.map(|proxies| proxies.cidrs.clone()).unwrap_or_default();
        if let Err(found) = parse_networks(&trusted_proxies) {
            problems.extend(within("spec.auth.trustedProxies.cidrs", found));
            trusted_proxies.clear();
        }
        let user_header = proxies.and_then(|proxies| proxies.user_header.clone());
        let user_header = user_header.filter(|name| match parse_user_header(name) {
            Ok(_) => true,
            Err(why) => {
                problems.push(format!("spec.auth.trustedProxies.userHeader: {why}"));
                false
            }
        });
        let allowed_source_ranges = auth.allowed_source_ranges.unwrap_or_default();
        let sources = parse_networks(&allowed_source_ranges);
        if let Err(found) = &sources {
            problems.extend(within("spec.auth.allowedSourceRanges", found.clone()));
        }
        let audience = auth.service_account_tokens.and_then(|tokens| tokens.audience);
        let is_the_clusters = audience.as_deref().is_some_and(is_audience_of_the_cluster);
        if is_the_clusters {
            problems.push(
                "spec.auth.serviceAccountTokens.audience: this is the API server's own, and a token for it must be sent nowhere else; name one of this registry's own, or leave it out".to_owned(),
            );
        }
        if let Err(why) = passwords::hashing(registry) {
            problems.push(format!("spec.auth.passwordHashing: {why}"));
        }
        let max_size = spec.limits.as_ref().and_then(|limits| limits.max_blob_size.as_deref());
        let max_size = max_size.and_then(|text| match text.parse() {
            Ok(size) => Some(size),
            Err(why) => {
                problems.push(format!("spec.limits.maxBlobSize: {why}"));
                None
            }
        });
        let accepted = match problems.as_slice() {
            [] => Ok(()),
            problems => Err(Verdict::no(reasons::INVALID, problems.join("; "))),
        };
        Self {
            cors,
            // A header that nobody is trusted to send would make the document one that the registry refuses.
            user_header: user_header.filter(|_| !trusted_proxies.is_empty()),
            trusted_proxies,
            // To let everybody in would be worse than to let nobody in.
            allowed_source_ranges: if sources.is_ok() {
                allowed_source_ranges
            } else {
                vec!["255.255.255.255/32".to_owned()]
            },
            challenge: match auth.challenge {
                None | Some(crds::Challenge::Bearer) => Challenge::Bearer,
                Some(crds::Challenge::Basic) => Challenge::Basic,
            },
            basic_realm: auth.basic_realm,
            takes_account_tokens: !is_the_clusters,
            manifests: manifests(registry),
            blobs: BlobSettings { max_size },
            deletion: match spec.deletion {
                None | Some(crds::Deletion::Enabled) => Deletion::Enabled,
                Some(crds::Deletion::Disabled) => Deletion::Disabled,
            },
            accepted,
        }
    }
}

/// Whether tokens for this audience are for the API server, by the names that it usually has.
fn is_audience_of_the_cluster(audience: &str) -> bool {
    let host = audience
        .strip_prefix("https://")
        .unwrap_or(audience)
        .trim_end_matches('/');
    let host = host.split(':').next().unwrap_or_default();
    matches!(host, "kubernetes.default" | "kubernetes.default.svc") || host.starts_with("kubernetes.default.svc.")
}

fn within(path: &str, problems: Vec<Problem>) -> impl Iterator<Item = String> {
    problems.into_iter().map(move |problem| format!("{path}{problem}"))
}

fn manifests(registry: &Registry) -> ManifestSettings {
    let given = registry.spec.manifests.as_ref();
    let missing_references = match given.and_then(|given| given.missing_references) {
        None | Some(crds::MissingReferences::Refuse) => MissingReferences::Refuse,
        Some(crds::MissingReferences::AllowInIndexes) => MissingReferences::AllowInIndexes,
        Some(crds::MissingReferences::Allow) => MissingReferences::Allow,
    };
    ManifestSettings { missing_references }
}

fn cors(given: &crds::Cors) -> Result<Cors, Vec<Problem>> {
    let max_age = match &given.max_age {
        None => Cors::default_max_age(),
        Some(text) => text.parse().map_err(|error| vec![Problem::new("maxAge", error)])?,
    };
    let cors = Cors {
        allowed_origins: given.allowed_origins.clone(),
        allow_credentials: given.allow_credentials.unwrap_or_default(),
        allowed_methods: given.allowed_methods.clone().unwrap_or_else(Cors::default_methods),
        allowed_headers: given
            .allowed_headers
            .clone()
            .unwrap_or_else(Cors::default_allowed_headers),
        expose_headers: given
            .expose_headers
            .clone()
            .unwrap_or_else(Cors::default_expose_headers),
        max_age,
    };
    let problems = cors.problems();
    if problems.is_empty() { Ok(cors) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::registry_with;
    use super::*;

    fn of(spec: &Value) -> Reloadable {
        Reloadable::of(&registry_with(spec))
    }

    #[test]
    fn what_browsers_and_proxies_may_do_stands_in_the_document_with_every_default_filled_in() {
        let found = of(&json!({
            "cors": { "allowedOrigins": ["https://ui.example.com"] },
            "auth": { "trustedProxies": { "cidrs": ["10.0.0.0/8"] } },
        }));
        assert!(found.accepted.is_ok());
        assert_eq!(found.trusted_proxies, ["10.0.0.0/8"]);
        let cors = found.cors.unwrap();
        assert_eq!(
            (cors.allowed_methods, cors.max_age.to_string()),
            (Cors::default_methods(), "10m".to_owned())
        );
        assert!(!cors.allow_credentials);
    }

    #[test]
    fn what_manifests_may_lack_stands_in_the_document() {
        for (given, want) in [
            (json!({}), MissingReferences::Refuse),
            (json!({ "manifests": {} }), MissingReferences::Refuse),
            (
                json!({ "manifests": { "missingReferences": "AllowInIndexes" } }),
                MissingReferences::AllowInIndexes,
            ),
            (
                json!({ "manifests": { "missingReferences": "Allow" } }),
                MissingReferences::Allow,
            ),
        ] {
            assert_eq!(of(&given).manifests.missing_references, want, "{given}");
        }
    }

    #[test]
    fn how_large_blobs_may_be_and_whether_they_can_be_deleted_stands_in_the_document() {
        let found = of(&json!({}));
        assert_eq!((found.blobs.max_size, found.deletion), (None, Deletion::Enabled));
        let found = of(&json!({ "limits": { "maxBlobSize": "10Gi" }, "deletion": "Disabled" }));
        let bytes = found.blobs.max_size.map(registry_config::SizeText::bytes);
        assert_eq!((bytes, found.deletion), (Some(10 << 30), Deletion::Disabled));
        let why = of(&json!({ "limits": { "maxBlobSize": "much" } }))
            .accepted
            .unwrap_err();
        assert!(
            why.message.contains("spec.limits.maxBlobSize: `much`"),
            "{}",
            why.message
        );
    }

    #[test]
    fn what_the_registry_would_refuse_is_left_out_and_told_with_its_path() {
        let found = of(&json!({
            "cors": { "allowedOrigins": ["*"], "allowCredentials": true },
            "auth": { "trustedProxies": { "cidrs": ["10.0.0.0/8", "10.0.0.0"] } },
        }));
        assert!(found.cors.is_none() && found.trusted_proxies.is_empty());
        let why = found.accepted.unwrap_err();
        for path in [
            "spec.cors.allowedOrigins[0]: `*`",
            "spec.auth.trustedProxies.cidrs[1]: `10.0.0.0`",
        ] {
            assert!(
                why.reason == reasons::INVALID && why.message.contains(path),
                "{}",
                why.message
            );
        }
    }
}
