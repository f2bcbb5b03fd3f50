//! Authorities that certificates are believed by.

use crds::reasons;
use registry_config::{ClientCertificateMode, ClientCertificates, ClientVerifier};

use crate::outcome::Verdict;
use crate::registry::snapshot::{Snapshot, TrustFile};

use super::trust;

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
pub(super) fn text(found: &TrustFile, name: &str, snapshot: &Snapshot) -> Result<String, (&'static str, String)> {
    let authorities = trust::text(found, name, snapshot).and_then(|authorities| {
        let settings = ClientCertificates {
            authorities,
            mode: ClientCertificateMode::Optional,
        };
        match ClientVerifier::new(&settings) {
            Ok(_) => Ok(settings.authorities),
            Err(why) => Err((None, why)),
        }
    });
    authorities.map_err(|(reason, why)| (reason.unwrap_or(reasons::INVALID_AUTHORITIES), why))
}

fn in_force(snapshot: &Snapshot) -> String {
    let known = snapshot
        .index
        .content()
        .and_then(|content| content.client_certificates.as_ref());
    known.map(|found| found.authorities.clone()).unwrap_or_default()
}
