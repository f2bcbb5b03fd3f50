//! [`Auth`]: how clients sign in to a registry.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{OidcIssuer, TokenServer};

/// How clients sign in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.tokenServer) || !has(self.challenge) || self.challenge != 'Basic'").message("with `challenge: Basic` nobody is sent to a tokenServer: leave out one of them"))]
pub struct Auth {
    /// How long a token that a client was given is valid, `5m` to `1h`. Default `5m`. Policy is decided at each request
    /// whatever a token says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5m') && duration(self) <= duration('1h')").message("tokenLifetime is between `5m` and `1h`: shorter ones end pushes in their middle"))]
    pub token_lifetime: Option<String>,
    /// How long a refresh token is valid, which `docker login` then keeps instead of the password, `1h` to `8760h`. It ends when its
    /// password is not accepted any more, and when its identity is disabled or deleted. Default: clients are given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('8760h')").message("refreshTokenLifetime is between `1h` and `8760h`, for example `720h`"))]
    pub refresh_token_lifetime: Option<String>,
    /// How long a key signs tokens before another takes its place, at least `1h`. Default `720h`. Pods verify with a new key before it signs,
    /// and with an old one for as long as its tokens live, so nobody is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h')").message("signingKeyRotation is at least `1h`, for example `720h`"))]
    pub signing_key_rotation: Option<String>,
    /// How clients are asked to sign in. Default Bearer; passwords and tokens are accepted whatever stands here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
    /// The realm that a Basic challenge names, which browsers show. Default: that of the Registry's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub basic_realm: Option<String>,
    /// A Secret of this namespace with a user file as `htpasswd -B` writes it: each of its users can sign in, beside the
    /// RegistryIdentities, which come first where a name stands in both. The Secret carries the label
    /// `wharfinger.dev/credential: "true"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub htpasswd_secret_ref: Option<SecretFileReference>,
    /// What hashes of passwords cost whoever makes, checks or guesses one. A change has every password hashed anew that stands in a Secret;
    /// hashes that were brought along stay. Default: 19 MiB of memory, 2 iterations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hashing: Option<PasswordHashing>,
    /// Tokens of the cluster's ServiceAccounts. Default: accepted, from the ServiceAccounts that a RegistryIdentity names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_tokens: Option<ServiceAccountTokens>,
    /// Issuers whose OpenID Connect tokens sign people and jobs of CI systems in. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub oidc: Option<Vec<OidcIssuer>>,
    /// A server that clients get tokens from, in place of this registry. Whoever waits to be asked sends their credentials there, and
    /// those of RegistryIdentities serve only who sends them without being asked. Not together with a Basic challenge. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_server: Option<TokenServer>,
    /// Certificates of clients. Needs `tls`. Default: clients are asked for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
    /// Networks that clients may come from, such as `10.0.0.0/8`; others are answered with 403 whoever they are. Default: from
    /// everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 64)))]
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network))").message("allowedSourceRanges are networks, for example `10.0.0.0/8`"))]
    pub allowed_source_ranges: Option<Vec<String>>,
    /// Proxies in front of the registry whose word about clients counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_proxies: Option<TrustedProxies>,
}

/// The parameters of Argon2id. They are at least as strong as the weakest that OWASP recommends: 46Mi and 1 iteration, 19Mi and 2, 12Mi and 3,
/// 9Mi and 4, 7Mi and 5.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.memory) && !self.memory.matches('^[0-9]{1,2}Mi$') ? true : (has(self.memory) ? int(self.memory.replace('Mi', '')) : 19) >= (!has(self.iterations) ? 19 : self.iterations <= 1 ? 46 : self.iterations == 2 ? 19 : self.iterations == 3 ? 12 : self.iterations == 4 ? 9 : 7)").message("such hashes are too easy to guess: at least 46Mi go with 1 iteration, 19Mi with 2, 12Mi with 3, 9Mi with 4, and 7Mi with 5"))]
pub struct PasswordHashing {
    /// Memory that one verification takes, `7Mi` to `64Mi`. Default `19Mi`. A registry verifies as many at once as it has processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4), regex(pattern = r"^([7-9]|[1-5][0-9]|6[0-4])Mi$"))]
    pub memory: Option<String>,
    /// Passes over that memory. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub iterations: Option<i32>,
    /// Lanes that could be computed at once. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4))]
    pub parallelism: Option<i32>,
}

/// How clients are asked to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Challenge {
    /// With the token protocol of registries.
    Bearer,
    /// With the password at each request, as browsers do.
    Basic,
}

/// Which certificates of clients are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificates {
    /// A Secret of this namespace with the certificates of the authorities, in PEM: of type `kubernetes.io/tls`, as
    /// cert-manager makes them, or with the label `wharfinger.dev/credential: "true"`. A change is in force within a second.
    pub authorities_secret_ref: SecretFileReference,
    /// Whether clients must have a certificate: Optional (default) or Required, where a handshake without one fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ClientCertificateMode>,
}

/// Whether clients must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ClientCertificateMode {
    /// They may.
    Optional,
    /// A handshake without one fails.
    Required,
}

/// Names a Secret in the object's own namespace that holds a file: a user file, the certificates of authorities, or the keys of a token server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretFileReference {
    /// Name of the Secret.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// Key within the Secret. Default `htpasswd` for a user file, `ca.crt` for authorities, `tls.crt` for keys of a token server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: Option<String>,
}

/// Which tokens of the cluster's ServiceAccounts are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountTokens {
    /// Whether any is. Default Enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ServiceAccountMode>,
    /// The audience that a token must be for. Default `wharfinger.dev/<namespace>/<name>` of this Registry, so that a token for
    /// one registry, or for the API server, opens no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub audience: Option<String>,
    /// Namespaces whose ServiceAccounts sign in without a RegistryIdentity, as `system:serviceaccount:<namespace>:<name>` in
    /// the group `system:serviceaccounts:<namespace>`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63)))]
    pub namespaces: Option<Vec<String>>,
    /// How tokens are verified. Default Keys. With `TokenReview` the token of a Pod or ServiceAccount that is gone ends within 20 s; the
    /// registry's own ServiceAccount, `<name>-registry`, must then be allowed to create `tokenreviews`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<AccountVerification>,
}

/// How tokens of ServiceAccounts are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum AccountVerification {
    /// With the cluster's public keys: nobody is asked.
    Keys,
    /// With the keys, and then by the API server. While it cannot be asked, these tokens are not accepted.
    TokenReview,
}

/// Whether tokens of ServiceAccounts are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ServiceAccountMode {
    /// They are.
    Enabled,
    /// None is.
    Disabled,
}

/// Proxies in front of the registry whose word about clients counts: `X-Forwarded-For`, `X-Forwarded-Proto`,
/// `X-Forwarded-Host` and `X-Forwarded-Port`. From everybody else these headers are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustedProxies {
    /// Their networks, such as `10.0.0.0/8`; one address is `192.0.2.1/32`.
    #[schemars(length(min = 1, max = 64), inner(length(max = 64)))]
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network))").message("cidrs are networks, for example `10.0.0.0/8`"))]
    pub cidrs: Vec<String>,
    /// A header in which they name who has signed in with them, such as `X-Forwarded-User`. That is who the caller is then,
    /// with the groups and attributes of the RegistryIdentity of that name where there is one. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9-]+$"))]
    pub user_header: Option<String>,
}
