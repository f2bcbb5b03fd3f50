//! [`Access`]: an access document after every check, ready to decide requests.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::net::IpAddr;
use std::str::FromStr;

use http::uri::PathAndQuery;
use http::{HeaderName, Uri, header};
use ipnet::IpNet;
use registry_policy::{
    Absence, ActionSet, Effect, Expression, Policy, PolicySet, Rule, ServiceAccountName, Window, parse_network,
};
use serde::Serialize;

use crate::{
    AccessContent, CertificateSubject, Challenge, ClientCertificate, ClientVerifier, IdentityEntry, OidcProvider,
    OidcSubject, PasswordHash, PolicyEntry, Problem, RuleAction, RuleEntry, TokenSettings,
};

/// An access document that passed every check.
#[derive(Debug)]
pub struct Access {
    /// The document's settings and identities as written.
    pub content: AccessContent,
    /// Its policies, compiled.
    pub policies: PolicySet,
    /// The networks of proxies that are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The networks that clients may come from; none stands for all.
    allowed_sources: Vec<IpNet>,
    /// The header in which trusted proxies name who has signed in.
    pub user_header: Option<HeaderName>,
    nobodys_hash: PasswordHash,
    by_username: HashMap<String, usize>,
    by_account: HashMap<ServiceAccountName, usize>,
    by_certificate: HashMap<CertificateSubject, usize>,
    by_subject: HashMap<OidcSubject, usize>,
    /// The issuers whose OpenID Connect tokens are accepted.
    pub oidc: Vec<OidcProvider>,
    /// Believes certificates of clients, where they are asked for any.
    pub client_verifier: Option<ClientVerifier>,
}

