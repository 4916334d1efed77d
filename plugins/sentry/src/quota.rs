//! `X-Sentry-Rate-Limits`: for how long Sentry wants no errors.

use std::time::Duration;

/// A server cannot send us to sleep for longer than this at once.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long the header asks to wait with errors. Limits of other categories (`transaction`, `session` …) are not ours;
/// one that names none is for all.
///
/// `60:error;transaction:organization:quota_exceeded, 2700::key`
pub fn for_errors(header: &str) -> Option<Duration> {
    let limits = header.split(',').filter_map(|limit| {
        let mut parts = limit.trim().split(':');
        let seconds = parts.next()?.trim().parse::<f64>().ok()?;
        let categories = parts.next().unwrap_or("").trim();
        let ours = categories.is_empty() || categories.split(';').any(|one| one.trim().eq_ignore_ascii_case("error"));
        Duration::try_from_secs_f64(seconds).ok().filter(|wait| ours && !wait.is_zero())
    });
    limits.max().map(|wait| wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::for_errors;
    use std::time::Duration;

    #[test]
    fn the_longest_limit_of_errors_counts() {
        for (header, seconds) in [
            ("60:error:project", Some(60)),
            ("60:transaction;error:key, 2700:default;security:organization", Some(60)),
            ("7::organization:quota_exceeded", Some(7)),
            ("7", Some(7)),
            ("5:error:key , 9:Error:key:reason:", Some(9)),
            ("99999999999:error:key", Some(3600)),
            ("60:transaction:key", None),
            ("0:error:key", None),
            ("-1:error, x:error, NaN:error, 1e400:error", None),
            ("", None),
        ] {
            assert_eq!(for_errors(header), seconds.map(Duration::from_secs), "{header}");
        }
    }
}
