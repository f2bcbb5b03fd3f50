//! Every way to sign in, for a registry that knows all of them.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use wharfinger_registry::oci::{Algorithm, RepositoryName, UploadId};
use wharfinger_registry::route::Route;

use crate::cluster::Cluster;
use crate::fixture::{Answer, Call, Image, PASSWORD, Registry, content, owner};
use crate::issuer::Offline;
use crate::{exchange, mutual, token_server};

/// How somebody signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Password,
    Account,
    AccountAsPassword,
    Subject,
    SubjectAsPassword,
    Proxy,
    Certificate,
    /// With a token of the registry's own, got at the token endpoint for what this says.
    Exchanged(Credential),
    /// With a token of the token server, which must be that of the document.
    TokenServer,
}

/// What a token of the registry's own is got for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential {
    Password,
    Account,
    Subject,
}

impl Way {
    /// Those with which a client may do whatever policy allows. A token opens all that there is here.
    pub(crate) const ALL: [Self; 10] = [
        Self::Password,
        Self::Account,
        Self::AccountAsPassword,
        Self::Subject,
        Self::SubjectAsPassword,
        Self::Proxy,
        Self::Certificate,
        Self::Exchanged(Credential::Password),
        Self::Exchanged(Credential::Account),
        Self::Exchanged(Credential::Subject),
    ];

    /// Those with a token, which opens so much and no more.
    pub(crate) const BOUNDED: [Self; 4] = [
        Self::Exchanged(Credential::Password),
        Self::Exchanged(Credential::Account),
        Self::Exchanged(Credential::Subject),
        Self::TokenServer,
    ];
}

/// Everything that there is in a [`World`], as a scope.
pub(crate) const ALL_SCOPES: &str = "repository:team/app:* registry:catalog:*";

/// What the access document says about signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Document {
    Bearer,
    ExternalUrl,
    TokenServer,
    Basic,
}

impl Document {
    pub(crate) const ALL: [Self; 4] = [Self::Bearer, Self::ExternalUrl, Self::TokenServer, Self::Basic];

    fn content(self) -> Value {
        let mut content = content();
        content["serviceAccounts"] = Cluster::settings();
        content["oidc"] = json!([Offline::settings()]);
        content["clientCertificates"] = mutual::settings();
        content["trustedProxies"] = json!(["192.0.2.0/24"]);
        content["userHeader"] = json!("X-Forwarded-User");
        for identity in content["identities"].as_array_mut().unwrap() {
            let name = identity["username"].clone();
            identity["serviceAccounts"] = json!([{ "namespace": "ci", "name": name }]);
            identity["oidcSubjects"] = json!([{ "issuer": Offline::URL, "subject": name }]);
            identity["certificateSubjects"] = json!([{ "commonName": name }]);
        }
        match self {
            Self::Bearer => {}
            Self::ExternalUrl => content["externalURL"] = json!("https://registry.example:44301"),
            Self::TokenServer => content["tokenServer"] = TOKEN_SERVER.settings(),
            Self::Basic => content["challenge"] = json!("Basic"),
        }
        content
    }

    /// The whole challenge of a request that needs `scope`, with what is wrong with the token that came.
    pub(crate) fn challenge(self, scope: &str, error: Option<&str>) -> String {
        let (realm, service) = match self {
            Self::Bearer => ("http://registry.test:5000/token", "registry.test"),
            Self::ExternalUrl => ("https://registry.example:44301/token", "registry.test"),
            Self::TokenServer => (token_server::REALM, token_server::SERVICE),
            Self::Basic => return r#"Basic realm="registry.test""#.to_owned(),
        };
        let part = |name: &str, value: &str| match value {
            "" => String::new(),
            value => format!(",{name}=\"{value}\""),
        };
        let (scope, error) = (part("scope", scope), part("error", error.unwrap_or_default()));
        format!("Bearer realm=\"{realm}\",service=\"{service}\"{scope}{error}")
    }
}

static TOKEN_SERVER: LazyLock<token_server::Server> = LazyLock::new(token_server::Server::new);

/// A registry with one image, and one upload session that has begun.
pub(crate) struct World {
    pub(crate) registry: Arc<Registry>,
    pub(crate) repository: RepositoryName,
    pub(crate) image: Image,
    pub(crate) session: UploadId,
    /// Who has opened the session.
    caller: &'static str,
}

impl World {
    /// A world whose session `caller` has opened.
    pub(crate) async fn of(caller: &'static str, document: Document) -> Self {
        let registry = Registry::with(document.content());
        let repository: RepositoryName = "team/app".parse().unwrap();
        Self {
            image: registry.seed(repository.as_str(), "v1").await,
            session: open_session(&registry, &repository, caller).await,
            registry: Arc::new(registry),
            repository,
            caller,
        }
    }

    /// Puts back what somebody has changed or taken away who was let through.
    pub(crate) async fn restore(&mut self, route: &Route) {
        match route {
            Route::Base
            | Route::Token
            | Route::Keys
            | Route::ListCatalog(_)
            | Route::ListTags(_)
            | Route::GetBlob(_)
            | Route::GetManifest(_)
            | Route::PutManifest(_)
            | Route::GetReferrers(_)
            | Route::StartUpload(_)
            | Route::GetUpload(_) => {}
            Route::DeleteBlob(_) | Route::DeleteManifest(_) => {
                self.image = self.registry.seed(self.repository.as_str(), "v1").await;
            }
            Route::UpdateUpload(_) | Route::CompleteUpload(_) | Route::CancelUpload(_) => {
                self.session = open_session(&self.registry, &self.repository, self.caller).await;
            }
        }
    }

    /// Sends a request as `user`, with a token for `scope` where the way has one.
    pub(crate) async fn ask(&self, user: &str, way: Way, scope: &str, call: Call) -> Answer {
        let call = match way {
            Way::Password => call.basic(user, PASSWORD),
            Way::Account => call.bearer(&Cluster::token_of(user)),
            Way::AccountAsPassword => call.basic("", &Cluster::token_of(user)),
            Way::Subject => call.bearer(&Offline::token_of(user)),
            Way::SubjectAsPassword => call.basic("token", &Offline::token_of(user)),
            Way::Proxy => call.header("x-forwarded-user", user),
            Way::Certificate => {
                let server = mutual::start(self.registry.clone()).await;
                let answer = exchange::secured(server.address, mutual::client(user), call).await;
                return answer.expect("the certificate is believed");
            }
            Way::Exchanged(credential) => call.bearer(&self.exchanged(user, credential, scope).await),
            Way::TokenServer => call.bearer(&TOKEN_SERVER.token_for(user, scope)),
        };
        self.registry.send(call).await
    }

    async fn exchanged(&self, user: &str, credential: Credential, scope: &str) -> String {
        let scope = scope.replace(' ', "%20");
        let call = Call::get(&format!("/token?service=registry.test&scope={scope}"));
        let call = match credential {
            Credential::Password => call.basic(user, PASSWORD),
            Credential::Account => call.basic("", &Cluster::token_of(user)),
            Credential::Subject => call.bearer(&Offline::token_of(user)),
        };
        let answer = self.registry.send(call).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["token"].as_str().unwrap().to_owned()
    }
}

async fn open_session(registry: &Registry, repository: &RepositoryName, caller: &str) -> UploadId {
    let (store, owner) = (registry.store(), owner(caller));
    store.start_upload(repository, Algorithm::Sha256, &owner).await.unwrap()
}
