//! The side queue that reads passwords and hashes them, so that no pass over a Registry waits for Argon2.
//!
//! A plaintext lives only inside one job here: it is read, verified against the hash in force, hashed where it is a new
//! one, and wiped.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crds::{Registry, labels, reasons, secret_types};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, ResourceExt};
use registry_config::{HashCost, HashMemory, PasswordHash, PasswordHashing};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::api;
use crate::outcome::Verdict;
use crate::password_source::SecretForm;
use crate::state::{SourceVersion, StoredHash};

/// The longest password that is taken, in bytes; a token may serve as one.
const MAX_PASSWORD: usize = 4096;

/// How much memory all hashing may take at once, in KiB: the operator has a limit, and every Registry depends on it.
const MEMORY_KIB: u32 = 128 * 1024;

/// A password to be hashed.
#[derive(Debug, Clone)]
pub(crate) struct HashJob {
    /// Whose password it is.
    pub(crate) slot: HashSlot,
    pub(crate) namespace: String,
    pub(crate) secret: String,
    pub(crate) key: String,
    /// What stands under the key.
    pub(crate) form: SecretForm,
    /// What a new hash is to cost.
    pub(crate) hashing: PasswordHashing,
    /// Whether the password is hashed already, only at another cost. Such jobs run one at a time, so that nobody whose password has changed
    /// waits for them.
    pub(crate) renews: bool,
    /// Hashes in force of which one stays where the password verifies against it; none where it is to be renewed.
    pub(crate) in_force: Vec<PasswordHash>,
}

impl HashJob {
    /// The memory that it may take.
    fn memory_kib(&self) -> u32 {
        let is_usual = self.in_force.iter().all(|hash| self.hashing.made(hash));
        if self.form == SecretForm::Hash {
            0
        } else if is_usual {
            self.hashing.memory_kib()
        } else {
            HashCost::CAP.memory_kib
        }
    }
}

/// A password of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HashSlot {
    /// UID of the identity.
    pub(crate) identity: String,
    /// Which of its passwords.
    pub(crate) which: Which,
}

/// Which of an identity's passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    /// The one that is to be used now.
    Current,
    /// The one that is to follow.
    Next,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HashResult {
    /// The password's hash.
    Hashed(StoredHash),
    /// This version of the Secret has no usable password.
    Unusable { source: SourceVersion, why: Verdict },
}

/// The queue and the latest result for each identity.
pub(crate) struct Hashing {
    client: Client,
    /// The memory that is free, in KiB.
    memory: Semaphore,
    /// What a job takes of it at least, so that no more run than there are processors.
    least_share: u32,
    renewals: Semaphore,
    state: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// With whether they renew a hash: a password that changes does not wait for the renewal of the one before it.
    running: HashSet<(HashSlot, bool)>,
    results: HashMap<HashSlot, HashResult>,
}

