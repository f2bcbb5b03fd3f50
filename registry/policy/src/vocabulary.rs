//! What conditions may refer to: the variables and functions, in one table each.
//!
//! The checker accepts exactly these, the evaluation answers exactly these, and the reference documentation lists
//! [`variables`] and [`functions`].

mod availability;
mod function;
mod value_type;

pub use availability::{Availability, availability};
pub(crate) use function::write_call;
pub use function::{Function, MACROS, Style, functions};
pub use value_type::ValueType;

/// A variable, or a field of one.
#[derive(PartialEq, Eq, Debug)]
pub struct Variable {
    /// Its name within the object that it is a field of.
    pub name: &'static str,
    /// The type of its value.
    pub value_type: ValueType,
    /// Whether it always has a value.
    pub presence: Presence,
    /// What it is, for the reference documentation.
    pub description: &'static str,
    /// What the evaluation answers with.
    pub(crate) fact: Fact,
}

/// What conditions see of a fact that a request does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// There is always a value.
    Always,
    /// The value may be null; `has()` is true all the same.
    Nullable,
    /// The field may be missing: `has()` is then false, and reading it is an evaluation error.
    Maybe,
}

/// A variable that has fields.
#[derive(PartialEq, Eq, Debug)]
pub struct Object {
    /// Its full path, as in `identity.certificate`.
    pub path: &'static str,
    /// Its fields.
    pub fields: &'static [Variable],
}

impl Object {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&'static Variable> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// Every variable below `roots` with its full path, a variable that has fields before its fields.
pub fn variables(roots: &'static [Variable]) -> Vec<(String, &'static Variable)> {
    fn visit(prefix: &str, fields: &'static [Variable], found: &mut Vec<(String, &'static Variable)>) {
        for field in fields {
            let path = format!("{prefix}{}", field.name);
            found.push((path.clone(), field));
            if let ValueType::Object(object) = field.value_type {
                visit(&format!("{path}."), object.fields, found);
            }
        }
    }
    let mut found = Vec::new();
    visit("", roots, &mut found);
    found
}

/// One piece of what is known about a request: what the evaluation has an answer for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fact {
    Identity,
    Id,
    Username,
    Groups,
    Attributes,
    ClientIp,
    Certificate,
    CommonNames,
    Organizations,
    DnsNames,
    Uris,
    Oidc,
    ProviderName,
    Claims,
    ServiceAccount,
    ServiceAccountNamespace,
    ServiceAccountName,
    Pod,
    Node,
    Request,
    Action,
    Method,
    Repository,
    Reference,
    Digest,
    Tags,
    SessionId,
    From,
    PageSize,
    Last,
    ArtifactType,
    DigestAlgorithm,
}

const TEXTS: ValueType = ValueType::List(&ValueType::String);

/// The variables that are no field of another.
pub static ROOTS: &[Variable] = &[
    Variable {
        name: "identity",
        value_type: ValueType::Object(&IDENTITY),
        presence: Presence::Always,
        description: "who is asking; for an anonymous caller its `id` and `username` are null",
        fact: Fact::Identity,
    },
    Variable {
        name: "request",
        value_type: ValueType::Object(&REQUEST),
        presence: Presence::Always,
        description: "what is asked for",
        fact: Fact::Request,
    },
];

/// The variables of an expression over the claims of a token.
pub static CLAIM_ROOTS: &[Variable] = &[Variable {
    name: "claims",
    value_type: ValueType::Map(&ValueType::Dyn),
    presence: Presence::Always,
    description: "the claims of the token",
    fact: Fact::Claims,
}];

pub(crate) static IDENTITY: Object = Object {
    path: "identity",
    fields: &[
        Variable {
            name: "id",
            value_type: ValueType::String,
            presence: Presence::Nullable,
            description: "what stays the same when the username is given to somebody else; null for an anonymous caller",
            fact: Fact::Id,
        },
        Variable {
            name: "username",
            value_type: ValueType::String,
            presence: Presence::Nullable,
            description: "the full username, prefix included; null for an anonymous caller",
            fact: Fact::Username,
        },
        Variable {
            name: "groups",
            value_type: TEXTS,
            presence: Presence::Always,
            description: "the groups; empty for an anonymous caller",
            fact: Fact::Groups,
        },
        Variable {
            name: "attributes",
            value_type: ValueType::Map(&TEXTS),
            presence: Presence::Always,
            description: "the attributes, each a list of texts; empty for an anonymous caller",
            fact: Fact::Attributes,
        },
        Variable {
            name: "client_ip",
            value_type: ValueType::String,
            presence: Presence::Nullable,
            description: "the address that the request came from, after trusted proxies; null where it is not known",
            fact: Fact::ClientIp,
        },
        Variable {
            name: "certificate",
            value_type: ValueType::Object(&CERTIFICATE),
            presence: Presence::Always,
            description: "the client certificate; its lists are empty without one",
            fact: Fact::Certificate,
        },
        Variable {
            name: "oidc",
            value_type: ValueType::Object(&OIDC),
            presence: Presence::Nullable,
            description: "the OIDC token that the request was authenticated with; null without one",
            fact: Fact::Oidc,
        },
        Variable {
            name: "service_account",
            value_type: ValueType::Object(&SERVICE_ACCOUNT),
            presence: Presence::Nullable,
            description: "the ServiceAccount that the request was authenticated as; null without one",
            fact: Fact::ServiceAccount,
        },
    ],
};

