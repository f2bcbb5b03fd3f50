//! What both documents have in common: `kind`, `formatVersion`, strict parsing, and errors with a position.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Problem;

/// The version of both documents that this build writes.
pub const FORMAT_VERSION: u32 = 1;

/// The versions of the access document that this build can read and enforce, in ascending order.
pub const FORMAT_VERSIONS: &[u32] = &[1];

/// The highest revision that a document may have: what JSON carries exactly everywhere, and far above every one that is
/// counted up to.
pub(crate) const MAX_REVISION: u64 = 1 << 53;

/// Why a document was refused. Nothing of a refused document is used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The text is not YAML or JSON of the expected shape.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line of the problem, from 1.
        line: u64,
        /// Column of the problem in characters, from 1.
        column: u64,
        /// What is wrong there.
        message: String,
    },
    /// `kind` names another document.
    #[error("this is a document of kind `{found}`, but `{expected}` is needed here")]
    Kind {
        /// The kind that the reader needs.
        expected: &'static str,
        /// The kind that the document says.
        found: String,
    },
    /// `formatVersion` is one that this build cannot enforce.
    #[error(
        "formatVersion {found} is not supported; this build reads {FORMAT_VERSIONS:?}: use a newer wharfinger-registry"
    )]
    Version {
        /// The version that the document says.
        found: u32,
    },
    /// The content does not have the digest that its index names.
    #[error("the content's digest is {found}, but the index names {expected}")]
    Digest {
        /// The digest in the index.
        expected: String,
        /// The digest of the content that came with it.
        found: String,
    },
    /// A part of the document is missing or cannot be unpacked.
    #[error("{0}")]
    Incomplete(String),
    /// The document is well formed, but some of its values are not valid.
    #[error("{}", Problem::join(.0))]
    Invalid(Vec<Problem>),
}

/// The two fields that are read before anything else, from a document of any version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    kind: String,
    format_version: u32,
}

/// Parses `text` as the document `T`, whose `kind` must be `kind` and whose version must be one that this build reads.
pub(crate) fn parse<T: DeserializeOwned>(kind: &'static str, text: &str) -> Result<T, DocumentError> {
    let header: Header = from_yaml(text)?;
    if header.kind != kind {
        return Err(DocumentError::Kind {
            expected: kind,
            found: header.kind,
        });
    }
    if !FORMAT_VERSIONS.contains(&header.format_version) {
        return Err(DocumentError::Version {
            found: header.format_version,
        });
    }
    from_yaml(text)
}

/// Parses YAML, and so JSON too, without the limits on size that are meant for text from strangers: whoever writes
/// these documents already decides what the registry does.
pub(crate) fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    let options = serde_saphyr::options! {
        budget: None,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        DocumentError::Syntax {
            line,
            column,
            message: error.without_snippet().to_string(),
        }
    })
}
