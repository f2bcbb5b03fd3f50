//! Authorities that certificates are believed by.

use crds::reasons;
use kube::ResourceExt;
use registry_config::{ClientCertificateMode, ClientCertificates, ClientVerifier};

use crate::hashing::how_to_agree;
use crate::outcome::Verdict;
use crate::registry::snapshot::{Authorities, Snapshot};

/// What the access document says about clients' certificates, and what is wrong with the Secret.
///
/// Where the Secret is of no use, the authorities in force stay; where there are none, no certificate is believed. Clients that
/// must have one are then refused: that is what was asked for.
pub(super) fn judge(snapshot: &Snapshot) -> (Option<ClientCertificates>, Result<(), Verdict>) {
    let registry = &snapshot.registry;
    let settings = registry.spec.auth.as_ref();
    let Some(settings) = settings.and_then(|auth| auth.client_certificates.as_ref()) else {
        return (None, Ok(()));
    };
    let mode = match settings.mode {
        None | Some(crds::ClientCertificateMode::Optional) => ClientCertificateMode::Optional,
        Some(crds::ClientCertificateMode::Required) => ClientCertificateMode::Required,
    };
    let name = &settings.authorities_secret_ref.name;
    let found = text(&snapshot.authorities, name, snapshot).map(|authorities| ClientCertificates { authorities, mode });
    match found {
        Ok(found) => (Some(found), Ok(())),
        Err((reason, why)) => {
            let authorities = in_force(snapshot);
            let kept = if authorities.is_empty() {
                "no certificate of a client is believed until then"
            } else {
                "the authorities that it had last are still believed"
            };
            let message = format!("Secret `{name}` with the authorities of clients' certificates: {why}; {kept}");
            (
                Some(ClientCertificates { authorities, mode }),
                Err(Verdict::no(reason, message)),
            )
        }
    }
}

/// The certificates of authorities from the Secret `name`.
///
/// # Errors
/// Reason and words, where there are none that could be believed.
pub(super) fn text(found: &Authorities, name: &str, snapshot: &Snapshot) -> Result<String, (&'static str, String)> {
    let namespace = snapshot.registry.namespace().unwrap_or_default();
    match found {
        Authorities::Read(authorities) if authorities.trim().is_empty() => {
            Err((reasons::INVALID_AUTHORITIES, "it is empty".to_owned()))
        }
        Authorities::Read(authorities) => {
            let settings = ClientCertificates {
                authorities: authorities.clone(),
                mode: ClientCertificateMode::Optional,
            };
            ClientVerifier::new(&settings).map_err(|why| (reasons::INVALID_AUTHORITIES, why))?;
            Ok(authorities.clone())
        }
        Authorities::NotNeeded | Authorities::Missing => Err((
            reasons::SECRET_NOT_FOUND,
            format!("it does not exist in namespace `{namespace}`"),
        )),
        Authorities::NotMarked => Err((
            reasons::SECRET_NOT_MARKED,
            format!(
                "it is neither of type `kubernetes.io/tls` nor marked for this use; {}",
                how_to_agree(name, &namespace)
            ),
        )),
        Authorities::Unusable(why) => Err((why.reason, why.message.clone())),
    }
}

fn in_force(snapshot: &Snapshot) -> String {
    let known = snapshot
        .index
        .content()
        .and_then(|content| content.client_certificates.as_ref());
    known.map(|found| found.authorities.clone()).unwrap_or_default()
}
