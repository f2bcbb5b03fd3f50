//! Access policies: which caller may do what to which repository.
//!
//! A [`PolicySet`] is built once per accepted document and decides each request: any Deny that matches denies, else any
//! Allow that matches allows, else the request is denied. A rule matches by subject, repository pattern and action,
//! and, when it has them, by tags and digests, and by its CEL [`Expression`] over the [`vocabulary`]. A policy may be bounded in time,
//! and one in [`Mode::Audit`] decides nothing but is evaluated and recorded.
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
mod network;
mod pattern;
mod policy;
mod reference_pattern;
mod repository_pattern;
mod role;
mod similar;
mod subject;
pub mod vocabulary;
mod window;

pub use action::{Action, UnknownAction};
pub use action_set::ActionSet;
pub use decision::{Audited, Decision, EvaluationError, Outcome, PolicySet};
pub use effect::Effect;
pub use expression::{Absence, ClaimText, ClaimTexts, Expression, ExpressionError, Part};
pub use facts::{Attributes, Caller, Certificate, Identity, MAX_LIST_LENGTH, Oidc, Request, ServiceAccount};
pub use network::parse_network;
pub use policy::{Mode, Policy, Rule};
pub use reference_pattern::{ReferencePattern, ReferencePatternError};
pub use repository_pattern::{RepositoryPattern, RepositoryPatternError};
pub use role::Role;
pub use similar::closest;
pub use subject::{AnySubject, OidcSubject, ServiceAccountName, Subject};
pub use window::Window;
