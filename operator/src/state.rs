//! What cannot be recomputed about a Registry, and the Secret that keeps it.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use crds::annotations;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use registry_config::{MAX_PACKED_BYTES, PasswordHash, PolicyEntry, Slot, TokenKey};
use serde::{Deserialize, Serialize};

use crate::password_source::SecretForm;
use crate::state_shards::List;

/// Key of the state within its Secret: JSON, compressed with gzip.
pub(crate) const STATE_KEY: &str = "state";

/// The version of the state's format that this build writes and reads.
const FORMAT_VERSION: u32 = 1;

/// What cannot be recomputed about a Registry. Maps are ordered, so that the same state is the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    pub(crate) format_version: u32,
    /// The installation that manages the Registry.
    pub(crate) installation: String,
    /// The revision that was published last, or was about to be.
    pub(crate) revision: u64,
    /// The keys of tokens: the first signs, all verify.
    pub(crate) keys: Vec<TokenKey>,
    /// When each key did what, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) key_times: BTreeMap<String, KeyTimes>,
    /// The revision under which refresh tokens were given for the first time; absent where none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_from: Option<u64>,
    /// Which identity, by UID, has a username.
    #[serde(default)]
    pub(crate) usernames: BTreeMap<String, String>,
    /// Identities by UID.
    #[serde(default)]
    pub(crate) identities: BTreeMap<String, IdentityState>,
    /// Users of the user file, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) users: BTreeMap<String, UserState>,
    /// The last accepted form of policies, by UID.
    #[serde(default)]
    pub(crate) policies: BTreeMap<String, PolicyState>,
}

/// What became of a key of tokens, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyTimes {
    /// Since when it signs; absent while it only verifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signs_since: Option<jiff::Timestamp>,
    /// When another took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced: Option<jiff::Timestamp>,
}

/// What is kept about an identity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdentityState {
    /// The hash of its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<StoredHash>,
    /// The hash of the password that is to follow, accepted already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<StoredHash>,
    /// Hashes of passwords before it, each until its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) previous: Vec<PreviousHash>,
    /// The revision since which it is listed without a gap; absent while it is not. Older tokens are dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listed_since: Option<u64>,
}

/// The hash of a password that was replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PreviousHash {
    pub(crate) hash: PasswordHash,
    /// From this instant on it is refused.
    pub(crate) not_after: jiff::Timestamp,
}

/// What is kept about a user of the user file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserState {
    pub(crate) hash: PasswordHash,
    /// The revision since which the user is listed without a gap.
    pub(crate) listed_since: u64,
}

/// A hash and the password that it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredHash {
    pub(crate) hash: PasswordHash,
    pub(crate) source: SourceVersion,
}

/// One version of a key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceVersion {
    pub(crate) secret: String,
    pub(crate) key: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    /// What stands under the key.
    #[serde(default, skip_serializing_if = "SecretForm::is_password")]
    pub(crate) form: SecretForm,
}

/// The last accepted form of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyState {
    pub(crate) generation: i64,
    pub(crate) policy: PolicyEntry,
}

/// The state as a pass found it.
#[expect(clippy::large_enum_variant, reason = "there is one of it in a pass")]
#[derive(Debug, Clone)]
pub(crate) enum LiveState {
    /// There is none yet.
    Absent,
    /// This installation's; `taken_over` where another one still stands in the Secret.
    Ours {
        state: State,
        secret: SecretVersion,
        taken_over: bool,
    },
    /// Another installation manages the Registry.
    Foreign { installation: String },
    /// The Secret exists, but its content does not.
    Unreadable { why: String },
}

/// The version of a Secret that a write must replace, and no other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SecretVersion {
    pub(crate) resource_version: Option<String>,
    /// Where its shards are, where it is the index of an access document that has any.
    pub(crate) slot: Option<Slot>,
    /// The names of its shards, where it is a state that has any.
    pub(crate) shards: Vec<String>,
}

