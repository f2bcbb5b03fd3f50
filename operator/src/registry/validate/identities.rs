//! What is to become of each identity.

mod names;

use std::collections::BTreeMap;

use crds::{IdentityAdmission, RegistryIdentity, reasons};
use jiff::Timestamp;
use kube::ResourceExt;
use registry_config::{CertificateSubject, IdentityEntry, check_username};
use registry_policy::{Attributes, OidcSubject, ServiceAccountName};

use crate::hashing::HashJob;
use crate::outcome::Verdict;
use crate::password_source::PasswordSource;
use crate::registry::admission::{self, Admission};
use crate::registry::snapshot::{Snapshot, Source};
use crate::state::{IdentityState, SourceVersion, State};
use crate::unknown_fields;

use super::passwords::{self, Passwords};
use names::Names;

/// Where an identity is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Origin {
    /// The Registry's own namespace.
    Home,
    /// Another one.
    Elsewhere,
}

/// What is to become of an identity.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Identity {
    pub(in crate::registry) generation: Option<i64>,
    pub(in crate::registry) username: String,
    pub(in crate::registry) accepted: Verdict,
    pub(in crate::registry) resolved: Verdict,
    pub(in crate::registry) disabled: bool,
    pub(in crate::registry) origin: Origin,
    /// Whether something is kept about it: it is of the Registry's own namespace, and there is room.
    pub(in crate::registry) is_kept: bool,
    /// Whether it has its username, against others who want the same.
    pub(in crate::registry) holds_username: bool,
    /// Its line in the access document, where it may sign in.
    pub(in crate::registry) entry: Option<IdentityEntry>,
    pub(in crate::registry) credentials_secret: Option<String>,
    passwords: Passwords,
    /// ServiceAccounts, subjects of issuers and names in certificates that are its own and nobody else's.
    service_accounts: Vec<ServiceAccountName>,
    oidc_subjects: Vec<OidcSubject>,
    certificate_subjects: Vec<CertificateSubject>,
}

impl Identity {
    /// Leaves it out, and keeps of it what was kept before.
    pub(super) fn refuse(&mut self, refusal: Verdict, kept: Option<&IdentityState>) {
        self.accepted = refusal;
        self.entry = None;
        self.passwords = Passwords::from_state(kept, self.resolved.clone());
        self.holds_username &= kept.is_some();
        self.is_kept &= kept.is_some();
    }

    /// Whether no password of it waits to be hashed for the first time.
    pub(in crate::registry) fn is_hashed(&self) -> bool {
        self.jobs().iter().all(|job| job.renews)
    }

    /// The passwords to be hashed.
    pub(in crate::registry) fn jobs(&self) -> &[HashJob] {
        &self.passwords.jobs
    }

    /// The version of the Secret with the password that is to follow, where the registry is told of exactly that one.
    pub(in crate::registry) fn announced_next(&self) -> Option<&SourceVersion> {
        let next = self.passwords.next.as_ref();
        let next = next.filter(|_| self.entry.is_some() && self.is_hashed());
        next.map(|next| &next.source)
    }

    /// The version of the Secret whose password is in use, where it is known to be hashed.
    pub(in crate::registry) fn password_version(&self) -> Option<&SourceVersion> {
        let current = self.passwords.current.as_ref().filter(|_| self.is_hashed());
        current.map(|current| &current.source)
    }

    /// When the next replaced password ends.
    pub(in crate::registry) fn next_end(&self) -> Option<Timestamp> {
        self.passwords.previous.iter().map(|previous| previous.not_after).min()
    }

    /// Takes back what its line has more than the one in force, and nothing that it has less.
    pub(super) fn refuse_growth(&mut self, known: &IdentityEntry, refusal: &Verdict) {
        let Some(entry) = &mut self.entry else { return };
        let before = entry.clone();
        entry.groups.retain(|group| known.groups.contains(group));
        entry
            .attributes
            .retain(|name, values| known.attributes.get(name) == Some(values));
        entry
            .service_accounts
            .retain(|account| known.service_accounts.contains(account));
        entry
            .oidc_subjects
            .retain(|subject| known.oidc_subjects.contains(subject));
        entry
            .certificate_subjects
            .retain(|subject| known.certificate_subjects.contains(subject));
        if *entry != before {
            self.accepted = refusal.clone();
        }
    }

    /// Takes its names from an identity that nobody can sign in as: what is listed of it would only fill the document.
    pub(super) fn forget_names(&mut self, refusal: &Verdict) {
        let has_names = !self.service_accounts.is_empty() || self.holds_username;
        if has_names {
            self.accepted = refusal.clone();
        }
        self.service_accounts.clear();
        self.holds_username = false;
    }

