//! [`Outcomes`]: what a part of a condition may give.

/// What an expression may give.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcomes<'e> {
    pub(super) is_true: bool,
    pub(super) is_false: bool,
    /// Any other value, or one that is not known.
    pub(super) is_other: bool,
    /// A fact that is missing, with its path.
    pub(super) missing: Option<String>,
    /// The texts that it may be, where those are known.
    pub(super) texts: Option<Vec<&'e str>>,
    /// Whether it certainly is null, or certainly is not.
    pub(super) null: Option<bool>,
}

impl<'e> Outcomes<'e> {
    pub(super) fn bool(is_true: bool, is_false: bool) -> Self {
        Self {
            is_true,
            is_false,
            ..Self::default()
        }
    }

    pub(super) fn other() -> Self {
        Self {
            is_other: true,
            ..Self::default()
        }
    }

    pub(super) fn texts(texts: &[&'e str]) -> Self {
        Self {
            texts: Some(texts.to_vec()),
            ..Self::other()
        }
    }

    pub(super) fn nullness(is_null: bool) -> Self {
        Self {
            null: Some(is_null),
            ..Self::other()
        }
    }

    pub(super) fn missing(path: String) -> Self {
        Self {
            missing: Some(path),
            ..Self::default()
        }
    }

    pub(super) fn may_be_true(&self) -> bool {
        self.is_true || self.is_other
    }

    pub(super) fn may_be_false(&self) -> bool {
        self.is_false || self.is_other
    }

    pub(super) fn has_value(&self) -> bool {
        self.is_true || self.is_false || self.is_other
    }

    /// Which kinds of outcomes there are.
    pub(super) fn kinds(&self) -> [bool; 4] {
        [self.is_true, self.is_false, self.is_other, self.missing.is_some()]
    }

    /// The opposite.
    pub(super) fn not(self) -> Self {
        Self {
            is_true: self.may_be_false(),
            is_false: self.may_be_true(),
            missing: self.missing,
            ..Self::default()
        }
    }

    /// Both: what is certainly false on either side hides what is missing on the other.
    pub(super) fn and(self, other: Self) -> Self {
        let hides = |side: &Self| !side.may_be_true() && side.missing.is_none();
        let (is_left_hidden, is_right_hidden) = (hides(&other), hides(&self));
        Self {
            is_true: self.may_be_true() && other.may_be_true(),
            is_false: self.may_be_false() || other.may_be_false(),
            missing: self
                .missing
                .filter(|_| !is_left_hidden)
                .or(other.missing.filter(|_| !is_right_hidden)),
            ..Self::default()
        }
    }

    /// Either of two, whichever it is.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            is_true: self.is_true || other.is_true,
            is_false: self.is_false || other.is_false,
            is_other: self.is_other || other.is_other,
            missing: self.missing.or(other.missing),
            texts: None,
            null: None,
        }
    }
}

/// What holds between any of `left` and any of `right`, where it is the same for all.
pub(super) fn compare(left: &[&str], right: &[&str], holds: impl Fn(&str, &str) -> bool) -> Option<bool> {
    agree(
        left.iter()
            .flat_map(|left| right.iter().map(|right| holds(left, right))),
    )
}

/// What all say, where they agree.
pub(super) fn agree(mut all: impl Iterator<Item = bool>) -> Option<bool> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

/// Something that is true or false of its parts, and which of both, where that is known.
pub(super) fn decided<'e>(parts: &[Outcomes<'e>], known: Option<bool>) -> Outcomes<'e> {
    let has_value = parts.iter().all(Outcomes::has_value);
    Outcomes {
        is_true: has_value && known != Some(false),
        is_false: has_value && known != Some(true),
        missing: parts.iter().find_map(|part| part.missing.clone()),
        ..Outcomes::default()
    }
}
