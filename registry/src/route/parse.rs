//! From method and URI to [`Route`].

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::query::Query;
use super::{
    CompleteUpload, DeleteBlob, DeleteManifest, GetBlob, GetManifest, GetReferrers, ListCatalog, ListTags, Page,
    PutManifest, Route, Session, StartUpload,
};
use crate::oci::{
    Digest, InvalidDigest, InvalidRepositoryName, InvalidTag, Reference, RepositoryName, Tag, UnknownAlgorithm,
    UploadId,
};

/// Why a request has no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Nothing is served under this path.
    #[error("there is nothing here; the registry API is below `/v2/`")]
    Unknown,
    /// The path is known, but not with this method.
    #[error("this method is not supported here; use one of {allow}")]
    Method {
        /// The methods that are, as the `Allow` header lists them.
        allow: &'static str,
    },
    /// The route is known, but a name in it is outside its grammar.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A part of a known route that is outside its grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The repository.
    #[error(transparent)]
    Repository(#[from] InvalidRepositoryName),
    /// A digest, in the path or in the query.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// A digest algorithm.
    #[error(transparent)]
    Algorithm(#[from] UnknownAlgorithm),
    /// A tag that is to be written, in the path or in the query.
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    /// A reference that no manifest can have.
    #[error("manifest unknown: {0}")]
    Reference(InvalidTag),
    /// A session that no upload can have.
    #[error("upload session unknown: start again with POST")]
    Session,
    /// An upload is to be completed, but its digest is missing.
    #[error("the digest is missing: add `?digest=sha256:…`")]
    MissingDigest,
    /// Tags for a manifest that is already pushed by tag.
    #[error("`?tag=` is for a manifest that is pushed by digest; this one is pushed by tag")]
    TagByTag,
    /// `n` is not a number.
    #[error("`n={0}` is not a number of entries: write a whole number, 0 or more")]
    PageSize(String),
}

/// The paths that are served, before their names are looked at.
enum Path<'a> {
    Base,
    Token,
    Keys,
    Catalog,
    Tags { repository: &'a str },
    Manifest { repository: &'a str, reference: &'a str },
    Referrers { repository: &'a str, digest: &'a str },
    Uploads { repository: &'a str },
    Upload { repository: &'a str, session: &'a str },
    Blob { repository: &'a str, digest: &'a str },
}

/// Parses a request line.
///
/// `%` escapes are decoded once, over the whole path, and the result is held to the grammar: an escaped `/` separates
/// like a plain one, and an escaped `%` is simply no valid character.
///
/// # Errors
/// Where there is no such route, or a name in it is not valid; see [`RouteError`].
pub fn parse(method: &Method, uri: &Uri) -> Result<Route, RouteError> {
    let decoded = percent_decode_str(uri.path())
        .decode_utf8()
        .map_err(|_| RouteError::Unknown)?;
    let path = split(&decoded).ok_or(RouteError::Unknown)?;
    let query = Query::parse(uri.query());
    let head = method == Method::HEAD;
    let method = if head { &Method::GET } else { method };
    let refuse = |allow| Err(RouteError::Method { allow });
    let route = match (path, method.as_str()) {
        (Path::Base, "GET") => Route::Base,
        (Path::Token, "GET" | "POST") if !head => Route::Token,
        (Path::Keys, "GET") => Route::Keys,
        (Path::Catalog, "GET") => Route::ListCatalog(ListCatalog { page: page(&query)? }),
        (Path::Tags { repository }, "GET") => Route::ListTags(ListTags {
            repository: name(repository)?,
            page: page(&query)?,
        }),
        (Path::Manifest { repository, reference }, "GET") => {
            let (repository, reference) = (name(repository)?, existing(reference)?);
            Route::GetManifest(GetManifest { repository, reference })
        }
        (Path::Manifest { repository, reference }, "PUT") => {
            Route::PutManifest(put_manifest(repository, reference, &query)?)
        }
        (Path::Manifest { repository, reference }, "DELETE") => {
            let (repository, reference) = (name(repository)?, existing(reference)?);
            Route::DeleteManifest(DeleteManifest { repository, reference })
        }
        (
            Path::Referrers {
                repository,
                digest: text,
            },
            "GET",
        ) => Route::GetReferrers(GetReferrers {
            repository: name(repository)?,
            digest: digest(text)?,
            artifact_type: query
                .first("artifactType")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            page: page(&query)?,
        }),
        (Path::Uploads { repository }, "POST") => Route::StartUpload(start_upload(repository, &query)?),
        (Path::Upload { repository, session }, "GET") => Route::GetUpload(upload(repository, session)?),
        (Path::Upload { repository, session }, "PATCH") => Route::UpdateUpload(upload(repository, session)?),
        (Path::Upload { repository, session }, "DELETE") => Route::CancelUpload(upload(repository, session)?),
        (Path::Upload { repository, session }, "PUT") => {
            let Session { repository, session } = upload(repository, session)?;
            let digest = digest(query.first("digest").ok_or(Invalid::MissingDigest)?)?;
            Route::CompleteUpload(CompleteUpload {
                repository,
                session,
                digest,
            })
        }
        (
            Path::Blob {
                repository,
                digest: text,
            },
            "GET",
        ) => Route::GetBlob(GetBlob {
            repository: name(repository)?,
            digest: digest(text)?,
            head,
        }),
        (
            Path::Blob {
                repository,
                digest: text,
            },
            "DELETE",
        ) => Route::DeleteBlob(DeleteBlob {
            repository: name(repository)?,
            digest: digest(text)?,
        }),
        (Path::Base | Path::Keys | Path::Catalog | Path::Tags { .. } | Path::Referrers { .. }, _) => {
            return refuse("GET, HEAD");
        }
        (Path::Token, _) => return refuse("GET, POST"),
        (Path::Manifest { .. }, _) => return refuse("GET, HEAD, PUT, DELETE"),
        (Path::Uploads { .. }, _) => return refuse("POST"),
        (Path::Upload { .. }, _) => return refuse("GET, HEAD, PATCH, PUT, DELETE"),
        (Path::Blob { .. }, _) => return refuse("GET, HEAD, DELETE"),
    };
    Ok(route)
}

/// Recognises a path by its end, because a repository name has any number of segments.
fn split(path: &str) -> Option<Path<'_>> {
    match path {
        "/token" => return Some(Path::Token),
        "/.well-known/jwks.json" => return Some(Path::Keys),
        _ => {}
    }
    let rest = match path.strip_prefix("/v2")? {
        "" | "/" => return Some(Path::Base),
        rest => rest.strip_prefix('/')?,
    };
    if rest == "_catalog" {
        return Some(Path::Catalog);
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return Some(Path::Tags { repository });
    }
    let (head, last) = rest.rsplit_once('/')?;
    if let Some(repository) = head.strip_suffix("/manifests") {
        return (!last.is_empty()).then_some(Path::Manifest {
            repository,
            reference: last,
        });
    }
    if let Some(repository) = head.strip_suffix("/referrers") {
        return (!last.is_empty()).then_some(Path::Referrers {
            repository,
            digest: last,
        });
    }
    if let Some(repository) = head.strip_suffix("/blobs/uploads") {
        let session = last;
        return Some(if session.is_empty() {
            Path::Uploads { repository }
        } else {
            Path::Upload { repository, session }
        });
    }
    let repository = head.strip_suffix("/blobs")?;
    (!last.is_empty()).then_some(Path::Blob {
        repository,
        digest: last,
    })
}

fn name(text: &str) -> Result<RepositoryName, Invalid> {
    Ok(text.parse()?)
}

fn digest(text: &str) -> Result<Digest, Invalid> {
    Ok(text.parse()?)
}

/// A reference that is only looked up. What cannot be a tag is a manifest that does not exist; what was meant as a
/// digest is said to be a broken one.
fn existing(text: &str) -> Result<Reference, Invalid> {
    if text.contains(':') {
        return Ok(Reference::Digest(digest(text)?));
    }
    text.parse().map(Reference::Tag).map_err(Invalid::Reference)
}

fn put_manifest(repository: &str, reference: &str, query: &Query<'_>) -> Result<PutManifest, Invalid> {
    let repository = name(repository)?;
    let extra: Vec<Tag> = query.all("tag").map(str::parse).collect::<Result<_, _>>()?;
    if reference.contains(':') {
        return Ok(PutManifest {
            repository,
            reference: Reference::Digest(digest(reference)?),
            tags: extra,
        });
    }
    if !extra.is_empty() {
        return Err(Invalid::TagByTag);
    }
    let tag: Tag = reference.parse()?;
    Ok(PutManifest {
        repository,
        reference: Reference::Tag(tag.clone()),
        tags: vec![tag],
    })
}

/// A mount that is not asked for well becomes an ordinary upload: the client sends the blob then.
fn start_upload(repository: &str, query: &Query<'_>) -> Result<StartUpload, Invalid> {
    Ok(StartUpload {
        repository: name(repository)?,
        digest: query.first("digest").map(digest).transpose()?,
        mount: query.first("mount").and_then(|text| text.parse().ok()),
        from: query.first("from").and_then(|text| text.parse().ok()),
        digest_algorithm: query.first("digest-algorithm").map(str::parse).transpose()?,
    })
}

fn upload(repository: &str, session: &str) -> Result<Session, Invalid> {
    let repository = name(repository)?;
    let session: UploadId = session.parse().map_err(|_| Invalid::Session)?;
    Ok(Session { repository, session })
}

fn page(query: &Query<'_>) -> Result<Page, Invalid> {
    let n = query.first("n").map(|text| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number too large for the type is clamped like any other large number.
        if plain {
            Ok(text.parse().unwrap_or(u64::MAX))
        } else {
            Err(Invalid::PageSize(text.chars().take(40).collect()))
        }
    });
    Ok(Page {
        n: n.transpose()?,
        last: query.first("last").map(str::to_owned),
    })
}
