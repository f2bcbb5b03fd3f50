//! The types that the checker knows values by.

use std::fmt;

use super::Object;

/// The type of a value, as far as it is known before the evaluation.
#[derive(Clone, Copy, Debug)]
pub enum ValueType {
    /// Known only when evaluated, like an OIDC claim.
    Dyn,
    /// Only null.
    Null,
    /// True or false.
    Bool,
    /// A signed integer of 64 bits.
    Int,
    /// An unsigned integer of 64 bits.
    Uint,
    /// A floating-point number of 64 bits.
    Double,
    /// A text.
    String,
    /// A sequence of bytes.
    Bytes,
    /// A span of time.
    Duration,
    /// A point in time.
    Timestamp,
    /// An IP address.
    Ip,
    /// A network of IP addresses.
    Cidr,
    /// A list of elements of one type.
    List(&'static ValueType),
    /// A map to values of one type.
    Map(&'static ValueType),
    /// A variable that has fields; no value of its own.
    Object(&'static Object),
}

impl ValueType {
    /// Whether a value of type `argument` fits where one of this type is expected.
    pub fn accepts(self, argument: Self) -> bool {
        match (self, argument) {
            (_, Self::Object(_)) => false,
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::List(want), Self::List(got)) | (Self::Map(want), Self::Map(got)) => want.accepts(*got),
            _ => self == argument,
        }
    }

    /// Whether `==` between values of the two types can be true.
    pub(crate) fn is_comparable_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Object(_), Self::Null) | (Self::Null, Self::Object(_)) => true,
            (Self::Object(_), _) | (_, Self::Object(_)) => false,
            (Self::Dyn | Self::Null, _) | (_, Self::Dyn | Self::Null) => true,
            (Self::List(a), Self::List(b)) | (Self::Map(a), Self::Map(b)) => a.is_comparable_with(*b),
            _ => self == other || (self.is_number() && other.is_number()),
        }
    }

    /// Whether `<` and its kin accept values of the two types.
    pub(crate) fn is_orderable_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Dyn, other) | (other, Self::Dyn) => other.is_orderable(),
            _ => self.is_orderable() && (self == other || (self.is_number() && other.is_number())),
        }
    }

    /// The narrowest type that holds the values of both.
    pub(crate) fn join(self, other: Self) -> Self {
        if self == other { self } else { Self::Dyn }
    }

    /// This type as that of a list's elements or a map's values. Nested collections are not followed.
    pub(crate) const fn interned(self) -> &'static Self {
        match self {
            Self::Null => &Self::Null,
            Self::Bool => &Self::Bool,
            Self::Int => &Self::Int,
            Self::Uint => &Self::Uint,
            Self::Double => &Self::Double,
            Self::String => &Self::String,
            Self::Bytes => &Self::Bytes,
            Self::Duration => &Self::Duration,
            Self::Timestamp => &Self::Timestamp,
            Self::Ip => &Self::Ip,
            Self::Cidr => &Self::Cidr,
            Self::Dyn | Self::List(_) | Self::Map(_) | Self::Object(_) => &Self::Dyn,
        }
    }

    const fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    const fn is_orderable(self) -> bool {
        match self {
            Self::Dyn
            | Self::Bool
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::String
            | Self::Bytes
            | Self::Duration
            | Self::Timestamp => true,
            Self::Null | Self::Ip | Self::Cidr | Self::List(_) | Self::Map(_) | Self::Object(_) => false,
        }
    }
}

impl PartialEq for ValueType {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) | (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a.path == b.path,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for ValueType {}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Ip => f.write_str("ip"),
            Self::Cidr => f.write_str("cidr"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(value) => write!(f, "map(string, {value})"),
            Self::Object(_) => f.write_str("object"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::IDENTITY;

    const TEXTS: ValueType = ValueType::List(&ValueType::String);
    const ANYTHING: ValueType = ValueType::List(&ValueType::Dyn);
    const OBJECT: ValueType = ValueType::Object(&IDENTITY);

    #[test]
    fn a_parameter_accepts_its_type_and_what_may_turn_out_to_be_of_it() {
        for (parameter, argument, want) in [
            (ValueType::String, ValueType::String, true),
            (ValueType::String, ValueType::Dyn, true),
            (ValueType::Dyn, ValueType::String, true),
            (ANYTHING, TEXTS, true),
            (TEXTS, ANYTHING, true),
            (TEXTS, ValueType::List(&ValueType::Int), false),
            (TEXTS, ValueType::Map(&ValueType::String), false),
            (ValueType::String, ValueType::Null, false),
            (ValueType::Int, ValueType::Uint, false),
            (ValueType::Dyn, OBJECT, false),
            (OBJECT, OBJECT, false),
        ] {
            assert_eq!(parameter.accepts(argument), want, "{parameter} of {argument}");
        }
    }

    #[test]
    fn values_compare_when_they_can_be_equal_and_order_when_they_are_alike() {
        for (a, b, comparable, orderable) in [
            (ValueType::String, ValueType::String, true, true),
            (ValueType::String, ValueType::Null, true, false),
            (ValueType::String, ValueType::Dyn, true, true),
            (ValueType::String, ValueType::Int, false, false),
            (ValueType::Int, ValueType::Double, true, true),
            (ValueType::Int, ValueType::Uint, true, true),
            (TEXTS, TEXTS, true, false),
            (TEXTS, ANYTHING, true, false),
            (TEXTS, ValueType::List(&ValueType::Int), false, false),
            (TEXTS, ValueType::Dyn, true, false),
            (ValueType::Null, ValueType::Null, true, false),
            (OBJECT, ValueType::Null, true, false),
            (OBJECT, ValueType::Dyn, false, false),
            (OBJECT, OBJECT, false, false),
            (ValueType::Timestamp, ValueType::Duration, false, false),
        ] {
            for (left, right) in [(a, b), (b, a)] {
                assert_eq!(left.is_comparable_with(right), comparable, "{left} == {right}");
                assert_eq!(left.is_orderable_with(right), orderable, "{left} < {right}");
            }
        }
    }
}
