//! The facts as expressions see them: looked up only when an expression reads them, and borrowed where possible.

use std::fmt;
use std::sync::OnceLock;

use cel::ExecutionError;
use cel::common::traits::Indexer;
use cel::common::types::{CelList, CelMap, CelNull, CelString, CelUInt, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::{Caller, MAX_LIST_LENGTH, Request};
use crate::vocabulary::{Fact, IDENTITY, Object, REQUEST, ValueType};

/// What the expressions of one decision read from.
pub(crate) struct Facts<'a> {
    caller: &'a Caller<'a>,
    request: &'a Request<'a>,
    // Made when first read, and then shared by all reads: an expression may read a list once per element of another.
    groups: OnceLock<CelList<'a>>,
    tags: OnceLock<CelList<'a>>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(caller: &'a Caller<'a>, request: &'a Request<'a>) -> Self {
        Self {
            caller,
            request,
            groups: OnceLock::new(),
            tags: OnceLock::new(),
        }
    }
}

/// The root variables.
pub(crate) struct Variables<'f, 'a> {
    identity: ObjectView<'f, 'a>,
    request: ObjectView<'f, 'a>,
}

impl<'f, 'a> Variables<'f, 'a> {
    pub(crate) fn new(facts: &'f Facts<'a>) -> Self {
        Self {
            identity: ObjectView {
                object: &IDENTITY,
                facts,
            },
            request: ObjectView {
                object: &REQUEST,
                facts,
            },
        }
    }
}

impl VariableResolver for Variables<'_, '_> {
    // The evaluation asks for whole paths (`request.action`) before it asks for the root. Answering only the root
    // keeps one way to a fact, that of `ObjectView`.
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "identity" => Some(CowVal::Borrowed(&self.identity)),
            "request" => Some(CowVal::Borrowed(&self.request)),
            _ => None,
        }
    }
}

/// An object of the vocabulary, whose fields are looked up on access.
#[derive(Clone, Copy)]
struct ObjectView<'f, 'a> {
    object: &'static Object,
    facts: &'f Facts<'a>,
}

impl<'f, 'a> ObjectView<'f, 'a> {
    /// What is known of `fact`; none where the field is missing, as opposed to null.
    fn value<'v>(&self, fact: Fact, value_type: ValueType) -> Result<Option<CowVal<'f, 'v>>, ExecutionError>
    where
        'f: 'v,
        'a: 'v,
    {
        let Facts {
            caller,
            request,
            groups,
            tags,
        } = self.facts;
        let identity = caller.identity.as_ref();
        let found = match fact {
            Fact::Identity | Fact::Request | Fact::Certificate => match value_type {
                ValueType::Object(object) => Some(CowVal::owned(Self { object, ..*self })),
                _ => None,
            },
            Fact::Id => Some(text_or_null(identity.map(|identity| identity.id))),
            Fact::Username => Some(text_or_null(identity.map(|identity| identity.username))),
            Fact::Groups => Some(texts(groups, identity.map_or(&[], |identity| identity.groups))?),
            Fact::Attributes => Some(CowVal::owned(CelMap::default())),
            // A peer of a dual-stack listener shows as `::ffff:192.0.2.1`, which no rule would be written for.
            Fact::ClientIp => Some(
                caller
                    .client_ip
                    .map_or_else(null, |ip| CowVal::owned(CelString::from(ip.to_canonical().to_string()))),
            ),
            Fact::CommonNames | Fact::Organizations | Fact::DnsNames | Fact::Uris => {
                Some(CowVal::owned(CelList::default()))
            }
            Fact::Oidc | Fact::ServiceAccount => Some(null()),
            // Fields of objects that are null.
            Fact::ProviderName
            | Fact::Claims
            | Fact::ServiceAccountNamespace
            | Fact::ServiceAccountName
            | Fact::Pod
            | Fact::Node => None,
            Fact::Action => Some(text(request.action.as_str())),
            Fact::Method => Some(text(request.method)),
            Fact::Repository => request.repository.map(text),
            Fact::Reference => request.reference.map(text),
            Fact::Digest => request.digest.map(text),
            Fact::Tags => Some(texts(tags, request.tags)?),
            Fact::SessionId => request.session_id.map(text),
            Fact::From => request.from.map(text),
            Fact::PageSize => request.n.map(|n| CowVal::owned(CelUInt::from(n))),
            Fact::Last => request.last.map(text),
            Fact::ArtifactType => request.artifact_type.map(text),
            Fact::DigestAlgorithm => request.digest_algorithm.map(text),
        };
        Ok(found)
    }
}

impl fmt::Debug for ObjectView<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectView").field(&self.object.path).finish()
    }
}

impl Indexer for ObjectView<'_, '_> {
    fn get<'b, 'v>(&'b self, field: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name = field.downcast_ref::<CelString<'_>>().map_or("", CelString::inner);
        let found = match self.object.field(name) {
            Some(variable) => self.value(variable.fact, variable.value_type)?,
            None => None,
        };
        found.ok_or_else(|| ExecutionError::no_such_key(&format!("{}.{name}", self.object.path)))
    }

    fn steal<'v>(self: Box<Self>, field: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(field).map(CowVal::into_owned)
    }
}

static OBJECT: Type = Type::new_unspecified_type("object");

impl Val for ObjectView<'_, '_> {
    fn get_type(&self) -> &Type {
        &OBJECT
    }

    fn cel_type() -> &'static Type {
        &OBJECT
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

fn null<'b, 'v>() -> CowVal<'b, 'v> {
    CowVal::Borrowed(&CelNull)
}

fn text<'b>(text: &str) -> CowVal<'b, '_> {
    CowVal::owned(CelString::from(text))
}

fn text_or_null<'b>(value: Option<&str>) -> CowVal<'b, '_> {
    value.map_or_else(null, text)
}

/// The list in `cell`, made of `texts` unless it is there already.
fn texts<'b, 'v, 'a: 'v>(
    cell: &'b OnceLock<CelList<'a>>,
    texts: &'a [String],
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    if texts.len() > MAX_LIST_LENGTH {
        let message = format!(
            "{} entries are more than the {MAX_LIST_LENGTH} that conditions see",
            texts.len()
        );
        return Err(ExecutionError::function_error("list", message));
    }
    let list = cell.get_or_init(|| {
        let values = texts
            .iter()
            .map(|text| -> Box<dyn Val + 'a> { Box::new(CelString::from(text.as_str())) });
        CelList::from(values.collect::<Vec<_>>())
    });
    Ok(CowVal::Borrowed(list))
}
