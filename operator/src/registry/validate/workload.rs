//! [`Workload`]: what the Pods of a Registry are to be.

use crds::{ExternalTrafficPolicy, Registry, Retention, ServiceType, reasons};

use super::ServerSettings;
use crate::outcome::Verdict;
use crate::registry::snapshot::{CertificateSource, Snapshot};
use crate::settings::Settings;

/// A Registry's spec with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::registry) struct Workload {
    pub(in crate::registry) image: String,
    pub(in crate::registry) replicas: i32,
    pub(in crate::registry) storage: Storage,
    pub(in crate::registry) service_type: ServiceType,
    pub(in crate::registry) service_port: i32,
    pub(in crate::registry) node_port: Option<i32>,
    pub(in crate::registry) external_traffic_policy: Option<ExternalTrafficPolicy>,
    /// The Secret with the certificate; without one there is no TLS.
    pub(in crate::registry) tls_secret: Option<String>,
    /// For the server document.
    pub(in crate::registry) server: ServerSettings,
}

/// Where the Pods keep blobs and manifests.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::registry) enum Storage {
    /// A volume that the operator claims.
    NewClaim {
        size: String,
        class: Option<String>,
        access_modes: Vec<String>,
        retention: Retention,
    },
    /// A volume that exists.
    ExistingClaim { name: String },
    /// A volume that ends with its Pod.
    EmptyDir { size_limit: Option<String> },
}

/// What a Registry's spec asks for, with every default filled in.
///
/// # Errors
/// What keeps the Deployment as it is.
pub(super) fn workload(registry: &Registry, settings: &Settings) -> Result<Workload, Verdict> {
    let spec = &registry.spec;
    let image = match &spec.image {
        None => settings.registry_image.clone(),
        Some(image) if *image == settings.registry_image => image.clone(),
        Some(image)
            if settings
                .allowed_image_prefixes
                .iter()
                .any(|prefix| !prefix.is_empty() && image.starts_with(prefix)) =>
        {
            image.clone()
        }
        Some(image) => {
            let allowed = match settings.allowed_image_prefixes.as_slice() {
                [] => format!("only the default, `{}`, is allowed", settings.registry_image),
                prefixes => format!("an image must begin with one of `{}`", prefixes.join("`, `")),
            };
            let message = format!(
                "spec.image: `{image}` is not allowed by this operator: {allowed}; the Deployment stays as it is, and identities and policies are still followed"
            );
            return Err(Verdict::no(reasons::IMAGE_NOT_ALLOWED, message));
        }
    };
    let storage = match (&spec.storage.persistent_volume_claim, &spec.storage.empty_dir) {
        (Some(claim), None) => match (&claim.claim_name, &claim.size) {
            (Some(name), None) => Storage::ExistingClaim { name: name.clone() },
            (None, Some(size)) => Storage::NewClaim {
                size: size.clone(),
                class: claim.storage_class_name.clone(),
                access_modes: claim
                    .access_modes
                    .clone()
                    .unwrap_or_else(|| vec!["ReadWriteOnce".to_owned()]),
                retention: claim.retention.unwrap_or(Retention::Retain),
            },
            _ => {
                return Err(Verdict::no(
                    reasons::INVALID,
                    "spec.storage.persistentVolumeClaim: give exactly one of `size` and `claimName`",
                ));
            }
        },
        (None, Some(empty_dir)) => Storage::EmptyDir {
            size_limit: empty_dir.size_limit.clone(),
        },
        _ => {
            return Err(Verdict::no(
                reasons::INVALID,
                "spec.storage: give exactly one of `persistentVolumeClaim` and `emptyDir`",
            ));
        }
    };
    let tls_secret = spec.tls.as_ref().map(|tls| tls.secret_ref.name.clone());
    let default_port = if tls_secret.is_some() { 443 } else { 80 };
    let service = spec.expose.clone().unwrap_or_default().service.unwrap_or_default();
    Ok(Workload {
        image,
        replicas: spec.replicas,
        storage,
        service_type: service.type_.unwrap_or(ServiceType::ClusterIP),
        service_port: service.port.unwrap_or(default_port),
        node_port: service.node_port,
        external_traffic_policy: service.external_traffic_policy,
        tls_secret,
        server: ServerSettings::of(registry)?,
    })
}

/// Whether Pods would be replaced by some without a certificate: one that runs and serves is better than that.
pub(super) fn waits_for_certificate(snapshot: &Snapshot, workload: &Workload) -> bool {
    let is_usable = matches!(
        snapshot.certificate,
        CertificateSource::NotNeeded | CertificateSource::Usable(_)
    );
    let Some(deployment) = snapshot.deployment.as_ref().filter(|_| !is_usable) else {
        return false;
    };
    let volumes = deployment.data["spec"]["template"]["spec"]["volumes"].as_array();
    let tls = volumes.into_iter().flatten().find(|volume| volume["name"] == "tls");
    let mounted = tls.and_then(|volume| volume["secret"]["secretName"].as_str());
    mounted != workload.tls_secret.as_deref()
}
