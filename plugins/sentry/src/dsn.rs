//! Where to and as whom: a DSN, which is a secret because its key lets anybody write.

use metlog_http::Address;
use metlog_settings::Secret;
use sentry_types::Dsn;

/// Who asks, as Sentry shows it.
pub const CLIENT: &str = concat!("metlog/", env!("CARGO_PKG_VERSION"));

/// What a DSN says.
pub struct Target {
    /// Where envelopes are posted.
    pub address: Address,
    /// `X-Sentry-Auth`.
    pub auth: Secret,
    /// Keeps the key out of error texts.
    pub cover: Cover,
}

impl Target {
    /// Reads it. The error never repeats it.
    pub fn of(setting: &str, dsn: &Secret) -> Result<Self, String> {
        let shape = "something like `https://KEY@sentry.example.org/42`; Sentry shows it in the project's settings";
        let dsn: Dsn =
            dsn.reveal().trim().parse().map_err(|error| format!("`{setting}` is no DSN: {error}; it needs {shape}"))?;
        let address = Address::parse(setting, dsn.envelope_api_url().as_str())?;
        let mut keys = vec![dsn.public_key().to_owned()];
        keys.extend(dsn.secret_key().map(str::to_owned));
        keys.retain(|key| !key.is_empty());
        // A key that begins with the other one: the longer first.
        keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
        Ok(Target { address, auth: Secret::new(dsn.to_auth(Some(CLIENT)).to_string()), cover: Cover(keys) })
    }
}

/// Takes the keys out of what is said: a server may send back what it got.
pub struct Cover(Vec<String>);

impl Cover {
    /// The text without them.
    pub fn over(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, key| text.replace(key.as_str(), "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dsn_says_where_and_who() {
        for (dsn, place) in [
            ("https://abcdef@o1.ingest.sentry.io/42", "https://o1.ingest.sentry.io:443/api/42/envelope/"),
            (" http://abcdef:geheim@h:9000/pre/fix/7/ ", "http://h:9000/pre/fix/api/7/envelope/"),
            ("http://abcdef@[::1]:9000/7", "http://[::1]:9000/api/7/envelope/"),
        ] {
            let target = Target::of("dsn", &Secret::new(dsn)).unwrap_or_else(|why| panic!("{dsn}: {why}"));
            assert_eq!(target.address.to_string(), place);
            assert!(target.auth.reveal().starts_with("Sentry sentry_key=abcdef, sentry_version=7, "));
            assert_eq!(target.auth.reveal().contains("sentry_secret=geheim"), dsn.contains("geheim"));
            assert!(!target.cover.over("abcdef and abcdef").contains("abcdef"));
        }
    }

    #[test]
    fn what_is_none_is_told_without_it() {
        for dsn in
            ["", "abcdef", "ftp://abcdef@h/1", "https://h/1", "https://abcdef@h", "https://abcdef@h/", "x:abcdef"]
        {
            let why = Target::of("dsn", &Secret::new(dsn)).err().unwrap_or_else(|| panic!("{dsn} is taken"));
            assert!(why.starts_with("`dsn`") && !why.contains("abcdef"), "{why}");
        }
    }
}
