//! From when to when a certificate is valid. Whether it is valid is rustls's business; this only finds the dates, so that
//! people hear of them before their clients do.

use metlog_message::Timestamp;

/// A renewal that has not come by then will not come by itself.
const SOON_DAYS: i64 = 14;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What is to be said of a certificate's dates today.
pub fn remark(certificate: &[u8]) -> Option<String> {
    remark_at(certificate, Timestamp::now().unix_seconds())
}

fn remark_at(certificate: &[u8], now: i64) -> Option<String> {
    let (from, to) = dates(certificate)?;
    if now > to {
        Some(format!("the certificate expired on {}", date(to)))
    } else if now < from {
        Some(format!("the certificate is not valid before {}", date(from)))
    } else if to - now < SOON_DAYS * 86_400 {
        Some(format!("the certificate expires on {}, in {} days", date(to), (to - now) / 86_400))
    } else {
        None
    }
}

/// A moment as people write it.
pub fn date(seconds: i64) -> String {
    let whole = Timestamp::from_unix_seconds(seconds).to_string();
    format!("{} UTC", whole.get(..19).unwrap_or(&whole).replace('T', " "))
}

/// In Unix seconds.
fn dates(certificate: &[u8]) -> Option<(i64, i64)> {
    let (certificate, _) = open(certificate, SEQUENCE)?;
    let (mut rest, _) = open(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = skip(rest)?;
    }
    // Serial number, signature's algorithm, issuer.
    let (validity, _) = open(skip(skip(skip(rest)?)?)?, SEQUENCE)?;
    let (_, from, rest) = element(validity)?;
    let (_, to, _) = element(rest)?;
    Some((moment(*validity.first()?, from)?, moment(*rest.first()?, to)?))
}

/// Tag, content and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0usize, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn open(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

fn skip(bytes: &[u8]) -> Option<&[u8]> {
    element(bytes).map(|(_, _, rest)| rest)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only ways that certificates may have it.
fn moment(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // RFC 5280, 4.1.2.5.1.
        UTC_TIME => format!("{}{text}", if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let stamp = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    match Timestamp::parse(&stamp) {
        Some(moment) => Some(moment.unix_seconds()),
        // Of certificates that never expire. Our clock ends in 2262.
        None if year.parse::<u16>().is_ok_and(|year| year > 2261) => {
            Some(Timestamp::from_nanos(i64::MAX).unix_seconds())
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(from: i32, to: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(from, 1, 2);
        params.not_after = rcgen::date_time_ymd(to, 12, 31);
        let key = rcgen::KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn the_dates_of_a_certificate_are_found_in_both_ways_of_writing_them() {
        let day = |text: &str| Timestamp::parse(text).expect("a date").unix_seconds();
        assert_eq!(dates(&certificate(2020, 2090)), Some((day("2020-01-02T00:00:00Z"), day("2090-12-31T00:00:00Z"))));
        assert_eq!(dates(&certificate(1999, 2049)).map(|dates| dates.0), Some(day("1999-01-02T00:00:00Z")));
    }

    #[test]
    fn what_is_said_depends_on_the_day() {
        let certificate = certificate(2025, 2026);
        let at = |text: &str| remark_at(&certificate, Timestamp::parse(text).expect("a date").unix_seconds());
        let words = at("2027-01-01T00:00:00Z").expect("expired");
        assert!(words.contains("expired on 2026-12-31"), "{words}");
        let words = at("2024-12-31T00:00:00Z").expect("too early");
        assert!(words.contains("not valid before 2025-01-02"), "{words}");
        let words = at("2026-12-21T00:00:00Z").expect("soon");
        assert!(words.contains("expires on 2026-12-31") && words.contains("in 10 days"), "{words}");
        assert_eq!(at("2026-06-01T00:00:00Z"), None);
    }

    #[test]
    fn no_prefix_and_no_flipped_byte_of_a_certificate_does_harm() {
        let whole = certificate(2025, 2026);
        for end in 0..whole.len() {
            dates(whole.get(..end).expect("a part"));
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[end] ^= flip;
                dates(&changed);
            }
        }
    }
}
