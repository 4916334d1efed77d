//! Who may be meant and who may ask: `Host` and `Origin`.
//!
//! A page anywhere in the web can have its visitor's browser post to `127.0.0.1`, and can give its own name that
//! address. The browser says so in two headers, so that is what is looked at. There is no CORS: nobody else's page has
//! business here.

use super::Refused;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri, Version};
use std::net::{IpAddr, SocketAddr};

/// The names a server answers to.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// Without a port, in lower case, IPv6 addresses in brackets; none means that any is fine.
    allowed: Vec<String>,
    /// Where it listens, if that is the loopback.
    loopback: bool,
}

impl Hosts {
    /// For a server that listens there. With no names of its own, one on the loopback answers to `localhost` and the
    /// loopback's addresses; one that others can reach answers to any name, since it cannot know how they call it.
    pub fn new<S: AsRef<str>>(at: SocketAddr, allowed: impl IntoIterator<Item = S>) -> Self {
        let mut allowed: Vec<String> =
            allowed.into_iter().map(|name| without_port(name.as_ref()).to_ascii_lowercase()).collect();
        let loopback = at.ip().to_canonical().is_loopback();
        if !allowed.is_empty() && !at.ip().is_unspecified() {
            allowed.push(without_port(&at.to_string()).to_owned());
        }
        Hosts { allowed, loopback }
    }

    fn allows(&self, authority: &str) -> bool {
        let host = without_port(authority);
        if self.allowed.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return true;
        }
        // Names of the loopback are right even beside a list: whoever is on this machine may say them.
        if self.loopback { is_loopback(host) } else { self.allowed.is_empty() }
    }

    /// Whether a request may come in.
    pub(super) fn check(&self, request: &Asked<'_>) -> Result<(), Foreign> {
        let mut hosts = request.headers.get_all(HOST).iter();
        let host = hosts.next().map(|host| host.to_str().unwrap_or_default());
        if hosts.next().is_some() || (host.is_none() && request.version == Version::HTTP_11) {
            return Err(Foreign::NoHost);
        }
        let target = request.uri.authority().map(|authority| authority.as_str());
        if !host.iter().chain(&target).all(|name| self.allows(name)) {
            return Err(Foreign::Host);
        }
        let changes = !matches!(*request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let origin = request.headers.get(ORIGIN).filter(|_| changes);
        match origin.map(|origin| origin.to_str().unwrap_or_default()) {
            Some(origin) if !self.is_own(origin, host) => Err(Foreign::Origin),
            _ => Ok(()),
        }
    }

    /// A page of ours has the origin that it asks; one behind a proxy that changes `Host` is on the list.
    fn is_own(&self, origin: &str, host: Option<&str>) -> bool {
        let Some((_, authority)) = origin.split_once("://") else { return false };
        host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
            || self.allowed.iter().any(|name| name.eq_ignore_ascii_case(without_port(authority)))
    }
}

/// The parts of a request that are looked at.
pub(super) struct Asked<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub version: Version,
    pub headers: &'a HeaderMap,
}

/// What is wrong with a request's names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    NoHost,
    Host,
    Origin,
}

impl From<Foreign> for Refused {
    fn from(foreign: Foreign) -> Self {
        match foreign {
            Foreign::NoHost => Refused::new(StatusCode::BAD_REQUEST, "a request has exactly one Host header"),
            Foreign::Host => Refused::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this server does not answer to that Host; call it by its address, or add the name to allowed_hosts",
            ),
            Foreign::Origin => Refused::new(
                StatusCode::FORBIDDEN,
                "pages of other origins may change nothing here; add their host to allowed_hosts if they may",
            ),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// `host`, `host:port`, `[::1]` or `[::1]:port` without the port.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(hosts: &Hosts, method: Method, headers: &[(&'static str, &str)]) -> Result<(), Foreign> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        let uri = Uri::from_static("/v1/messages");
        hosts.check(&Asked { method: &method, uri: &uri, version: Version::HTTP_11, headers: &map })
    }

    fn get(hosts: &Hosts, host: &str) -> Result<(), Foreign> {
        ask(hosts, Method::GET, &[("host", host)])
    }

    #[test]
    fn on_the_loopback_only_the_loopback_is_meant() {
        let hosts = Hosts::new("127.0.0.1:5568".parse().expect("an address"), [""; 0]);
        for host in ["localhost", "LOCALHOST:5568", "127.0.0.1", "127.0.0.1:9000", "[::1]", "[::1]:5568", "127.9.9.9"] {
            assert_eq!(get(&hosts, host), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:5568", "10.0.0.1", "", "::1:x"] {
            assert_eq!(get(&hosts, host), Err(Foreign::Host), "{host}");
        }
        assert_eq!(ask(&hosts, Method::GET, &[]), Err(Foreign::NoHost));
        assert_eq!(ask(&hosts, Method::GET, &[("host", "localhost"), ("host", "localhost")]), Err(Foreign::NoHost));
        let uri = Uri::from_static("http://evil.example/");
        let headers = HeaderMap::new();
        let asked = Asked { method: &Method::GET, uri: &uri, version: Version::HTTP_10, headers: &headers };
        assert_eq!(hosts.check(&asked), Err(Foreign::Host));
    }

    #[test]
    fn a_list_narrows_and_an_open_address_without_one_does_not() {
        let at: SocketAddr = "0.0.0.0:5568".parse().expect("an address");
        let named = Hosts::new(at, ["Logs.Example:443", "[fd00::1]"]);
        for (host, fine) in
            [("logs.example", true), ("logs.example:8080", true), ("[fd00::1]:5568", true), ("x", false)]
        {
            assert_eq!(get(&named, host).is_ok(), fine, "{host}");
        }
        assert_eq!(get(&Hosts::new(at, [""; 0]), "anything"), Ok(()));
    }

    #[test]
    fn foreign_pages_read_nothing_because_there_is_no_cors_and_change_nothing_because_of_this() {
        let hosts = Hosts::new("127.0.0.1:5568".parse().expect("an address"), [""; 0]);
        let post = |host, origin| ask(&hosts, Method::POST, &[("host", host), ("origin", origin)]);
        assert_eq!(post("127.0.0.1:5568", "http://127.0.0.1:5568"), Ok(()));
        assert_eq!(post("localhost", "http://localhost"), Ok(()));
        for origin in ["http://evil.example", "null", "", "http://127.0.0.1:3000", "http://127.0.0.1:5568.evil.example"]
        {
            assert_eq!(post("127.0.0.1:5568", origin), Err(Foreign::Origin), "{origin}");
        }
        let get = ask(&hosts, Method::GET, &[("host", "localhost"), ("origin", "http://evil.example")]);
        assert_eq!(get, Ok(()));
        let named = Hosts::new("127.0.0.1:5568".parse().expect("an address"), ["logs.example"]);
        let headers = [("host", "127.0.0.1:5568"), ("origin", "https://logs.example")];
        assert_eq!(ask(&named, Method::POST, &headers), Ok(()));
    }
}
