//! What routers say to each other beside the messages one forwards to the other, as headers of `POST /v1/messages`.
//!
//! - `metlog-from: 00c0ffee00c0ffee/central`: the forwarding router's number and the name of its endpoint
//! - `metlog-ids: 1000*3,5,7*10`: the messages' ids there, one for each line of the body: 1000, 1001, 1002, then five
//!   further on 1007, then seven further on 1014 and the nine behind it
//! - `metlog-passed: 00c0ffee00c0ffee`: the numbers of all routers the messages have been at, that one's too
//! - in an answer, `metlog-loop: 0123456789abcdef`: the answering router is among them
//!
//! A router that does not know these headers takes the messages as it takes all others.

use std::fmt::Write;

/// See the module.
pub const FROM: &str = "metlog-from";
/// See the module.
pub const IDS: &str = "metlog-ids";
/// See the module.
pub const PASSED: &str = "metlog-passed";
/// See the module.
pub const LOOP: &str = "metlog-loop";

/// The status of an answer to headers that say something else than the body, or nothing. It is about the request and not
/// about any message of it.
pub const MISTAKEN: u16 = 412;
/// The status of an answer to messages that have been here before.
pub const LOOPING: u16 = 409;

/// Messages in one request of ours at the most, and rejected ones that an answer names: so none of them is taken for
/// delivered.
pub const PER_REQUEST: usize = 4096;

/// The longest header of these: what usual proxies let through is 8 KiB for one.
pub const LONGEST: usize = 4096;

/// A router's number as it is written.
pub fn number(router: u64) -> String {
    format!("{router:016x}")
}

/// Of `metlog-from`. Names hold any characters, headers do not.
pub fn from(router: u64, endpoint: &str) -> String {
    let mut text = number(router);
    text.push('/');
    for byte in endpoint.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' => text.push(char::from(byte)),
            // Writing to a text cannot fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

/// Whether it is a `metlog-from`.
pub fn is_from(text: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.%".contains(&byte);
    text.len() <= 1024
        && text
            .split_once('/')
            .is_some_and(|(router, rest)| is_number(router) && !rest.is_empty() && rest.bytes().all(name))
}

/// Whether it is a `metlog-passed`.
pub fn is_passed(text: &str) -> bool {
    text.len() <= LONGEST && text.split(',').all(is_number)
}

fn is_number(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Ids that grow, as they are written.
pub fn write_ids(ids: impl IntoIterator<Item = u64>) -> String {
    let mut text = String::new();
    let mut ids = ids.into_iter().peekable();
    let mut last = None;
    while let Some(first) = ids.next() {
        let mut run = 1_u64;
        while ids.next_if(|next| first.checked_add(run) == Some(*next)).is_some() {
            run += 1;
        }
        let comma = if last.is_some() { "," } else { "" };
        let far = first.wrapping_sub(last.unwrap_or(0));
        // Writing to a text cannot fail.
        let _ = write!(text, "{comma}{far}");
        if run > 1 {
            let _ = write!(text, "*{run}");
        }
        last = Some(first + (run - 1));
    }
    text
}

/// So many ids that grow, read from what somebody wrote.
///
/// # Errors
/// What is wrong with them.
pub fn read_ids(text: &str, count: usize) -> Result<Vec<u64>, String> {
    let wrong = |part: &str| format!("`{IDS}` holds {part:?}, expected numbers such as 1000*3,5,7*10");
    let digits = |text: &str| if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
    let other = || format!("`{IDS}` does not name {count} ids, one for each line of the body");
    let mut ids = Vec::new();
    for part in text.split(',') {
        let (far, run) = part.split_once('*').unwrap_or((part, "1"));
        let (far, run): (u64, u64) = digits(far).zip(digits(run)).ok_or_else(|| wrong(part))?;
        let first = match ids.last() {
            None => Some(far),
            Some(last) if far > 0 => far.checked_add(*last),
            Some(_) => None,
        };
        let end = first.and_then(|first| first.checked_add(run)).filter(|_| run > 0);
        let (Some(first), Some(end)) = (first, end) else { return Err(wrong(part)) };
        // A few digits can name more than there is memory for.
        if run > count.saturating_sub(ids.len()) as u64 {
            return Err(other());
        }
        ids.extend(first..end);
    }
    if ids.len() == count { Ok(ids) } else { Err(other()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_and_take_little_room() {
        let all: [&[u64]; 5] =
            [&[1000, 1001, 1002, 1007, 1014, 1015], &[0], &[u64::MAX - 1], &[5, 7, 9], &[1, u64::MAX - 1]];
        for ids in all {
            assert_eq!(read_ids(&write_ids(ids.iter().copied()), ids.len()).as_deref(), Ok(ids));
        }
        assert_eq!(write_ids([1000, 1001, 1002, 1007, 1014, 1015]), "1000*3,5,7*2");
        assert_eq!(write_ids(1 << 40..(1 << 40) + 4096), "1099511627776*4096");
    }

    #[test]
    fn what_is_no_list_of_so_many_growing_ids_is_refused_and_reserves_nothing() {
        let wrong = [
            "",
            ",",
            "1,",
            "x",
            "1*",
            "*3",
            "-1",
            "+1",
            "1*0",
            "1,0",
            "1*18446744073709551615",
            "18446744073709551615",
            "1*3,18446744073709551615",
            "18446744073709551616",
            "1*2*3",
            "1 *3",
            "1*4",
            "1*2",
            "1,1",
        ];
        for text in wrong {
            assert!(read_ids(text, 3).is_err(), "{text:?}");
        }
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..50_000 {
            let text: String =
                (0..random.usize(..20)).map(|_| char::from(*random.choice(b"0123456789*,,** -").unwrap())).collect();
            if let Ok(ids) = read_ids(&text, 4) {
                assert!(ids.len() == 4 && ids.windows(2).all(|pair| pair[0] < pair[1]), "{text}");
            }
        }
    }

    #[test]
    fn names_fit_into_a_header_and_strangers_are_told_apart() {
        assert_eq!(from(0xc0ffee, "a b/\u{e4}"), "0000000000c0ffee/a%20b%2F%C3%A4");
        assert!(is_from(&from(1, "central")) && is_passed(&number(7)));
        for text in
            ["", "/", "1/x", "0000000000c0ffee/", "0000000000C0FFEE/x", "0000000000c0ffee/a b", "0000000000c0ffee"]
        {
            assert!(!is_from(text), "{text}");
        }
        assert!(!is_from(&from(1, &"x".repeat(1100))) && !is_passed("") && !is_passed("a,b"));
    }
}
