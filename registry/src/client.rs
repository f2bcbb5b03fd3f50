//! Who is on the other end, and how they reached the registry: from the connection, and from what proxies say of it as
//! far as they are trusted.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Uri};
use ipnet::IpNet;
use registry_config::ClientCertificate;

use crate::challenge;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The scheme of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The connection that a request came over.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The address at the other end.
    pub peer: IpAddr,
    /// Whether it has TLS.
    pub scheme: Scheme,
    /// The certificate that the client has shown, where it has.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Connection {
    /// A connection from `peer`.
    pub fn new(peer: SocketAddr, scheme: Scheme) -> Self {
        Self {
            peer: peer.ip().to_canonical(),
            scheme,
            certificate: None,
        }
    }
}

/// Where a request came from first, and the address that it was sent to.
#[derive(Debug, Clone)]
pub struct Client<'r> {
    /// The client's own address; `None` where a trusted proxy does not say it in a way that can be read.
    pub address: Option<IpAddr>,
    /// Whether the connection is that of a trusted proxy.
    pub is_proxied: bool,
    /// Who has signed in with the proxy, where it is a trusted one that says so.
    pub proxied_user: Option<&'r str>,
    /// The certificate of the connection. It is the client's own, and not a proxy's.
    pub certificate: Option<Arc<ClientCertificate>>,
    scheme: Scheme,
    host: Option<Cow<'r, str>>,
}

impl<'r> Client<'r> {
    /// Finds out about the client. `X-Forwarded-*` headers count only where the connection is that of a trusted proxy,
    /// and of each only what stands last, which is what that proxy wrote.
    /// `user_header` is the one in which such a proxy names who has signed in with it.
    pub fn of(
        connection: Connection,
        trusted: &[IpNet],
        user_header: Option<&HeaderName>,
        uri: &'r Uri,
        headers: &'r HeaderMap,
    ) -> Self {
        let host = challenge::host(uri, headers);
        let Connection {
            peer,
            scheme,
            certificate,
        } = connection;
        if !is_trusted(trusted, peer) {
            return Self {
                address: Some(peer),
                is_proxied: false,
                proxied_user: None,
                certificate,
                scheme,
                host: host.map(Cow::Borrowed),
            };
        }
        let scheme = match last(headers, &FORWARDED_PROTO) {
            Some(proto) if proto.eq_ignore_ascii_case("https") => Scheme::Https,
            Some(proto) if proto.eq_ignore_ascii_case("http") => Scheme::Http,
            Some(_) | None => scheme,
        };
        Self {
            address: forwarded_for(peer, trusted, headers),
            is_proxied: true,
            certificate: None,
            proxied_user: user_header.and_then(|header| proxied_user(headers, header)),
            scheme,
            host: forwarded_host(headers, scheme, host),
        }
    }

    /// Scheme, host and port under which the client reached the registry; `None` where it sent no usable Host.
    pub fn base(&self) -> Option<String> {
        let host = self.host.as_ref()?;
        Some(format!("{}://{host}", self.scheme.as_str()))
    }
}

/// The one name in a header; nobody where there are several, because a client may have added one.
fn proxied_user<'r>(headers: &'r HeaderMap, header: &HeaderName) -> Option<&'r str> {
    let mut values = headers.get_all(header).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let name = value.to_str().ok()?.trim();
    (!name.is_empty() && name.len() <= 128 && !name.contains([':', ','])).then_some(name)
}

/// Whether what `peer` says of others is believed.
pub(crate) fn is_trusted(trusted: &[IpNet], peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|network| network.contains(&peer))
}

/// The last of the addresses that is not one of a trusted proxy; the first one where all of them are.
fn forwarded_for(peer: IpAddr, trusted: &[IpNet], headers: &HeaderMap) -> Option<IpAddr> {
    let mut known = peer;
    for value in headers.get_all(FORWARDED_FOR).iter().rev() {
        for entry in value.to_str().ok()?.rsplit(',') {
            // What cannot be read hides who was there: better nobody than somebody else.
            known = address(entry.trim())?;
            if !is_trusted(trusted, known) {
                return Some(known);
            }
        }
    }
    Some(known)
}

