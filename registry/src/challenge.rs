//! The `WWW-Authenticate` header of a 401: where to get a token, and for what.

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri, header};
use registry_config::{AccessContent, Challenge};

use crate::oci::RepositoryName;
use crate::route::{Route, StartUpload};
use crate::token::{AccessClaim, Grant};

/// What is wrong with the credentials that came, in the words of RFC 6750.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// None came, or a password was wrong.
    None,
    /// The token is not believed.
    InvalidToken,
    /// The token was made for something else.
    InsufficientScope,
}

/// The request has no usable Host, so nobody can be told where the token endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request has no valid Host header, and no externalURL is set")]
pub struct NoHost;

/// Makes the one challenge of a response: `Basic` with the realm where the document asks for that, else `Bearer realm="…",service="…"`, then scope and error where there are any, in
/// this order, which some clients depend on. `base` is the scheme, host and port that the client used, where it is known.
///
/// # Errors
/// Where the token endpoint has no address.
pub fn challenge(
    content: &AccessContent,
    base: Option<&str>,
    route: &Route,
    problem: Problem,
) -> Result<HeaderValue, NoHost> {
    if content.challenge == Challenge::Basic {
        return Ok(basic(content));
    }
    let (realm, service) = match &content.token_server {
        Some(server) => (server.realm.clone(), server.service(&content.service)),
        None => (own_realm(content, base)?, content.service.as_str()),
    };
    let mut value = format!("Bearer realm={},service={}", quoted(&realm), quoted(service));
    if let Some(scope) = scope(route) {
        value.push_str(",scope=");
        value.push_str(&quoted(&scope));
    }
    match problem {
        Problem::None => {}
        Problem::InvalidToken => value.push_str(",error=\"invalid_token\""),
        Problem::InsufficientScope => value.push_str(",error=\"insufficient_scope\""),
    }
    // Every control character was dropped from what was quoted.
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| NoHost)
}

/// The registry's own token endpoint.
fn own_realm(content: &AccessContent, base: Option<&str>) -> Result<String, NoHost> {
    let base = match (&content.external_url, base) {
        (Some(url), _) => url.trim_end_matches('/'),
        (None, Some(base)) => base,
        (None, None) => return Err(NoHost),
    };
    Ok(format!("{base}/token"))
}

/// A challenge that asks for a password: `Basic realm="…"`, and nothing else, as the plainest clients expect it.
pub fn basic(content: &AccessContent) -> HeaderValue {
    let realm = content.basic_realm.as_ref().unwrap_or(&content.service);
    let challenge = HeaderValue::from_bytes(format!("Basic realm={}", quoted(realm)).as_bytes());
    // Every control character was dropped from what was quoted.
    challenge.unwrap_or(HeaderValue::from_static("Basic realm=\"registry\""))
}

/// The host and port that the client believes to talk to, if they are nothing but that.
pub fn host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    let host = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => headers.get(header::HOST)?.to_str().ok()?,
    };
    is_host(host).then_some(host)
}

