//! The conditions that somebody holds: a document that comes again with a change has thousands of the others unchanged.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use super::Inner;

/// Every condition that is held, by its text, and some that are not any more.
static KNOWN: LazyLock<Mutex<HashMap<Box<str>, Weak<Inner>>>> = LazyLock::new(Mutex::default);

/// The condition with this text, where somebody holds it.
pub(super) fn find(source: &str) -> Option<Arc<Inner>> {
    known().get(source)?.upgrade()
}

/// Remembers a condition for as long as somebody holds it.
pub(super) fn remember(condition: &Arc<Inner>) {
    let mut known = known();
    if known.len() == known.capacity() {
        // What nobody holds goes before the map grows, and it grows to twice of what is held: so that is seldom.
        known.retain(|_, condition| condition.strong_count() > 0);
        let held = known.len();
        known.reserve(held + 1);
    }
    known.insert(condition.source.clone(), Arc::downgrade(condition));
}

fn known() -> MutexGuard<'static, HashMap<Box<str>, Weak<Inner>>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::Expression;
    use super::*;

    fn parse(source: &str) -> Expression {
        Expression::parse(source).unwrap()
    }

    #[test]
    fn a_condition_that_is_held_is_not_parsed_again_and_one_that_is_not_is_forgotten() {
        let text = "identity.username == 'held by this test alone'";
        let held = parse(text);
        assert!(Arc::ptr_eq(&held.0, &parse(text).0));
        drop(held);
        assert!(find(text).is_none());
        // Far more than are ever held: what is dropped makes room for what comes.
        for number in 0..5_000 {
            parse(&format!("identity.username == 'forgotten {number}'"));
        }
        assert!(known().capacity() < 4_000, "{}", known().capacity());
    }
}
