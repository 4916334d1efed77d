//! What a key looks like, and what is kept of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metlog_settings::Secret;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;

/// How every key of ours begins, so that people and scanners for secrets know what they have found.
pub const KEY_PREFIX: &str = "metlog_";

/// Random bytes of a key.
const RANDOM: usize = 32;

/// Bytes behind them that tell a mistyped or half copied key from a revoked one.
const CHECK: usize = 4;

/// Keys that were not made here must be this long at least, since they are kept under a fast hash.
const SHORTEST: usize = 32;

/// No key is longer; what claims to be one is not looked at.
pub(super) const LONGEST: usize = 256;

/// A new key: `metlog_` and 48 characters that may stand in a header and in a path as they are.
///
/// # Errors
/// If the operating system has no random bytes.
pub fn new_key() -> Result<Secret, String> {
    let mut bytes = [0; RANDOM];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the operating system gives no random bytes".to_owned())?;
    let whole = [&bytes[..], &check(&bytes)].concat();
    Ok(Secret::new(format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(whole))))
}

fn check(random: &[u8]) -> [u8; CHECK] {
    let digest = digest(&SHA256, random);
    let mut check = [0; CHECK];
    check.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    check
}

/// What is wrong with a text as a key, if anything is. One of ours has a checksum; any other must be long and printable.
pub fn not_whole(text: &str) -> Option<&'static str> {
    let Some(coded) = text.strip_prefix(KEY_PREFIX) else {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = (SHORTEST..=LONGEST).contains(&text.len());
        return (!printable || !fits).then_some("a key has 32 to 256 printable ASCII characters and no blank");
    };
    let bytes = URL_SAFE_NO_PAD.decode(coded).unwrap_or_default();
    let whole = bytes.split_at_checked(RANDOM).is_some_and(|(random, sum)| check(random) == sum);
    (!whole).then_some("this key is mistyped or not whole: its checksum is wrong")
}

/// The SHA-256 of a key, in words: comparing those takes an eighth of the time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u64; 4]);

impl Hash {
    /// Of this key.
    pub fn of(key: &[u8]) -> Self {
        Hash::of_bytes(digest(&SHA256, key).as_ref())
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Hash(words)
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a text is instead of a hash. Does not repeat the text, which may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHash {
    /// A key that should be nowhere but with its user.
    Key,
    /// Something else.
    Other,
}

impl fmt::Display for NoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoHash::Key => {
                "this is a key itself, which does not belong here; put what `metlog-router key hash` makes of it, and \
                 if others can read this file, make a new key"
            }
            NoHash::Other => "expected `sha256:` and 64 hexadecimal digits, as `metlog-router key new` prints them",
        })
    }
}

impl FromStr for Hash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        if text.starts_with(KEY_PREFIX) {
            return Err(NoHash::Key);
        }
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64).ok_or(NoHash::Other)?;
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16));
            let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(NoHash::Other) };
            *byte = u8::try_from(high * 16 + low).unwrap_or_default();
        }
        Ok(Hash::of_bytes(&bytes))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // As a secret, so that no reader shows what it found in place of a hash.
        Secret::deserialize(from)?.reveal().parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_new_each_time_and_whole() {
        let keys: Vec<Secret> = (0..100).map(|_| new_key().expect("random bytes")).collect();
        for (at, key) in keys.iter().enumerate() {
            let text = key.reveal();
            assert_eq!(text.len(), KEY_PREFIX.len() + 48);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{at}");
            assert_eq!(not_whole(text), None);
            assert!(keys.iter().skip(at + 1).all(|other| other != key));
        }
    }

    #[test]
    fn one_wrong_character_or_a_missing_end_is_noticed() {
        let key = new_key().expect("random bytes");
        let text = key.reveal();
        for at in KEY_PREFIX.len()..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'A' { b'B' } else { b'A' };
            assert!(not_whole(std::str::from_utf8(&wrong).expect("ASCII")).is_some(), "at {at}");
            assert!(not_whole(&text[..at]).is_some(), "up to {at}");
        }
        assert!(not_whole(&format!("{text}A")).is_some() && not_whole(&format!("{text}\n")).is_some());
    }

    #[test]
    fn keys_of_others_have_to_be_long() {
        assert!(not_whole("").is_some() && not_whole("secret").is_some() && not_whole(&"x".repeat(257)).is_some());
        assert!(not_whole(&"x ".repeat(20)).is_some() && not_whole(&"é".repeat(20)).is_some());
        assert_eq!(not_whole(&"x:/".repeat(11)), None);
    }

    #[test]
    fn a_hash_is_what_sha256sum_prints() {
        let known = "sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";
        assert_eq!(Hash::of(b"key").to_string(), known);
        assert_eq!(known.parse(), Ok(Hash::of(b"key")));
        assert_eq!(known.to_uppercase().replace("SHA", "sha").parse(), Ok(Hash::of(b"key")));
        for wrong in ["", "sha256:", &known[7..], &known[..70], &known.replace('c', "g"), &known.replace('c', "é")] {
            assert_eq!(wrong.parse::<Hash>(), Err(NoHash::Other), "{wrong}");
        }
        assert_eq!(new_key().expect("random bytes").reveal().parse::<Hash>(), Err(NoHash::Key));
    }
}
