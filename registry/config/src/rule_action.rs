//! [`RuleAction`]: what a rule lists as its actions.

use std::fmt;
use std::str::FromStr;

use registry_policy::{Action, ActionSet, UnknownAction};
use serde::{Deserialize, Serialize};

/// What stands for every action.
const ANY: &str = "*";

/// One of the `actions` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum RuleAction {
    /// `*`: whatever is done on a repository, the actions of later versions included. `list-catalog` is about none. For Deny only.
    Any,
    /// The action of that name.
    Named(Action),
}

impl RuleAction {
    /// What it stands for.
    pub const fn actions(self) -> ActionSet {
        match self {
            Self::Any => ActionSet::ON_REPOSITORIES,
            Self::Named(action) => ActionSet::of(&[action]),
        }
    }
}

impl fmt::Display for RuleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str(ANY),
            Self::Named(action) => action.fmt(f),
        }
    }
}

impl FromStr for RuleAction {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == ANY {
            Ok(Self::Any)
        } else {
            text.parse().map(Self::Named)
        }
    }
}

impl From<RuleAction> for String {
    fn from(action: RuleAction) -> Self {
        action.to_string()
    }
}

impl TryFrom<String> for RuleAction {
    type Error = UnknownAction;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
