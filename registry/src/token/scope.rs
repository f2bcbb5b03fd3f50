//! [`Scope`]: what a client asks a token for, in the grammar of the Docker token specification.

use std::fmt;

use registry_policy::Action;

use crate::oci::RepositoryName;

/// How many scopes one token may be asked for: more than any client does, and few enough for the token to fit a header.
const MOST_SCOPES: usize = 64;

/// A group of actions, under the name that scopes have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grant {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Write manifests and blobs.
    Push,
    /// Delete manifests, tags and blobs.
    Delete,
}

impl Grant {
    /// Every grant.
    pub const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    /// The name in scopes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    /// The grant that opens an action on a repository; `None` for the catalog, which belongs to none.
    pub const fn of(action: Action) -> Option<Self> {
        match action {
            Action::ListCatalog => None,
            Action::ListTags | Action::GetBlob | Action::GetManifest | Action::GetReferrers => Some(Self::Pull),
            Action::PutManifest
            | Action::StartUpload
            | Action::MountBlob
            | Action::GetUpload
            | Action::UpdateUpload
            | Action::CompleteUpload
            | Action::CancelUpload => Some(Self::Push),
            Action::DeleteBlob | Action::DeleteManifest => Some(Self::Delete),
        }
    }
}

/// What a scope is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeTarget {
    /// A repository.
    Repository(RepositoryName),
    /// The catalog.
    Catalog,
}

/// One scope that was asked for, without the actions that this registry does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What it is about.
    pub target: ScopeTarget,
    /// What is to be done with it; every grant where `*` was asked for.
    pub grants: Vec<Grant>,
}

/// The scopes break the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScope {
    /// One scope does.
    #[error("`{0}` is not a scope: write `repository:<name>:pull,push` or `registry:catalog:*`")]
    Grammar(String),
    /// There are too many.
    #[error("more than {MOST_SCOPES} scopes are asked for")]
    TooMany,
}

impl Scope {
    /// Parses scopes, each of which may hold several that are separated by spaces. Scopes of types and names that this
    /// registry does not have are left out.
    ///
    /// # Errors
    /// Where one breaks the grammar.
    pub fn parse_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>, InvalidScope> {
        let mut scopes = Vec::new();
        for (index, text) in texts
            .into_iter()
            .flat_map(|text| text.split(' '))
            .filter(|text| !text.is_empty())
            .enumerate()
        {
            if index >= MOST_SCOPES {
                return Err(InvalidScope::TooMany);
            }
            scopes.extend(Self::parse(text)?);
        }
        Ok(scopes)
    }

    fn parse(text: &str) -> Result<Option<Self>, InvalidScope> {
        let broken = || InvalidScope::Grammar(text.chars().take(300).collect());
        let (kind, rest) = text.split_once(':').ok_or_else(broken)?;
        // The name of a resource may have a colon of its own, before a port.
        let (name, actions) = rest.rsplit_once(':').ok_or_else(broken)?;
        let (kind, class) = match kind.strip_suffix(')').and_then(|kind| kind.split_once('(')) {
            Some((kind, class)) => (kind, class),
            None => (kind, "none"),
        };
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let is_action = |action: &str| action == "*" || action.bytes().all(|byte| byte.is_ascii_lowercase());
        if !is_word(kind) || !is_word(class) || name.is_empty() || !actions.split(',').all(is_action) {
            return Err(broken());
        }
        let asked = |word| actions.split(',').any(|action| action == word);
        match kind {
            "repository" => {
                let repository = match ResourceName::parse(name).ok_or_else(broken)? {
                    ResourceName::Here(repository) => repository,
                    ResourceName::Elsewhere => return Ok(None),
                };
                let grants = Grant::ALL
                    .into_iter()
                    .filter(|grant| asked(grant.as_str()) || asked("*"))
                    .collect();
                Ok(Some(Self {
                    target: ScopeTarget::Repository(repository),
                    grants,
                }))
            }
            "registry" if name == "catalog" && asked("*") => Ok(Some(Self {
                target: ScopeTarget::Catalog,
                grants: Vec::new(),
            })),
            _ => Ok(None),
        }
    }
}

/// The name of a repository as scopes may have it.
enum ResourceName {
    /// One that this registry can have.
    Here(RepositoryName),
    /// One of another host, which the grammar allows too.
    Elsewhere,
}

impl ResourceName {
    /// Reads a name; `None` where it breaks the grammar.
    fn parse(name: &str) -> Option<Self> {
        if let Ok(repository) = name.parse() {
            return Some(Self::Here(repository));
        }
        let (host, rest) = name.split_once('/')?;
        let (host, port) = host.split_once(':').unwrap_or((host, "0"));
        let is_label = |label: &str| {
            let bytes = label.as_bytes();
            let ends = [bytes.first(), bytes.last()];
            ends.into_iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        };
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = host.split('.').all(is_label) && is_port && rest.parse::<RepositoryName>().is_ok();
        is_name.then_some(Self::Elsewhere)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            ScopeTarget::Catalog => f.write_str("registry:catalog:*"),
            ScopeTarget::Repository(name) => {
                let grants: Vec<&str> = self.grants.iter().map(|grant| grant.as_str()).collect();
                write!(f, "repository:{name}:{}", grants.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(texts: &[&str]) -> Result<String, InvalidScope> {
        let scopes = Scope::parse_all(texts.iter().copied())?;
        Ok(scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn reads_what_clients_ask_for() {
        for (texts, want) in [
            (&["repository:a/b:pull"] as &[&str], "repository:a/b:pull"),
            (&["repository:a/b:push,pull"], "repository:a/b:pull,push"),
            (
                &["repository:a:pull repository:b:pull", "registry:catalog:*"],
                "repository:a:pull repository:b:pull registry:catalog:*",
            ),
            (&["repository(plugin):a:pull"], "repository:a:pull"),
            (&["repository:a:*"], "repository:a:pull,push,delete"),
            (&["repository:a:"], "repository:a:"),
            (&["repository:a:fly,pull"], "repository:a:pull"),
            (&["", " "], ""),
            (&["repository:example.com:5000/a/b:pull"], ""),
            (&["artifact:a:pull", "registry:other:*", "registry:catalog:pull"], ""),
        ] {
            assert_eq!(shown(texts), Ok(want.to_owned()), "{texts:?}");
        }
    }

    #[test]
    fn a_broken_scope_is_refused() {
        for text in [
            "repository",
            "repository:a",
            ":a:pull",
            "repository::pull",
            "repository:A:pull",
            "repository:a:PULL",
            "repository:a//b:pull",
            "repository:../a:pull",
            "Repository:a:pull",
            "repository(:a:pull",
            "repository():a:pull",
            "repository:a:b:pull",
            "repository:a:pu-ll",
            "repository:exa_mple.com:5000/a:pull",
            "repository:example.com:/a:pull",
            "repository:\u{e4}:pull",
        ] {
            assert!(matches!(shown(&[text]), Err(InvalidScope::Grammar(_))), "{text}");
        }
        let many = vec!["repository:a:pull"; MOST_SCOPES + 1];
        assert_eq!(shown(&many), Err(InvalidScope::TooMany));
    }

    #[test]
    fn each_action_on_a_repository_has_a_grant() {
        let without: Vec<Action> = Action::ALL
            .into_iter()
            .filter(|action| Grant::of(*action).is_none())
            .collect();
        assert_eq!(without, [Action::ListCatalog]);
    }
}
