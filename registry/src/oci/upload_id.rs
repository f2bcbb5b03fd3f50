//! [`UploadId`]: the name of an upload session.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// An upload session's name: a random UUID, hyphenated, in lower case. Other spellings of a UUID are refused, so that
/// one session has one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UploadId(Uuid);

/// The text is not the name of an upload session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the name of an upload session")]
pub struct InvalidUploadId;

impl UploadId {
    /// A new name.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for UploadId {
    type Err = InvalidUploadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = Uuid::try_parse(text).map(Self).map_err(|_| InvalidUploadId)?;
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(InvalidUploadId)
        }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_a_name() {
        let id = UploadId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        let plain = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert!(plain.parse::<UploadId>().is_ok());
        for text in [
            "",
            "..",
            "67e5504410b1426f9247bb680e5fe0c8",
            "67E55044-10B1-426F-9247-BB680E5FE0C8",
            "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
            "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
            "67e55044-10b1-426f-9247-bb680e5fe0c8/..",
            "67e55044-10b1-426f-9247-bb680e5fe0c",
        ] {
            assert!(text.parse::<UploadId>().is_err(), "{text:?}");
        }
    }
}
