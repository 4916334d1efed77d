//! A mailbox: an address, and perhaps a name in front of it.

/// `metlog@example.org` or `metlog <metlog@example.org>`.
///
/// Less is taken than mail knows: no quoted local part, no comments, no letters beyond ASCII. What is taken can stand in
/// a command and in a header as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub name: String,
    pub address: String,
}

impl Mailbox {
    /// Reads one. `setting` is where it stands, for the error.
    pub fn parse(setting: &str, text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{setting}` holds {text:?}: {why}; it needs something like `ops@example.org`");
        let (name, address) = match text.trim().strip_suffix('>').and_then(|rest| rest.split_once('<')) {
            Some((name, address)) => (name.trim().trim_matches('"').trim(), address.trim()),
            None => ("", text.trim()),
        };
        if name.chars().any(char::is_control) || name.len() > 100 {
            return Err(wrong("that is no name"));
        }
        let (local, domain) = address.rsplit_once('@').ok_or_else(|| wrong("there is no `@`"))?;
        let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c);
        let dotted = |part: &str| part.split('.').all(|atoms| !atoms.is_empty() && atoms.chars().all(atom));
        if !dotted(local) || local.len() > 64 {
            return Err(wrong("what stands before the `@` cannot be used here"));
        }
        let label = |label: &str| {
            let within = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            within && !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
        };
        let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match literal {
            Some(ip) => ip.strip_prefix("IPv6:").unwrap_or(ip).parse::<std::net::IpAddr>().is_ok(),
            None => domain.len() <= 253 && domain.split('.').all(label),
        };
        if !host {
            return Err(wrong("what stands behind the `@` is no host's name"));
        }
        Ok(Mailbox { name: name.to_owned(), address: address.to_owned() })
    }

    /// What stands behind the `@`.
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_can_stand_anywhere_and_nothing_else() {
        for (text, name, address) in [
            ("ops@example.org", "", "ops@example.org"),
            (" a.b+c@h ", "", "a.b+c@h"),
            ("metlog <m@[127.0.0.1]>", "metlog", "m@[127.0.0.1]"),
            ("\"Bereitschaft (Tür)\" <m@xn--bcher-kva.example>", "Bereitschaft (Tür)", "m@xn--bcher-kva.example"),
        ] {
            let mailbox = Mailbox { name: name.into(), address: address.into() };
            assert_eq!(Mailbox::parse("to", text), Ok(mailbox), "{text}");
        }
        for text in [
            "",
            "ops",
            "@h",
            "a@",
            "a@b>",
            "a b@h",
            "a..b@h",
            "a@-h",
            "a@h..i",
            "ä@h",
            "a@hä",
            "\"a b\"@h",
            "a@h\r\nBcc: x@y",
            "a@h>\r\nRCPT TO:<x@y",
            "n\r\nBcc: x@y <a@h>",
            "a@[h]",
            "a@h, b@h",
            "<a@h",
            "a@h SIZE=1",
        ] {
            let why = Mailbox::parse("to", text).unwrap_err();
            assert!(why.starts_with("`to` holds ") && !why.contains('\n'), "{why}");
        }
    }
}