impl Hashing {
    pub(crate) fn new(client: Client) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            client,
            memory: Semaphore::new(MEMORY_KIB as usize),
            least_share: MEMORY_KIB / u32::try_from(processors).unwrap_or(u32::MAX),
            renewals: Semaphore::new(1),
            state: Mutex::default(),
        }
    }

    /// The latest result for a password.
    pub(crate) fn result(&self, slot: &HashSlot) -> Option<HashResult> {
        self.progress().results.get(slot).cloned()
    }

    /// Forgets the results of identities that are gone.
    pub(crate) fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.progress().results.retain(|slot, _| exists(&slot.identity));
    }

    /// How many jobs wait or run.
    pub(crate) fn pending(&self) -> usize {
        self.progress().running.len()
    }

    /// Queues a job unless one for the same password is under way; `done` is called when its result is there.
    pub(crate) fn queue(
        self: &Arc<Self>,
        job: HashJob,
        registry: &ObjectRef<Registry>,
        done: impl FnOnce() + Send + 'static,
    ) {
        let key = (job.slot.clone(), job.renews);
        if !self.progress().running.insert(key.clone()) {
            return;
        }
        let hashing = Arc::clone(self);
        let registry = registry.to_string();
        tokio::spawn(async move {
            let result = hashing.run(&job).await;
            let mut progress = hashing.progress();
            progress.running.remove(&key);
            match result {
                Ok(Some(result)) => {
                    progress.results.insert(job.slot, result);
                }
                // The Secret went away in between; its deletion brings the next pass.
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%registry, secret = job.secret, error = api::chain(&error), "password not read; tried again with the next pass");
                }
            }
            drop(progress);
            done();
        });
    }

    async fn run(&self, job: &HashJob) -> Result<Option<HashResult>, api::Error> {
        // The Secret is read when there is somebody to hash what stands in it, so that it is the last version, and no plaintext waits.
        let _turn = if job.renews {
            Some(self.renewals.acquire().await.expect("the semaphore is never closed"))
        } else {
            None
        };
        let share = job.memory_kib().clamp(self.least_share, MEMORY_KIB);
        let share = self.memory.acquire_many(share).await;
        let _share = share.expect("the semaphore is never closed");
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &job.namespace);
        let Some(secret) = api::find(format!("read Secret `{}`", job.secret), secrets.get_opt(&job.secret)).await?
        else {
            return Ok(None);
        };
        let source = SourceVersion {
            secret: job.secret.clone(),
            key: job.key.clone(),
            uid: secret.uid().unwrap_or_default(),
            resource_version: secret.resource_version().unwrap_or_default(),
            form: job.form,
        };
        if job.form == SecretForm::Hash {
            return Ok(Some(match hash_of(secret, &job.key) {
                Ok(hash) => HashResult::Hashed(StoredHash { hash, source }),
                Err(why) => HashResult::Unusable { source, why },
            }));
        }
        let password = match password_of(secret, &job.key) {
            Ok(password) => password,
            Err(why) => return Ok(Some(HashResult::Unusable { source, why })),
        };
        let (hashing, in_force) = (job.hashing, job.in_force.clone());
        let hash = tokio::task::spawn_blocking(move || hash(&password, hashing, in_force)).await;
        Ok(Some(match hash {
            Ok(Some(hash)) => HashResult::Hashed(StoredHash { hash, source }),
            _ => HashResult::Unusable {
                source,
                why: Verdict::no(
                    reasons::INVALID_PASSWORD,
                    "the password could not be hashed; use another",
                ),
            },
        }))
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.state.lock().expect("no holder panics")
    }
}

/// Whether the owner of a Secret agreed that identities read their password from it.
pub(crate) fn is_marked(secret: &Secret) -> bool {
    secret.type_.as_deref() == Some(secret_types::CREDENTIAL)
        || secret
            .labels()
            .get(labels::CREDENTIAL)
            .is_some_and(|value| value == "true")
}

/// The hash that somebody else has made.
fn hash_of(secret: Secret, key: &str) -> Result<PasswordHash, Verdict> {
    let name = secret.name_any();
    let value = marked_value_of(secret, key)?;
    let hash = std::str::from_utf8(&value).map_err(|_| "it is no text".to_owned());
    // Users write `htpasswd -nB alice` into a file, and have the name and a blank line, too.
    let hash = hash.map(str::trim).and_then(|text| match text.lines().nth(1) {
        None => Ok(text.rsplit_once(':').map_or(text, |(_, hash)| hash)),
        Some(_) => Err(
            "it has several lines, and a hash is one; a whole user file belongs into `auth.htpasswdSecretRef` of the Registry"
                .to_owned(),
        ),
    });
    hash.and_then(|text| PasswordHash::parse(text).map_err(|why| why.to_string()))
        .map_err(|why| {
            Verdict::no(
                reasons::INVALID_PASSWORD_HASH,
                format!("key `{key}` of Secret `{name}` holds no hash that could be used: {why}"),
            )
        })
}

/// The value of a key of a Secret whose owner has agreed to its use.
fn marked_value_of(secret: Secret, key: &str) -> Result<Zeroizing<Vec<u8>>, Verdict> {
    if is_marked(&secret) {
        value_of(secret, key)
    } else {
        Err(not_marked(&secret.name_any(), &secret.namespace().unwrap_or_default()))
    }
}

/// The value of a key, without one trailing newline. Whether it may be read is for the caller to see.
pub(crate) fn value_of(mut secret: Secret, key: &str) -> Result<Zeroizing<Vec<u8>>, Verdict> {
    let name = secret.name_any();
    let mut data = secret.data.take().unwrap_or_default();
    let Some(value) = data.remove(key) else {
        let keys: Vec<&str> = data.keys().map(String::as_str).collect();
        let has = if keys.is_empty() {
            "it is empty".to_owned()
        } else {
            format!("it has `{}`", keys.join("`, `"))
        };
        return Err(Verdict::no(
            reasons::SECRET_KEY_NOT_FOUND,
            format!("Secret `{name}` has no key `{key}`; {has}"),
        ));
    };
    let mut value = Zeroizing::new(value.0);
    if value.last() == Some(&b'\n') {
        value.pop();
    }
    Ok(value)
}

