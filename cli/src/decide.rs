//! `can-i`, `explain` and `who-can`: the registry's own decision, about objects or a document.

mod ask;
mod bearer;
mod groups;
mod report;
mod who_can;

use std::process::ExitCode;

use anyhow::{Result, bail};
use jiff::Timestamp;
use registry_config::{Access, Deletion, IdentityEntry, PolicyEntry};
use registry_policy::{Action, Caller, Decision, Expression, Identity, Subject};

use crate::arguments::{Common, Question};
use crate::output;
use crate::world::World;
use ask::{Ask, actions};
use bearer::{Bearer, Facts, Refusal};
use report::{Explanation, Verdict};
pub(crate) use who_can::who_can;

/// Somebody, and what they ask for.
struct Situation<'a> {
    access: &'a Access,
    identity: Option<IdentityEntry>,
    /// What the caller's token says, where there is one.
    token: Option<Facts>,
    /// Why the registry does not believe the caller, whatever they ask for.
    refusal: Option<String>,
    question: &'a Question,
    at: Timestamp,
}

impl<'a> Situation<'a> {
    /// The situation that a question describes.
    fn of(world: &'a World, question: &'a Question) -> Result<Self> {
        let at = question.at.unwrap_or_else(Timestamp::now);
        let mut situation = Self::about(&world.access, question, None, at);
        if let Some(file) = &question.token {
            match bearer::read(file, &world.access)? {
                Ok(Bearer { identity, facts }) => {
                    situation.identity = Some(identity);
                    situation.token = Some(facts);
                }
                Err(Refusal(why)) => situation.refusal = Some(why),
            }
        } else if let Some(username) = question.username.as_deref() {
            situation.identity = Some(named(world, question, username)?);
            let why = world.nobody.get(username);
            situation.refusal = why.map(|why| format!("`{username}` may not sign in: {why}"));
        }
        let over = situation.identity.as_ref().filter(|identity| !identity.is_in_force(at));
        if let Some(IdentityEntry { username, .. }) = over {
            let why = format!("`{username}` may not sign in then: the identity has expired or is disabled");
            situation.refusal = Some(why);
        }
        Ok(situation)
    }

    fn about(access: &'a Access, question: &'a Question, identity: Option<IdentityEntry>, at: Timestamp) -> Self {
        Self {
            access,
            identity,
            token: None,
            refusal: None,
            question,
            at,
        }
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            identity: self.identity.as_ref().map(|entry| Identity {
                id: entry.uid.as_deref().unwrap_or(&entry.username),
                username: &entry.username,
                groups: &entry.groups,
                attributes: Some(&entry.attributes),
                home: entry.home,
            }),
            client_ip: self.question.from,
            oidc: match &self.token {
                Some(Facts::Oidc(oidc)) => Some(oidc),
                Some(Facts::ServiceAccount(_)) | None => None,
            },
            service_account: match &self.token {
                Some(Facts::ServiceAccount(account)) => Some(account),
                Some(Facts::Oidc(_)) | None => None,
            },
            at: self.at,
            ..Caller::default()
        }
    }

    fn name(&self) -> String {
        match &self.identity {
            Some(identity) => format!("`{}`", identity.username),
            None if self.refusal.is_some() => "the bearer".to_owned(),
            None => "a caller who does not sign in".to_owned(),
        }
    }

    /// Why the registry refuses this before it looks at any policy.
    fn before_policies(&self, action: Action) -> Option<String> {
        if self.refusal.is_some() {
            return self.refusal.clone();
        }
        let is_deletion = matches!(action, Action::DeleteManifest | Action::DeleteBlob);
        if is_deletion && self.access.content.deletion == Deletion::Disabled {
            return Some("deletion is disabled on this registry".to_owned());
        }
        let from = self.question.from?;
        let is_open = self.access.is_open_to(Some(from));
        (!is_open).then(|| format!("the registry is not open to {from}: `allowedSourceRanges` does not have it"))
    }

    fn decide(&self, ask: &Ask) -> Decision {
        self.access.policies.decide(&self.caller(), &ask.request())
    }
}

/// Whoever has a username: an identity, or somebody whom no identity lists.
fn named(world: &World, question: &Question, username: &str) -> Result<IdentityEntry> {
    let mut identity = match world.access.identity(username) {
        Some(_) if !question.groups.is_empty() => {
            bail!("`{username}` is listed, and has the groups that its identity says: leave out --as-group")
        }
        Some(listed) => listed.clone(),
        None => {
            if !world.nobody.contains_key(username) {
                output::complain(&format!(
                    "No identity `{username}` is listed: this is about somebody of that name whom an issuer, a proxy or a user file vouches for."
                ));
            }
            IdentityEntry::guest(username)
        }
    };
    identity.groups.extend(question.groups.iter().cloned());
    Ok(identity)
}

