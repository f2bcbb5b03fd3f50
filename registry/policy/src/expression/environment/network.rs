//! Addresses and networks: `ip()`, `cidr()` and what can be asked of them, as in the CEL libraries of Kubernetes.

#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "the environment takes functions of this type"
)]

use std::any::Any;
use std::net::IpAddr;

use cel::common::types::{CelBool, CelInt, CelString, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Env, ExecutionError};
use ipnet::IpNet;

use crate::network::parse_network;

static IP: Type = ip_type();
static CIDR: Type = cidr_type();

const fn ip_type() -> Type {
    Type::new_unspecified_type("net.IP")
}

const fn cidr_type() -> Type {
    Type::new_unspecified_type("net.CIDR")
}

/// An address. One of IPv4 that is written as one of IPv6 is the one of IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ip(IpAddr);

/// A network, with the address that it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cidr(IpNet);

macro_rules! value {
    ($name:ident, $type:ident) => {
        impl Val for $name {
            fn get_type(&self) -> &Type {
                &$type
            }

            fn cel_type() -> &'static Type {
                &$type
            }

            fn equals(&self, other: &dyn Val) -> bool {
                other.downcast_ref::<Self>().is_some_and(|other| self == other)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
            where
                Self: 'v,
            {
                Box::new(*self)
            }

            fn as_any(&self) -> Option<&dyn Any> {
                Some(self)
            }
        }

        impl StaticVal for $name {}
    };
}

value!(Ip, IP);
value!(Cidr, CIDR);

/// Reads an address.
pub(in crate::expression) fn parse_ip(text: &str) -> Result<IpAddr, String> {
    let parsed: Result<IpAddr, _> = text.parse();
    parsed
        .map(|address| address.to_canonical())
        .map_err(|_| format!("`{text}` is no IP address"))
}

type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Adds the functions to an environment.
pub(super) fn add(environment: &mut Env) -> Result<(), cel::DeclarationError> {
    environment.add_overload("ip", "string_to_ip", vec![STRING_TYPE], ip)?;
    environment.add_overload("ip", "cidr_ip", vec![cidr_type()], address_of)?;
    environment.add_overload("isIP", "is_ip", vec![STRING_TYPE], is_ip)?;
    environment.add_overload("cidr", "string_to_cidr", vec![STRING_TYPE], cidr)?;
    environment.add_overload("isCIDR", "is_cidr", vec![STRING_TYPE], is_cidr)?;
    environment.add_overload("string", "ip_to_string", vec![ip_type()], text)?;
    environment.add_overload("string", "cidr_to_string", vec![cidr_type()], text)?;
    environment.add_member_overload("family", "ip_family", ip_type(), vec![], family)?;
    environment.add_member_overload("isLoopback", "ip_is_loopback", ip_type(), vec![], is_loopback)?;
    environment.add_member_overload("isUnspecified", "ip_is_unspecified", ip_type(), vec![], is_unspecified)?;
    environment.add_member_overload("prefixLength", "cidr_prefix_length", cidr_type(), vec![], prefix_length)?;
    for (id, argument) in [("cidr_contains_ip", ip_type()), ("cidr_contains_ip_text", STRING_TYPE)] {
        environment.add_member_overload("containsIP", id, cidr_type(), vec![argument], contains_ip)?;
    }
    for (id, argument) in [
        ("cidr_contains_cidr", cidr_type()),
        ("cidr_contains_cidr_text", STRING_TYPE),
    ] {
        environment.add_member_overload("containsCIDR", id, cidr_type(), vec![argument], contains_cidr)?;
    }
    Ok(())
}

/// The argument at `position` as an address, written out or not.
fn ip_at(arguments: &Arguments<'_, '_>, position: usize) -> Result<IpAddr, ExecutionError> {
    let value = arguments.get(position).map(CowVal::as_ref);
    if let Some(Ip(address)) = value.and_then(<dyn Val>::downcast_ref::<Ip>) {
        return Ok(*address);
    }
    parse_ip(text_of(value)?).map_err(|message| ExecutionError::function_error("ip", message))
}

fn cidr_at(arguments: &Arguments<'_, '_>, position: usize) -> Result<IpNet, ExecutionError> {
    let value = arguments.get(position).map(CowVal::as_ref);
    if let Some(Cidr(network)) = value.and_then(<dyn Val>::downcast_ref::<Cidr>) {
        return Ok(*network);
    }
    parse_network(text_of(value)?).map_err(|message| ExecutionError::function_error("cidr", message))
}

fn text_of<'b>(value: Option<&'b (dyn Val + '_)>) -> Result<&'b str, ExecutionError> {
    value
        .and_then(<dyn Val>::downcast_ref::<CelString<'_>>)
        .map(CelString::inner)
        .ok_or_else(ExecutionError::missing_argument_or_target)
}

fn truth<'b, 'v>(value: bool) -> CowVal<'b, 'v> {
    CowVal::owned(CelBool::from(value))
}

fn ip<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    Ok(CowVal::owned(Ip(ip_at(&arguments, 0)?)))
}

fn address_of<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    Ok(CowVal::owned(Ip(cidr_at(&arguments, 0)?.addr())))
}

fn is_ip<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    Ok(truth(ip_at(&arguments, 0).is_ok()))
}

fn cidr<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    Ok(CowVal::owned(Cidr(cidr_at(&arguments, 0)?)))
}

fn is_cidr<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    Ok(truth(cidr_at(&arguments, 0).is_ok()))
}

fn text<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let text = ip_at(&arguments, 0)
        .map(|address| address.to_string())
        .or_else(|_| cidr_at(&arguments, 0).map(|network| network.to_string()));
    Ok(CowVal::owned(CelString::from(text?)))
}

fn family<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let family = if ip_at(&arguments, 0)?.is_ipv4() { 4 } else { 6 };
    Ok(CowVal::owned(CelInt::from(family)))
}

fn is_loopback<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    Ok(truth(ip_at(&arguments, 0)?.is_loopback()))
}

fn is_unspecified<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    Ok(truth(ip_at(&arguments, 0)?.is_unspecified()))
}

fn prefix_length<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    Ok(CowVal::owned(CelInt::from(i64::from(
        cidr_at(&arguments, 0)?.prefix_len(),
    ))))
}

fn contains_ip<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    Ok(truth(cidr_at(&arguments, 0)?.contains(&ip_at(&arguments, 1)?)))
}

fn contains_cidr<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    Ok(truth(cidr_at(&arguments, 0)?.contains(&cidr_at(&arguments, 1)?)))
}
