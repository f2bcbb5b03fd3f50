//! Which identity each name stands for that only one can have.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crds::{RegistryIdentity, reasons};
use kube::ResourceExt;
use registry_config::{CertificateSubject, IdentityEntry};
use registry_policy::{OidcSubject, ServiceAccountName};

use crate::outcome::Verdict;
use crate::registry::snapshot::Snapshot;
use crate::registry::validate::{known, users};
use crate::state::State;

use super::Claimant;

/// Which identity, by UID, each name stands for.
pub(super) struct Names {
    usernames: HashMap<String, String>,
    accounts: HashMap<ServiceAccountName, String>,
    subjects: HashMap<OidcSubject, String>,
    certificates: HashMap<CertificateSubject, String>,
}

impl Names {
    pub(super) fn of(claimants: &[Claimant<'_>], snapshot: &Snapshot, state: &State) -> Self {
        Self {
            usernames: usernames(claimants, state, &users::names(snapshot, state)),
            accounts: listed(claimants, snapshot, service_accounts, |entry| &entry.service_accounts),
            subjects: listed(claimants, snapshot, oidc_subjects, |entry| &entry.oidc_subjects),
            certificates: listed(claimants, snapshot, certificate_subjects, |entry| {
                &entry.certificate_subjects
            }),
        }
    }

    /// The identity, by UID, that has a username.
    pub(super) fn holder(&self, username: &str) -> Option<&str> {
        self.usernames.get(username).map(String::as_str)
    }

    /// Whether an identity has the username that it asks for.
    pub(super) fn holds_username(&self, claimant: &Claimant<'_>) -> bool {
        claimant.is_admitted() && self.holder(&claimant.username) == Some(&claimant.uid)
    }

    /// The other names that stand for an identity.
    pub(super) fn own(
        &self,
        claimant: &Claimant<'_>,
    ) -> (Vec<ServiceAccountName>, Vec<OidcSubject>, Vec<CertificateSubject>) {
        (
            own(&self.accounts, service_accounts(claimant), claimant),
            own(&self.subjects, oidc_subjects(claimant), claimant),
            own(&self.certificates, certificate_subjects(claimant), claimant),
        )
    }

    /// What is wrong with the names of an identity, other than its username.
    pub(super) fn conflict(&self, claimant: &Claimant<'_>) -> Option<Verdict> {
        let is_elsewhere = |holder: Option<&String>| holder.is_some_and(|holder| *holder != claimant.uid);
        let account = service_accounts(claimant)
            .into_iter()
            .find(|account| is_elsewhere(self.accounts.get(account)));
        let subject = oidc_subjects(claimant)
            .into_iter()
            .find(|subject| is_elsewhere(self.subjects.get(subject)));
        let certificate = certificate_subjects(claimant)
            .into_iter()
            .find(|subject| is_elsewhere(self.certificates.get(subject)));
        let another = "another RegistryIdentity stands for";
        let advice = "already; name it in one of them only";
        match (account, subject, certificate) {
            (Some(account), ..) => Some(Verdict::no(
                reasons::SERVICE_ACCOUNT_CONFLICT,
                format!("{another} ServiceAccount `{}` {advice}", account.name),
            )),
            (None, Some(OidcSubject { issuer, subject }), _) => Some(Verdict::no(
                reasons::OIDC_SUBJECT_CONFLICT,
                format!("{another} `{subject}` of the issuer `{issuer}` {advice}"),
            )),
            (None, None, Some(subject)) => {
                let (CertificateSubject::CommonName(name)
                | CertificateSubject::DnsName(name)
                | CertificateSubject::Uri(name)) = subject;
                Some(Verdict::no(
                    reasons::CERTIFICATE_CONFLICT,
                    format!("{another} `{name}` in certificates {advice}"),
                ))
            }
            (None, None, None) => None,
        }
    }
}

/// Which identity has each username; the state remembers who had it. A disabled identity keeps its name, so that nobody else can sign in
/// under it. The user file is of the Registry's own namespace, too: nobody else takes a name that stands there.
fn usernames(claimants: &[Claimant<'_>], state: &State, users: &HashSet<&str>) -> HashMap<String, String> {
    let names = |claimant: &Claimant<'_>| {
        let is_taken = !claimant.is_home() && users.contains(claimant.username.as_str());
        let may_have_it = claimant.is_admitted() && !is_taken;
        may_have_it.then(|| claimant.username.clone()).into_iter().collect()
    };
    holders(claimants, names, |name| state.usernames.get(name).map(String::as_str))
}

/// Which identity, by UID, each ServiceAccount, subject of an issuer or name in certificates stands for; the document in force says who had it.
fn listed<N: Eq + Hash>(
    claimants: &[Claimant<'_>],
    snapshot: &Snapshot,
    names: impl Fn(&Claimant<'_>) -> Vec<N>,
    in_force: impl Fn(&IdentityEntry) -> &[N],
) -> HashMap<N, String> {
    let mut listed: HashMap<&N, &str> = HashMap::new();
    for entry in known(snapshot).0 {
        // An entry without a UID is over, and holds nothing.
        if let Some(uid) = entry.uid.as_deref() {
            listed.extend(in_force(entry).iter().map(|name| (name, uid)));
        }
    }
    holders(claimants, names, |name| listed.get(name).copied())
}

/// Which identity, by UID, each name stands for: those of the Registry's own namespace before all others; among these the one that had it,
/// else the oldest that asks for it, else the one with the lower UID.
fn holders<'a, N: Eq + Hash>(
    claimants: &[Claimant<'_>],
    names: impl Fn(&Claimant<'_>) -> Vec<N>,
    had: impl Fn(&N) -> Option<&'a str>,
) -> HashMap<N, String> {
    let of = |is_home: bool| {
        let mut holders: HashMap<N, String> = HashMap::new();
        // They come in that order, and so the first to ask has it, unless another had it who still asks.
        for claimant in claimants.iter().filter(|claimant| claimant.is_home() == is_home) {
            for name in names(claimant) {
                if had(&name) == Some(claimant.uid.as_str()) || !holders.contains_key(&name) {
                    holders.insert(name, claimant.uid.clone());
                }
            }
        }
        holders
    };
    let mut holders = of(false);
    holders.extend(of(true));
    holders
}

/// Those of `names` that stand for an identity.
fn own<N: Eq + Hash>(holders: &HashMap<N, String>, names: Vec<N>, claimant: &Claimant<'_>) -> Vec<N> {
    let is_own = |name: &N| holders.get(name).is_some_and(|holder| *holder == claimant.uid);
    names.into_iter().filter(is_own).collect()
}

/// The ServiceAccounts that an identity names, which are of its own namespace.
fn service_accounts(claimant: &Claimant<'_>) -> Vec<ServiceAccountName> {
    let Some(identity) = admitted(claimant) else {
        return Vec::new();
    };
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

/// The subjects that an identity names, where it may.
fn oidc_subjects(claimant: &Claimant<'_>) -> Vec<OidcSubject> {
    let Some(identity) = trusted(claimant) else {
        return Vec::new();
    };
    let named = identity.spec.oidc_subjects.iter().flatten();
    let mut subjects: Vec<_> = named
        .map(|subject| OidcSubject {
            issuer: subject.issuer.clone(),
            subject: subject.subject.clone(),
        })
        .collect();
    subjects.sort();
    subjects.dedup();
    subjects
}

/// The names in certificates that an identity names, where it may.
fn certificate_subjects(claimant: &Claimant<'_>) -> Vec<CertificateSubject> {
    let Some(identity) = trusted(claimant) else {
        return Vec::new();
    };
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

fn admitted<'a>(claimant: &Claimant<'a>) -> Option<&'a RegistryIdentity> {
    claimant.is_admitted().then_some(claimant.identity)
}

fn trusted<'a>(claimant: &Claimant<'a>) -> Option<&'a RegistryIdentity> {
    claimant.names_external_subjects().then_some(claimant.identity)
}
