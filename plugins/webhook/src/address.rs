//! A URL that is a secret: who knows it may write.

use metlog_http::Address;
use metlog_settings::Secret;

/// Shorter parts of a path are words such as `hooks`, and stand in other places too.
const TELLING: usize = 8;

/// Takes the secret parts of a URL out of what is said about it.
pub struct Cover(Vec<String>);

impl Cover {
    /// The address of a URL, and the cover for it.
    pub fn of(url: &Secret) -> Result<(Address, Self), String> {
        let address = Address::parse("url", url.reveal())?;
        // The path as it will be sent, and as it was written.
        let written = url.reveal().trim().split_once("://").map_or("", |(_, rest)| rest);
        let written = written.find(['/', '?']).and_then(|at| written.get(at..)).unwrap_or_default();
        let mut parts: Vec<String> = Vec::new();
        for whole in [written, address.path()] {
            parts.push(whole.to_owned());
            let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
            parts.extend([path, query].map(str::to_owned));
            let values = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
            parts.extend(path.split('/').chain(values).filter(|part| part.len() >= TELLING).map(str::to_owned));
        }
        parts.retain(|part| part.len() > 1);
        // The whole before its parts.
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts.dedup();
        Ok((address, Cover(parts)))
    }

    /// The text without them.
    pub fn over(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, part| text.replace(part.as_str(), "/***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_can_be_told() {
        for (url, text, expected) in [
            (
                "https://h/services/T000/B000/verysecret",
                "https://h:443/services/T000/B000/verysecret answered 404",
                "https://h:443/*** answered 404",
            ),
            ("https://h/services/T0/B0/verysecret", "no token verysecret", "no token /***"),
            ("https://h/x?token=verysecret&a=b", "/x?token=verysecret&a=b and verysecret", "/*** and /***"),
            ("https://h?token=verysecret", "at https://h:443/: verysecret", "at https://h:443/: /***"),
            ("http://h", "http://h:80/ answered", "http://h:80/ answered"),
        ] {
            let (_, cover) = Cover::of(&Secret::new(url)).unwrap();
            assert_eq!(cover.over(text), expected, "{url}");
        }
        let why = Cover::of(&Secret::new("ftp://h/verysecret")).err().unwrap();
        assert!(why.starts_with("`url`") && !why.contains("verysecret"), "{why}");
    }
}
