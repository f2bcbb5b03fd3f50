//! Every route once, in each of its spellings: how it is asked for, which right that takes, and which scope a token needs.

use bytes::Bytes;
use http::Method;
use wharfinger_registry::oci::Reference;
use wharfinger_registry::route::{
    CompleteUpload, DeleteBlob, DeleteManifest, GetBlob, GetManifest, GetReferrers, ListCatalog, ListTags, Page,
    PutManifest, Route, Session, StartUpload,
};

use crate::ways::World;

/// What it takes to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing, and credentials are not looked at.
    Nothing,
    /// Nothing, but credentials must be good, and none of the registry's own tokens.
    Exchange,
    /// Any good credential, an anonymous token included.
    Credential,
    /// To be somebody.
    Catalog,
    Pull,
    Push,
    Delete,
}

/// A request.
pub(crate) struct Row {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) body: Bytes,
    /// The status for whoever may.
    pub(crate) good: u16,
    pub(crate) need: Need,
    /// The scope that whoever may not is told to ask for; empty for none.
    pub(crate) scope: &'static str,
}

/// All routes: one without a place in [`next`] or in [`rows`] does not compile.
pub(crate) fn routes(world: &World) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    while let Some(route) = next(routes.last(), world) {
        routes.push(route);
    }
    routes
}

/// The first route, and the one that comes after each.
fn next(route: Option<&Route>, world: &World) -> Option<Route> {
    let repository = || world.repository.clone();
    let session = || Session {
        repository: repository(),
        session: world.session,
    };
    let digest = || world.image.layer.clone();
    let page = || Page { n: None, last: None };
    let tag = || Reference::Tag("v1".parse().unwrap());
    Some(match route {
        None => Route::Base,
        Some(Route::Base) => Route::Token,
        Some(Route::Token) => Route::Keys,
        Some(Route::Keys) => Route::ListCatalog(ListCatalog { page: page() }),
        Some(Route::ListCatalog(_)) => Route::ListTags(ListTags {
            repository: repository(),
            page: page(),
        }),
        Some(Route::ListTags(_)) => Route::GetBlob(GetBlob {
            repository: repository(),
            digest: digest(),
            head: false,
        }),
        Some(Route::GetBlob(_)) => Route::DeleteBlob(DeleteBlob {
            repository: repository(),
            digest: digest(),
        }),
        Some(Route::DeleteBlob(_)) => Route::GetManifest(GetManifest {
            repository: repository(),
            reference: tag(),
        }),
        Some(Route::GetManifest(_)) => Route::PutManifest(PutManifest {
            repository: repository(),
            reference: tag(),
            tags: vec![],
        }),
        Some(Route::PutManifest(_)) => Route::DeleteManifest(DeleteManifest {
            repository: repository(),
            reference: tag(),
        }),
        Some(Route::DeleteManifest(_)) => Route::GetReferrers(GetReferrers {
            repository: repository(),
            digest: digest(),
            artifact_type: None,
            page: page(),
        }),
        Some(Route::GetReferrers(_)) => Route::StartUpload(StartUpload {
            repository: repository(),
            digest: None,
            mount: None,
            from: None,
            digest_algorithm: None,
        }),
        Some(Route::StartUpload(_)) => Route::GetUpload(session()),
        Some(Route::GetUpload(_)) => Route::UpdateUpload(session()),
        Some(Route::UpdateUpload(_)) => Route::CompleteUpload(CompleteUpload {
            repository: repository(),
            session: world.session,
            digest: digest(),
        }),
        Some(Route::CompleteUpload(_)) => Route::CancelUpload(session()),
        Some(Route::CancelUpload(_)) => return None,
    })
}

/// The requests that a route has, each with another path or another query that counts.
pub(crate) fn rows(route: &Route, world: &World) -> Vec<Row> {
    const PULL: &str = "repository:team/app:pull";
    const PUSH: &str = "repository:team/app:pull,push";
    const DELETE: &str = "repository:team/app:delete";
    let row = |method: Method, uri: &str, good, need, scope| Row {
        method,
        uri: uri.to_owned(),
        body: Bytes::new(),
        good,
        need,
        scope,
    };
    let image = &world.image;
    let (layer, manifest) = (&image.layer, &image.manifest);
    let at = |path: &str| format!("/v2/team/app/{path}");
    let upload = at(&format!("blobs/uploads/{}", world.session));
    let with = |body: &Bytes, row: Row| Row {
        body: body.clone(),
        ..row
    };
    let pull = |uri: String| row(Method::GET, &uri, 200, Need::Pull, PULL);
    let push = |method, uri: &str, good| row(method, uri, good, Need::Push, PUSH);
    let delete = |uri: String| row(Method::DELETE, &uri, 202, Need::Delete, DELETE);
    match route {
        Route::Base => vec![
            row(Method::GET, "/v2/", 200, Need::Credential, ""),
            row(Method::GET, "/v2", 200, Need::Credential, ""),
        ],
        Route::Token => vec![row(Method::GET, "/token", 200, Need::Exchange, "")],
        // What verifies is no secret, and nobody is asked who they are.
        Route::Keys => vec![row(Method::GET, "/.well-known/jwks.json", 200, Need::Nothing, "")],
        Route::ListCatalog(_) => vec![row(
            Method::GET,
            "/v2/_catalog",
            200,
            Need::Catalog,
            "registry:catalog:*",
        )],
        Route::ListTags(_) => vec![pull(at("tags/list"))],
        Route::GetBlob(_) => vec![pull(at(&format!("blobs/{layer}")))],
        Route::DeleteBlob(_) => vec![delete(at(&format!("blobs/{layer}")))],
        Route::GetManifest(_) => vec![pull(at("manifests/v1")), pull(at(&format!("manifests/{manifest}")))],
        Route::PutManifest(_) => [
            at("manifests/v1"),
            at(&format!("manifests/{manifest}")),
            at(&format!("manifests/{manifest}?tag=v2&tag=v3")),
        ]
        .map(|uri| with(&image.manifest_content, push(Method::PUT, &uri, 201)))
        .into(),
        Route::DeleteManifest(_) => vec![delete(at("manifests/v1")), delete(at(&format!("manifests/{manifest}")))],
        Route::GetReferrers(_) => vec![pull(at(&format!("referrers/{layer}")))],
        Route::StartUpload(_) => vec![
            push(Method::POST, &at("blobs/uploads/"), 202),
            with(
                &image.layer_content,
                push(Method::POST, &at(&format!("blobs/uploads/?digest={layer}")), 201),
            ),
            // Nothing is there to be taken over.
            Row {
                scope: "repository:team/app:pull,push repository:team/none:pull",
                ..push(
                    Method::POST,
                    &at(&format!("blobs/uploads/?mount={layer}&from=team/none")),
                    202,
                )
            },
        ],
        Route::GetUpload(_) => vec![push(Method::GET, &upload, 204)],
        Route::UpdateUpload(_) => vec![with(&"x".into(), push(Method::PATCH, &upload, 202))],
        Route::CompleteUpload(_) => vec![with(
            &image.layer_content,
            push(Method::PUT, &format!("{upload}?digest={layer}"), 201),
        )],
        Route::CancelUpload(_) => vec![push(Method::DELETE, &upload, 204)],
    }
}

/// The methods that a row is asked for with.
pub(crate) fn methods(row: &Row) -> Vec<Method> {
    match row.need {
        // A form in place of the query and the header.
        Need::Exchange => vec![Method::GET, Method::POST],
        _ if row.method == Method::GET => vec![Method::HEAD, Method::GET],
        _ => vec![row.method.clone()],
    }
}
