//! A registry for one test: its own directory, the people of [`content`], and a way to send requests.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use registry_config::{Access, AccessContent, AccessIndex, Uploads};
use serde_json::{Value, json};
use tempfile::TempDir;
use wharfinger_registry::access::{Current, Snapshot};
use wharfinger_registry::authenticate::Authenticator;
use wharfinger_registry::body;
use wharfinger_registry::client::{Connection, Scheme};
use wharfinger_registry::issuer_keys::IssuerKeys;
use wharfinger_registry::metrics::Metrics;
use wharfinger_registry::oci::{self, Digest};
use wharfinger_registry::password::Passwords;
use wharfinger_registry::service::Service;
use wharfinger_registry::store::{FilesystemStore, Owner, Store};
use wharfinger_registry::throttle::Throttle;
use wharfinger_registry::token::{Key, OidcTokens, Reviews, ServerTokens, ServiceAccounts, Tokens};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const PEOPLE: [&str; 5] = ["puller", "pusher", "maintainer", "admin", "nobody"];
/// How many things an identity may read at once.
pub(crate) const READINGS: usize = 8;
/// The address that requests come from where there is no socket.
const CLIENT: [u8; 4] = [192, 0, 2, 7];
/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse";

/// One of [`content`]'s people, as upload sessions remember them.
pub(crate) fn owner(username: &str) -> Owner {
    Owner::Identity {
        username: username.to_owned(),
        uid: username.to_owned(),
    }
}

