//! Sets of actions, one bit each.

use std::fmt;

use crate::Action;

/// A set of [`Action`]s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ActionSet(u16);

impl ActionSet {
    /// The set without actions.
    pub const EMPTY: Self = Self(0);

    /// The set of every action.
    pub const ALL: Self = Self::of(&Action::ALL);

    /// The set of every action on a repository; the catalog is of none.
    pub const ON_REPOSITORIES: Self = Self(Self::ALL.0 & !Self::bit(Action::ListCatalog));

    /// The set of the given actions.
    pub const fn of(actions: &[Action]) -> Self {
        let mut bits = 0;
        let mut next = 0;
        while next < actions.len() {
            bits |= Self::bit(actions[next]);
            next += 1;
        }
        Self(bits)
    }

    /// Whether `action` is in the set.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & Self::bit(action) != 0
    }

    /// Puts `action` into the set.
    pub const fn insert(&mut self, action: Action) {
        self.0 |= Self::bit(action);
    }

    /// The actions of the set, in the order of [`Action::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| self.contains(*action))
    }

    /// Whether the set has no action.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The actions that are in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The actions that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn bit(action: Action) -> u16 {
        1 << action as u16
    }
}

impl FromIterator<Action> for ActionSet {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        let mut set = Self::EMPTY;
        for action in actions {
            set.insert(action);
        }
        set
    }
}

impl fmt::Debug for ActionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_has_a_bit_of_its_own() {
        for action in Action::ALL {
            let set = ActionSet::of(&[action]);
            assert_eq!(set.iter().collect::<Vec<_>>(), [action]);
            assert_eq!(Action::ALL.into_iter().filter(|other| set.contains(*other)).count(), 1);
        }
        assert_eq!(ActionSet::ALL.iter().collect::<Vec<_>>(), Action::ALL);
    }

    #[test]
    fn sets_join_and_intersect() {
        let reads: ActionSet = [Action::GetBlob, Action::GetManifest].into_iter().collect();
        let mut blobs = ActionSet::EMPTY;
        assert!(blobs.is_empty());
        blobs.insert(Action::DeleteBlob);
        blobs.insert(Action::GetBlob);
        assert_eq!(reads.intersection(blobs), ActionSet::of(&[Action::GetBlob]));
        assert_eq!(
            reads.union(blobs),
            ActionSet::of(&[Action::GetBlob, Action::DeleteBlob, Action::GetManifest])
        );
        assert_eq!(format!("{reads:?}"), "{GetBlob, GetManifest}");
    }
}