impl Access {
    /// Checks the whole content and compiles its policies.
    ///
    /// # Errors
    /// All problems that there are, each with its path. Nothing of a document with a problem is used.
    pub fn compile(content: AccessContent) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        check_token(&content.token, &mut problems);
        if let Some(Err(why)) = content.external_url.as_deref().map(check_external_url) {
            problems.push(Problem::new("externalURL", why));
        }
        if let Some(cors) = &content.cors {
            problems.extend(cors.problems().into_iter().map(|problem| Problem {
                path: format!("cors.{}", problem.path),
                ..problem
            }));
        }
        let mut networks = |field: &str, texts: &[String]| {
            parse_networks(texts).unwrap_or_else(|found| {
                problems.extend(found.into_iter().map(|problem| Problem {
                    path: format!("{field}{}", problem.path),
                    ..problem
                }));
                Vec::new()
            })
        };
        let trusted_proxies = networks("trustedProxies", &content.trusted_proxies);
        let allowed_sources = networks("allowedSourceRanges", &content.allowed_source_ranges);
        let user_header = content.user_header.as_deref().map(parse_user_header).transpose();
        let user_header = user_header.unwrap_or_else(|message| {
            problems.push(Problem::new("userHeader", message));
            None
        });
        if user_header.is_some() && content.trusted_proxies.is_empty() {
            let message = "name the proxies that may send it in `trustedProxies`; from nobody else it counts";
            problems.push(Problem::new("userHeader", message));
        }
        let by_username = check_identities(&content.identities, &mut problems);
        let by_account = index_by(
            &content.identities,
            "serviceAccounts",
            |identity| &identity.service_accounts,
            &mut problems,
        );
        let by_certificate = index_by(
            &content.identities,
            "certificateSubjects",
            |identity| &identity.certificate_subjects,
            &mut problems,
        );
        let by_subject = index_by(
            &content.identities,
            "oidcSubjects",
            |identity| &identity.oidc_subjects,
            &mut problems,
        );
        let oidc = compile_issuers(&content, &mut problems);
        check_token_server(&content, &mut problems);
        let client_verifier = content
            .client_certificates
            .as_ref()
            .map(ClientVerifier::new)
            .transpose();
        let client_verifier = client_verifier.unwrap_or_else(|message| {
            problems.push(Problem::new("clientCertificates.authorities", message));
            None
        });
        let policies = compile_policies(&content.policies, &mut problems);
        // What other namespaces bring along has no say: whose names are there could be told by it.
        let home = content.identities.iter().filter(|identity| identity.home);
        let hashes = home.flat_map(|identity| &identity.passwords).map(|entry| &entry.hash);
        let nobodys_hash = PasswordHash::of_nobody_among(hashes);
        if problems.is_empty() {
            Ok(Self {
                content,
                policies,
                trusted_proxies,
                allowed_sources,
                user_header,
                nobodys_hash,
                by_username,
                by_account,
                by_certificate,
                by_subject,
                oidc,
                client_verifier,
            })
        } else {
            Err(problems)
        }
    }

    /// Whether clients may come from an address at all. One that is not known is none of the allowed ones.
    pub fn is_open_to(&self, address: Option<IpAddr>) -> bool {
        let is_within = |address: IpAddr| self.allowed_sources.iter().any(|network| network.contains(&address));
        self.allowed_sources.is_empty() || address.is_some_and(is_within)
    }

    /// What the password of somebody unknown is compared with, so that it takes as long as for a known one.
    pub fn nobodys_hash(&self) -> &PasswordHash {
        &self.nobodys_hash
    }

    /// The identity that names a ServiceAccount.
    pub(crate) fn identity_of_account(&self, namespace: &str, name: &str) -> Option<&IdentityEntry> {
        let account = ServiceAccountName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        self.by_account
            .get(&account)
            .map(|&index| &self.content.identities[index])
    }

    /// The identity whose certificate this is: the one that names the first of its names that any names; of the Registry's own namespace
    /// before all others, so that nobody takes another of the names of a certificate that is known there.
    pub fn identity_of_certificate(&self, certificate: &ClientCertificate) -> Option<&IdentityEntry> {
        let known = |subject| {
            self.by_certificate
                .get(&subject)
                .map(|&index| &self.content.identities[index])
        };
        let mut at_home = certificate
            .subjects()
            .filter_map(known)
            .filter(|identity| identity.home);
        at_home.next().or_else(|| certificate.subjects().find_map(known))
    }

    /// The identity that names somebody of an issuer.
    pub(crate) fn identity_of_subject(&self, subject: &OidcSubject) -> Option<&IdentityEntry> {
        self.by_subject
            .get(subject)
            .map(|&index| &self.content.identities[index])
    }

    /// The identity that signs in as `username`.
    pub fn identity(&self, username: &str) -> Option<&IdentityEntry> {
        self.by_username
            .get(username)
            .map(|&index| &self.content.identities[index])
    }
}

/// Reads the name of the header in which proxies name who has signed in.
///
/// # Errors
/// Where it is none, or one that means something else already.
pub fn parse_user_header(name: &str) -> Result<HeaderName, String> {
    const TAKEN: [HeaderName; 4] = [header::AUTHORIZATION, header::COOKIE, header::HOST, header::FORWARDED];
    let parsed = name.parse::<HeaderName>();
    let parsed =
        parsed.map_err(|_| format!("`{name}` is no name of a header: write for example `X-Forwarded-User`"))?;
    if TAKEN.contains(&parsed) {
        return Err(format!(
            "`{name}` means something else already: use for example `X-Forwarded-User`"
        ));
    }
    Ok(parsed)
}

/// Reads networks as people write them.
///
/// # Errors
/// Each one that is none, with its index, such as `[2]`, as its path.
pub fn parse_networks(networks: &[String]) -> Result<Vec<IpNet>, Vec<Problem>> {
    let (mut parsed, mut problems) = (Vec::new(), Vec::new());
    for (index, network) in networks.iter().enumerate() {
        match parse_network(network) {
            Ok(network) => parsed.push(network.trunc()),
            Err(why) => problems.push(Problem::new(format!("[{index}]"), why)),
        }
    }
    if problems.is_empty() { Ok(parsed) } else { Err(problems) }
}