    /// The line of an identity that nobody can sign in as, where its names could be taken for somebody else's without it.
    pub(super) fn over(&self, others_name_people: bool) -> Option<IdentityEntry> {
        let has_names = !self.service_accounts.is_empty()
            || !self.oidc_subjects.is_empty()
            || !self.certificate_subjects.is_empty();
        (others_name_people || has_names).then(|| IdentityEntry {
            not_after: Some(Timestamp::UNIX_EPOCH),
            service_accounts: self.service_accounts.clone(),
            oidc_subjects: self.oidc_subjects.clone(),
            certificate_subjects: self.certificate_subjects.clone(),
            ..IdentityEntry::guest(&self.username)
        })
    }

    /// What to keep about it.
    pub(super) fn next_state(&self) -> IdentityState {
        IdentityState {
            password: self.passwords.current.clone(),
            next: self.passwords.next.clone(),
            previous: self.passwords.previous.clone(),
            listed_since: self.entry.as_ref().map(|entry| entry.tokens_from),
        }
    }
}

/// Judges all identities that name the Registry, by UID.
pub(super) fn judge(snapshot: &Snapshot, state: &State, next_revision: u64) -> BTreeMap<String, Identity> {
    let mut admissions = admission::of_identities(
        &snapshot.registry,
        &snapshot.namespaces,
        &snapshot.identities,
        &snapshot.index.listed(),
    );
    let claimants: Vec<Claimant<'_>> = snapshot
        .identities
        .iter()
        .map(|identity| {
            let admission = admissions.remove(&identity.uid().unwrap_or_default());
            Claimant::new(identity, admission.unwrap_or(Admission::Refused))
        })
        .collect();
    let names = Names::of(&claimants, snapshot, state);
    let judged = claimants.iter().map(|claimant| {
        let judged = judge_one(claimant, snapshot, state, &names, next_revision);
        (claimant.uid.clone(), judged)
    });
    judged.collect()
}

/// An identity that asks to be somebody here, and how it stands to the Registry.
pub(super) struct Claimant<'a> {
    identity: &'a RegistryIdentity,
    uid: String,
    admission: Admission<'a, IdentityAdmission>,
    username: String,
}

impl<'a> Claimant<'a> {
    fn new(identity: &'a RegistryIdentity, admission: Admission<'a, IdentityAdmission>) -> Self {
        Self {
            identity,
            uid: identity.uid().unwrap_or_default(),
            username: admission.username(identity),
            admission,
        }
    }

    fn is_home(&self) -> bool {
        self.admission == Admission::Home
    }

    /// Whether it may name subjects of issuers and certificates, which could be anybody's.
    fn names_external_subjects(&self) -> bool {
        match self.admission {
            Admission::Home => true,
            Admission::Guest(_, entry) => entry.allow_external_subjects == Some(true),
            Admission::Excess(..) | Admission::Refused => false,
        }
    }

    fn is_admitted(&self) -> bool {
        matches!(self.admission, Admission::Home | Admission::Guest(..))
    }

    /// The groups that count.
    fn groups(&self) -> Vec<String> {
        let mut groups = self.identity.spec.groups.clone().unwrap_or_default();
        if let Admission::Guest(_, entry) = self.admission {
            let allowed = entry.groups.as_deref().unwrap_or_default();
            groups.retain(|group| allowed.contains(group));
        }
        groups.sort();
        groups.dedup();
        groups
    }

    /// The attributes that count: nobody else's, because policies here believe them.
    fn attributes(&self) -> Attributes {
        match self.admission {
            Admission::Home => self.identity.spec.attributes.clone().unwrap_or_default(),
            Admission::Guest(..) | Admission::Excess(..) | Admission::Refused => Attributes::new(),
        }
    }
}

