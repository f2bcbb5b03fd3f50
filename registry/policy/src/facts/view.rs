//! The facts as expressions see them: looked up only when an expression reads them, and borrowed where possible.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use cel::ExecutionError;
use cel::common::traits::Indexer;
use cel::common::types::CelMapKey as Key;
use cel::common::types::{CelList, CelMap, CelNull, CelString, CelUInt, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::{Attributes, Caller, MAX_LIST_LENGTH, Request, json};
use crate::pattern::Pattern;
use crate::vocabulary::{Fact, IDENTITY, Object, REQUEST, ValueType};

/// What the expressions of one decision read from.
pub(crate) struct Facts<'a> {
    caller: &'a Caller<'a>,
    request: &'a Request<'a>,
    // Made when first read, and then shared by all reads: an expression may read a list once per element of another.
    lists: [OnceLock<CelList<'a>>; Texts::COUNT],
    attributes: OnceLock<CelMap<'a>>,
    claims: OnceLock<CelMap<'a>>,
}

/// The lists among the facts.
#[derive(Clone, Copy)]
enum Texts {
    Groups,
    Tags,
    CommonNames,
    Organizations,
    DnsNames,
    Uris,
}

impl Texts {
    const COUNT: usize = 6;
}

impl<'a> Facts<'a> {
    pub(crate) fn new(caller: &'a Caller<'a>, request: &'a Request<'a>) -> Self {
        Self {
            caller,
            request,
            lists: [const { OnceLock::new() }; Texts::COUNT],
            attributes: OnceLock::new(),
            claims: OnceLock::new(),
        }
    }

    fn texts<'b, 'v>(&'b self, which: Texts) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        'a: 'v,
    {
        let identity = self.caller.identity.as_ref();
        let certificate = self.caller.certificate;
        let texts: Option<&'a [String]> = match which {
            Texts::Groups => identity.map(|identity| identity.groups),
            Texts::Tags => Some(self.request.tags),
            Texts::CommonNames => certificate.map(|certificate| certificate.common_names.as_slice()),
            Texts::Organizations => certificate.map(|certificate| certificate.organizations.as_slice()),
            Texts::DnsNames => certificate.map(|certificate| certificate.dns_names.as_slice()),
            Texts::Uris => certificate.map(|certificate| certificate.uris.as_slice()),
        };
        let texts = texts.unwrap_or_default();
        if texts.len() > MAX_LIST_LENGTH {
            return Err(too_many(texts.len()));
        }
        Ok(CowVal::Borrowed(
            self.lists[which as usize].get_or_init(|| list_of(texts)),
        ))
    }

    fn attributes<'b, 'v>(&'b self) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        'a: 'v,
    {
        let attributes: Option<&'a Attributes> = self.caller.identity.and_then(|identity| identity.attributes);
        let longest = attributes
            .into_iter()
            .flat_map(|attributes| attributes.values().map(Vec::len).chain([attributes.len()]));
        if let Some(length) = longest.max().filter(|length| *length > MAX_LIST_LENGTH) {
            return Err(too_many(length));
        }
        Ok(CowVal::Borrowed(self.attributes.get_or_init(|| {
            let entries = attributes.into_iter().flatten().map(|(name, values)| {
                let list: Box<dyn Val + 'a> = Box::new(list_of(values));
                (Key::String(CelString::from(name.as_str())), list)
            });
            CelMap::from(entries.collect::<HashMap<_, _>>())
        })))
    }
}

fn too_many(found: usize) -> ExecutionError {
    let message = format!("{found} entries are more than the {MAX_LIST_LENGTH} that conditions see");
    ExecutionError::function_error("list", message)
}

fn list_of(texts: &[String]) -> CelList<'_> {
    let values = texts
        .iter()
        .map(|text| -> Box<dyn Val + '_> { Box::new(CelString::from(text.as_str())) });
    CelList::from(values.collect::<Vec<_>>())
}

/// The root variables.
pub(crate) struct Variables<'f, 'a> {
    identity: ObjectView<'f, 'a>,
    request: ObjectView<'f, 'a>,
    patterns: &'f [Pattern],
}

impl<'f, 'a> Variables<'f, 'a> {
    /// The variables, and the patterns that the expression was compiled with.
    pub(crate) fn new(facts: &'f Facts<'a>, patterns: &'f [Pattern]) -> Self {
        Self {
            patterns,
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
            other => pattern(self.patterns, other),
        }
    }
}

/// The pattern that stands under a name in a compiled expression.
fn pattern<'b>(patterns: &'b [Pattern], variable: &str) -> Option<CowVal<'b, 'b>> {
    let number: usize = variable.strip_prefix(Pattern::VARIABLE)?.parse().ok()?;
    patterns
        .get(number)
        .map(|pattern| -> CowVal<'b, 'b> { CowVal::Borrowed(pattern) })
}

/// The variable of expressions over the claims of a token.
pub(crate) struct ClaimVariables<'f> {
    claims: CelMap<'f>,
    patterns: &'f [Pattern],
}