/// Everything that a question asks for.
fn asks(question: &Question) -> Result<Vec<Ask>> {
    let actions: Vec<Action> = actions(&question.action)?;
    actions.into_iter().map(|action| Ask::new(action, question)).collect()
}

/// `can-i`
pub(crate) async fn can_i(common: &Common, question: &Question) -> Result<ExitCode> {
    let asks = asks(question)?;
    let world = World::read(common, question).await?;
    let situation = Situation::of(&world, question)?;
    note_tokens(&situation, &asks);
    note_address(&world.access, question);
    let verdicts: Vec<Verdict> = asks.iter().map(|ask| Verdict::of(&situation, ask)).collect();
    let answer = verdicts.iter().find(|verdict| !verdict.allowed).or(verdicts.last());
    let Some(answer) = answer else {
        bail!("nothing is asked for")
    };
    note_refused(&world);
    output::answer(common.output, answer, Verdict::to_string)?;
    Ok(if answer.allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Tells where an answer depends on where a caller comes from, and nobody has said that.
fn note_address(access: &Access, question: &Question) {
    if question.from.is_some() {
        return;
    }
    if !access.is_open_to(None) {
        output::complain(&format!(
            "Whoever comes from elsewhere than {} is refused; --from says where somebody comes from",
            access.content.allowed_source_ranges.join(", ")
        ));
    }
    let policies = access.content.policies.iter();
    let asking = policies.filter(|entry| entry.mentions("client_ip"));
    let names: Vec<&str> = asking.map(|entry| entry.name.as_str()).collect();
    if !names.is_empty() {
        output::complain(&format!(
            "This is about somebody whose address nobody knows, at which these policies look: {}; --from gives one",
            names.join(", ")
        ));
    }
}

/// Tells where an answer depends on what a question cannot say.
fn note_tokens(situation: &Situation<'_>, asks: &[Ask]) {
    const CERTIFICATE: &str = "identity.certificate";
    // Nothing depends on what else is known of somebody who is not believed.
    if situation.refusal.is_some() {
        return;
    }
    let without_token = situation.token.is_none();
    let facts: &[&str] = if without_token {
        &["identity.oidc", "identity.service_account", CERTIFICATE]
    } else {
        &[CERTIFICATE]
    };
    let looks = |entry: &PolicyEntry| {
        // An entry of a document that was accepted compiles.
        let Ok(policy) = entry.compile() else { return false };
        let mut subjects = policy.subjects.iter();
        let by_subject = without_token
            && subjects.any(|subject| matches!(subject, Subject::ServiceAccount(_) | Subject::OidcSubject(_)));
        policy.rules.iter().any(|rule| {
            let mut asked = asks.iter();
            let is_about = asked.any(|ask| rule.actions.contains(ask.action) && ask.is_in_place_of(rule));
            let when = rule.when.as_ref().map_or("", Expression::source);
            is_about && (by_subject || facts.iter().any(|fact| when.contains(fact)))
        })
    };
    let policies = situation.access.content.policies.iter().filter(|entry| looks(entry));
    let names: Vec<&str> = policies.map(|entry| entry.name.as_str()).collect();
    if !names.is_empty() {
        output::complain(&format!(
            "This is about somebody {}, at which these policies look: {}",
            if without_token {
                "without a token of an issuer (--token gives one) and without a certificate"
            } else {
                "without a certificate"
            },
            names.join(", ")
        ));
    }
}

/// `explain`
pub(crate) async fn explain(common: &Common, question: &Question) -> Result<ExitCode> {
    let asks = asks(question)?;
    let world = World::read(common, question).await?;
    let situation = Situation::of(&world, question)?;
    note_tokens(&situation, &asks);
    note_address(&world.access, question);
    let found: Vec<Explanation> = asks.iter().map(|ask| Explanation::of(&situation, ask)).collect();
    note_refused(&world);
    output::answer(common.output, &found, |found| {
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Tells what of the objects does not count as it is written, because an answer that leaves something out would mislead.
fn note_refused(world: &World) {
    for refused in &world.refused {
        output::complain(&format!(
            "{} {}/{} does not count as it is written ({}): {}",
            refused.kind, refused.namespace, refused.name, refused.reason, refused.message
        ));
    }
}
