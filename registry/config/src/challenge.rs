//! [`Challenge`]: how clients are asked to sign in.

use serde::{Deserialize, Serialize};

/// How clients are asked to sign in. Both ways are accepted whatever stands here; it is what a 401 says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Challenge {
    /// With the token protocol of registries: a password at the token endpoint, then a token with each request.
    #[default]
    Bearer,
    /// With the password at each request, as browsers and the plainest tools do.
    Basic,
}

impl Challenge {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
