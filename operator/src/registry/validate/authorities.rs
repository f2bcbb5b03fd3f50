//! The authorities that issue clients' certificates.

use crds::reasons;
use kube::ResourceExt;
use registry_config::{ClientCertificateMode, ClientCertificates, ClientVerifier};

use crate::outcome::Verdict;
use crate::registry::snapshot::{Authorities, LiveIndex, Snapshot};

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
    let found = match &snapshot.authorities {
        Authorities::Read(authorities) => {
            let found = ClientCertificates {
                authorities: authorities.clone(),
                mode,
            };
            ClientVerifier::new(&found)
                .map_err(|why| (reasons::INVALID_AUTHORITIES, why))
                .and_then(|_| match authorities.trim() {
                    "" => Err((reasons::INVALID_AUTHORITIES, "it is empty".to_owned())),
                    _ => Ok(found),
                })
        }
        Authorities::NotNeeded | Authorities::Missing => Err((
            reasons::SECRET_NOT_FOUND,
            format!(
                "it does not exist in namespace `{}`",
                registry.namespace().unwrap_or_default()
            ),
        )),
        Authorities::NotMarked => Err((
            reasons::SECRET_NOT_MARKED,
            format!(
                "it is neither of type `kubernetes.io/tls` nor marked for this use; its owner agrees with: kubectl label secret {name} --namespace {} {}=true",
                registry.namespace().unwrap_or_default(),
                crds::labels::CREDENTIAL
            ),
        )),
        Authorities::Unusable(why) => Err((why.reason, why.message.clone())),
    };
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

fn in_force(snapshot: &Snapshot) -> String {
    match &snapshot.index {
        LiveIndex::Read { content, .. } => content.client_certificates.as_ref(),
        LiveIndex::Absent | LiveIndex::Foreign | LiveIndex::Unreadable { .. } => None,
    }
    .map(|found| found.authorities.clone())
    .unwrap_or_default()
}