fn check_token(token: &TokenSettings, problems: &mut Vec<Problem>) {
    let (least, most) = (TokenSettings::DEFAULT_LIFETIME, TokenSettings::MAX_LIFETIME);
    if !(least..=most).contains(&token.lifetime) {
        let message = format!("`{}` is not between `{least}` and `{most}`", token.lifetime);
        problems.push(Problem::new("token.lifetime", message));
    }
    let (least, most) = (TokenSettings::MIN_REFRESH_LIFETIME, TokenSettings::MAX_REFRESH_LIFETIME);
    if let Some(lifetime) = token
        .refresh_lifetime
        .filter(|lifetime| !(least..=most).contains(lifetime))
    {
        let message = format!("`{lifetime}` is not between `{least}` and `{most}`");
        problems.push(Problem::new("token.refreshLifetime", message));
    }
}

/// Clients are sent there to sign in: without its scheme, or with a path, they would find nothing.
fn check_external_url(url: &str) -> Result<(), String> {
    let is_plain = |uri: &Uri| {
        let scheme = uri.scheme_str();
        matches!(scheme, Some("http" | "https"))
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
            && matches!(uri.path_and_query().map_or("", PathAndQuery::as_str), "" | "/")
    };
    match url.parse::<Uri>() {
        Ok(uri) if is_plain(&uri) && !url.contains('#') => Ok(()),
        _ => Err(format!(
            "`{url}` is not scheme, host and port alone: write for example `https://registry.example.com`"
        )),
    }
}

/// Whether somebody can sign in under a name.
///
/// # Errors
/// Why not.
pub fn check_username(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) || name == "token" {
        let shown: String = name.chars().filter(|character| !character.is_control()).collect();
        return Err(format!(
            "`{shown}` cannot be a username: it is empty, `token`, or has a `:` or control character"
        ));
    }
    Ok(())
}

fn check_identities(identities: &[IdentityEntry], problems: &mut Vec<Problem>) -> HashMap<String, usize> {
    let mut by_username = HashMap::with_capacity(identities.len());
    for (index, identity) in identities.iter().enumerate() {
        let path = format!("identities[{index}].username");
        let name = identity.username.as_str();
        if let Err(why) = check_username(name) {
            problems.push(Problem::new(path, why));
        } else if let Some(first) = by_username.insert(name.to_owned(), index) {
            problems.push(Problem::new(
                path,
                format!("`{name}` is already the username of identities[{first}]"),
            ));
        }
    }
    by_username
}

/// Which identity each of its names stands for; two identities cannot have one.
fn index_by<T: Clone + Eq + Hash + Serialize>(
    identities: &[IdentityEntry],
    field: &str,
    names: impl Fn(&IdentityEntry) -> &[T],
    problems: &mut Vec<Problem>,
) -> HashMap<T, usize> {
    let mut found = HashMap::new();
    for (index, identity) in identities.iter().enumerate() {
        for (position, name) in names(identity).iter().enumerate() {
            if let Some(first) = found.insert(name.clone(), index) {
                let shown = serde_json::to_string(name).unwrap_or_default();
                problems.push(Problem::new(
                    format!("identities[{index}].{field}[{position}]"),
                    format!("`{shown}` stands for identities[{first}] already"),
                ));
            }
        }
    }
    found
}

/// Checks the issuers of OpenID Connect tokens, each alone and among the others.
fn compile_issuers(content: &AccessContent, problems: &mut Vec<Problem>) -> Vec<OidcProvider> {
    let cluster = content.service_accounts.as_ref().map(|tokens| tokens.issuer.as_str());
    let (mut names, mut urls) = (HashMap::new(), HashMap::new());
    let mut providers = Vec::with_capacity(content.oidc.len());
    for (index, issuer) in content.oidc.iter().enumerate() {
        let path = format!("oidc[{index}]");
        if let Some(first) = names.insert(issuer.name.as_str(), index) {
            let message = format!("`{}` is already the name of oidc[{first}]", issuer.name);
            problems.push(Problem::new(format!("{path}.name"), message));
        }
        if let Some(first) = urls.insert(issuer.issuer.as_str(), index) {
            let message = format!("`{}` is already the issuer of oidc[{first}]", issuer.issuer);
            problems.push(Problem::new(format!("{path}.issuer"), message));
        }
        // Which of the two a token is judged by must not depend on the order in which they are looked at.
        if cluster == Some(&issuer.issuer) || content.issuer == issuer.issuer {
            let message = "tokens of this issuer are accepted already, as those of the cluster's ServiceAccounts or the registry's own";
            problems.push(Problem::new(format!("{path}.issuer"), message));
        }
        match OidcProvider::new(issuer) {
            Ok(provider) => providers.push(provider),
            Err(found) => problems.extend(found.into_iter().map(|problem| Problem {
                path: format!("{path}.{}", problem.path),
                ..problem
            })),
        }
    }
    providers
}

