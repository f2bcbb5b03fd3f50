//! The conditions of Angos' documentation: each as it stands there, as it is written here, and for whom and what it holds. The page about
//! coming from Angos says the same: what it replaces makes the one of the other, and what it says is not there is refused or never true.
//!
//! Line breaks within a condition are single spaces here. Conditions about which images to keep are no conditions of access.

use std::fs;
use std::path::Path;

use super::parse;
use crate::facts::Facts;
use crate::{Absence, Action, ActionSet, Caller, Certificate, Expression, Identity, Oidc, Request, ServiceAccount};

/// A condition of Angos' documentation and what is expected of it. What is neither said to hold nor to fail is false.
#[derive(Default)]
struct Case {
    there: &'static str,
    /// As it is written here, where that is not the same.
    here: Option<&'static str>,
    /// For whom, and for which requests, it is true.
    holds: Vec<(&'static str, &'static str)>,
    /// For whom, and for which requests, it cannot be evaluated: an Allow does not match then, and a Deny does.
    fails: Vec<(&'static str, &'static str)>,
    /// What a Deny with it is refused for, and an Allow warned of.
    missing: Option<&'static str>,
    /// Part of why it is no condition here.
    refused: Option<&'static str>,
}

fn case(there: &'static str) -> Case {
    Case {
        there,
        ..Case::default()
    }
}

impl Case {
    fn here(self, here: &'static str) -> Self {
        Self {
            here: Some(here),
            ..self
        }
    }

    fn holds(mut self, who: &'static str, what: &'static str) -> Self {
        self.holds.push((who, what));
        self
    }

    fn fails(mut self, who: &'static str, what: &'static str) -> Self {
        self.fails.push((who, what));
        self
    }

    fn missing(self, fact: &'static str) -> Self {
        Self {
            missing: Some(fact),
            ..self
        }
    }

    fn refused(self, why: &'static str) -> Self {
        Self {
            refused: Some(why),
            ..self
        }
    }

    fn written_here(&self) -> &'static str {
        self.here.unwrap_or(self.there)
    }

    /// What the page calls a condition that has nothing to stand for.
    fn verdict(&self) -> Option<&'static str> {
        let is_never_true = self.holds.is_empty() && self.fails.is_empty();
        match self.refused {
            Some(_) => Some("refused"),
            None => is_never_true.then_some("never true"),
        }
    }
}

/// Who asks, under the names that the cases use.
const NOBODY: &[(&str, Option<[u8; 4]>)] = &[
    ("nobody", Some([192, 0, 2, 7])),
    ("inside", Some([10, 0, 3, 4])),
    ("nearby", Some([110, 0, 3, 4])),
    ("unseen", None),
];

const USERS: &[&str] = &["alice", "admin", "deployer", "philippe", "replicator"];

const CERTIFICATES: &[&str] = &[
    "CN=build-server",
    "CN=philippe",
    "O=Developers",
    "O=DevOps",
    "O=Engineering",
    "O=Infrastructure",
    "O=Platform",
    "O=admins",
    "O=infrastructure",
];

/// Jobs: name, issuer and claims.
const JOBS: &[(&str, &str, &str)] = &[
    (
        "api",
        "github-actions",
        r#"{"repository": "myorg/api", "ref": "refs/heads/main", "workflow": "deploy.yml",
            "environment": "production", "actor": "myuser"}"#,
    ),
    (
        "app1",
        "github-actions",
        r#"{"repository": "myorg/app1", "ref": "refs/tags/v1.2.3", "workflow": "test.yml",
            "environment": "staging", "actor": "dependabot[bot]"}"#,
    ),
    (
        "website",
        "github-actions",
        r#"{"repository": "myorg/website-frontend", "ref": "refs/heads/topic", "workflow": "release.yml",
            "environment": "staging", "actor": "alice"}"#,
    ),
    (
        "stranger",
        "github-actions",
        r#"{"repository": "stranger/myorg/api", "ref": "refs/tags/v1x2x3", "workflow": "deploy-yml",
            "environment": "Production", "actor": "dependabot"}"#,
    ),
    (
        "mirror",
        "gitlab",
        r#"{"repository": "myorg/api", "ref": "refs/heads/main"}"#,
    ),
];

