//! What is to become of each identity.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crds::{RegistryIdentity, reasons};
use jiff::Timestamp;
use kube::ResourceExt;
use registry_config::{CertificateSubject, IdentityEntry, check_username};
use registry_policy::ServiceAccountName;

use crate::hashing::HashJob;
use crate::outcome::Verdict;
use crate::password_source::PasswordSource;
use crate::registry::snapshot::{LiveIndex, Snapshot};
use crate::state::{IdentityState, SourceVersion, State};
use crate::unknown_fields;

use super::passwords::{self, Passwords};

/// What is to become of an identity.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Identity {
    pub(in crate::registry) generation: Option<i64>,
    pub(in crate::registry) username: String,
    pub(in crate::registry) accepted: Verdict,
    pub(in crate::registry) resolved: Verdict,
    pub(in crate::registry) disabled: bool,
    /// Whether something is kept about it: it is of the Registry's own namespace, and there is room.
    pub(in crate::registry) is_kept: bool,
    /// Whether it has its username, against others who want the same.
    pub(in crate::registry) holds_username: bool,
    /// Its line in the access document, where it may sign in.
    pub(in crate::registry) entry: Option<IdentityEntry>,
    /// The passwords to be hashed.
    pub(in crate::registry) jobs: Vec<HashJob>,
    pub(in crate::registry) credentials_secret: Option<String>,
    passwords: Passwords,
    /// ServiceAccounts and names in certificates that are its own and nobody else's.
    service_accounts: Vec<ServiceAccountName>,
    certificate_subjects: Vec<CertificateSubject>,
}

impl Identity {
    /// Leaves it out, and keeps of it what was kept before.
    pub(super) fn refuse(&mut self, refusal: Verdict, kept: Option<&IdentityState>) {
        self.accepted = refusal;
        self.entry = None;
        self.jobs.clear();
        let kept_state = kept.cloned().unwrap_or_default();
        self.passwords = Passwords {
            current: kept_state.password,
            next: kept_state.next,
            previous: kept_state.previous,
            ..Passwords::none(self.resolved.clone())
        };
        self.holds_username &= kept.is_some();
        self.is_kept &= kept.is_some();
    }

    /// The version of the Secret with the password that is to follow, where the registry is told of exactly that one.
    pub(in crate::registry) fn announced_next(&self) -> Option<&SourceVersion> {
        let next = self.passwords.next.as_ref();
        let next = next.filter(|_| self.entry.is_some() && self.jobs.is_empty());
        next.map(|next| &next.source)
    }

    /// The version of the Secret whose password is in use, where it is known to be hashed.
    pub(in crate::registry) fn password_version(&self) -> Option<&SourceVersion> {
        let current = self.passwords.current.as_ref().filter(|_| self.jobs.is_empty());
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
            .certificate_subjects
            .retain(|subject| known.certificate_subjects.contains(subject));
        if *entry != before {
            self.accepted = refusal.clone();
        }
    }

