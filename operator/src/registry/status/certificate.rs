//! Whether clients can trust what the registry shows them: pure.

use crds::{Registry, reasons, secret_types};
use jiff::Timestamp;

use crate::outcome::Verdict;
use crate::registry::snapshot::CertificateSource;

/// What is to be said of the certificate; nothing where the Registry has no TLS.
pub(super) fn ready(registry: &Registry, source: &CertificateSource, now: Timestamp) -> Option<Verdict> {
    let name = &registry.spec.tls.as_ref()?.secret_ref.name;
    let kept = "Pods that run go on as they do, new ones answer nobody until then";
    let certificate = match source {
        CertificateSource::NotNeeded => return None,
        CertificateSource::Missing => {
            let message = format!(
                "Secret `{name}` does not exist in this namespace; make it with `kubectl create secret tls {name} --cert=FILE --key=FILE`; {kept}"
            );
            return Some(Verdict::no(reasons::SECRET_NOT_FOUND, message));
        }
        CertificateSource::WrongType(found) => {
            let message = format!(
                "Secret `{name}` is of type `{found}`, and a certificate is in one of type `{}`; delete it and make it with `kubectl create secret tls {name} --cert=FILE --key=FILE`; {kept}",
                secret_types::TLS
            );
            return Some(Verdict::no(reasons::SECRET_TYPE_INVALID, message));
        }
        CertificateSource::Unusable(why) => {
            let message = format!("Secret `{name}`, `tls.crt` and `tls.key`: {why}; {kept}");
            return Some(Verdict::no(reasons::INVALID_CERTIFICATE, message));
        }
        CertificateSource::Usable(certificate) => certificate,
    };
    let names = certificate.names.join("`, `");
    let verdict = if now >= certificate.not_after || now < certificate.not_before {
        let message = format!(
            "the certificate in Secret `{name}` is valid from {} to {}, and clients refuse it now; replace it",
            certificate.not_before, certificate.not_after
        );
        Verdict::no(reasons::CERTIFICATE_EXPIRED, message)
    } else if let Some(host) = host(registry).filter(|host| !certificate.covers(host)) {
        let message = format!(
            "the certificate in Secret `{name}` is for `{names}`, and not for `{host}` of spec.externalURL, so clients refuse it there"
        );
        Verdict::no(reasons::NAME_MISMATCH, message)
    } else {
        let message = format!(
            "for `{names}`, valid until {}; Pods take a new one over a minute or so after the Secret has changed",
            certificate.not_after
        );
        Verdict::yes(reasons::OK, message)
    };
    Some(verdict)
}

/// The host under which clients reach the registry, where that is known and theirs to verify.
fn host(registry: &Registry) -> Option<&str> {
    let rest = registry.spec.external_url.as_deref()?.strip_prefix("https://")?;
    let authority = rest.split('/').next()?;
    Some(authority.rsplit_once(':').map_or(authority, |(host, _)| host))
}

#[cfg(test)]
mod tests {
    use registry_config::{Certificate, InvalidTlsPair};
    use serde_json::json;

    use super::*;

    fn registry(external_url: Option<&str>) -> Registry {
        let spec = json!({
            "storage": { "emptyDir": {} }, "tls": { "secretRef": { "name": "cert" } }, "externalURL": external_url,
        });
        let registry = json!({
            "apiVersion": "wharfinger.dev/v1alpha1", "kind": "Registry", "metadata": { "name": "main" }, "spec": spec,
        });
        serde_json::from_value(registry).unwrap()
    }

    #[test]
    fn each_thing_that_can_be_wrong_has_its_reason_and_a_text_that_names_the_secret() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let usable = || {
            CertificateSource::Usable(Certificate {
                names: vec!["r.example".into(), "*.in.example".into()],
                not_before: at(100),
                not_after: at(200),
                fingerprint: String::new(),
            })
        };
        for (source, url, now, holds, reason) in [
            (CertificateSource::Missing, None, 150, false, reasons::SECRET_NOT_FOUND),
            (
                CertificateSource::WrongType("Opaque".into()),
                None,
                150,
                false,
                reasons::SECRET_TYPE_INVALID,
            ),
            (
                CertificateSource::Unusable(InvalidTlsPair::Mismatch),
                None,
                150,
                false,
                reasons::INVALID_CERTIFICATE,
            ),
            (usable(), None, 99, false, reasons::CERTIFICATE_EXPIRED),
            (usable(), None, 200, false, reasons::CERTIFICATE_EXPIRED),
            (usable(), None, 199, true, reasons::OK),
            (usable(), Some("https://r.example"), 150, true, reasons::OK),
            (usable(), Some("https://a.in.example:8443"), 150, true, reasons::OK),
            (
                usable(),
                Some("https://other.example"),
                150,
                false,
                reasons::NAME_MISMATCH,
            ),
            // Somebody in front speaks without TLS there.
            (usable(), Some("http://other.example"), 150, true, reasons::OK),
        ] {
            let verdict = ready(&registry(url), &source, at(now)).unwrap();
            assert_eq!(
                (verdict.holds, verdict.reason),
                (Some(holds), reason),
                "{}",
                verdict.message
            );
            assert!(holds || verdict.message.contains("`cert`"), "{}", verdict.message);
        }
        let without: Registry = serde_json::from_value(json!({
            "apiVersion": "wharfinger.dev/v1alpha1", "kind": "Registry", "metadata": { "name": "main" },
            "spec": { "storage": { "emptyDir": {} } },
        }))
        .unwrap();
        assert_eq!(ready(&without, &CertificateSource::NotNeeded, at(1)), None);
    }
}
