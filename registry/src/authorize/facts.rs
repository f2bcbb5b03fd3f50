//! [`Facts`]: what a route says that policies may ask about.

use registry_policy::{Action, Request};

use crate::oci::{Algorithm, Digest, Reference, RepositoryName, UploadId};
use crate::route::{
    DeleteBlob, DeleteManifest, GetBlob, GetManifest, GetReferrers, ListCatalog, ListTags, PutManifest, Route,
    StartUpload,
};

/// The facts that a route has for policies.
#[derive(Default)]
pub(super) struct Facts<'r> {
    pub(super) repository: Option<&'r str>,
    pub(super) reference: Option<&'r str>,
    pub(super) digest: Option<&'r str>,
    pub(super) tags: Vec<String>,
    pub(super) session: Option<String>,
    pub(super) from: Option<&'r str>,
    pub(super) n: Option<u64>,
    pub(super) last: Option<&'r str>,
    pub(super) artifact_type: Option<&'r str>,
    pub(super) digest_algorithm: Option<&'r str>,
}

impl<'r> Facts<'r> {
    pub(super) fn of(route: &'r Route) -> Self {
        let facts = Self {
            repository: route.repository().map(RepositoryName::as_str),
            ..Self::default()
        };
        let manifest = |reference: &'r Reference, facts| Self {
            reference: Some(reference.as_str()),
            digest: match reference {
                Reference::Digest(digest) => Some(digest.as_str()),
                Reference::Tag(_) => None,
            },
            ..facts
        };
        let session = |session: &UploadId| Some(session.to_string());
        match route {
            Route::Base | Route::Token | Route::Keys => facts,
            Route::ListCatalog(ListCatalog { page }) | Route::ListTags(ListTags { page, .. }) => Self {
                n: page.n,
                last: page.last.as_deref(),
                ..facts
            },
            Route::GetBlob(GetBlob { digest, .. }) | Route::DeleteBlob(DeleteBlob { digest, .. }) => Self {
                digest: Some(digest.as_str()),
                ..facts
            },
            Route::GetManifest(GetManifest { reference, .. })
            | Route::DeleteManifest(DeleteManifest { reference, .. }) => manifest(reference, facts),
            Route::PutManifest(PutManifest { reference, tags, .. }) => {
                let tags = tags.iter().map(ToString::to_string).collect();
                Self {
                    tags,
                    ..manifest(reference, facts)
                }
            }
            Route::GetReferrers(GetReferrers {
                digest,
                artifact_type,
                page,
                ..
            }) => Self {
                digest: Some(digest.as_str()),
                artifact_type: artifact_type.as_deref(),
                n: page.n,
                last: page.last.as_deref(),
                ..facts
            },
            Route::StartUpload(StartUpload {
                digest,
                mount,
                from,
                digest_algorithm,
                ..
            }) => Self {
                digest: digest.as_ref().or(mount.as_ref()).map(Digest::as_str),
                from: from.as_ref().map(RepositoryName::as_str),
                digest_algorithm: digest_algorithm.map(Algorithm::as_str),
                ..facts
            },
            Route::GetUpload(route) | Route::UpdateUpload(route) | Route::CancelUpload(route) => Self {
                session: session(&route.session),
                ..facts
            },
            Route::CompleteUpload(route) => Self {
                session: session(&route.session),
                digest: Some(route.digest.as_str()),
                ..facts
            },
        }
    }

    pub(super) fn request<'f>(&'f self, action: Action, method: &'f str) -> Request<'f> {
        Request {
            action,
            method,
            repository: self.repository,
            reference: self.reference,
            digest: self.digest,
            tags: &self.tags,
            session_id: self.session.as_deref(),
            from: self.from,
            n: self.n,
            last: self.last,
            artifact_type: self.artifact_type,
            digest_algorithm: self.digest_algorithm,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use registry_policy::vocabulary::{Availability, availability};

    use super::*;
    use crate::authorize::actions;
    use crate::route;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const SESSION: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    /// Requests of all routes that policies decide, with all that they may say and with as little as possible.
    fn requests() -> Vec<(Method, String)> {
        let paths = [
            ("GET", "_catalog", "_catalog?n=1&last=a".to_owned()),
            ("GET", "a/tags/list", "a/tags/list?n=1&last=a".to_owned()),
            ("GET", "a/blobs/DIGEST", "a/blobs/DIGEST".to_owned()),
            ("DELETE", "a/blobs/DIGEST", "a/blobs/DIGEST".to_owned()),
            ("GET", "a/manifests/v1", "a/manifests/DIGEST".to_owned()),
            ("PUT", "a/manifests/v1", "a/manifests/DIGEST?tag=v1".to_owned()),
            ("DELETE", "a/manifests/v1", "a/manifests/DIGEST".to_owned()),
            (
                "GET",
                "a/referrers/DIGEST",
                "a/referrers/DIGEST?n=1&last=a&artifactType=a".to_owned(),
            ),
            (
                "POST",
                "a/blobs/uploads/",
                "a/blobs/uploads/?mount=DIGEST&from=b&digest-algorithm=sha256".to_owned(),
            ),
            (
                "POST",
                "a/blobs/uploads/?mount=DIGEST",
                "a/blobs/uploads/?digest=DIGEST".to_owned(),
            ),
            ("GET", "a/blobs/uploads/SESSION", "a/blobs/uploads/SESSION".to_owned()),
            ("PATCH", "a/blobs/uploads/SESSION", "a/blobs/uploads/SESSION".to_owned()),
            (
                "PUT",
                "a/blobs/uploads/SESSION?digest=DIGEST",
                "a/blobs/uploads/SESSION?digest=DIGEST".to_owned(),
            ),
            (
                "DELETE",
                "a/blobs/uploads/SESSION",
                "a/blobs/uploads/SESSION".to_owned(),
            ),
        ];
        let both = paths
            .into_iter()
            .flat_map(|(method, least, most)| [(method, least.to_owned()), (method, most)]);
        both.map(|(method, path)| {
            let path = path.replace("DIGEST", DIGEST).replace("SESSION", SESSION);
            (method.parse().unwrap(), format!("/v2/{path}"))
        })
        .collect()
    }

    #[test]
    fn each_action_has_the_facts_that_conditions_are_told_of() {
        let mut seen: Vec<Action> = Vec::new();
        for (method, uri) in requests() {
            let route = route::parse(&method, &uri.parse().unwrap()).unwrap();
            let mut all = actions(&route);
            if matches!(&route, Route::StartUpload(StartUpload { mount: Some(_), .. })) {
                all.push(Action::MountBlob);
            }
            for action in all {
                let facts = Facts::of(&route);
                let request = facts.request(action, method.as_str());
                for (name, is_there) in [
                    ("repository", request.repository.is_some()),
                    ("namespace", request.repository.is_some()),
                    ("reference", request.reference.is_some()),
                    ("digest", request.digest.is_some()),
                    ("session_id", request.session_id.is_some()),
                    ("from", request.from.is_some()),
                    ("n", request.n.is_some()),
                    ("last", request.last.is_some()),
                    ("artifact_type", request.artifact_type.is_some()),
                    ("digest_algorithm", request.digest_algorithm.is_some()),
                ] {
                    let told = availability(name, action).unwrap();
                    let fits = match told {
                        Availability::Always => is_there,
                        Availability::Maybe => true,
                        Availability::Never => !is_there,
                    };
                    assert!(
                        fits,
                        "{name} of {action} is {told:?}, and {method} {uri} has it: {is_there}"
                    );
                }
                seen.push(action);
            }
        }
        assert!(Action::ALL.iter().all(|action| seen.contains(action)), "{seen:?}");
    }
}