/// A hash of `password` that is cheap to verify.
pub(crate) fn hash(password: &str) -> String {
    let parameters = Params::new(64, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password(password.as_bytes())
        .unwrap()
        .to_string()
}

/// The hash of [`PASSWORD`].
pub(crate) static HASH: LazyLock<String> = LazyLock::new(|| hash(PASSWORD));

/// `puller`, `pusher` and `maintainer` have the role of their name on `team/**`, `admin` on everything, `nobody` on
/// nothing; anonymous callers may pull `public/**`.
pub(crate) fn content() -> Value {
    let identity = |name: &str| json!({ "username": name, "passwords": [{ "hash": *HASH }] });
    let allow = |user: &str, role: &str, repositories: &str| {
        json!({
            "name": format!("{user}-may-{role}"),
            "effect": "Allow",
            "subjects": [{ "identity": user }],
            "rules": [{ "name": "all", "repositories": [repositories], "role": role }],
        })
    };
    let mut public = allow("", "pull", "public/**");
    public["subjects"] = json!([{ "any": "Everyone" }]);
    json!({
        "service": "registry.test",
        "identities": PEOPLE.map(identity),
        "policies": [
            allow("puller", "pull", "team/**"),
            allow("pusher", "push", "team/**"),
            allow("maintainer", "maintain", "team/**"),
            allow("admin", "admin", "**"),
            public,
        ],
    })
}

pub(crate) struct Registry {
    pub(crate) service: Arc<Service>,
    pub(crate) current: Arc<Current>,
    pub(crate) metrics: Metrics,
    pub(crate) directory: TempDir,
}

impl Registry {
    /// A registry with the people of [`content`].
    pub(crate) fn new() -> Self {
        Self::with(content())
    }

    pub(crate) fn with(content: Value) -> Self {
        let registry = Self::without_document();
        registry.publish(1, content);
        registry
    }

    /// A registry with the people of [`content`] on a store that may exist already.
    pub(crate) fn on(directory: TempDir, uploads: &Uploads) -> Self {
        let registry = Self::over(directory, uploads);
        registry.publish(1, content());
        registry
    }

    /// Stops the registry and leaves its store.
    pub(crate) fn stop(self) -> TempDir {
        self.directory
    }

    pub(crate) fn without_document() -> Self {
        Self::over(tempfile::tempdir().unwrap(), &Uploads::default())
    }

    /// Stops the registry, lets `meanwhile` see to its store, and starts it again.
    pub(crate) fn stopped(self, meanwhile: impl FnOnce(&Path)) -> Self {
        let Self { service, directory, .. } = self;
        drop(service);
        meanwhile(directory.path());
        let registry = Self::over(directory, &Uploads::default());
        registry.publish(1, content());
        registry
    }

    fn over(directory: TempDir, uploads: &Uploads) -> Self {
        let metrics = Metrics::default();
        let current = Arc::new(Current::new(Arc::new(Key::generate().unwrap()), metrics.clone()));
        let authenticator = Authenticator {
            current: current.clone(),
            passwords: Passwords::new(2).unwrap(),
            throttle: Throttle::default(),
            tokens: Tokens::default(),
            service_accounts: ServiceAccounts::default(),
            reviews: Reviews::new(None),
            oidc: OidcTokens::new(IssuerKeys::new(metrics.clone())),
            server_tokens: ServerTokens::default(),
            metrics: metrics.clone(),
        };
        let store = Arc::new(FilesystemStore::open(directory.path(), uploads, metrics.store()).unwrap());
        Self {
            service: Arc::new(Service::new(store, authenticator, READINGS)),
            current,
            metrics,
            directory,
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.service.store.as_ref()
    }

    /// Puts a document in force.
    pub(crate) fn publish(&self, revision: u64, content: Value) {
        let content: AccessContent = serde_json::from_value(content).unwrap();
        let index: AccessIndex =
            serde_json::from_value(json!({ "kind": "AccessIndex", "formatVersion": 1, "revision": revision })).unwrap();
        let access = Access::compile(content).unwrap();
        self.current
            .enforce(Snapshot::new(&index, access, self.current.own_key()).unwrap());
        self.current.report();
    }

    pub(crate) async fn send(&self, call: Call) -> Answer {
        let request = call.0.map(body::full);
        let response = self
            .service
            .respond(request, Connection::new((CLIENT, 40000).into(), Scheme::Http))
            .await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// A token for `user` that opens `scope`; an anonymous one for an empty name.
    pub(crate) async fn token(&self, user: &str, scope: &str) -> String {
        let mut call = Call::get(&format!(
            "/token?service=registry.test&scope={}",
            scope.replace(' ', "%20")
        ));
        if !user.is_empty() {
            call = call.basic(user, PASSWORD);
        }
        let answer = self.send(call).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// Stores an image of one small layer under `tag`, as `admin` would, and returns its digests.
    pub(crate) async fn seed(&self, repository: &str, tag: &str) -> Image {
        let image = Image::of(tag);
        for (digest, content) in [
            (&image.layer, &image.layer_content),
            (&image.config, &image.config_content),
        ] {
            let uri = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            let answer = self
                .send(
                    Call::new(Method::POST, &uri)
                        .basic("admin", PASSWORD)
                        .body(content.clone()),
                )
                .await;
            assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        }
        let uri = format!("/v2/{repository}/manifests/{tag}");
        let call = Call::new(Method::PUT, &uri)
            .basic("admin", PASSWORD)
            .header("content-type", MANIFEST);
        let answer = self.send(call.body(image.manifest_content.clone())).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        image
    }

    /// Every file and directory in the store, our own apart.
    pub(crate) fn files(&self) -> Vec<String> {
        let root = self.directory.path().join("docker/registry/v2");
        let mut found = Vec::new();
        let mut pending = vec![root.clone()];
        while let Some(directory) = pending.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                if path.is_dir() {
                    pending.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

/// An image of one layer, told apart by its name.
pub(crate) struct Image {
    pub(crate) layer: Digest,
    pub(crate) layer_content: Bytes,
    pub(crate) config: Digest,
    pub(crate) config_content: Bytes,
    pub(crate) manifest: Digest,
    pub(crate) manifest_content: Bytes,
}

impl Image {
    pub(crate) fn of(name: &str) -> Self {
        let (layer_content, config_content) = (
            Bytes::from(format!("layer of {name}")),
            Bytes::from(format!("{{\"name\":\"{name}\"}}")),
        );
        let (layer, config) = (digest(&layer_content), digest(&config_content));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.as_str(), "size": config_content.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.as_str(), "size": layer_content.len() }],
        });
        let manifest_content = Bytes::from(manifest.to_string());
        Self {
            layer,
            layer_content,
            config,
            config_content,
            manifest: digest(&manifest_content),
            manifest_content,
        }
    }
}

pub(crate) fn digest(content: &[u8]) -> Digest {
    Digest::of(oci::Algorithm::Sha256, content)
}

/// A request under construction.
pub(crate) struct Call(pub(crate) Request<Bytes>);

impl Call {
    pub(crate) fn new(method: Method, uri: &str) -> Self {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, "registry.test:5000");
        Self(request.body(Bytes::new()).unwrap())
    }

    pub(crate) fn get(uri: &str) -> Self {
        Self::new(Method::GET, uri)
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.0.headers_mut().insert(name, value.parse().unwrap());
        self
    }

    pub(crate) fn basic(self, user: &str, password: &str) -> Self {
        let value = STANDARD.encode(format!("{user}:{password}"));
        self.header("authorization", &format!("Basic {value}"))
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.0.body_mut() = body.into();
        self
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of the one error in the body.
    pub(crate) fn code(&self) -> String {
        let errors = self.json()["errors"].clone();
        assert_eq!(errors.as_array().unwrap().len(), 1, "{errors}");
        errors[0]["code"].as_str().unwrap().to_owned()
    }

    /// The message of the one error in the body.
    pub(crate) fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} stands twice: {self:?}");
        Some(value.to_str().unwrap())
    }

    /// Where the next page of a list is.
    pub(crate) fn next_page(&self) -> Option<String> {
        let link = self.header("link")?;
        let uri = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"");
        Some(uri.unwrap().to_owned())
    }

    /// Status and code together.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.code())
    }
}
