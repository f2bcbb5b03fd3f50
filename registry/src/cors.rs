//! What browsers are told about pages of other origins (the Fetch standard's CORS protocol).

use std::collections::HashSet;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    InvalidHeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::body::{self, ResponseBody};

/// The settings as headers.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Origins,
    credentials: bool,
    methods: HeaderValue,
    headers: HeaderValue,
    exposed: HeaderValue,
    max_age: HeaderValue,
}

#[derive(Debug)]
enum Origins {
    Any,
    Listed(HashSet<String>),
}

impl Cors {
    /// Prepares settings that were checked.
    pub(crate) fn new(settings: &registry_config::Cors) -> Result<Self, InvalidHeaderValue> {
        let list = |values: &[String]| HeaderValue::try_from(values.join(", "));
        let origins = if settings.allowed_origins.iter().any(|origin| origin == "*") {
            Origins::Any
        } else {
            Origins::Listed(settings.allowed_origins.iter().cloned().collect())
        };
        Ok(Self {
            origins,
            credentials: settings.allow_credentials,
            methods: list(&settings.allowed_methods)?,
            headers: list(&settings.allowed_headers)?,
            exposed: list(&settings.expose_headers)?,
            max_age: HeaderValue::from(settings.max_age.get().as_secs()),
        })
    }

    /// The answer to a browser that asks first; the same for every path, so that it tells nothing of what is there. It
    /// sends no credentials with that question, so none are asked for.
    pub(crate) fn preflight(&self, request: &http::request::Parts) -> Option<Response<ResponseBody>> {
        let asks = request.method == Method::OPTIONS
            && request.headers.contains_key(ORIGIN)
            && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        asks.then(|| {
            let mut response = Response::new(body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            if self.allowed(request.headers.get(ORIGIN)).is_some() {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
                headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
            }
            response
        })
    }

    /// Adds what every response says, errors included.
    pub(crate) fn decorate(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        // Also where no origin came: a cache may keep this answer for somebody who sends one.
        response.append(VARY, HeaderValue::from_static("Origin"));
        let Some(allowed) = self.allowed(origin) else { return };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if !self.exposed.is_empty() {
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone());
        }
    }

    /// What an origin is told of itself; nothing where it is not listed.
    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        let origin = origin?;
        match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Listed(listed) => origin
                .to_str()
                .is_ok_and(|origin| listed.contains(origin))
                .then(|| origin.clone()),
        }
    }
}