fn judge_one(
    claimant: &Claimant<'_>,
    snapshot: &Snapshot,
    state: &State,
    names: &Names,
    next_revision: u64,
) -> Identity {
    let Claimant {
        identity,
        uid,
        username,
        ..
    } = claimant;
    let holds_username = check_username(username).is_ok() && names.holds_username(claimant);
    let kept = state.identities.get(uid);
    let accepted = accept(claimant, snapshot, names, holds_username);
    let conflict = names.conflict(claimant).filter(|_| accepted.is_yes());
    let accepted = conflict.unwrap_or(accepted);
    let (service_accounts, oidc_subjects, certificate_subjects) = names.own(claimant);
    let disabled = identity.spec.disabled == Some(true);
    let is_kept = claimant.is_admitted();
    let mut passwords = if is_kept {
        let found = passwords::judge(identity, uid, snapshot, kept, claimant.is_home());
        // What was still accepted beside the password does not come back with the identity.
        if disabled { found.only_current() } else { found }
    } else {
        Passwords::none(Verdict::unknown(
            reasons::NOT_ALLOWED_BY_REGISTRY,
            "not looked at, because the identity is not accepted",
        ))
    };
    if !accepted.is_yes() {
        // Nobody could sign in with it.
        passwords.jobs.clear();
    }
    let can_sign_in = passwords.current.is_some()
        || !service_accounts.is_empty()
        || !oidc_subjects.is_empty()
        || !certificate_subjects.is_empty();
    let entry = (can_sign_in && accepted.is_yes() && !disabled).then(|| IdentityEntry {
        username: username.clone(),
        uid: Some(uid.clone()),
        groups: claimant.groups(),
        attributes: claimant.attributes(),
        revoke_tokens_on_change: identity.spec.revoke_tokens_on_change == Some(true),
        home: claimant.is_home(),
        not_after: expires_at(identity),
        passwords: passwords.entries(),
        service_accounts: service_accounts.clone(),
        oidc_subjects: oidc_subjects.clone(),
        certificate_subjects: certificate_subjects.clone(),
        tokens_from: kept.and_then(|kept| kept.listed_since).unwrap_or(next_revision),
    });
    Identity {
        generation: identity.metadata.generation,
        // Somebody else's Secret of that name is not theirs to be told of.
        credentials_secret: PasswordSource::generated(identity)
            .filter(|_| matches!(snapshot.sources.get(uid), Some(Source::Present { .. })))
            .map(|source| source.secret),
        username: username.clone(),
        accepted,
        resolved: passwords.resolved.clone(),
        disabled,
        origin: if claimant.is_home() {
            Origin::Home
        } else {
            Origin::Elsewhere
        },
        is_kept,
        holds_username,
        entry,
        passwords,
        service_accounts,
        oidc_subjects,
        certificate_subjects,
    }
}

fn expires_at(identity: &RegistryIdentity) -> Option<Timestamp> {
    identity.spec.expires_at.as_ref().map(|time| time.0)
}

fn accept(claimant: &Claimant<'_>, snapshot: &Snapshot, names: &Names, holds_username: bool) -> Verdict {
    let Claimant { identity, username, .. } = claimant;
    let not_allowed = |message: String| Verdict::no(reasons::NOT_ALLOWED_BY_REGISTRY, message);
    match claimant.admission {
        Admission::Home | Admission::Guest(..) => {}
        Admission::Excess(number, most) => {
            let message = format!(
                "spec.allowedIdentities[{number}] of the Registry admits {most} identities of a namespace, and there are more"
            );
            return Verdict::no(reasons::LIMIT_EXCEEDED, message);
        }
        Admission::Refused => {
            return not_allowed(format!(
                "Registry `{}` in namespace `{}` does not admit identities of namespace `{}`: its owner admits them by `spec.allowedIdentities`",
                snapshot.registry.name_any(),
                snapshot.registry.namespace().unwrap_or_default(),
                identity.namespace().unwrap_or_default()
            ));
        }
    }
    let names_subjects = identity.spec.oidc_subjects.is_some() || identity.spec.certificate_subjects.is_some();
    if names_subjects && !claimant.names_external_subjects() {
        return not_allowed(
            "an identity of another namespace than the Registry's names neither `oidcSubjects` nor `certificateSubjects`, which could be anybody's, unless the Registry says `allowExternalSubjects` in `spec.allowedIdentities`".to_owned(),
        );
    }
    let unknown = unknown_fields::in_identity(&identity.spec);
    if !unknown.is_empty() {
        let message = format!(
            "this version does not know `{}`; correct the spelling or remove it; nobody can sign in as this identity until then",
            unknown.join("`, `")
        );
        return Verdict::no(reasons::UNKNOWN_FIELD, message);
    }
    if let Err(why) = check_username(username) {
        return Verdict::no(reasons::INVALID, format!("spec.username: {why}"));
    }
    if !holds_username {
        let holder = names.holder(username).and_then(|uid| {
            snapshot
                .identities
                .iter()
                .find(|other| other.uid().as_deref() == Some(uid))
        });
        // What others have in their namespaces is no business of this one's owner.
        let holder = holder.filter(|other| other.namespace() == identity.namespace());
        let holder = holder.map_or_else(
            || "another identity".to_owned(),
            |other| format!("RegistryIdentity `{}`", other.name_any()),
        );
        return Verdict::no(
            reasons::USERNAME_CONFLICT,
            format!("username `{username}` is taken by {holder}, which keeps it; choose another `spec.username`"),
        );
    }
    match expires_at(identity) {
        Some(end) if end <= snapshot.now => Verdict::no(
            reasons::EXPIRED,
            format!(
                "expired at {end}: nobody can sign in as `{username}`; set a later `spec.expiresAt`, or delete the identity"
            ),
        ),
        Some(end) => Verdict::yes(reasons::ACCEPTED, format!("signs in as `{username}` until {end}")),
        None => Verdict::yes(reasons::ACCEPTED, format!("signs in as `{username}`")),
    }
}
