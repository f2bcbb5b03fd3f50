//! Asks an issuer for its keys, as OpenID Connect Discovery 1.0 says.

use std::time::Duration;

use registry_config::OidcIssuer;
use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::token::ForeignKeys;

/// How long a connection may take, and how long everything.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(5);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 512 * 1024;
/// API servers answer requests for plain JSON alone with 406.
const ACCEPTED: &str = "application/json, application/jwk-set+json";

/// Why an issuer's keys could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The settings make no client.
    #[error("the authorities of the issuer cannot be used")]
    Authorities(#[source] reqwest::Error),
    /// It takes too long.
    #[error("it does not answer within {} s", LIMIT.as_secs())]
    TooLate,
    /// It does not answer.
    #[error("`{url}` cannot be read")]
    Request {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// It answers with an error, or points elsewhere.
    #[error("`{url}` answers with {status}")]
    Status { url: String, status: StatusCode },
    /// The answer is too long.
    #[error("`{url}` answers with more than {MAX_ANSWER} bytes")]
    TooLong { url: String },
    /// The answer is something else.
    #[error("`{url}` does not answer with what was asked for: {why}")]
    Content { url: String, why: String },
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Asks the issuer, with a client that is kept for the next time.
pub(super) async fn ask(kept: &mut Option<Client>, issuer: &OidcIssuer) -> Result<ForeignKeys, FetchError> {
    let client = match kept {
        Some(client) => client.clone(),
        None => kept.insert(client(issuer)?).clone(),
    };
    match tokio::time::timeout(LIMIT, fetch(&client, issuer)).await {
        Ok(fetched) => fetched,
        Err(_) => Err(FetchError::TooLate),
    }
}

/// A client for the issuer alone: it believes the authorities that are named for it.
fn client(issuer: &OidcIssuer) -> Result<Client, FetchError> {
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        // An issuer says where its keys are; whoever else could make it point elsewhere is not to be followed.
        .redirect(Policy::none())
        .user_agent(concat!("wharfinger-registry/", env!("CARGO_PKG_VERSION")));
    if let Some(authorities) = &issuer.authorities {
        let certificates = Certificate::from_pem_bundle(authorities.as_bytes()).map_err(FetchError::Authorities)?;
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(FetchError::Authorities)
}

/// The issuer's keys as they are now.
async fn fetch(client: &Client, issuer: &OidcIssuer) -> Result<ForeignKeys, FetchError> {
    let url = match &issuer.jwks_url {
        Some(url) => url.clone(),
        None => discover(client, &issuer.issuer).await?,
    };
    let keys = ForeignKeys::of(&read::<Value>(client, &url).await?);
    if keys.is_empty() {
        let why = "there is no key that verifies signatures".to_owned();
        return Err(FetchError::Content { url, why });
    }
    Ok(keys)
}

async fn discover(client: &Client, issuer: &str) -> Result<String, FetchError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let Discovery {
        issuer: found,
        jwks_uri,
    } = read(client, &url).await?;
    // Section 4.3 of the specification demands it.
    if found != issuer {
        let why = format!("it is the document of the issuer `{found}`");
        return Err(FetchError::Content { url, why });
    }
    let is_encrypted = |url: &str| url.starts_with("https://");
    if is_encrypted(issuer) && !is_encrypted(&jwks_uri) {
        let why = format!("the keys would be read from `{jwks_uri}`, which is not encrypted");
        return Err(FetchError::Content { url, why });
    }
    Ok(jwks_uri)
}

async fn read<T: for<'de> Deserialize<'de>>(client: &Client, url: &str) -> Result<T, FetchError> {
    let failed = |source| FetchError::Request {
        url: url.to_owned(),
        source,
    };
    let mut answer = client.get(url).header(ACCEPT, ACCEPTED).send().await.map_err(failed)?;
    if answer.status() != StatusCode::OK {
        let (url, status) = (url.to_owned(), answer.status());
        return Err(FetchError::Status { url, status });
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(FetchError::TooLong { url: url.to_owned() });
        }
    }
    serde_json::from_slice(&body).map_err(|error| FetchError::Content {
        url: url.to_owned(),
        why: error.to_string(),
    })
}