impl<'f> ClaimVariables<'f> {
    /// The claims, and the patterns that the expression was compiled with.
    pub(crate) fn new(claims: &'f serde_json::Map<String, serde_json::Value>, patterns: &'f [Pattern]) -> Self {
        Self {
            claims: json::map(claims),
            patterns,
        }
    }
}

impl VariableResolver for ClaimVariables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "claims" => Some(CowVal::Borrowed(&self.claims)),
            other => pattern(self.patterns, other),
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
        let facts = self.facts;
        let Facts { caller, request, .. } = facts;
        let identity = caller.identity.as_ref();
        let object = || match value_type {
            ValueType::Object(object) => Some(CowVal::owned(Self { object, ..*self })),
            _ => None,
        };
        let account = caller.service_account;
        let found = match fact {
            Fact::Identity | Fact::Request | Fact::Certificate => object(),
            Fact::Id => Some(text_or_null(identity.map(|identity| identity.id))),
            Fact::Username => Some(text_or_null(identity.map(|identity| identity.username))),
            Fact::Groups => Some(facts.texts(Texts::Groups)?),
            Fact::Attributes => Some(facts.attributes()?),
            // A peer of a dual-stack listener shows as `::ffff:192.0.2.1`, which no rule would be written for.
            Fact::ClientIp => Some(
                caller
                    .client_ip
                    .map_or_else(null, |ip| CowVal::owned(CelString::from(ip.to_canonical().to_string()))),
            ),
            Fact::CommonNames => Some(facts.texts(Texts::CommonNames)?),
            Fact::Organizations => Some(facts.texts(Texts::Organizations)?),
            Fact::DnsNames => Some(facts.texts(Texts::DnsNames)?),
            Fact::Uris => Some(facts.texts(Texts::Uris)?),
            Fact::Oidc => caller.oidc.map_or_else(|| Some(null()), |_| object()),
            Fact::ServiceAccount => account.map_or_else(|| Some(null()), |_| object()),
            // The fields of the last two are missing where the objects are null.
            Fact::ProviderName => caller.oidc.map(|oidc| text(&oidc.provider_name)),
            Fact::Claims => caller
                .oidc
                .map(|oidc| CowVal::Borrowed(facts.claims.get_or_init(|| json::map(&oidc.claims)))),
            Fact::ServiceAccountNamespace => account.map(|account| text(&account.namespace)),
            Fact::ServiceAccountName => account.map(|account| text(&account.name)),
            Fact::Pod => account.map(|account| text_or_null(account.pod.as_deref())),
            Fact::Node => account.map(|account| text_or_null(account.node.as_deref())),
            Fact::Action => Some(text(request.action.as_str())),
            Fact::Method => Some(text(request.method)),
            Fact::Repository => request.repository.map(text),
            Fact::Reference => request.reference.map(text),
            Fact::Digest => request.digest.map(text),
            Fact::Tags => Some(facts.texts(Texts::Tags)?),
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