/// Checks the token server, alone and among others whose tokens are accepted.
fn check_token_server(content: &AccessContent, problems: &mut Vec<Problem>) {
    let Some(server) = &content.token_server else { return };
    problems.extend(server.problems().into_iter().map(|problem| Problem {
        path: format!("tokenServer.{}", problem.path),
        ..problem
    }));
    if content.challenge == Challenge::Basic {
        let message = "with `challenge: Basic` nobody is sent there: leave out one of them";
        problems.push(Problem::new("tokenServer", message));
    }
    let cluster = content.service_accounts.as_ref().map(|tokens| &tokens.issuer);
    let mut others = content.oidc.iter().map(|issuer| &issuer.issuer).chain(cluster);
    if content.issuer == server.issuer || others.any(|issuer| *issuer == server.issuer) {
        let message = "tokens of this issuer are accepted already, as those of OpenID Connect, of the cluster's ServiceAccounts or of the registry itself";
        problems.push(Problem::new("tokenServer.issuer", message));
    }
}

fn compile_policies(entries: &[PolicyEntry], problems: &mut Vec<Problem>) -> PolicySet {
    let mut first_of = HashMap::new();
    let mut policies = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let path = format!("policies[{index}]");
        if let Some(first) = first_of.insert(entry.name.as_str(), index) {
            problems.push(Problem::new(
                format!("{path}.name"),
                format!("`{}` is already the name of policies[{first}]", entry.name),
            ));
        }
        match entry.compile() {
            Ok(policy) => policies.push(policy),
            Err(found) => problems.extend(found.into_iter().map(|problem| Problem {
                path: format!("{path}.{}", problem.path),
                ..problem
            })),
        }
    }
    PolicySet::new(policies)
}

/// The conditions of a policy that may come to a fact that a request does not have, with paths relative to the policy, such as
/// `rules[0].when`. Such a condition cannot be evaluated then: a Deny matches, and an Allow does not.
pub fn absences(policy: &Policy) -> Vec<Problem> {
    let absence = |(index, rule): (usize, &Rule)| {
        let Absence { fact, action } = rule.when.as_ref()?.absence(rule.actions, &policy.subjects)?;
        let question = match fact.rsplit_once('.') {
            Some((parent @ ("identity.oidc" | "identity.service_account"), _)) => {
                [format!("{parent} == null"), format!("{parent} != null")]
            }
            _ => [format!("!has({fact})"), format!("has({fact})")],
        };
        let [is_missing, is_there] = question;
        let message = match policy.effect {
            Effect::Allow => format!(
                "`{fact}` may be missing for {action}, and such a request is not allowed by this; ask first, as in `{is_there} && …`, or leave the action out"
            ),
            Effect::Deny => format!(
                "`{fact}` may be missing for {action}, and such a request is denied whatever the condition means; write `{is_missing} || …` to deny it, or `{is_there} && …` not to"
            ),
        };
        Some(Problem::new(format!("rules[{index}].when"), message))
    };
    policy.rules.iter().enumerate().filter_map(absence).collect()
}

/// The [`absences`] of Denies, with paths relative to the content: each matches more than it says. Other problems are not looked at.
pub fn broad_denies(content: &AccessContent) -> Vec<Problem> {
    let denies = content.policies.iter().enumerate();
    let denies = denies.filter(|(_, policy)| policy.effect == Effect::Deny);
    denies
        .filter_map(|(index, policy)| Some((index, policy.compile().ok()?)))
        .flat_map(|(index, policy)| {
            absences(&policy).into_iter().map(move |problem| Problem {
                path: format!("policies[{index}].{}", problem.path),
                ..problem
            })
        })
        .collect()
}

