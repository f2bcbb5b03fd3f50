//! The functions that conditions may call: those of the CEL standard that are safe and useful here, `contains` on lists and
//! maps, `glob`, and those for addresses and networks of Kubernetes' CEL libraries.

use std::fmt;

use super::ValueType;
use super::ValueType::{Bool, Bytes, Cidr, Double, Duration, Dyn, Int, Ip, List, Map, String, Timestamp, Uint};

/// One signature of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function {
    /// The name.
    pub name: &'static str,
    /// How it is called.
    pub style: Style,
    /// The types of its arguments, that of the receiver first for [`Style::Member`].
    pub parameters: &'static [ValueType],
    /// The type of its result.
    pub result: ValueType,
}

/// How a function is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// `f(x)`.
    Global,
    /// `x.f()`.
    Member,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_call(f, self.style, self.name, self.parameters)?;
        write!(f, " -> {}", self.result)
    }
}

/// Writes a call as in `string.startsWith(string)` or `size(list(dyn))`.
pub(crate) fn write_call(f: &mut impl fmt::Write, style: Style, name: &str, types: &[ValueType]) -> fmt::Result {
    let arguments = match (style, types.split_first()) {
        (Style::Member, Some((receiver, arguments))) => {
            write!(f, "{receiver}.")?;
            arguments
        }
        _ => types,
    };
    write!(f, "{name}(")?;
    for (position, argument) in arguments.iter().enumerate() {
        write!(f, "{}{argument}", if position == 0 { "" } else { ", " })?;
    }
    f.write_str(")")
}

/// Every signature of every function, by name.
pub fn functions() -> &'static [Function] {
    FUNCTIONS
}

/// The macros: they read like functions and are expanded when parsed. `has(a.b)` tests for a field; the others are
/// called on a list, as in `request.tags.all(t, t != 'latest')`.
pub const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "map", "filter"];

const fn global(name: &'static str, parameters: &'static [ValueType], result: ValueType) -> Function {
    Function {
        name,
        style: Style::Global,
        parameters,
        result,
    }
}

const fn member(name: &'static str, parameters: &'static [ValueType], result: ValueType) -> Function {
    Function {
        name,
        style: Style::Member,
        parameters,
        result,
    }
}

// `matches` and `glob` take a pattern that is written out, see `pattern.rs`. `type`, `dyn` and `optional.*` would defeat the checks.
static FUNCTIONS: &[Function] = &[
    global("bool", &[Bool], Bool),
    global("bool", &[String], Bool),
    global("bytes", &[String], Bytes),
    global("bytes", &[Bytes], Bytes),
    global("cidr", &[String], Cidr),
    member("contains", &[String, String], Bool),
    member("contains", &[List(&Dyn), Dyn], Bool),
    member("contains", &[Map(&Dyn), Dyn], Bool),
    member("containsCIDR", &[Cidr, Cidr], Bool),
    member("containsCIDR", &[Cidr, String], Bool),
    member("containsIP", &[Cidr, Ip], Bool),
    member("containsIP", &[Cidr, String], Bool),
    global("double", &[Double], Double),
    global("double", &[Int], Double),
    global("double", &[Uint], Double),
    global("double", &[String], Double),
    global("duration", &[String], Duration),
    global("duration", &[Duration], Duration),
    member("endsWith", &[String, String], Bool),
    member("family", &[Ip], Int),
    member("getDate", &[Timestamp], Int),
    member("getDate", &[Timestamp, String], Int),
    member("getDayOfMonth", &[Timestamp], Int),
    member("getDayOfMonth", &[Timestamp, String], Int),
    member("getDayOfWeek", &[Timestamp], Int),
    member("getDayOfWeek", &[Timestamp, String], Int),
    member("getDayOfYear", &[Timestamp], Int),
    member("getDayOfYear", &[Timestamp, String], Int),
    member("getFullYear", &[Timestamp], Int),
    member("getFullYear", &[Timestamp, String], Int),
    member("getHours", &[Timestamp], Int),
    member("getHours", &[Timestamp, String], Int),
    member("getHours", &[Duration], Int),
    member("getMilliseconds", &[Timestamp], Int),
    member("getMilliseconds", &[Timestamp, String], Int),
    member("getMilliseconds", &[Duration], Int),
    member("getMinutes", &[Timestamp], Int),
    member("getMinutes", &[Timestamp, String], Int),
    member("getMinutes", &[Duration], Int),
    member("getMonth", &[Timestamp], Int),
    member("getMonth", &[Timestamp, String], Int),
    member("getSeconds", &[Timestamp], Int),
    member("getSeconds", &[Timestamp, String], Int),
    member("getSeconds", &[Duration], Int),
    member("glob", &[String, String], Bool),
    global("int", &[Int], Int),
    global("int", &[Uint], Int),
    global("int", &[Double], Int),
    global("int", &[String], Int),
    global("int", &[Timestamp], Int),
    global("ip", &[String], Ip),
    global("ip", &[Cidr], Ip),
    global("isCIDR", &[String], Bool),
    global("isIP", &[String], Bool),
    member("isLoopback", &[Ip], Bool),
    member("isUnspecified", &[Ip], Bool),
    member("matches", &[String, String], Bool),
    member("prefixLength", &[Cidr], Int),
    global("size", &[String], Int),
    global("size", &[Bytes], Int),
    global("size", &[List(&Dyn)], Int),
    global("size", &[Map(&Dyn)], Int),
    member("size", &[String], Int),
    member("size", &[Bytes], Int),
    member("size", &[List(&Dyn)], Int),
    member("size", &[Map(&Dyn)], Int),
    member("startsWith", &[String, String], Bool),
    global("string", &[String], String),
    global("string", &[Bool], String),
    global("string", &[Int], String),
    global("string", &[Uint], String),
    global("string", &[Double], String),
    global("string", &[Bytes], String),
    global("string", &[Timestamp], String),
    global("string", &[Duration], String),
    global("string", &[Ip], String),
    global("string", &[Cidr], String),
    global("timestamp", &[String], Timestamp),
    global("timestamp", &[Timestamp], Timestamp),
    global("timestamp", &[Int], Timestamp),
    global("uint", &[Uint], Uint),
    global("uint", &[Int], Uint),
    global("uint", &[Double], Uint),
    global("uint", &[String], Uint),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_listed_by_name_and_each_name_and_style_has_one_result() {
        assert!(FUNCTIONS.is_sorted_by_key(|function| function.name));
        for a in FUNCTIONS {
            for b in FUNCTIONS {
                assert!(
                    a.name != b.name || a.style != b.style || a.result == b.result,
                    "{a} and {b}"
                );
                assert!(std::ptr::eq(a, b) || a != b, "{a} is listed twice");
            }
        }
    }

    #[test]
    fn signatures_read_like_calls() {
        let written: Vec<_> = FUNCTIONS
            .iter()
            .filter(|f| f.name == "contains")
            .map(std::string::ToString::to_string)
            .collect();
        assert_eq!(
            written,
            [
                "string.contains(string) -> bool",
                "list(dyn).contains(dyn) -> bool",
                "map(string, dyn).contains(dyn) -> bool"
            ]
        );
    }
}
