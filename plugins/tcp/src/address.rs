//! `host:port`, checked when the configuration is read and looked up when a connection is made.

use std::net::{SocketAddr, ToSocketAddrs};

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// Understands `host:port`, `1.2.3.4:port` and `[::1]:port`. The error says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = |why: &str| Err(format!("`address` is `{text}`, {why}; it is written like `127.0.0.1:5567`"));
        if text.contains("://") {
            return wrong("which starts with a scheme");
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("which has no port");
        };
        let Ok(port) = port.parse::<u16>() else {
            return wrong("whose port is not a number up to 65535");
        };
        if port == 0 {
            return wrong("whose port is 0");
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(host) => host,
            None if host.contains(':') => return wrong("an IPv6 address without brackets"),
            None => host,
        };
        if host.is_empty() {
            return wrong("which has no host");
        }
        Ok(Address { host: host.to_owned(), port })
    }

    /// The host, as a certificate has to name it.
    #[cfg(feature = "tls")]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its addresses of the moment.
    pub fn look_up(&self) -> Result<Vec<SocketAddr>, String> {
        match (self.host.as_str(), self.port).to_socket_addrs() {
            Ok(found) => Ok(found.collect()),
            Err(error) => Err(format!("cannot look up host `{}`: {error}", self.host)),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Address { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_comes_back_as_it_was_written() {
        for text in ["127.0.0.1:5567", "logs.example.com:1", "[::1]:65535"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Address::parse(" localhost:7 ").unwrap().to_string(), "localhost:7");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        for (text, why) in [
            ("127.0.0.1", "no port"),
            ("127.0.0.1:", "not a number"),
            ("127.0.0.1:70000", "not a number"),
            ("127.0.0.1:0", "port is 0"),
            (":5567", "no host"),
            ("[]:5567", "no host"),
            ("::1:5567", "brackets"),
            ("tcp://127.0.0.1:5567", "scheme"),
            ("", "no port"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(why) && error.contains("`127.0.0.1:5567`"), "{text}: {error}");
        }
    }
}