/// An address as proxies write it: alone, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    address.or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// The host that a trusted proxy was asked for. Its port is that of `X-Forwarded-Host`, else that of
/// `X-Forwarded-Port`, else that of the Host header.
fn forwarded_host<'r>(headers: &'r HeaderMap, scheme: Scheme, host: Option<&'r str>) -> Option<Cow<'r, str>> {
    let forwarded = last(headers, &FORWARDED_HOST).filter(|host| challenge::is_host(host));
    let host = forwarded.or(host)?;
    let (name, port) = split_port(host);
    if forwarded.is_some() && port.is_some() {
        return Some(Cow::Borrowed(host));
    }
    let port = last(headers, &FORWARDED_PORT).and_then(|port| port.parse::<u16>().ok());
    Some(match port {
        Some(port) if port == scheme.default_port() => Cow::Borrowed(name),
        Some(port) => Cow::Owned(format!("{name}:{port}")),
        None => Cow::Borrowed(host),
    })
}

/// The name and the port of a host; a colon within brackets belongs to an address.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    }
}

/// What stands last in a header that lists values, in its last line.
fn last<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Option<&'r str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn networks() -> Vec<IpNet> {
        vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()]
    }

    fn seen(peer: &str, scheme: Scheme, pairs: &[(&'static str, &str)]) -> (Option<String>, Option<String>) {
        let connection = Connection::new(SocketAddr::new(peer.parse().unwrap(), 1), scheme);
        let (uri, headers) = (Uri::from_static("/v2/"), headers(pairs));
        let client = Client::of(connection, &networks(), None, &uri, &headers);
        (client.address.map(|address| address.to_string()), client.base())
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        let long = "1.2.3.4, ".repeat(5000) + "192.0.2.9";
        for (peer, lines, want) in [
            ("192.0.2.1", &["203.0.113.7"][..], Some("192.0.2.1")),
            ("10.0.0.1", &[], Some("10.0.0.1")),
            ("10.0.0.1", &["203.0.113.7"], Some("203.0.113.7")),
            ("::ffff:10.0.0.1", &["203.0.113.7"], Some("203.0.113.7")),
            ("2001:db8::1", &["::ffff:203.0.113.7"], Some("203.0.113.7")),
            // The client's own claim stands first, and is not believed.
            ("10.0.0.1", &["127.0.0.1, 203.0.113.7"], Some("203.0.113.7")),
            ("10.0.0.1", &["127.0.0.1", "203.0.113.7"], Some("203.0.113.7")),
            (
                "10.0.0.1",
                &["127.0.0.1, 203.0.113.7 , 10.2.0.1,10.3.0.1"],
                Some("203.0.113.7"),
            ),
            ("10.0.0.1", &["203.0.113.7", "10.2.0.1"], Some("203.0.113.7")),
            ("10.0.0.1", &["10.9.0.1, 10.2.0.1"], Some("10.9.0.1")),
            ("10.0.0.1", &["203.0.113.7:4711"], Some("203.0.113.7")),
            ("10.0.0.1", &["[2001:dead::1]:4711"], Some("2001:dead::1")),
            ("10.0.0.1", &["[2001:dead::1]"], Some("2001:dead::1")),
            ("10.0.0.1", &["2001:dead::1"], Some("2001:dead::1")),
            ("10.0.0.1", &["unknown"], None),
            ("10.0.0.1", &["203.0.113.7, unknown"], None),
            ("10.0.0.1", &["unknown, 203.0.113.7"], Some("203.0.113.7")),
            ("10.0.0.1", &["203.0.113.7, "], None),
            ("10.0.0.1", &["203.0.113.7, \u{e4}"], None),
            ("10.0.0.1", &[&long], Some("192.0.2.9")),
        ] {
            let pairs: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            assert_eq!(seen(peer, Scheme::Http, &pairs).0.as_deref(), want, "{peer} {lines:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_names_who_has_signed_in_and_only_one() {
        let user = HeaderName::from_static("x-forwarded-user");
        for (peer, lines, want) in [
            ("10.0.0.1", &["alice"][..], Some("alice")),
            ("10.0.0.1", &[" alice "], Some("alice")),
            ("192.0.2.1", &["alice"], None),
            ("10.0.0.1", &[], None),
            ("10.0.0.1", &[""], None),
            ("10.0.0.1", &["alice", "bob"], None),
            ("10.0.0.1", &["alice, bob"], None),
            ("10.0.0.1", &["alice:x"], None),
            ("10.0.0.1", &[&"x".repeat(129)], None),
        ] {
            let pairs: Vec<_> = lines.iter().map(|line| ("x-forwarded-user", *line)).collect();
            let connection = Connection::new(SocketAddr::new(peer.parse().unwrap(), 1), Scheme::Http);
            let (uri, headers) = (Uri::from_static("/v2/"), headers(&pairs));
            let of = |header| Client::of(connection.clone(), &networks(), header, &uri, &headers).proxied_user;
            assert_eq!(of(Some(&user)), want, "{peer} {lines:?}");
            assert_eq!(of(None), None);
        }
    }

    #[test]
    fn scheme_host_and_port_are_those_of_the_request_unless_a_trusted_proxy_says_otherwise() {
        let proxied = [
            ("host", "inside:5000"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "r.example"),
            ("x-forwarded-port", "44301"),
        ];
        let base = |peer: &str, scheme, pairs: &[(&'static str, &str)]| seen(peer, scheme, pairs).1;
        let (proxy, other) = ("10.0.0.1", "192.0.2.1");
        let is = |found: Option<String>, want: &str| assert_eq!(found.as_deref(), Some(want));
        is(base(other, Scheme::Http, &proxied), "http://inside:5000");
        is(base(other, Scheme::Https, &proxied), "https://inside:5000");
        is(base(proxy, Scheme::Http, &proxied), "https://r.example:44301");
        for (pairs, want) in [
            (&[("host", "r.example:5000")][..], "http://r.example:5000"),
            (
                &[("host", "r.example"), ("x-forwarded-proto", "https")],
                "https://r.example",
            ),
            (
                &[("host", "r.example"), ("x-forwarded-proto", "HTTP, HTTPS")],
                "https://r.example",
            ),
            (
                &[("host", "r.example"), ("x-forwarded-proto", "javascript")],
                "http://r.example",
            ),
            // nginx with `Host $host`, which strips the port.
            (
                &[("host", "r.example"), ("x-forwarded-port", "44301")],
                "http://r.example:44301",
            ),
            (&[("host", "r.example"), ("x-forwarded-port", "80")], "http://r.example"),
            (
                &[
                    ("host", "r.example:80"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-port", "443"),
                ],
                "https://r.example",
            ),
            (&[("host", "r.example"), ("x-forwarded-port", "x")], "http://r.example"),
            (&[("host", "[::1]"), ("x-forwarded-port", "81")], "http://[::1]:81"),
            (
                &[
                    ("host", "i"),
                    ("x-forwarded-host", "r.example:1"),
                    ("x-forwarded-port", "2"),
                ],
                "http://r.example:1",
            ),
            (
                &[("host", "i"), ("x-forwarded-host", "evil.example, r.example")],
                "http://r.example",
            ),
            // What is no host is as good as not there.
            (&[("host", "i"), ("x-forwarded-host", "r.example/\"x")], "http://i"),
            (&[("host", "i"), ("x-forwarded-host", "user@r.example")], "http://i"),
            (&[("host", "i"), ("x-forwarded-host", "")], "http://i"),
        ] {
            is(base(proxy, Scheme::Http, pairs), want);
        }
        assert_eq!(base(proxy, Scheme::Http, &[("host", "a b")]), None);
    }
}
