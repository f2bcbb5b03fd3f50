//! [`Ask`]: a request as a registry would see it, made of what a question says.

use anyhow::{Result, bail};
use registry_policy::{Action, RepositoryPattern, Request, Rule};

use crate::arguments::Question;

/// What stands for a digest that nobody has named.
const SOME_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// What stands for an upload session.
const SOME_SESSION: &str = "00000000-0000-0000-0000-000000000000";

/// A request that may be made.
pub(super) struct Ask {
    pub(super) action: Action,
    repository: Option<String>,
    reference: Option<String>,
    digest: Option<String>,
    tags: Vec<String>,
    session: Option<&'static str>,
}

/// The actions that a word stands for: what clients do for it, or the action of that name.
pub(super) fn actions(word: &str) -> Result<Vec<Action>> {
    use Action::{
        CompleteUpload, DeleteBlob, DeleteManifest, GetBlob, GetManifest, PutManifest, StartUpload, UpdateUpload,
    };
    Ok(match word {
        "pull" => vec![GetManifest, GetBlob],
        "push" => vec![StartUpload, UpdateUpload, CompleteUpload, PutManifest],
        "delete" => vec![DeleteManifest, DeleteBlob],
        name => match name.parse() {
            Ok(action) => vec![action],
            Err(error) => bail!("{error}; or `pull`, `push` or `delete`, for what clients do"),
        },
    })
}

impl Ask {
    /// The request for one action of a question.
    pub(super) fn new(action: Action, question: &Question) -> Result<Self> {
        let repository = match (action, question.repository.clone()) {
            (Action::ListCatalog, _) => None,
            (_, Some(repository)) => Some(repository),
            (_, None) => bail!("name the repository: `{action}` is about one"),
        };
        if let Some(repository) = &repository {
            check_repository(repository)?;
        }
        let tag = question.tag.clone();
        let digest = || Some(question.digest.clone().unwrap_or_else(|| SOME_DIGEST.to_owned()));
        let mut ask = Self {
            action,
            repository,
            reference: None,
            digest: None,
            tags: Vec::new(),
            session: None,
        };
        match action {
            Action::GetManifest | Action::PutManifest | Action::DeleteManifest => {
                let by_digest = question.digest.clone().filter(|_| tag.is_none());
                let tag = tag.unwrap_or_else(|| "latest".to_owned());
                if action == Action::PutManifest && by_digest.is_none() {
                    ask.tags = vec![tag.clone()];
                }
                ask.reference = Some(by_digest.clone().unwrap_or(tag));
                ask.digest = by_digest;
            }
            Action::GetBlob | Action::DeleteBlob | Action::GetReferrers | Action::MountBlob => ask.digest = digest(),
            Action::CompleteUpload => {
                ask.digest = digest();
                ask.session = Some(SOME_SESSION);
            }
            Action::GetUpload | Action::UpdateUpload | Action::CancelUpload => ask.session = Some(SOME_SESSION),
            Action::StartUpload => ask.digest.clone_from(&question.digest),
            Action::ListCatalog | Action::ListTags => {}
        }
        Ok(ask)
    }

    /// As policies see it.
    pub(super) fn request(&self) -> Request<'_> {
        Request {
            repository: self.repository.as_deref(),
            reference: self.reference.as_deref(),
            digest: self.digest.as_deref(),
            tags: &self.tags,
            session_id: self.session,
            ..Request::bare(self.action, self.action.methods()[0])
        }
    }

    /// What is asked for, in words.
    pub(super) fn describe(&self) -> String {
        let mut text = self.action.to_string();
        if let Some(repository) = &self.repository {
            text = format!("{text} in `{repository}`");
        }
        match &self.reference {
            Some(reference) => format!("{text}, `{reference}`"),
            None => text,
        }
    }

    /// Whether a rule is about the repository.
    pub(super) fn is_in_place_of(&self, rule: &Rule) -> bool {
        let mut patterns = rule.repositories.iter();
        match &self.repository {
            Some(repository) => patterns.any(|pattern| pattern.matches(repository)),
            None => patterns.any(RepositoryPattern::is_everything),
        }
    }
}

/// Whether a repository can be called so: an answer about one that cannot be would be about nothing.
fn check_repository(name: &str) -> Result<()> {
    if let Some((repository, digest)) = name.split_once('@') {
        bail!("`{name}` is a repository with a digest: write `{repository} --digest {digest}`");
    }
    match name.split_once(':') {
        Some((_, rest)) if rest.contains('/') => bail!("`{name}` begins with a host: write the repository alone"),
        Some((repository, tag)) => bail!("`{name}` is a repository with a tag: write `{repository} --tag {tag}`"),
        None => {}
    }
    match name.parse::<RepositoryPattern>() {
        Ok(_) if !name.contains('*') => Ok(()),
        _ => bail!("`{name}` is no name of a repository: lower-case letters, digits, `.`, `_`, `-`, and `/` between"),
    }
}
