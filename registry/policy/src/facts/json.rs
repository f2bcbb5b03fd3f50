//! The claims of a token as values of expressions.

use std::collections::HashMap;

use cel::common::types::CelMapKey as Key;
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use serde_json::{Map, Value};

/// How deep claims are followed; what lies deeper is null. A token is JSON from outside.
const MAX_DEPTH: usize = 8;

/// A JSON object as a map.
pub(super) fn map(object: &Map<String, Value>) -> CelMap<'_> {
    entries(object, MAX_DEPTH)
}

fn entries(object: &Map<String, Value>, depth: usize) -> CelMap<'_> {
    let entries = object
        .iter()
        .map(|(name, claim)| (Key::String(CelString::from(name.as_str())), value(claim, depth)));
    CelMap::from(entries.collect::<HashMap<_, _>>())
}

fn value(json: &Value, depth: usize) -> Box<dyn Val + '_> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Box::new(CelNull);
    };
    match json {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Box::new(CelInt::from(number)),
            (None, Some(number), _) => Box::new(CelUInt::from(number)),
            (None, None, Some(number)) => Box::new(CelDouble::from(number)),
            (None, None, None) => Box::new(CelNull),
        },
        Value::Array(elements) => {
            let elements: Vec<Box<dyn Val + '_>> = elements.iter().map(|element| value(element, deeper)).collect();
            Box::new(CelList::from(elements))
        }
        Value::Object(object) => Box::new(entries(object, deeper)),
    }
}
