//! [`Decoded`]: what Secrets of Registries say, for as long as they are those that it was read from.
//!
//! A large Registry's document is megabytes to unpack and thousands of expressions to compile, and between two passes one line of it changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crds::Registry;
use kube::runtime::reflector::ObjectRef;

/// The versions of a Secret and of its shards, in their order; each is of one content only (Kubernetes, "Resource versions").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Versions(Vec<String>);

impl Versions {
    /// Those of Secrets that all exist; `None` where one does not.
    pub(crate) fn of(versions: impl IntoIterator<Item = Option<String>>) -> Option<Self> {
        versions.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }
}

/// What was read last of each Registry's Secrets of a kind.
pub(crate) struct Decoded<T>(Mutex<HashMap<ObjectRef<Registry>, Read<T>>>);

/// What Secrets of these versions say.
type Read<T> = (Versions, Arc<T>);

impl<T> Default for Decoded<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Decoded<T> {
    /// What Secrets of these versions say, where they are those that were read last.
    pub(crate) fn find(&self, registry: &ObjectRef<Registry>, versions: Option<&Versions>) -> Option<Arc<T>> {
        let decoded = self.0.lock().expect("no holder panics");
        let (known, value) = decoded.get(registry)?;
        (Some(known) == versions).then(|| value.clone())
    }

    /// Keeps what Secrets of these versions say; of others than are there it would never be asked for.
    pub(crate) fn keep(&self, registry: &ObjectRef<Registry>, versions: Option<Versions>, value: Arc<T>) {
        let Some(versions) = versions else { return };
        let mut decoded = self.0.lock().expect("no holder panics");
        decoded.insert(registry.clone(), (versions, value));
    }

    /// Forgets Registries that are gone.
    pub(crate) fn retain(&self, exists: impl Fn(&ObjectRef<Registry>) -> bool) {
        let mut decoded = self.0.lock().expect("no holder panics");
        decoded.retain(|registry, _| exists(registry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_secrets_of_the_very_versions_say_what_was_read() {
        let (decoded, registry) = (Decoded::default(), ObjectRef::new("main").within("a"));
        let versions = |of: &[&str]| Versions::of(of.iter().map(|version| Some((*version).to_owned())));
        decoded.keep(&registry, versions(&["1", "2"]), Arc::new("read"));
        assert_eq!(
            decoded.find(&registry, versions(&["1", "2"]).as_ref()).as_deref(),
            Some(&"read")
        );
        for other in [
            versions(&["1"]),
            versions(&["2", "1"]),
            versions(&["1", "2", "3"]),
            versions(&["1", "3"]),
            None,
        ] {
            assert_eq!(decoded.find(&registry, other.as_ref()), None, "{other:?}");
        }
        assert_eq!(
            decoded.find(&ObjectRef::new("main").within("b"), versions(&["1", "2"]).as_ref()),
            None
        );
        // A Secret that is gone has no version.
        assert_eq!(Versions::of([Some("1".to_owned()), None]), None);
        decoded.retain(|_| false);
        assert_eq!(decoded.find(&registry, versions(&["1", "2"]).as_ref()), None);
    }
}