impl State {
    /// The state of a Registry that has none.
    pub(crate) fn new(installation: &str, key: TokenKey) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            installation: installation.to_owned(),
            revision: 0,
            keys: vec![key],
            key_times: BTreeMap::new(),
            refresh_from: None,
            usernames: BTreeMap::new(),
            identities: BTreeMap::new(),
            users: BTreeMap::new(),
            policies: BTreeMap::new(),
        }
    }

    /// Packs the state for [`STATE_KEY`].
    pub(crate) fn pack(&self) -> Result<Vec<u8>, std::io::Error> {
        let json = serde_json::to_vec(self)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&json)?;
        encoder.finish()
    }

    /// How many bytes the packed state has, where those are too many.
    pub(crate) fn excess(&self) -> Option<usize> {
        let is_small = serde_json::to_vec(self).is_ok_and(|json| json.len() <= MAX_PACKED_BYTES);
        let packed = (!is_small).then(|| self.pack().ok()).flatten()?;
        (packed.len() > MAX_PACKED_BYTES).then_some(packed.len())
    }

    fn unpack(packed: &[u8]) -> Result<Self, String> {
        let mut json = Vec::new();
        GzDecoder::new(packed)
            .read_to_end(&mut json)
            .map_err(|error| error.to_string())?;
        let state: Self = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        if state.format_version == FORMAT_VERSION {
            Ok(state)
        } else {
            Err(format!(
                "its format version is {}, but this operator reads {FORMAT_VERSION}",
                state.format_version
            ))
        }
    }
}

/// A state in shards.
pub(crate) struct Outside {
    pub(crate) list: List,
    /// What they hold together, or why that is not what is listed.
    pub(crate) packed: Result<Vec<u8>, String>,
}

impl LiveState {
    /// Reads the state from its Secret, or from what its shards hold together.
    pub(crate) fn read(secret: Option<&Secret>, outside: Option<Outside>, installation: &str) -> Self {
        let Some(secret) = secret else { return Self::Absent };
        let heir = secret.annotations().get(annotations::HAND_OVER_TO);
        let is_ours = |manager: &str| manager == installation || heir.map(String::as_str) == Some(installation);
        if let Some(Outside { list, .. }) = &outside
            && !is_ours(&list.installation)
        {
            return Self::Foreign {
                installation: list.installation.clone(),
            };
        }
        let inside = || secret.data.as_ref()?.get(STATE_KEY).map(|packed| packed.0.clone());
        let shards = outside
            .as_ref()
            .map(|outside| outside.list.secrets())
            .unwrap_or_default();
        let packed = match outside {
            Some(outside) => outside.packed,
            None => inside().ok_or_else(|| format!("it has no key `{STATE_KEY}`")),
        };
        let mut state = match packed.and_then(|packed| State::unpack(&packed)) {
            Ok(state) => state,
            Err(why) => return Self::Unreadable { why },
        };
        let taken_over = state.installation != installation;
        if taken_over {
            if !is_ours(&state.installation) {
                return Self::Foreign {
                    installation: state.installation,
                };
            }
            installation.clone_into(&mut state.installation);
        }
        let secret = SecretVersion {
            resource_version: secret.resource_version(),
            slot: None,
            shards,
        };
        Self::Ours {
            state,
            secret,
            taken_over,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;

    fn secret(state: &State) -> Secret {
        let data = BTreeMap::from([(STATE_KEY.to_owned(), ByteString(state.pack().unwrap()))]);
        Secret {
            data: Some(data),
            ..Secret::default()
        }
    }

    fn state() -> State {
        State::new(
            "a/one",
            TokenKey {
                kid: "k".into(),
                private_key: "p".into(),
                refresh_only: false,
            },
        )
    }

    #[test]
    fn another_installation_takes_over_only_where_the_secret_says_so() {
        let mut stored = secret(&state());
        assert!(
            matches!(LiveState::read(Some(&stored), None, "a/one"), LiveState::Ours { state: read, taken_over: false, .. } if read == state())
        );
        assert!(
            matches!(LiveState::read(Some(&stored), None, "b/two"), LiveState::Foreign { installation } if installation == "a/one")
        );
        stored
            .annotations_mut()
            .insert(annotations::HAND_OVER_TO.into(), "b/two".into());
        assert!(
            matches!(LiveState::read(Some(&stored), None, "b/two"), LiveState::Ours { state, taken_over: true, .. } if state.installation == "b/two")
        );
    }

    #[test]
    fn damaged_state_is_never_taken_for_none() {
        let mut stored = secret(&state());
        stored.data = Some(BTreeMap::from([(
            STATE_KEY.to_owned(),
            ByteString(b"garbage".to_vec()),
        )]));
        assert!(matches!(
            LiveState::read(Some(&stored), None, "a/one"),
            LiveState::Unreadable { .. }
        ));
        stored.data = None;
        assert!(matches!(
            LiveState::read(Some(&stored), None, "a/one"),
            LiveState::Unreadable { .. }
        ));
        assert!(matches!(LiveState::read(None, None, "a/one"), LiveState::Absent));
    }
}
