//! Endpoint texts, checked when the configuration is read.

use zeromq::{Endpoint, Host};

/// Whether this is an endpoint one can connect to. The error names the setting and says what would be right.
pub(crate) fn check(setting: &str, text: &str) -> Result<String, String> {
    parse(setting, text).map(|_| text.trim().to_owned())
}

/// Whether this is an endpoint a sender may bind: loopback or a file, because the ZeroMQ implementation under us ends the
/// whole process when a peer announces an absurdly long frame, and whoever can connect to a bound socket is a peer.
#[cfg(feature = "sender")]
pub(crate) fn check_bind(setting: &str, text: &str) -> Result<String, String> {
    let near = match parse(setting, text)? {
        Endpoint::Tcp(Host::Ipv4(ip), _) => ip.is_loopback(),
        Endpoint::Tcp(Host::Ipv6(ip), _) => ip.is_loopback(),
        Endpoint::Tcp(Host::Domain(name), _) => name.eq_ignore_ascii_case("localhost"),
        _ => true,
    };
    if near {
        return Ok(text.trim().to_owned());
    }
    Err(format!(
        "`{setting}` is `{}`, which other hosts can reach: with `bind = true` only loopback addresses and `ipc://` \
         are allowed, since any peer could end this process",
        text.trim()
    ))
}

/// An endpoint an input may bind, parsed. Whether a name stays near is known only when it is looked up.
#[cfg(feature = "input")]
pub(crate) fn check_listen(setting: &str, text: &str, trusted_network: bool) -> Result<Endpoint, String> {
    let endpoint = parse(setting, text)?;
    if !is_name(&endpoint) {
        stay_near(setting, &endpoint, trusted_network)?;
    }
    Ok(endpoint)
}

/// Whether somebody has to be asked which address is meant.
#[cfg(feature = "input")]
pub(crate) fn is_name(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Tcp(Host::Domain(name), _) if name != "*")
}

/// What other hosts can reach takes the user's word that this is meant. Looks names up.
#[cfg(feature = "input")]
pub(crate) fn stay_near(setting: &str, endpoint: &Endpoint, trusted_network: bool) -> Result<(), String> {
    let addresses = crate::listener::addresses(endpoint);
    let addresses = addresses.map_err(|error| format!("`{setting}` is `{endpoint}`: {error}"))?;
    if trusted_network || addresses.iter().all(|address| address.ip().to_canonical().is_loopback()) {
        return Ok(());
    }
    Err(format!(
        "`{setting}` is `{endpoint}`, which other hosts can reach, and this ZeroMQ asks nobody who they are: if \
         everyone who can reach it may send, say `trusted_network = true`; if not, bind 127.0.0.1"
    ))
}

fn parse(setting: &str, text: &str) -> Result<Endpoint, String> {
    let text = text.trim();
    let wrong = |why: String| {
        format!(
            "`{setting}` is `{text}`, which is no endpoint ({why}); one is written like `tcp://127.0.0.1:5565` or \
             `ipc:///run/metlog.sock`"
        )
    };
    match text.parse::<Endpoint>() {
        Ok(Endpoint::Tcp(_, 0)) => Err(wrong("port 0".to_owned())),
        Ok(endpoint) => Ok(endpoint),
        Err(error) => Err(wrong(error.to_string())),
    }
}

#[cfg(all(test, feature = "sender"))]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_tcp_or_ipc() {
        for good in
            ["tcp://127.0.0.1:5565", " tcp://[::1]:5565 ", "tcp://router.example.com:5565", "ipc:///run/metlog.sock"]
        {
            assert_eq!(check("bindstrs", good).as_deref(), Ok(good.trim()));
        }
        for bad in ["", "127.0.0.1:5565", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://127.0.0.1:99999", "inproc://x"]
        {
            let why = check("bindstrs", bad).unwrap_err();
            assert!(why.contains("`bindstrs`") && why.contains("`tcp://127.0.0.1:5565`"), "{why}");
        }
    }

    #[test]
    fn only_near_endpoints_may_be_bound() {
        for good in ["tcp://127.0.0.1:5565", "tcp://[::1]:5565", "tcp://localhost:5565", "ipc:///run/metlog.sock"] {
            check_bind("bindstrs", good).unwrap();
        }
        for bad in ["tcp://0.0.0.0:5565", "tcp://*:5565", "tcp://[::]:5565", "tcp://10.0.0.1:5565", "tcp://router:5565"]
        {
            assert!(check_bind("bindstrs", bad).unwrap_err().contains("other hosts"), "{bad}");
        }
    }
}