/// People and programs, whose tokens say nothing of a repository.
const PEOPLE: &[(&str, &str, &str)] = &[
    (
        "dana",
        "corporate",
        r#"{"sub": "user-123-456", "email": "dana@corp.example.com", "email_verified": true,
            "role": "developer", "groups": ["staff", "registry-admins"]}"#,
    ),
    (
        "erin",
        "corporate",
        r#"{"sub": "user-123-4567", "email": "erin@example.com", "email_verified": true, "role": "guest",
            "groups": ["registry-admins-of-old"]}"#,
    ),
    (
        "eve",
        "corporate",
        r#"{"sub": "1", "email": "eve@project.iam.gserviceaccount.com", "email_verified": false,
            "role": "developer", "groups": []}"#,
    ),
    ("carla", "cloud", r#"{"sub": "2", "email": "carla@corp.example.com"}"#),
    ("carl", "cloud", r#"{"sub": "3", "email": "carl@company.com"}"#),
    (
        "robot",
        "cloud",
        r#"{"sub": "4", "email": "robot@project.iam.gserviceaccount.com"}"#,
    ),
    ("forge", "forge", r#"{"sub": "5", "repo": "myorg/app"}"#),
];

const SERVICE_ACCOUNTS: &[&str] = &["production/builder", "production-2/builder"];

/// Whether `name` is meant by `words`: names, those of groups of callers, and `everyone but` some.
fn is_meant(words: &str, name: &str) -> bool {
    if let Some(others) = words.strip_prefix("everyone but ") {
        return !is_meant(others, name);
    }
    let is_of = |tokens: &[(&str, &str, &str)]| tokens.iter().any(|(token, ..)| *token == name);
    words.split(' ').any(|word| match word {
        "everyone" => true,
        "users" => USERS.contains(&name),
        "jobs" => is_of(JOBS),
        "people" => is_of(PEOPLE),
        word => word == name,
    })
}

/// An identity. Its identifier is that of an object here, and tells nobody its name.
fn called(username: &str) -> Identity<'_> {
    Identity {
        id: "0f8c",
        username,
        home: true,
        ..Identity::default()
    }
}

/// Calls `check` with each caller and the name.
fn for_each_caller(mut check: impl FnMut(&str, &Caller<'_>)) {
    let elsewhere = Caller {
        client_ip: Some([192, 0, 2, 7].into()),
        ..Caller::default()
    };
    for (name, address) in NOBODY {
        let client_ip = address.map(Into::into);
        check(name, &Caller { client_ip, ..elsewhere });
    }
    for name in USERS {
        let identity = Some(called(name));
        check(name, &Caller { identity, ..elsewhere });
    }
    for name in CERTIFICATES {
        let (kind, value) = name.split_once('=').unwrap();
        let mut shown = Certificate::default();
        match kind {
            "CN" => shown.common_names.push(value.to_owned()),
            _ => shown.organizations.push(value.to_owned()),
        }
        let certificate = Some(&shown);
        check(
            name,
            &Caller {
                certificate,
                ..elsewhere
            },
        );
    }
    for (name, provider, claims) in JOBS.iter().chain(PEOPLE) {
        let token = Oidc {
            provider_name: (*provider).to_owned(),
            claims: serde_json::from_str(claims).unwrap(),
            ..Oidc::default()
        };
        let username = format!("{provider}:{name}");
        let caller = Caller {
            identity: Some(called(&username)),
            oidc: Some(&token),
            ..elsewhere
        };
        check(name, &caller);
    }
    for name in SERVICE_ACCOUNTS {
        let (namespace, account) = name.split_once('/').unwrap();
        let account = ServiceAccount {
            namespace: namespace.to_owned(),
            name: account.to_owned(),
            ..ServiceAccount::default()
        };
        let caller = Caller {
            identity: Some(called(name)),
            service_account: Some(&account),
            ..elsewhere
        };
        check(name, &caller);
    }
}

/// What is asked for, under the names that the cases use: an action, and of it what matters.
const REQUESTS: &[&str] = &[
    "list-catalog",
    "list-tags",
    "get-blob",
    "delete-blob",
    "get-manifest:latest",
    "get-manifest@",
    "put-manifest:v1",
    "put-manifest:latest",
    "put-manifest@",
    "put-manifest@?tag=latest",
    "delete-manifest:latest",
    "delete-manifest@",
    "get-referrers",
    "start-upload",
    "start-upload?mount&from",
    "mount-blob?",
    "mount-blob?from",
    "get-upload",
    "update-upload",
    "complete-upload",
    "cancel-upload",
];

/// Whether `name` is meant by `words`: requests, actions, `any`, and `any but` some.
fn is_asked(words: &str, name: &str) -> bool {
    if let Some(others) = words.strip_prefix("any but ") {
        return !is_asked(others, name);
    }
    let action = name.split([':', '@', '?']).next().unwrap();
    words
        .split(' ')
        .any(|word| word == "any" || word == name || word == action)
}

fn with_request(name: &str, check: impl FnOnce(&Request<'_>)) {
    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let action: Action = name.split([':', '@', '?']).next().unwrap().parse().unwrap();
    let tag = name.split_once([':', '=']).map(|(_, tag)| tag);
    let pushed = tag.filter(|_| action == Action::PutManifest);
    let tags: Vec<String> = pushed.map(str::to_owned).into_iter().collect();
    let is_of_manifest = matches!(
        action,
        Action::GetManifest | Action::PutManifest | Action::DeleteManifest
    );
    let is_of_digest = matches!(
        action,
        Action::GetBlob | Action::DeleteBlob | Action::GetReferrers | Action::MountBlob | Action::CompleteUpload
    );
    let has_session = matches!(
        action,
        Action::GetUpload | Action::UpdateUpload | Action::CompleteUpload | Action::CancelUpload
    );
    let reference = if name.contains('@') { Some(DIGEST) } else { tag };
    check(&Request {
        repository: (action != Action::ListCatalog).then_some("myorg/website"),
        reference: reference.filter(|_| is_of_manifest),
        digest: (is_of_digest || name.contains('@') || name.contains("mount&")).then_some(DIGEST),
        tags: &tags,
        session_id: has_session.then_some("67e55044-10b1-426f-9247-bb680e5fe0c8"),
        from: name.ends_with("from").then_some("myorg/base"),
        ..Request::bare(action, action.methods()[0])
    });
}

/// Signed in with a password, which in Angos' words is to have a username.
macro_rules! signed_in {
    () => {
        "identity.username != null && identity.oidc == null && identity.service_account == null"
    };
}

#[expect(clippy::too_many_lines, reason = "a table of all conditions")]
fn cases() -> Vec<Case> {
    vec![
        // Who.
        case("identity.username != null")
            .here(signed_in!())
            .holds("users", "any"),
        case("identity.username == 'admin'").holds("admin", "any"),
        case(r#"identity.username == "admin""#).holds("admin", "any"),
        case("identity.username == 'deployer'").holds("deployer", "any"),
        case(r#"identity.username in ["philippe"]"#).holds("philippe", "any"),
        case(r#"identity.id == "admin""#)
            .here(r#"identity.username == "admin""#)
            .holds("admin", "any"),
        case("identity.client_ip.startsWith('10.0.')")
            .holds("inside", "any")
            .fails("unseen", "any"),
        // Certificates.
        case(r#""philippe" in identity.certificate.common_names"#).holds("CN=philippe", "any"),
        case("'build-server' in identity.certificate.common_names").holds("CN=build-server", "any"),
        case("size(identity.certificate.common_names) > 0").holds("CN=philippe CN=build-server", "any"),
        case(r#""admins" in identity.certificate.organizations"#).holds("O=admins", "any"),
        case(r#"identity.certificate.organizations.contains("infrastructure")"#).holds("O=infrastructure", "any"),
        case("identity.certificate.organizations.contains('Developers')").holds("O=Developers", "any"),
        case("identity.certificate.organizations.contains('DevOps')").holds("O=DevOps", "any"),
        case("identity.certificate.organizations.contains('Engineering')").holds("O=Engineering", "any"),
        case("identity.certificate.organizations.contains('Infrastructure')").holds("O=Infrastructure", "any"),
        case("identity.certificate.organizations.contains('Platform')").holds("O=Platform", "any"),
        // Jobs, by the claims of their tokens.
        case("identity.oidc != null").holds("jobs people", "any"),
        case("identity.oidc.claims['repository'] == 'myorg/website-frontend'")
            .holds("website", "any")
            .fails("everyone but jobs", "any")
            .missing("identity.oidc.claims of list-catalog"),
        case(r#"identity.oidc != null && identity.oidc.claims["repository"] == "myorg/website-frontend""#)
            .holds("website", "any")
            .fails("people", "any"),
        case("identity.oidc != null && identity.oidc.claims['repository'].startsWith('myorg/')")
            .holds("api app1 website mirror", "any")
            .fails("people", "any"),
        case(r#"identity.oidc != null && identity.oidc.claims["repository"].startsWith("myorg/")"#)
            .holds("api app1 website mirror", "any")
            .fails("people", "any"),
        case("identity.oidc != null && identity.oidc.claims['repo'].startsWith('myorg/')")
            .holds("forge", "any")
            .fails("jobs dana erin eve carla carl robot", "any"),
        case(r#"identity.oidc != null && identity.oidc.claims["repository"].matches("^myorg/(app1|app2|app3)$")"#)
            .holds("app1", "any")
            .fails("people", "any"),
        case(r#"identity.oidc != null && identity.oidc.provider_name == "github-actions""#)
            .holds("api app1 website stranger", "any"),
        case(concat!(
            r#"identity.oidc != null && identity.oidc.provider_name == "github-actions" && "#,
            r#"identity.oidc.claims["repository"].startsWith("myorg/")"#
        ))
        .holds("api app1 website", "any"),
        case(concat!(
            r#"identity.oidc != null && identity.oidc.provider_name == "github-actions" && "#,
            r#"identity.oidc.claims["ref"] == "refs/heads/main" && "#,
            r#"identity.oidc.claims["repository"].matches("^myorg/(api|web|worker)$")"#
        ))
        .holds("api", "any"),
        case(r#"identity.oidc != null && identity.oidc.claims["ref"] == "refs/heads/main""#)
            .holds("api mirror", "any")
            .fails("people", "any"),
        case(concat!(
            r#"identity.oidc != null && identity.oidc.claims["ref"] == "refs/heads/main" && "#,
            r#"identity.oidc.claims["repository"].startsWith("myorg/")"#
        ))
        .holds("api mirror", "any")
        .fails("people", "any"),
        case(concat!(
            "identity.oidc != null && identity.oidc.claims['ref'] == 'refs/heads/main' && ",
            "request.action.startsWith('put-')"
        ))
        .holds("api mirror", "put-manifest")
        .fails("people", "put-manifest"),
        case(concat!(
            "identity.oidc != null && ",
            r#"identity.oidc.claims["ref"].matches("^refs/tags/v[0-9]+\\.[0-9]+\\.[0-9]+$")"#
        ))
        .holds("app1", "any")
        .fails("people", "any"),
        case(r#"identity.oidc != null && identity.oidc.claims["workflow"].matches("^(deploy|release)\\.yml$")"#)
            .holds("api website", "any")
            .fails("mirror people", "any"),
        case(r#"identity.oidc != null && identity.oidc.claims["environment"] == "production""#)
            .holds("api", "any")
            .fails("mirror people", "any"),
        case(concat!(
            r#"identity.oidc != null && identity.oidc.claims["actor"] in ["myuser", "dependabot[bot]", "#,
            r#""renovate[bot]"]"#
        ))
        .holds("api app1", "any")
        .fails("mirror people", "any"),
        case("identity.oidc != null && identity.oidc.claims['actor'] in ['alice', 'bob', 'dependabot[bot]']")
            .holds("app1 website", "any")
            .fails("mirror people", "any"),
        // People and programs, by theirs.
        case("identity.oidc != null && identity.oidc.claims['email'].endsWith('@example.com')")
            .holds("erin", "any")
            .fails("jobs forge", "any"),
        case(r#"identity.oidc != null && identity.oidc.claims["email"].endsWith("@company.com")"#)
            .holds("carl", "any")
            .fails("jobs forge", "any"),
        case(concat!(
            r#"identity.oidc != null && identity.oidc.provider_name == "corporate" && "#,
            r#"identity.oidc.claims["email"].endsWith("@corp.example.com")"#
        ))
        .holds("dana", "any"),
        case(concat!(
            r#"identity.oidc != null && identity.oidc.provider_name == "cloud" && "#,
            r#"identity.oidc.claims["email"].endsWith(".iam.gserviceaccount.com")"#
        ))
        .holds("robot", "any"),
        case(r#"identity.oidc != null && "registry-admins" in identity.oidc.claims["groups"]"#)
            .holds("dana", "any")
            .fails("jobs carla carl robot forge", "any"),
        case(r#"identity.oidc != null && identity.oidc.claims["sub"] == "user-123-456""#)
            .holds("dana", "any")
            .fails("jobs", "any"),
        case(concat!(
            r#"identity.oidc != null && identity.oidc.claims["email_verified"] == true && "#,
            r#"identity.oidc.claims["role"] == "developer""#
        ))
        .holds("dana", "any")
        .fails("jobs carla carl robot forge", "any"),
        case(concat!(
            r#"identity.oidc != null && identity.oidc.provider_name == "corporate" && "#,
            r#"request.action.startsWith("get-")"#
        ))
        .holds("dana erin eve", "get-blob get-manifest get-referrers get-upload"),
        case(concat!(
            r#"identity.oidc != null && identity.oidc.provider_name == "kube" && "#,
            r#"identity.oidc.claims["sub"].startsWith("system:serviceaccount:production:")"#
        ))
        .here(r#"identity.service_account != null && identity.service_account.namespace == "production""#)
        .holds("production/builder", "any"),
        case(r#"identity.oidc != null && identity.oidc.provider_type == "GitHub Actions""#)
            .refused("unknown field `provider_type` of `identity.oidc`"),
        // What.
        case("request.action in ['get-manifest', 'get-blob']").holds("everyone", "get-manifest get-blob"),
        case("request.action == 'get-blob' || request.action == 'get-manifest'")
            .holds("everyone", "get-manifest get-blob"),
        case("request.action == 'get-manifest' || request.action == 'get-blob'")
            .holds("everyone", "get-manifest get-blob"),
        case("request.action in ['get-manifest', 'get-blob', 'list-tags']")
            .holds("everyone", "get-manifest get-blob list-tags"),
        case("request.action.startsWith('get-')").holds("everyone", "get-blob get-manifest get-referrers get-upload"),
        case("request.action == 'mount-blob'").holds("everyone", "mount-blob"),
        case("request.from != null")
            .here("request.action == 'mount-blob' && request.from != null")
            .holds("everyone", "mount-blob?from")
            .fails("everyone", "mount-blob?")
            .missing("request.from of mount-blob"),
        case("has(request.from)")
            .here("request.action == 'mount-blob' && has(request.from)")
            .holds("everyone", "mount-blob?from"),
        case("'latest' in request.tags").holds("everyone", "put-manifest:latest put-manifest@?tag=latest"),
        case("has(request.digest)")
            .here("!(request.action in ['get-manifest', 'delete-manifest']) && has(request.digest)")
            .holds(
                "everyone",
                "get-blob delete-blob get-referrers start-upload?mount&from mount-blob",
            )
            .holds("everyone", "put-manifest@ put-manifest@?tag=latest complete-upload"),
        case(r#"request.reference == "latest""#)
            .here(r#"request.action != 'put-manifest' && request.reference == "latest""#)
            .holds("everyone", "get-manifest:latest delete-manifest:latest")
            .fails("everyone", "any but get-manifest put-manifest delete-manifest")
            .missing("request.reference of list-catalog"),
        case("has_repository_policy()").refused("unknown function `has_repository_policy`"),
        case("request.action == 'healthz'"),
        case("request.action in ['healthz', 'readyz', 'metrics']"),
        case("request.action == 'ui-asset' || request.action == 'ui-config'"),
        case("request.action == 'get-token' && identity.oidc != null"),
        // Who may do what.
        case("identity.username != null && request.action.startsWith('get-')")
            .here(concat!(signed_in!(), " && request.action.startsWith('get-')"))
            .holds("users", "get-blob get-manifest get-referrers get-upload"),
        case("identity.username != null && request.action.startsWith('list-')")
            .here(concat!(signed_in!(), " && request.action.startsWith('list-')"))
            .holds("users", "list-catalog list-tags"),
        case("identity.username != null && !request.action.startsWith('delete-')")
            .here(concat!(signed_in!(), " && !request.action.startsWith('delete-')"))
            .holds("users", "any but delete-blob delete-manifest"),
        case("identity.username != null && request.action == 'get-manifest'")
            .here(concat!(signed_in!(), " && request.action == 'get-manifest'"))
            .holds("users", "get-manifest"),
        case("identity.username != null && request.action == 'get-referrers'")
            .here(concat!(signed_in!(), " && request.action == 'get-referrers'"))
            .holds("users", "get-referrers"),
        case("identity.username != null && request.action == 'get-blob'")
            .here(concat!(signed_in!(), " && request.action == 'get-blob'"))
            .holds("users", "get-blob"),
        case("identity.username != null && request.action in ['get-manifest', 'get-blob']")
            .here(concat!(
                signed_in!(),
                " && request.action in ['get-manifest', 'get-blob']"
            ))
            .holds("users", "get-manifest get-blob"),
        case("identity.username != null && request.action in ['list-tags', 'list-repositories']")
            .here(concat!(
                signed_in!(),
                " && request.action in ['list-tags', 'list-catalog']"
            ))
            .holds("users", "list-tags list-catalog"),
        case(concat!(
            "identity.username != null && request.action in ['list-repositories', 'list-namespaces', ",
            "'list-tags', 'list-uploads']"
        ))
        .here(concat!(
            signed_in!(),
            " && request.action in ['list-catalog', 'list-namespaces', 'list-tags', ",
            "'list-uploads']"
        ))
        .holds("users", "list-tags list-catalog"),
        case(concat!(
            "identity.username == 'admin' && request.action in ['list-jobs', 'list-failed-jobs', ",
            "'retry-job', 'delete-job']"
        )),
        case("identity.username == 'admin' && request.action == 'delete-manifest'").holds("admin", "delete-manifest"),
        case("identity.username == 'deployer' && request.action.startsWith('put-')").holds("deployer", "put-manifest"),
        case("identity.id == 'replicator' && request.action == 'mount-blob'")
            .here("identity.username == 'replicator' && request.action == 'mount-blob'")
            .holds("replicator", "mount-blob"),
        case("request.action == 'mount-blob' && identity.id != 'replicator'")
            .here("request.action == 'mount-blob' && identity.username != 'replicator'")
            .holds("everyone but replicator", "mount-blob"),
        case(concat!(
            "identity.id == 'replicator' && request.action in ['put-manifest', 'delete-manifest', ",
            "'start-upload', 'update-upload', 'complete-upload', 'mount-blob']"
        ))
        .here(concat!(
            "identity.username == 'replicator' && request.action in ['put-manifest', ",
            "'delete-manifest', 'start-upload', 'update-upload', 'complete-upload', 'mount-blob']"
        ))
        .holds(
            "replicator",
            "put-manifest delete-manifest start-upload update-upload complete-upload mount-blob",
        ),
        case(concat!(
            r#"identity.id == "phil" && (request.action in [ "get-api-version", "put-blob", "#,
            r#""get-blob", "delete-blob", "put-manifest", "get-manifest", "delete-manifest", "#,
            r#""get-referrers", "list-catalog", "list-tags"])"#
        ))
        .here(concat!(
            r#"identity.username == "philippe" && (request.action in [ "get-api-version", "put-blob", "#,
            r#""get-blob", "delete-blob", "put-manifest", "get-manifest", "delete-manifest", "#,
            r#""get-referrers", "list-catalog", "list-tags"])"#
        ))
        .holds(
            "philippe",
            "get-blob delete-blob put-manifest get-manifest delete-manifest",
        )
        .holds("philippe", "get-referrers list-catalog list-tags"),
    ]
}

#[test]
fn rules_written_for_angos_decide_the_same() {
    for case in cases() {
        if case.refused.is_some() {
            continue;
        }
        let source = case.written_here();
        let expression = parse(source);
        for_each_caller(|who, caller| {
            for what in REQUESTS {
                with_request(what, |request| {
                    let got = match expression.evaluate(&Facts::new(caller, request)) {
                        Ok(true) => "true",
                        Ok(false) => "false",
                        Err(_) => "an error",
                    };
                    let is_said = |said: &[(&str, &str)]| {
                        said.iter()
                            .any(|(whom, asked)| is_meant(whom, who) && is_asked(asked, what))
                    };
                    let want = match (is_said(&case.holds), is_said(&case.fails)) {
                        (false, false) => "false",
                        (true, false) => "true",
                        (false, true) => "an error",
                        (true, true) => panic!("{source}: true or an error for {who} and {what}?"),
                    };
                    assert_eq!(got, want, "{source} for {who} and {what}");
                });
            }
        });
    }
}

#[test]
fn rules_written_for_angos_are_accepted_warned_of_or_refused_as_documented() {
    for case in cases() {
        let source = case.written_here();
        match (case.refused, Expression::parse(source)) {
            (Some(why), Err(error)) => assert!(error.message.contains(why), "{source}: {error}"),
            (None, Ok(expression)) => {
                let missing = expression.absence(ActionSet::ALL, &[]);
                let missing = missing.map(|Absence { fact, action }| format!("{fact} of {action}"));
                assert_eq!(missing.as_deref(), case.missing, "{source}");
            }
            (want, got) => panic!("{source}: {got:?}, and it should be refused for {want:?}"),
        }
    }
}

#[test]
fn the_page_about_angos_translates_each_of_its_rules() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/migrate/angos.md");
    let page = fs::read_to_string(page).unwrap();
    let (translations, absent) = (rows(&page, "translations"), rows(&page, "absent"));
    let cases = cases();
    for case in &cases {
        let translate = |text: String, [there, here]: &[&str; 2]| text.replace(there, here);
        let translated = translations.iter().fold(case.there.to_owned(), translate);
        assert_eq!(translated, case.written_here(), "{}", case.there);
        let verdict = absent.iter().find(|[part, _]| case.there.contains(part));
        assert_eq!(verdict.map(|[_, verdict]| *verdict), case.verdict(), "{}", case.there);
    }
    for [part, _] in translations.iter().chain(&absent) {
        assert!(cases.iter().any(|case| case.there.contains(part)), "{part}");
    }
}

/// The first two cells of each row of a table of the page.
fn rows<'p>(page: &'p str, table: &str) -> Vec<[&'p str; 2]> {
    let (_, rest) = page.split_once(&format!("<!-- begin {table} -->")).unwrap();
    let (table, _) = rest.split_once(&format!("<!-- end {table} -->")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').skip(1).map(|cell| cell.trim().trim_matches('`')));
    cells
        .map(|mut cells| [cells.next().unwrap(), cells.next().unwrap()])
        .collect()
}
