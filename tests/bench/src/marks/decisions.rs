//! What a decision costs: the registry's own policy engine, without a server around it.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use registry_policy::{
    Action, Caller, Effect, Expression, Identity, Mode, Policy, PolicySet, Request, Role, Rule, Subject, Window,
};

use crate::contest::Contest;
use crate::figure::{Better, Figures, Goal, Row};

/// How many policies there are.
const POLICIES: usize = 1000;
/// How many of them are about the request by subject, repository and action; each has a condition to be evaluated.
const MATCHING: usize = 20;
/// How many decisions one figure is made of.
const DECISIONS: u32 = 20_000;
const FEW: &str = "these 20 policies alone";

pub(super) fn measure(contest: &Contest) -> Result<Vec<Row>> {
    let (many, few) = (policies(POLICIES)?, policies(MATCHING)?);
    let (mut among_many, mut among_few) = (Figures::default(), Figures::default());
    for _ in 0..contest.rounds {
        among_many.add(microseconds(&many)?);
        among_few.add(microseconds(&few)?);
    }
    Ok(vec![Row {
        work: format!(
            "a decision among {POLICIES} policies, of which {MATCHING} are about the request and have conditions"
        ),
        unit: "µs",
        better: Better::Lower,
        columns: vec![("wharfinger".into(), among_many), (FEW.into(), among_few)],
        goal: Goal::Value(50.0),
    }])
}

/// The first are about the group `dev` in `team/**`, and their conditions do not hold, so that each of them is looked at; the rest are
/// about other repositories.
fn policies(count: usize) -> Result<PolicySet> {
    let policies = (0..count).map(|number| {
        let place = if number < MATCHING {
            "team/**".to_owned()
        } else {
            format!("team-{number}/**")
        };
        let when = format!("request.reference == 'v{number}' && identity.username != 'root'");
        Ok(Policy {
            name: format!("policy-{number}"),
            effect: Effect::Allow,
            mode: Mode::Enforce,
            window: Window::default(),
            subjects: vec![Subject::Group("dev".to_owned())],
            rules: vec![Rule {
                name: "rule".to_owned(),
                repositories: vec![place.parse().context("the pattern is one")?],
                actions: Role::Pull.actions(),
                references: Vec::new(),
                when: Some(Expression::parse(&when).context("the condition is one")?),
                message: None,
            }],
        })
    });
    Ok(PolicySet::new(policies.collect::<Result<_>>()?))
}

/// How long a decision takes, in microseconds.
fn microseconds(policies: &PolicySet) -> Result<f64> {
    let groups = ["dev".to_owned(), "all".to_owned()];
    let caller = Caller {
        identity: Some(Identity {
            id: "1",
            username: "ann",
            groups: &groups,
            ..Identity::default()
        }),
        ..Caller::default()
    };
    let request = Request {
        repository: Some("team/app"),
        reference: Some("latest"),
        ..Request::bare(Action::GetManifest, "GET")
    };
    ensure!(
        !policies.decide(&caller, &request).is_allowed(),
        "a condition holds that should not"
    );
    let begun = Instant::now();
    for _ in 0..DECISIONS {
        let _ = black_box(policies.decide(black_box(&caller), black_box(&request)));
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(DECISIONS))
}