    /// The line of an identity that nobody can sign in as, where its names could be taken for somebody else's without it.
    pub(super) fn over(&self, proxies_name_people: bool) -> Option<IdentityEntry> {
        let has_names = !self.service_accounts.is_empty() || !self.certificate_subjects.is_empty();
        (proxies_name_people || has_names).then(|| IdentityEntry {
            not_after: Some(Timestamp::UNIX_EPOCH),
            service_accounts: self.service_accounts.clone(),
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
    let holders = holders(snapshot, state);
    let accounts = first_to_name(snapshot, service_accounts, |entry| &entry.service_accounts);
    let certificates = first_to_name(snapshot, certificate_subjects, |entry| &entry.certificate_subjects);
    let names = Names {
        usernames: &holders,
        accounts: &accounts,
        certificates: &certificates,
    };
    let judged = snapshot.identities.iter().map(|identity| {
        let uid = identity.uid().unwrap_or_default();
        (
            uid.clone(),
            judge_one(identity, &uid, snapshot, state, &names, next_revision),
        )
    });
    judged.collect()
}

/// The name to sign in with.
fn username(identity: &RegistryIdentity) -> String {
    identity.spec.username.clone().unwrap_or_else(|| identity.name_any())
}

fn is_home(identity: &RegistryIdentity, snapshot: &Snapshot) -> bool {
    identity.namespace() == snapshot.registry.namespace()
}

/// Which identity has each username, by UID: the one already in force, else the oldest, else the lower UID. A disabled
/// identity keeps its name, so that nobody else can sign in under it.
fn holders(snapshot: &Snapshot, state: &State) -> HashMap<String, String> {
    let mut holders: HashMap<String, String> = HashMap::new();
    // Oldest first, and so the first to ask holds the name, unless the state knows another claimant that still asks.
    for identity in snapshot
        .identities
        .iter()
        .filter(|identity| is_home(identity, snapshot))
    {
        let (name, uid) = (username(identity), identity.uid().unwrap_or_default());
        let in_force = state.usernames.get(&name) == Some(&uid);
        if in_force || !holders.contains_key(&name) {
            holders.insert(name, uid);
        }
    }
    holders
}

/// Which identity, by UID, each name stands for that only one can have: the one that has it in the document in force, else the
/// oldest that names it.
fn first_to_name<N: Eq + Hash>(
    snapshot: &Snapshot,
    names: impl Fn(&RegistryIdentity) -> Vec<N>,
    in_force: impl Fn(&IdentityEntry) -> &[N],
) -> HashMap<N, String> {
    let mut found = HashMap::new();
    let identities = || {
        let home = snapshot
            .identities
            .iter()
            .filter(|identity| is_home(identity, snapshot));
        home.map(|identity| (identity.uid().unwrap_or_default(), names(identity)))
    };
    if let LiveIndex::Read { content, .. } = &snapshot.index {
        for (uid, names) in identities() {
            let entry = content.identities.iter().find(|entry| entry.uid.as_ref() == Some(&uid));
            let has = |name: &N| entry.is_some_and(|entry| in_force(entry).contains(name));
            for name in names.into_iter().filter(has) {
                found.entry(name).or_insert_with(|| uid.clone());
            }
        }
    }
    for (uid, names) in identities() {
        for name in names {
            found.entry(name).or_insert_with(|| uid.clone());
        }
    }
    found
}

/// Which identity, by UID, each name stands for.
struct Names<'a> {
    usernames: &'a HashMap<String, String>,
    accounts: &'a HashMap<ServiceAccountName, String>,
    certificates: &'a HashMap<CertificateSubject, String>,
}

/// Those of `names` that stand for the identity `uid`.
fn own<N: Eq + Hash>(holders: &HashMap<N, String>, names: Vec<N>, uid: &str, is_home: bool) -> Vec<N> {
    let is_own = |name: &N| is_home && holders.get(name).is_some_and(|holder| holder == uid);
    names.into_iter().filter(is_own).collect()
}

impl Names<'_> {
    /// What is wrong with the names of the identity `uid`, other than its username.
    fn conflict(&self, identity: &RegistryIdentity, uid: &str) -> Option<Verdict> {
        let is_elsewhere = |holder: Option<&String>| holder.is_some_and(|holder| holder != uid);
        let account = service_accounts(identity)
            .into_iter()
            .find(|account| is_elsewhere(self.accounts.get(account)));
        let certificate = certificate_subjects(identity)
            .into_iter()
            .find(|subject| is_elsewhere(self.certificates.get(subject)));
        let older = "an older RegistryIdentity stands for";
        let advice = "already; name it in one of them only";
        match (account, certificate) {
            (Some(account), _) => Some(Verdict::no(
                reasons::SERVICE_ACCOUNT_CONFLICT,
                format!("{older} ServiceAccount `{}` {advice}", account.name),
            )),
            (None, Some(subject)) => {
                let (CertificateSubject::CommonName(name)
                | CertificateSubject::DnsName(name)
                | CertificateSubject::Uri(name)) = subject;
                Some(Verdict::no(
                    reasons::CERTIFICATE_CONFLICT,
                    format!("{older} `{name}` in certificates {advice}"),
                ))
            }
            (None, None) => None,
        }
    }
}

fn judge_one(
    identity: &RegistryIdentity,
    uid: &str,
    snapshot: &Snapshot,
    state: &State,
    names: &Names<'_>,
    next_revision: u64,
) -> Identity {
    let username = username(identity);
    let is_home = is_home(identity, snapshot);
    let holds_username = is_home
        && check_username(&username).is_ok()
        && names.usernames.get(&username).is_some_and(|holder| holder == uid);
    let kept = state.identities.get(uid);
    let accepted = accept(identity, &username, snapshot, names.usernames, is_home, holds_username);
    let conflict = names.conflict(identity, uid).filter(|_| accepted.is_yes());
    let accepted = conflict.unwrap_or(accepted);
    let service_accounts = own(names.accounts, service_accounts(identity), uid, is_home);
    let certificate_subjects = own(names.certificates, certificate_subjects(identity), uid, is_home);
    let disabled = identity.spec.disabled == Some(true);
    let passwords = if is_home {
        let found = passwords::judge(identity, uid, snapshot, kept);
        // What was still accepted beside the password does not come back with the identity.
        if disabled { found.only_current() } else { found }
    } else {
        Passwords::none(Verdict::unknown(
            reasons::NOT_ALLOWED_BY_REGISTRY,
            "not looked at, because the identity is not accepted",
        ))
    };
    let jobs = if accepted.is_yes() {
        passwords.jobs.clone()
    } else {
        Vec::new()
    };
    let can_sign_in = passwords.current.is_some() || !service_accounts.is_empty() || !certificate_subjects.is_empty();
    let entry = (can_sign_in && accepted.is_yes() && !disabled).then(|| IdentityEntry {
        username: username.clone(),
        uid: Some(uid.to_owned()),
        groups: groups(identity),
        attributes: identity.spec.attributes.clone().unwrap_or_default(),
        revoke_tokens_on_change: identity.spec.revoke_tokens_on_change == Some(true),
        home: true,
        not_after: expires_at(identity),
        passwords: passwords.entries(),
        service_accounts: service_accounts.clone(),
        certificate_subjects: certificate_subjects.clone(),
        tokens_from: kept.and_then(|kept| kept.listed_since).unwrap_or(next_revision),
    });
    Identity {
        generation: identity.metadata.generation,
        credentials_secret: PasswordSource::of(identity)
            .filter(|source| source.generate.is_some())
            .map(|source| source.secret),
        username,
        accepted,
        resolved: passwords.resolved.clone(),
        disabled,
        is_kept: is_home,
        holds_username,
        entry,
        jobs,
        passwords,
        service_accounts,
        certificate_subjects,
    }
}

fn service_accounts(identity: &RegistryIdentity) -> Vec<ServiceAccountName> {
    let named = identity.spec.service_accounts.iter().flatten();
    let mut accounts: Vec<_> = named
        .map(|account| ServiceAccountName {
            namespace: identity.namespace().unwrap_or_default(),
            name: account.name.clone(),
        })
        .collect();
    accounts.sort();
    accounts.dedup();
    accounts
}

fn certificate_subjects(identity: &RegistryIdentity) -> Vec<CertificateSubject> {
    let named = identity.spec.certificate_subjects.iter().flatten();
    let mut subjects: Vec<_> = named
        // The schema sees to it that exactly one is given.
        .filter_map(
            |subject| match (&subject.common_name, &subject.dns_name, &subject.uri) {
                (Some(name), None, None) => Some(CertificateSubject::CommonName(name.clone())),
                (None, Some(name), None) => Some(CertificateSubject::DnsName(name.clone())),
                (None, None, Some(uri)) => Some(CertificateSubject::Uri(uri.clone())),
                _ => None,
            },
        )
        .collect();
    subjects.sort();
    subjects.dedup();
    subjects
}

fn expires_at(identity: &RegistryIdentity) -> Option<Timestamp> {
    identity.spec.expires_at.as_ref().map(|time| time.0)
}

fn groups(identity: &RegistryIdentity) -> Vec<String> {
    let mut groups = identity.spec.groups.clone().unwrap_or_default();
    groups.sort();
    groups.dedup();
    groups
}

fn accept(
    identity: &RegistryIdentity,
    username: &str,
    snapshot: &Snapshot,
    holders: &HashMap<String, String>,
    is_home: bool,
    holds_username: bool,
) -> Verdict {
    if !is_home {
        let registry = &snapshot.registry;
        let message = format!(
            "Registry `{}` admits identities of its own namespace `{}` only; make this identity there",
            registry.name_any(),
            registry.namespace().unwrap_or_default()
        );
        return Verdict::no(reasons::NOT_ALLOWED_BY_REGISTRY, message);
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
        let holder = holders.get(username).and_then(|uid| {
            snapshot
                .identities
                .iter()
                .find(|other| other.uid().as_ref() == Some(uid))
        });
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
