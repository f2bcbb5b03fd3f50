//! Access policies: which caller may do what to which repository.
//!
//! A [`PolicySet`] is built once per accepted document and decides each request: any Deny that matches denies, else any
//! Allow that matches allows, else the request is denied. A rule matches by subject, repository pattern and action,
//! and, when it has one, by its CEL [`Expression`] over the [`vocabulary`].
//!
//! Everything here is pure and synchronous: it knows no network, no file and no clock. The operator and the registry
//! share it, so what the operator accepts is what the registry enforces.

mod action;
mod action_set;
mod decision;
mod effect;
mod expression;
mod facts;
mod index;
mod policy;
mod repository_pattern;
mod role;
mod subject;
pub mod vocabulary;

pub use action::{Action, UnknownAction};
pub use action_set::ActionSet;
pub use decision::{Decision, EvaluationError, Outcome, PolicySet};
pub use effect::Effect;
pub use expression::{Expression, ExpressionError};
pub use facts::{Caller, Identity, MAX_LIST_LENGTH, Request};
pub use policy::{Policy, Rule};
pub use repository_pattern::{RepositoryPattern, RepositoryPatternError};
pub use role::Role;
pub use subject::{AnySubject, Subject};
