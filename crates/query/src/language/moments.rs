//! Moments as people write them.

use metlog_message::Timestamp;
use metlog_settings::Span;
use std::fmt::Write;

/// A moment as people write it; a span of time is before `now`.
pub(super) fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    const DAY: i64 = 86_400;
    let midnight = |days: i64| Timestamp::from_unix_seconds((now.unix_seconds().div_euclid(DAY) + days) * DAY);
    match text {
        "now" => return Some(now),
        "today" => return Some(midnight(0)),
        "yesterday" => return Some(midnight(-1)),
        _ => {}
    }
    if text.len() >= 9 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1_000_000_000).map(Timestamp::from_nanos);
    }
    if let Some(moment) = Timestamp::parse(text).or_else(|| date(text)) {
        return Some(moment);
    }
    let span: Span = text.strip_prefix('-').unwrap_or(text).parse().ok()?;
    let nanos = i64::try_from(span.0.as_nanos()).ok()?;
    now.nanos().checked_sub(nanos).map(Timestamp::from_nanos)
}

/// A date, or one with hour and minute. Of UTC unless it says otherwise.
pub(super) fn date(text: &str) -> Option<Timestamp> {
    match text.len() {
        10 => Timestamp::parse(&format!("{text}T00:00:00Z")),
        _ => {
            let (minutes, zone) = text.split_at_checked(16)?;
            Timestamp::parse(&format!("{minutes}:00{zone}"))
        }
    }
}

/// To the nanosecond, if it needs to be.
pub(super) fn written(moment: Timestamp) -> String {
    let mut text = moment.to_string();
    let nanos = moment.nanos().rem_euclid(1000);
    if nanos != 0 {
        text.truncate(text.len() - 1);
        let _never_fails = write!(text, "{nanos:03}Z");
    }
    text
}