impl PolicyEntry {
    /// Whether a condition has a word in it, such as the name of a fact: the policy may look at that. It does not where the word only
    /// stands in a text.
    pub fn mentions(&self, word: &str) -> bool {
        let mut conditions = self.rules.iter().filter_map(|rule| rule.when.as_deref());
        conditions.any(|condition| condition.contains(word))
    }

    /// Checks and compiles this policy alone.
    ///
    /// # Errors
    /// All problems that there are, with paths relative to the policy, such as `rules[0].when`.
    pub fn compile(&self) -> Result<Policy, Vec<Problem>> {
        let mut problems = Vec::new();
        if self.subjects.is_empty() {
            problems.push(Problem::new(
                "subjects",
                "name at least one subject; everybody is `any: Everyone`",
            ));
        }
        if let (Some(start), Some(end)) = (self.not_before, self.not_after)
            && start >= end
        {
            let message = format!("{end} is not later than notBefore, {start}: the policy would never be in force");
            problems.push(Problem::new("notAfter", message));
        }
        if self.rules.is_empty() {
            problems.push(Problem::new("rules", "write at least one rule"));
        }
        let rules: Vec<Rule> = (self.rules.iter().enumerate())
            .filter_map(|(index, rule)| compile_rule(self.effect, rule, &format!("rules[{index}]"), &mut problems))
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Policy {
            name: self.name.clone(),
            effect: self.effect,
            mode: self.mode,
            window: Window {
                not_before: self.not_before,
                not_after: self.not_after,
            },
            subjects: self.subjects.clone(),
            rules,
        })
    }
}

/// Compiles one rule; `None` when a problem was found and noted.
fn compile_rule(effect: Effect, rule: &RuleEntry, path: &str, problems: &mut Vec<Problem>) -> Option<Rule> {
    let before = problems.len();
    if rule.repositories.is_empty() {
        problems.push(Problem::new(
            format!("{path}.repositories"),
            "name at least one repository pattern; everything is `**`",
        ));
    }
    let repositories = parse_patterns(&rule.repositories, &format!("{path}.repositories"), problems);
    let references = parse_patterns(&rule.references, &format!("{path}.references"), problems);
    let actions = match compile_actions(effect, rule) {
        Ok(actions) => actions,
        Err(message) => {
            problems.push(Problem::new(path, message));
            ActionSet::EMPTY
        }
    };
    let when = match rule.when.as_deref().map(Expression::parse).transpose() {
        Ok(when) => when,
        Err(error) => {
            problems.push(Problem::new(format!("{path}.when"), error));
            None
        }
    };
    (problems.len() == before).then(|| Rule {
        name: rule.name.clone(),
        repositories,
        actions,
        references,
        when,
        message: rule.message.clone(),
    })
}

/// Parses patterns; those that are none are left out and noted.
fn parse_patterns<P: FromStr<Err: Display>>(texts: &[String], path: &str, problems: &mut Vec<Problem>) -> Vec<P> {
    let mut patterns = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => problems.push(Problem::new(format!("{path}[{index}]"), error)),
        }
    }
    patterns
}

fn compile_actions(effect: Effect, rule: &RuleEntry) -> Result<ActionSet, &'static str> {
    if rule.role.is_some() != rule.actions.is_empty() {
        return Err("give exactly one of `role` and `actions`, such as `role: pull`");
    }
    match effect {
        Effect::Deny if rule.role.is_some() => {
            Err("a Deny names `actions`, not a `role`: write `actions: [put-manifest]`, or `actions: [\"*\"]` for all")
        }
        // What an Allow says may not grow with an upgrade.
        Effect::Allow if rule.actions.contains(&RuleAction::Any) => {
            Err("an Allow names what it allows, and `*` is for a Deny: write for example `role: maintain`")
        }
        Effect::Allow | Effect::Deny => Ok(rule.actions()),
    }
}

#[cfg(test)]
mod tests;