/// Whether `text` is a host, with a port or without one, and nothing else: it is put into a URL that clients send
/// passwords to.
pub(crate) fn is_host(text: &str) -> bool {
    // The parser alone would accept user information, too.
    let Ok(authority) = text.parse::<Authority>() else {
        return false;
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let name = authority.host();
    let rest = text
        .strip_prefix(name)
        .filter(|_| !name.is_empty() && name.bytes().all(is_plain));
    rest.is_some_and(|rest| rest.is_empty() || authority.port_u16().is_some_and(|port| rest == format!(":{port}")))
}

/// What a token must open for a route; nothing for `/v2/` itself.
pub fn required(route: &Route) -> Vec<AccessClaim> {
    let repository = |name: &RepositoryName, grants: &[Grant]| AccessClaim {
        kind: "repository".to_owned(),
        name: name.to_string(),
        actions: grants.iter().map(|grant| grant.as_str().to_owned()).collect(),
    };
    let of_route = |grants: &[Grant]| {
        let claim = route.repository().map(|name| repository(name, grants));
        claim.into_iter().collect()
    };
    match route {
        Route::Base | Route::Token | Route::Keys => Vec::new(),
        Route::ListCatalog(_) => {
            let (kind, name, actions) = ("registry".to_owned(), "catalog".to_owned(), vec!["*".to_owned()]);
            vec![AccessClaim { kind, name, actions }]
        }
        Route::ListTags(_) | Route::GetBlob(_) | Route::GetManifest(_) | Route::GetReferrers(_) => {
            of_route(&[Grant::Pull])
        }
        Route::DeleteBlob(_) | Route::DeleteManifest(_) => of_route(&[Grant::Delete]),
        Route::StartUpload(StartUpload { mount, from, .. }) => {
            let mut claims: Vec<AccessClaim> = of_route(&[Grant::Pull, Grant::Push]);
            if let (Some(_), Some(from)) = (mount, from) {
                claims.push(repository(from, &[Grant::Pull]));
            }
            claims
        }
        Route::PutManifest(_)
        | Route::GetUpload(_)
        | Route::UpdateUpload(_)
        | Route::CompleteUpload(_)
        | Route::CancelUpload(_) => of_route(&[Grant::Pull, Grant::Push]),
    }
}

/// The same as a scope, in the grammar of the Docker token specification; none where nothing is required.
fn scope(route: &Route) -> Option<String> {
    let claims = required(route);
    let scopes = claims
        .iter()
        .map(|claim| format!("{}:{}:{}", claim.kind, claim.name, claim.actions.join(",")));
    (!claims.is_empty()).then(|| scopes.collect::<Vec<_>>().join(" "))
}

/// A quoted string (RFC 9110, section 5.6.4).
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::route;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const SESSION: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn content(external_url: Option<&str>) -> AccessContent {
        let json = serde_json::json!({ "service": "registry \"a\"", "externalURL": external_url });
        serde_json::from_value(json).unwrap()
    }

    fn shown(
        external_url: Option<&str>,
        base: Option<&str>,
        method: &Method,
        uri: &str,
        problem: Problem,
    ) -> Result<String, NoHost> {
        let route = route::parse(method, &uri.parse().unwrap()).unwrap();
        challenge(&content(external_url), base, &route, problem).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn names_realm_service_and_scope_in_this_order() {
        let base = r#"Bearer realm="http://example.com:5000/token",service="registry \"a\"""#;
        for (method, uri, scope) in [
            (Method::GET, "/v2/".to_owned(), None),
            (Method::GET, "/v2/_catalog".to_owned(), Some("registry:catalog:*")),
            (Method::GET, "/v2/a/b/tags/list".to_owned(), Some("repository:a/b:pull")),
            (
                Method::HEAD,
                format!("/v2/a/b/blobs/{DIGEST}"),
                Some("repository:a/b:pull"),
            ),
            (
                Method::GET,
                "/v2/a/b/manifests/x".to_owned(),
                Some("repository:a/b:pull"),
            ),
            (
                Method::PUT,
                "/v2/a/b/manifests/x".to_owned(),
                Some("repository:a/b:pull,push"),
            ),
            (
                Method::DELETE,
                "/v2/a/b/manifests/x".to_owned(),
                Some("repository:a/b:delete"),
            ),
            (
                Method::POST,
                "/v2/a/b/blobs/uploads/".to_owned(),
                Some("repository:a/b:pull,push"),
            ),
            (
                Method::PATCH,
                format!("/v2/a/b/blobs/uploads/{SESSION}"),
                Some("repository:a/b:pull,push"),
            ),
            (
                Method::POST,
                format!("/v2/a/b/blobs/uploads/?mount={DIGEST}&from=c/d"),
                Some("repository:a/b:pull,push repository:c/d:pull"),
            ),
        ] {
            let want = scope.map_or(base.to_owned(), |scope| format!("{base},scope=\"{scope}\""));
            assert_eq!(
                shown(None, Some("http://example.com:5000"), &method, &uri, Problem::None),
                Ok(want),
                "{uri}"
            );
        }
        let shown = |problem| shown(Some("https://r.example/"), None, &Method::GET, "/v2/", problem).unwrap();
        assert_eq!(
            shown(Problem::InvalidToken),
            r#"Bearer realm="https://r.example/token",service="registry \"a\"",error="invalid_token""#
        );
        assert!(shown(Problem::InsufficientScope).ends_with(r#",error="insufficient_scope""#));
    }

    #[test]
    fn a_host_is_a_host_and_nothing_else() {
        let of = |value: &[u8]| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_bytes(value).unwrap())]);
            host(&Uri::from_static("/v2/"), &headers).map(str::to_owned)
        };
        for good in [
            "example.com",
            "example.com:5000",
            "127.0.0.1:5000",
            "[::1]:5000",
            "my_host",
        ] {
            assert_eq!(of(good.as_bytes()).as_deref(), Some(good));
        }
        for bad in [
            "", "a b", "a/b", "a\"b", "u:p@h", "a,b", "a?b", "a#b", "a:b", ":5000", "a;b", "\u{e4}", "[::1", "a\\b",
        ] {
            assert_eq!(of(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(shown(None, None, &Method::GET, "/v2/", Problem::None), Err(NoHost));
        let absolute = Uri::from_static("http://h.example:1/v2/");
        assert_eq!(host(&absolute, &HeaderMap::new()), Some("h.example:1"));
    }
}
