//! Every error that a client can meet, and the one place that turns each into a status, a code and a body.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::body::{self, ResponseBody};
use crate::oci::{InvalidContentRange, InvalidManifest, UnsatisfiableRange};
use crate::route::{Invalid, RouteError};
use crate::store;
use crate::token::{AccessClaim, InvalidScope};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such route.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Sign in first, or again.
    #[error("{reason}")]
    Unauthorized {
        /// The `WWW-Authenticate` header.
        challenge: HeaderValue,
        /// What a token would have to open.
        required: Vec<AccessClaim>,
        /// What was wrong.
        reason: String,
    },
    /// The token endpoint did not accept the credentials.
    #[error("{reason}")]
    TokenDenied {
        /// The `WWW-Authenticate` header.
        challenge: HeaderValue,
        /// What was wrong.
        reason: String,
    },
    /// Policy refuses.
    #[error("{0}")]
    Denied(String),
    /// The client comes from elsewhere than this registry is open to.
    #[error("this registry is not open to {}", .0.map_or_else(|| "clients whose address is not known".to_owned(), |address| format!("the address {address}")))]
    Source(Option<std::net::IpAddr>),
    /// The token endpoint was asked wrongly.
    #[error("{0}")]
    TokenRequest(String),
    /// The token endpoint does not offer this kind of grant.
    #[error("this registry does not offer that kind of grant: ask for a token with username and password")]
    GrantType,
    /// The scopes break the grammar.
    #[error(transparent)]
    Scope(#[from] InvalidScope),
    /// The challenge could not be made.
    #[error(transparent)]
    Host(#[from] crate::challenge::NoHost),
    /// No access document has been read yet.
    #[error("the registry has not read its access document yet; try again soon")]
    NoDocument,
    /// Who is asking cannot be told now.
    #[error("{0}")]
    IssuerUnavailable(String),
    /// The client has as many requests under way as it may have.
    #[error("too many requests at once: wait until some have ended")]
    TooManyRequests,
    /// A `Content-Range` header is not one.
    #[error(transparent)]
    ContentRange(#[from] InvalidContentRange),
    /// `Content-Length` and `Content-Range` differ.
    #[error("Content-Length is {length}, but Content-Range says {declared}")]
    ContentLength {
        /// By `Content-Length`.
        length: u64,
        /// By `Content-Range`.
        declared: u64,
    },
    /// A chunk is not where the session ends; the client is told where that is.
    #[error("the chunk does not begin at byte {received}, where the upload session ends")]
    WrongOffset {
        /// Where the session is.
        location: String,
        /// How many bytes it has.
        received: u64,
    },
    /// A part of a blob is asked for that it does not have.
    #[error(transparent)]
    Range(#[from] UnsatisfiableRange),
    /// Nothing may be deleted here.
    #[error("deletion is disabled on this registry")]
    DeletionDisabled {
        /// What may be done instead.
        allow: &'static str,
    },
    /// The body is larger than is accepted here.
    #[error("the {what} is larger than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The body did not come to its end.
    #[error("the request's body ended before it was complete")]
    Body(#[source] store::BoxError),
    /// The manifest is not accepted.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A token could not be signed.
    #[error("cannot sign a token")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

impl Error {
    /// Status and code of the response. The codes are those of the distribution specification; where it has none, those
    /// of the CNCF Distribution registry.
    #[expect(clippy::match_same_arms, reason = "a table, in the order of the variants")]
    fn status(&self) -> (StatusCode, &'static str) {
        use store::Error as Store;
        match self {
            Self::Route(RouteError::Unknown) => (StatusCode::NOT_FOUND, "UNSUPPORTED"),
            Self::Route(RouteError::Method { .. }) => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            Self::Route(RouteError::Invalid(invalid)) => match invalid {
                Invalid::Repository(_) => (StatusCode::BAD_REQUEST, "NAME_INVALID"),
                Invalid::Digest(_) | Invalid::MissingDigest | Invalid::Algorithm(_) => {
                    (StatusCode::BAD_REQUEST, "DIGEST_INVALID")
                }
                Invalid::Tag(_) | Invalid::TagByTag => (StatusCode::BAD_REQUEST, "TAG_INVALID"),
                Invalid::Reference(_) => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
                Invalid::Session => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
                Invalid::PageSize(_) => (StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID"),
            },
            Self::Unauthorized { .. } => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            // Not UNAUTHORIZED: Docker's pull would ask for a password on a terminal that nobody looks at.
            Self::TokenDenied { .. } => (StatusCode::UNAUTHORIZED, "DENIED"),
            Self::Denied(_) | Self::Source(_) => (StatusCode::FORBIDDEN, "DENIED"),
            Self::TokenRequest(_) | Self::Scope(_) | Self::Host(_) => (StatusCode::BAD_REQUEST, "UNSUPPORTED"),
            // Clients fall back to GET on this one.
            Self::GrantType => (StatusCode::NOT_FOUND, "UNSUPPORTED"),
            Self::NoDocument | Self::IssuerUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
            Self::ContentRange(_) => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
            Self::ContentLength { .. } => (StatusCode::BAD_REQUEST, "SIZE_INVALID"),
            Self::WrongOffset { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
            Self::Range(_) => (StatusCode::RANGE_NOT_SATISFIABLE, "UNSUPPORTED"),
            Self::DeletionDisabled { .. } => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "SIZE_INVALID"),
            Self::Manifest(_) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            Self::Sign(_) => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
            Self::Store(error) => match error {
                Store::RepositoryUnknown => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
                Store::BlobUnknown => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
                Store::ManifestUnknown => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
                Store::UploadUnknown => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
                Store::TooManyUploads { .. } => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
                Store::UploadBusy => (StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID"),
                Store::WrongOffset { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
                Store::WrongLength { .. } | Store::Interrupted(_) => (StatusCode::BAD_REQUEST, "SIZE_INVALID"),
                Store::BlobTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
                Store::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
                // The specification has 404 for this one.
                Store::ReferenceUnknown(_) => (StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN"),
                Store::ReferenceSize { .. } => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
                Store::Full(_) => (StatusCode::INSUFFICIENT_STORAGE, "UNAVAILABLE"),
                // Not 404: nobody deleted it, and whoever mirrors or cleans up must not conclude that.
                Store::DamagedManifest { .. } | Store::UnreadableManifest { .. } | Store::Io { .. } => {
                    (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN")
                }
            },
        }
    }

    /// What the client is told: never how this registry is set up inside.
    fn message(&self) -> String {
        match self {
            Self::Sign(_)
            | Self::Store(
                store::Error::DamagedManifest { .. }
                | store::Error::UnreadableManifest { .. }
                | store::Error::Io { .. },
            ) => "the registry could not do this; its log says why, under this response's X-Request-Id".to_owned(),
            error => error.to_string(),
        }
    }

    /// What is required, as the CNCF Distribution registry lists it: some clients show it.
    fn detail(&self) -> serde_json::Value {
        let Self::Unauthorized { required, .. } = self else {
            return serde_json::Value::Null;
        };
        let actions = required
            .iter()
            .flat_map(|claim| claim.actions.iter().map(move |action| (claim, action)));
        let entries = actions.map(|(AccessClaim { kind, name, .. }, action)| {
            json!({ "Type": kind, "Class": "", "Name": name, "Action": action })
        });
        entries.collect()
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Self::Route(RouteError::Method { allow }) | Self::DeletionDisabled { allow } => {
                vec![(ALLOW, HeaderValue::from_static(allow))]
            }
            Self::Unauthorized { challenge, .. } => vec![(WWW_AUTHENTICATE, challenge.clone())],
            Self::TokenDenied { challenge, .. } => {
                vec![
                    (WWW_AUTHENTICATE, challenge.clone()),
                    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
                ]
            }
            Self::NoDocument | Self::TooManyRequests => vec![(RETRY_AFTER, HeaderValue::from_static("1"))],
            Self::IssuerUnavailable(_) => vec![(RETRY_AFTER, HeaderValue::from_static("5"))],
            Self::WrongOffset { location, received } => {
                let range = format!("0-{}", received.saturating_sub(1));
                let pairs = [(header::LOCATION, location.clone()), (header::RANGE, range)];
                pairs
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)))
                    .collect()
            }
            Self::Range(UnsatisfiableRange { size }) => {
                let value = HeaderValue::try_from(format!("bytes */{size}"));
                value
                    .map(|value| vec![(header::CONTENT_RANGE, value)])
                    .unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// The response, with a body in the format of the distribution specification.
    pub fn response(&self) -> Response<ResponseBody> {
        let (status, code) = self.status();
        let body = json!({ "errors": [{ "code": code, "message": self.message(), "detail": self.detail() }] });
        let mut response = Response::new(body::full(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.headers());
        response
    }
}
