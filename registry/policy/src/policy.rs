//! Policies and their rules, as a decision sees them: typed, with patterns and expressions already parsed.

use serde::{Deserialize, Serialize};

use crate::{ActionSet, Effect, Expression, ReferencePattern, RepositoryPattern, Subject, Window};

/// One policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    /// What decisions and logs call the policy; unique within a [`crate::PolicySet`].
    pub name: String,
    /// Whether its rules allow or deny.
    pub effect: Effect,
    /// Whether it decides.
    pub mode: Mode,
    /// When it is in force.
    pub window: Window,
    /// Whom it is about; a caller needs to match one entry. Nobody when empty.
    pub subjects: Vec<Subject>,
    /// Its rules; a request needs to match one.
    pub rules: Vec<Rule>,
}

/// Whether a policy decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// It is evaluated and recorded, and decides nothing.
    Audit,
}

/// One rule of a policy: it matches a request by repository, action and, when it has one, condition.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// What decisions and logs call the rule; unique within its policy.
    pub name: String,
    /// The repositories it is about; a request needs to match one. None when empty.
    pub repositories: Vec<RepositoryPattern>,
    /// The actions it is about.
    pub actions: ActionSet,
    /// Tags and digests that it is about, where the action carries any: an Allow matches when each that the request carries is
    /// selected, a Deny when one is. All when empty.
    pub references: Vec<ReferencePattern>,
    /// A condition that must hold too; always holds when absent.
    pub when: Option<Expression>,
    /// What a caller is told whom the rule refuses: with a Deny when it matches, with an Allow when its references or its
    /// condition do not match and nothing else allows.
    pub message: Option<String>,
}