static CERTIFICATE: Object = Object {
    path: "identity.certificate",
    fields: &[
        Variable {
            name: "common_names",
            value_type: TEXTS,
            presence: Presence::Always,
            description: "the common names of the subject",
            fact: Fact::CommonNames,
        },
        Variable {
            name: "organizations",
            value_type: TEXTS,
            presence: Presence::Always,
            description: "the organizations of the subject",
            fact: Fact::Organizations,
        },
        Variable {
            name: "dns_names",
            value_type: TEXTS,
            presence: Presence::Always,
            description: "the DNS names among the subject alternative names",
            fact: Fact::DnsNames,
        },
        Variable {
            name: "uris",
            value_type: TEXTS,
            presence: Presence::Always,
            description: "the URIs among the subject alternative names",
            fact: Fact::Uris,
        },
    ],
};

static OIDC: Object = Object {
    path: "identity.oidc",
    fields: &[
        Variable {
            name: "provider_name",
            value_type: ValueType::String,
            presence: Presence::Always,
            description: "the name of the issuer in the Registry",
            fact: Fact::ProviderName,
        },
        Variable {
            name: "claims",
            value_type: ValueType::Map(&ValueType::Dyn),
            presence: Presence::Always,
            description: "the claims of the token",
            fact: Fact::Claims,
        },
    ],
};

static SERVICE_ACCOUNT: Object = Object {
    path: "identity.service_account",
    fields: &[
        Variable {
            name: "namespace",
            value_type: ValueType::String,
            presence: Presence::Always,
            description: "the namespace of the ServiceAccount",
            fact: Fact::ServiceAccountNamespace,
        },
        Variable {
            name: "name",
            value_type: ValueType::String,
            presence: Presence::Always,
            description: "the name of the ServiceAccount",
            fact: Fact::ServiceAccountName,
        },
        Variable {
            name: "pod",
            value_type: ValueType::String,
            presence: Presence::Nullable,
            description: "the Pod that the token is bound to; null when it is bound to none",
            fact: Fact::Pod,
        },
        Variable {
            name: "node",
            value_type: ValueType::String,
            presence: Presence::Nullable,
            description: "the Node that the token is bound to; null when it is bound to none",
            fact: Fact::Node,
        },
    ],
};

pub(crate) static REQUEST: Object = Object {
    path: "request",
    fields: &[
        Variable {
            name: "action",
            value_type: ValueType::String,
            presence: Presence::Always,
            description: "the name of the action, as in `get-manifest`",
            fact: Fact::Action,
        },
        Variable {
            name: "method",
            value_type: ValueType::String,
            presence: Presence::Always,
            description: "the HTTP method",
            fact: Fact::Method,
        },
        Variable {
            name: "repository",
            value_type: ValueType::String,
            presence: Presence::Maybe,
            description: "the repository; missing for list-catalog",
            fact: Fact::Repository,
        },
        Variable {
            name: "namespace",
            value_type: ValueType::String,
            presence: Presence::Maybe,
            description: "the same as `request.repository`",
            fact: Fact::Repository,
        },
        Variable {
            name: "reference",
            value_type: ValueType::String,
            presence: Presence::Maybe,
            description: "the tag or digest of the manifest, as it stands in the URL",
            fact: Fact::Reference,
        },
        Variable {
            name: "digest",
            value_type: ValueType::String,
            presence: Presence::Maybe,
            description: "the digest of the blob or manifest",
            fact: Fact::Digest,
        },
        Variable {
            name: "tags",
            value_type: TEXTS,
            presence: Presence::Always,
            description: "the tags that a manifest is pushed under, each `?tag=` included; empty for other actions",
            fact: Fact::Tags,
        },
        Variable {
            name: "session_id",
            value_type: ValueType::String,
            presence: Presence::Maybe,
            description: "the upload session",
            fact: Fact::SessionId,
        },
        Variable {
            name: "from",
            value_type: ValueType::String,
            presence: Presence::Maybe,
            description: "the repository that a blob is mounted from",
            fact: Fact::From,
        },
        Variable {
            name: "n",
            value_type: ValueType::Uint,
            presence: Presence::Maybe,
            description: "the page size asked for",
            fact: Fact::PageSize,
        },
        Variable {
            name: "last",
            value_type: ValueType::String,
            presence: Presence::Maybe,
            description: "the entry that the page starts after",
            fact: Fact::Last,
        },
        Variable {
            name: "artifact_type",
            value_type: ValueType::String,
            presence: Presence::Maybe,
            description: "the artifact type that referrers are filtered by",
            fact: Fact::ArtifactType,
        },
        Variable {
            name: "digest_algorithm",
            value_type: ValueType::String,
            presence: Presence::Maybe,
            description: "the digest algorithm asked for an upload",
            fact: Fact::DigestAlgorithm,
        },
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_has_one_path_that_its_object_agrees_with() {
        let found = variables(ROOTS);
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "identity",
                "identity.id",
                "identity.username",
                "identity.groups",
                "identity.attributes",
                "identity.client_ip",
                "identity.certificate",
                "identity.certificate.common_names",
                "identity.certificate.organizations",
                "identity.certificate.dns_names",
                "identity.certificate.uris",
                "identity.oidc",
                "identity.oidc.provider_name",
                "identity.oidc.claims",
                "identity.service_account",
                "identity.service_account.namespace",
                "identity.service_account.name",
                "identity.service_account.pod",
                "identity.service_account.node",
                "request",
                "request.action",
                "request.method",
                "request.repository",
                "request.namespace",
                "request.reference",
                "request.digest",
                "request.tags",
                "request.session_id",
                "request.from",
                "request.n",
                "request.last",
                "request.artifact_type",
                "request.digest_algorithm",
            ]
        );
        for (path, variable) in &found {
            if let ValueType::Object(object) = variable.value_type {
                assert_eq!(object.path, path);
            }
        }
    }
}
