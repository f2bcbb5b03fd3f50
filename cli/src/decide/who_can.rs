//! `who-can`: everybody who may do something.

use std::process::ExitCode;

use anyhow::{Result, bail};
use jiff::Timestamp;
use registry_config::IdentityEntry;
use registry_policy::Policy;
use serde::Serialize;

use super::ask::Ask;
use super::groups::{self, Members};
use super::report::Verdict;
use super::{Situation, asks, note_address, note_refused};
use crate::arguments::{Common, Question};
use crate::output;
use crate::world::World;

/// Somebody who may do what was asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Allowed {
    /// A username. Where there is none, this is the members of `group`, or callers who do not sign in.
    username: Option<String>,
    /// A group, all of whose members may.
    group: Option<String>,
    groups: Vec<String>,
    policy: Option<String>,
    rule: Option<String>,
}

impl Allowed {
    /// An identity, or callers who do not sign in.
    fn caller(situation: &Situation<'_>, asks: &[Ask]) -> Option<Self> {
        let verdicts: Vec<Verdict> = asks.iter().map(|ask| Verdict::of(situation, ask)).collect();
        let verdict = verdicts
            .iter()
            .all(|verdict| verdict.allowed)
            .then(|| verdicts.last())??;
        let (policy, rule) = verdict.by.clone().unzip();
        let groups = situation.identity.as_ref().map(|identity| identity.groups.clone());
        Some(Self {
            username: situation.identity.as_ref().map(|identity| identity.username.clone()),
            group: None,
            groups: groups.unwrap_or_default(),
            policy,
            rule,
        })
    }

    /// What people see instead of a username.
    fn who(&self) -> String {
        match (&self.username, &self.group) {
            (Some(username), _) => username.clone(),
            (None, Some(group)) => format!("(in group {group})"),
            (None, None) => "(without signing in)".to_owned(),
        }
    }
}

/// `who-can`
pub(crate) async fn who_can(common: &Common, question: &Question) -> Result<ExitCode> {
    if question.username.is_some() || question.token.is_some() {
        bail!("who-can asks about everybody: leave out --as and --token, or ask `can-i`");
    }
    let asks = asks(question)?;
    let world = World::read(common, question).await?;
    let at = question.at.unwrap_or_else(Timestamp::now);
    note_address(&world.access, question);
    output::complain(
        "Listed are identities, and groups of issuers and ServiceAccounts that policies name; other users of a user file, a proxy, an issuer or a token server are not known here.",
    );
    let caller = |identity: Option<IdentityEntry>| {
        let situation = Situation::about(&world.access, question, identity, at);
        Allowed::caller(&situation, &asks)
    };
    let listed = world.access.content.identities.iter();
    let mut found: Vec<Allowed> = listed
        .filter(|identity| identity.is_in_force(at))
        .filter_map(|identity| caller(Some(identity.clone())))
        .collect();
    let (groups, is_open) = allowed_groups(&world, question, &asks, at);
    found.extend(groups);
    found.extend(caller(None));
    note_refused(&world);
    output::answer(common.output, &found, |found| {
        if found.is_empty() {
            return if is_open { "nobody for certain" } else { "nobody" }.to_owned();
        }
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|one| {
                vec![
                    one.who(),
                    one.groups.join(","),
                    one.policy.clone().unwrap_or_default(),
                    one.rule.clone().unwrap_or_default(),
                ]
            })
            .collect();
        output::table(&["WHO", "GROUPS", "BY POLICY", "RULE"], &rows)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The groups whose members may all do it, and whether there are others where it depends on the member, which is told.
fn allowed_groups(world: &World, question: &Question, asks: &[Ask], at: Timestamp) -> (Vec<Allowed>, bool) {
    let (mut found, mut is_open) = (Vec::new(), false);
    let entries = world.access.content.policies.iter();
    // An entry of a document that was accepted compiles.
    let policies: Vec<Policy> = entries.filter_map(|entry| entry.compile().ok()).collect();
    for group in groups::named(&world.access) {
        let situation = Situation::about(&world.access, question, Some(group.member()), at);
        match group.who_may(&situation, &policies, asks) {
            Members::All { policy, rule } => found.push(Allowed {
                username: None,
                group: Some(group.name.to_owned()),
                groups: vec![group.name.to_owned()],
                policy,
                rule,
            }),
            Members::Some => {
                is_open = true;
                output::complain(&format!(
                    "Whether somebody in group `{}` may depends on more than the group: ask about one with `can-i`, --as and --as-group, or with --token",
                    group.name
                ));
            }
            Members::None => {}
        }
    }
    (found, is_open)
}
