//! The path table: every route, and everything that must not be one.

use http::{Method, Uri};

use super::*;
use crate::oci::InvalidTag;

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const SESSION: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

fn parsed(method: &str, uri: &str) -> Result<Route, RouteError> {
    parse(&method.parse::<Method>().unwrap(), &uri.parse::<Uri>().unwrap())
}

fn repository() -> RepositoryName {
    "team-a/app".parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_route_of_the_api_is_recognised() {
    let digest: Digest = DIGEST.parse().unwrap();
    let by_digest = || Reference::Digest(digest.clone());
    let session = || Session {
        repository: repository(),
        session: SESSION.parse().unwrap(),
    };
    let page = |n, last: Option<&str>| Page {
        n,
        last: last.map(str::to_owned),
    };
    let blob = |head| {
        Route::GetBlob(GetBlob {
            repository: repository(),
            digest: digest.clone(),
            head,
        })
    };
    let start = |digest, mount, from: Option<&str>| {
        let from = from.map(|name| name.parse().unwrap());
        Route::StartUpload(StartUpload {
            repository: repository(),
            digest,
            mount,
            from,
            digest_algorithm: None,
        })
    };
    let referrers = |artifact_type: Option<&str>, page| {
        Route::GetReferrers(GetReferrers {
            repository: repository(),
            digest: digest.clone(),
            artifact_type: artifact_type.map(str::to_owned),
            page,
        })
    };
    let table = [
        ("GET", "/v2/".to_owned(), Route::Base),
        ("HEAD", "/v2/".to_owned(), Route::Base),
        ("GET", "/v2".to_owned(), Route::Base),
        ("GET", "/token?service=x".to_owned(), Route::Token),
        ("POST", "/token".to_owned(), Route::Token),
        ("GET", "/.well-known/jwks.json".to_owned(), Route::Keys),
        ("HEAD", "/.well-known/jwks.json".to_owned(), Route::Keys),
        (
            "GET",
            "/v2/_catalog?n=5&last=a%2Fb".to_owned(),
            Route::ListCatalog(ListCatalog {
                page: page(Some(5), Some("a/b")),
            }),
        ),
        (
            "GET",
            "/v2/_catalog?n=9223372036854775808".to_owned(),
            Route::ListCatalog(ListCatalog {
                page: page(Some(1 << 63), None),
            }),
        ),
        (
            "GET",
            format!("/v2/_catalog?n={}", "9".repeat(60)),
            Route::ListCatalog(ListCatalog {
                page: page(Some(u64::MAX), None),
            }),
        ),
        (
            "GET",
            "/v2/team-a/app/tags/list".to_owned(),
            Route::ListTags(ListTags {
                repository: repository(),
                page: page(None, None),
            }),
        ),
        ("GET", format!("/v2/team-a/app/blobs/{DIGEST}"), blob(false)),
        (
            "HEAD",
            format!("/v2/team-a/app/blobs/{DIGEST}?ns=example.com"),
            blob(true),
        ),
        (
            "GET",
            format!("/v2/team-a%2Fapp/blobs/{}", DIGEST.replace(':', "%3A")),
            blob(false),
        ),
        (
            "DELETE",
            format!("/v2/team-a/app/blobs/{DIGEST}"),
            Route::DeleteBlob(DeleteBlob {
                repository: repository(),
                digest: digest.clone(),
            }),
        ),
        (
            "GET",
            "/v2/team-a/app/manifests/latest".to_owned(),
            Route::GetManifest(GetManifest {
                repository: repository(),
                reference: Reference::Tag(tag("latest")),
            }),
        ),
        (
            "HEAD",
            format!("/v2/team-a/app/manifests/{DIGEST}"),
            Route::GetManifest(GetManifest {
                repository: repository(),
                reference: by_digest(),
            }),
        ),
        (
            "PUT",
            "/v2/team-a/app/manifests/v1".to_owned(),
            Route::PutManifest(PutManifest {
                repository: repository(),
                reference: Reference::Tag(tag("v1")),
                tags: vec![tag("v1")],
            }),
        ),
        (
            "PUT",
            format!("/v2/team-a/app/manifests/{DIGEST}?tag=v1&tag=latest"),
            Route::PutManifest(PutManifest {
                repository: repository(),
                reference: by_digest(),
                tags: vec![tag("v1"), tag("latest")],
            }),
        ),
        (
            "DELETE",
            "/v2/team-a/app/manifests/v1".to_owned(),
            Route::DeleteManifest(DeleteManifest {
                repository: repository(),
                reference: Reference::Tag(tag("v1")),
            }),
        ),
        (
            "GET",
            format!("/v2/team-a/app/referrers/{DIGEST}?artifactType=a%2Fb%2Bc&n=5&last=x"),
            referrers(Some("a/b+c"), page(Some(5), Some("x"))),
        ),
        (
            "HEAD",
            format!("/v2/team-a/app/referrers/{DIGEST}?artifactType="),
            referrers(None, page(None, None)),
        ),
        (
            "POST",
            "/v2/team-a/app/blobs/uploads/".to_owned(),
            start(None, None, None),
        ),
        (
            "POST",
            format!("/v2/team-a/app/blobs/uploads/?digest={DIGEST}"),
            start(Some(digest.clone()), None, None),
        ),
        (
            "POST",
            format!("/v2/team-a/app/blobs/uploads/?mount={DIGEST}&from=b"),
            start(None, Some(digest.clone()), Some("b")),
        ),
        (
            "POST",
            "/v2/team-a/app/blobs/uploads/?mount=x&from=B".to_owned(),
            start(None, None, None),
        ),
        (
            "GET",
            format!("/v2/team-a/app/blobs/uploads/{SESSION}"),
            Route::GetUpload(session()),
        ),
        (
            "PATCH",
            format!("/v2/team-a/app/blobs/uploads/{SESSION}"),
            Route::UpdateUpload(session()),
        ),
        (
            "DELETE",
            format!("/v2/team-a/app/blobs/uploads/{SESSION}"),
            Route::CancelUpload(session()),
        ),
        (
            "PUT",
            format!("/v2/team-a/app/blobs/uploads/{SESSION}?digest={DIGEST}"),
            Route::CompleteUpload(CompleteUpload {
                repository: repository(),
                session: SESSION.parse().unwrap(),
                digest: digest.clone(),
            }),
        ),
    ];
    for (method, uri, want) in table {
        assert_eq!(parsed(method, &uri), Ok(want), "{method} {uri}");
    }
}

#[test]
fn words_of_the_api_may_be_part_of_a_repository_name() {
    for (uri, name) in [
        ("/v2/tags/list/tags/list", "tags/list"),
        ("/v2/a/blobs/uploads/manifests/latest", "a/blobs/uploads"),
        ("/v2/manifests/manifests/manifests", "manifests"),
        ("/v2/a/manifests/b/manifests/c", "a/manifests/b"),
    ] {
        assert_eq!(
            parsed("GET", uri).unwrap().repository().unwrap().as_str(),
            name,
            "{uri}"
        );
    }
}

#[test]
fn nothing_else_is_a_route() {
    for uri in [
        "/",
        "/v1/",
        "/v2x",
        "/v2/foo",
        "/v2/foo/bar",
        "/V2/",
        "/v2/_catalog/",
        "/v2/a/tags/list/",
        "/v2/a/tags",
        "/v2/a/manifests/",
        "/v2/a/manifests/latest/",
        "/v2/a/blobs/",
        "/token/",
        "/v2/token",
        "/livez",
        "/metrics",
        "/status",
        "/v2/a/tags/list%00",
        "/v2/%ff/tags/list",
        "//v2/",
        "/v2/a/referrers/",
        "/v2/a/referrers",
        "/v2/../v2/a",
        "/v2/tags/list",
        "/v2/manifests/latest",
        "/v2/_catalog%2f",
    ] {
        assert_eq!(parsed("GET", uri), Err(RouteError::Unknown), "{uri}");
    }
}

#[test]
fn known_paths_name_the_methods_that_they_have() {
    for (method, uri, allow) in [
        ("POST", "/v2/", "GET, HEAD"),
        ("DELETE", "/v2/_catalog", "GET, HEAD"),
        ("PUT", "/v2/a/tags/list", "GET, HEAD"),
        ("HEAD", "/token", "GET, POST"),
        ("POST", "/v2/a/manifests/latest", "GET, HEAD, PUT, DELETE"),
        ("OPTIONS", "/v2/a/manifests/latest", "GET, HEAD, PUT, DELETE"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("POST", "/v2/a/blobs/uploads/x", "GET, HEAD, PATCH, PUT, DELETE"),
        ("PUT", "/v2/a/blobs/x", "GET, HEAD, DELETE"),
        ("BREW", "/v2/a/blobs/x", "GET, HEAD, DELETE"),
        ("get", "/v2/", "GET, HEAD"),
    ] {
        assert_eq!(parsed(method, uri), Err(RouteError::Method { allow }), "{method} {uri}");
    }
}

#[test]
fn names_outside_the_grammar_are_refused_whatever_they_are_written_with() {
    let long = "a".repeat(256);
    for name in [
        "..",
        ".",
        "a/..",
        "../a",
        "a/../b",
        "%2e%2e",
        "a/%2e%2e/b",
        "a%2f..%2fb",
        "a//b",
        "a%2f%2fb",
        "/a",
        "A",
        "a%5cb",
        "a%00",
        "a%0a",
        "%2561",
        "a%",
        "%zz",
        "a%20b",
        "a:b",
        "_a",
        "a..b",
        long.as_str(),
        "",
    ] {
        for uri in [
            format!("/v2/{name}/tags/list"),
            format!("/v2/{name}/manifests/latest"),
            format!("/v2/{name}/blobs/{DIGEST}"),
        ] {
            let got = parsed("GET", &uri);
            let refused = matches!(
                got,
                Err(RouteError::Invalid(Invalid::Repository(_)) | RouteError::Unknown)
            );
            assert!(refused, "{uri}: {got:?}");
        }
    }
}

#[test]
fn references_digests_and_sessions_outside_the_grammar_are_refused() {
    let invalid = |method: &str, uri: &str| match parsed(method, uri) {
        Err(RouteError::Invalid(invalid)) => invalid,
        other => panic!("{method} {uri}: {other:?}"),
    };
    assert_eq!(
        invalid("GET", "/v2/a/manifests/.x"),
        Invalid::Reference(InvalidTag(".x".into()))
    );
    assert_eq!(
        invalid("PUT", "/v2/a/manifests/.x"),
        Invalid::Tag(InvalidTag(".x".into()))
    );
    assert!(matches!(
        invalid("GET", "/v2/a/manifests/sha256:.."),
        Invalid::Digest(_)
    ));
    assert!(matches!(
        invalid("PUT", &format!("/v2/a/manifests/{DIGEST}?tag=a%2Fb")),
        Invalid::Tag(_)
    ));
    assert_eq!(invalid("PUT", "/v2/a/manifests/v1?tag=v2"), Invalid::TagByTag);
    assert!(matches!(invalid("GET", "/v2/a/blobs/uploads"), Invalid::Digest(_)));
    assert!(matches!(invalid("GET", "/v2/a/blobs/sha256:..%5c"), Invalid::Digest(_)));
    assert!(matches!(
        invalid("POST", "/v2/a/blobs/uploads/?digest=x"),
        Invalid::Digest(_)
    ));
    assert!(matches!(
        invalid("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5"),
        Invalid::Algorithm(_)
    ));
    for session in [
        "..",
        "x",
        "%2e%2e",
        "67E55044-10B1-426F-9247-BB680E5FE0C8",
        "67e55044%2D10b1",
    ] {
        assert_eq!(
            invalid("PATCH", &format!("/v2/a/blobs/uploads/{session}")),
            Invalid::Session,
            "{session}"
        );
    }
    assert_eq!(
        invalid("PUT", &format!("/v2/a/blobs/uploads/{SESSION}")),
        Invalid::MissingDigest
    );
    for n in ["-1", "abc", "", "%2b1", "1.5", "0x10"] {
        assert!(
            matches!(invalid("GET", &format!("/v2/_catalog?n={n}")), Invalid::PageSize(_)),
            "{n}"
        );
    }
}
