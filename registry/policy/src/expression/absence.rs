//! Whether a condition can come to a fact that a request does not have: it is evaluated for each of its actions with each of these facts
//! there or not, and everything else unknown.
//!
//! What is found may not happen, where it hangs on values; what is not found does not happen.

mod outcomes;
#[cfg(test)]
mod tests;
mod world;

use cel::IdedExpr;
use cel::common::ast::Expr;

use super::Expression;
use super::limits::for_each_child;
use crate::vocabulary::{Availability, Fact, ROOTS, ValueType, Variable};
use crate::{Action, ActionSet, Subject};
use world::World;

/// A fact that a condition reads without asking whether it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// The fact, as in `request.digest`.
    pub fact: String,
    /// An action whose requests may lack it.
    pub action: Action,
}

impl Expression {
    /// The first fact that the condition may come to though a request does not have it, for requests of `actions` by `subjects`. It is
    /// an evaluation error then: a Deny matches, and an Allow does not.
    pub fn absence(&self, actions: ActionSet, subjects: &[Subject]) -> Option<Absence> {
        let root = &self.0.compiled.root;
        let mut facts: Vec<Fact> = Vec::new();
        collect(root, &mut facts);
        actions.iter().find_map(|action| {
            let state = |source: Source| source.availability(action, subjects);
            let mut maybe: Vec<Source> = Vec::new();
            let mut is_certain = true;
            for source in facts.iter().copied().map(Source::of) {
                is_certain &= state(source) == Availability::Always;
                if state(source) == Availability::Maybe && !maybe.contains(&source) {
                    maybe.push(source);
                }
            }
            if is_certain {
                return None;
            }
            // No action has many of them: see the tests.
            (0..1_u32 << maybe.len()).find_map(|combination| {
                let is_there = |source: Source| match maybe.iter().position(|known| *known == source) {
                    Some(index) => combination & (1 << index) != 0,
                    None => state(source) == Availability::Always,
                };
                let world = World {
                    action,
                    is_there: &is_there,
                    scope: Vec::new(),
                };
                let fact = world.evaluate(root).missing?;
                Some(Absence { fact, action })
            })
        })
    }
}

/// What is there or not as one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A fact of the request.
    Request(Fact),
    /// All that an OpenID Connect token says.
    Oidc,
    /// All that a token of a ServiceAccount says.
    ServiceAccount,
}

impl Source {
    fn of(fact: Fact) -> Self {
        match fact {
            Fact::Oidc | Fact::ProviderName | Fact::Claims => Self::Oidc,
            Fact::ServiceAccount
            | Fact::ServiceAccountNamespace
            | Fact::ServiceAccountName
            | Fact::Pod
            | Fact::Node => Self::ServiceAccount,
            other => Self::Request(other),
        }
    }

    /// Whether requests of `action` by `subjects` have it.
    fn availability(self, action: Action, subjects: &[Subject]) -> Availability {
        let has = |subject: &Subject| match self {
            Self::Oidc => matches!(subject, Subject::OidcSubject(_)),
            Self::ServiceAccount => matches!(subject, Subject::ServiceAccount(_)),
            Self::Request(_) => false,
        };
        match self {
            Self::Request(fact) => fact.availability(action),
            Self::Oidc | Self::ServiceAccount if !subjects.is_empty() && subjects.iter().all(has) => {
                Availability::Always
            }
            Self::Oidc | Self::ServiceAccount => Availability::Maybe,
        }
    }
}

/// The facts that an expression names.
fn collect(expression: &IdedExpr, facts: &mut Vec<Fact>) {
    if let Some(variable) = variable(expression) {
        facts.push(variable.fact);
    }
    for_each_child(expression, &mut |child| collect(child, facts));
}

/// The variable that an expression is the path of.
fn variable(expression: &IdedExpr) -> Option<&'static Variable> {
    match &expression.expr {
        Expr::Ident(name) => ROOTS.iter().find(|root| root.name == *name),
        Expr::Select(select) => match variable(&select.operand)?.value_type {
            ValueType::Object(object) => object.field(&select.field),
            _ => None,
        },
        _ => None,
    }
}

/// The path of a variable, as it is written.
fn path(expression: &IdedExpr) -> String {
    match &expression.expr {
        Expr::Select(select) => format!("{}.{}", path(&select.operand), select.field),
        Expr::Ident(name) => name.clone(),
        _ => String::new(),
    }
}