fn password_of(secret: Secret, key: &str) -> Result<Zeroizing<Vec<u8>>, Verdict> {
    let name = secret.name_any();
    let password = marked_value_of(secret, key)?;
    let refuse = |why: &str| {
        Err(Verdict::no(
            reasons::INVALID_PASSWORD,
            format!("key `{key}` of Secret `{name}` {why}"),
        ))
    };
    if password.is_empty() {
        return refuse("is empty; write a password into it");
    }
    if password.len() > MAX_PASSWORD {
        return refuse("is longer than 4096 bytes; use a shorter password");
    }
    if std::str::from_utf8(&password).is_err() || password.contains(&0) {
        return refuse("is not UTF-8 text without NUL, so no client could send it; use another password");
    }
    Ok(password)
}

/// The verdict on a Secret whose owner has not agreed to its use.
pub(crate) fn not_marked(secret: &str, namespace: &str) -> Verdict {
    let message = format!(
        "Secret `{secret}` is not marked as a password for identities; {}",
        how_to_agree(secret, namespace)
    );
    Verdict::no(reasons::SECRET_NOT_MARKED, message)
}

/// What the owner of a Secret does to agree to its use; this ends the message about one that is not marked.
pub(crate) fn how_to_agree(secret: &str, namespace: &str) -> String {
    format!(
        "its owner agrees with: kubectl label secret {secret} --namespace {namespace} {}=true",
        labels::CREDENTIAL
    )
}

/// A hash in force that the password verifies against, else a new one; `None` where the password cannot be hashed.
fn hash(password: &[u8], hashing: PasswordHashing, in_force: Vec<PasswordHash>) -> Option<PasswordHash> {
    let mut memory = HashMemory::default();
    let known = in_force.into_iter().find(|hash| hash.verify(password, &mut memory));
    known.or_else(|| hashing.hash(password))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;

    fn secret(key: &str, value: &[u8], marked: bool) -> Secret {
        let mut secret = Secret {
            data: Some(BTreeMap::from([(key.to_owned(), ByteString(value.to_vec()))])),
            type_: marked.then(|| secret_types::CREDENTIAL.to_owned()),
            ..Secret::default()
        };
        secret.metadata.name = Some("alice".into());
        secret
    }

    #[test]
    fn a_hash_stays_while_the_password_does() {
        let hash = |password: &[u8], in_force| hash(password, PasswordHashing::default(), in_force).unwrap();
        let first = hash(b"correct horse", vec![]);
        assert!(first.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let other = hash(b"another", vec![]);
        assert_eq!(hash(b"correct horse", vec![other, first.clone()]), first);
        assert_ne!(hash(b"battery staple", vec![first.clone()]), first);
    }

    #[test]
    fn one_trailing_newline_is_dropped_and_no_more() {
        assert_eq!(password_of(secret("p", b"x\n", true), "p").unwrap().as_slice(), b"x");
        assert_eq!(
            password_of(secret("p", b"x\n\n", true), "p").unwrap().as_slice(),
            b"x\n"
        );
    }

    #[test]
    fn unusable_secrets_say_what_to_do() {
        let table = [
            (
                secret("other", b"x", true),
                reasons::SECRET_KEY_NOT_FOUND,
                "it has `other`",
            ),
            (secret("p", b"\n", true), reasons::INVALID_PASSWORD, "is empty"),
            (
                secret("p", &[b'x'; 4097], true),
                reasons::INVALID_PASSWORD,
                "longer than 4096",
            ),
            (secret("p", b"\xff", true), reasons::INVALID_PASSWORD, "not UTF-8"),
            (
                secret("p", b"x", false),
                reasons::SECRET_NOT_MARKED,
                "kubectl label secret alice",
            ),
        ];
        for (secret, reason, text) in table {
            let verdict = password_of(secret, "p").unwrap_err();
            assert_eq!(verdict.reason, reason);
            assert!(verdict.message.contains(text), "{}", verdict.message);
        }
        let labelled = Secret {
            type_: None,
            ..secret("p", b"x", true)
        };
        assert!(password_of(labelled.clone(), "p").is_err());
        let mut labelled = labelled;
        labelled.labels_mut().insert(labels::CREDENTIAL.into(), "true".into());
        assert!(password_of(labelled, "p").is_ok());
    }
}
