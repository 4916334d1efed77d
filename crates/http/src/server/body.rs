//! Reading a request's body, within every limit there is.

use super::Refused;
use super::counters::count;
use super::expand::{Coding, Unexpanded, expand};
use super::limits::{Bounds, Exhausted, Share};
use super::pulse::TooSlow;
use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::timeout;

/// Compressed bodies up to this size are expanded where they are, so that they need not take turns with large ones. A
/// usual one of this size takes 0.2 ms as gzip, half of that as zstd; a hostile one 2 ms.
const IN_PLACE: usize = 16 * 1024;

/// A client that writes without looking sees our answer only if somebody reads what it writes. So much of a refused
/// body is read and thrown away, for so long.
const LINGER: (u64, Duration) = (32 * 1024 * 1024, Duration::from_secs(2));

/// When to come back if all bytes in flight are taken: others will be done within a moment.
const MOMENT: Duration = Duration::from_secs(1);

/// A whole body, expanded. Counts as in flight until it is dropped.
#[derive(Debug)]
pub struct Content {
    bytes: Bytes,
    _share: Share,
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body whole: within the limits of size, of ratio, of bytes in flight.
///
/// # Errors
/// The answer to give: 400, 408, 413, 415 or 503.
pub async fn limited_body(request: Request<Body>, bounds: &Arc<Bounds>) -> Result<Content, Refused> {
    let (head, mut body) = request.into_parts();
    let mut share = bounds.share();
    match receive(&head.headers, &mut body, bounds, &mut share).await {
        Ok((bytes, coding)) => match coding {
            None => Ok(Content { bytes, _share: share }),
            Some(coding) => expanded(bytes, coding, bounds, share).await,
        },
        Err(refused) => {
            share.shrink_to(0);
            linger(&head.headers, &mut body).await;
            Err(refused)
        }
    }
}

/// The body as it comes.
async fn receive(
    headers: &HeaderMap,
    body: &mut Body,
    bounds: &Bounds,
    share: &mut Share,
) -> Result<(Bytes, Option<Coding>), Refused> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let coding = match (codings.next(), codings.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => Coding::named(one.to_str().unwrap_or("?")),
        _ => Err("a body has one Content-Encoding, not several in turn".to_owned()),
    };
    let coding = coding.map_err(|why| {
        count(&bounds.counters.bad_encoding);
        Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)
    })?;
    let limit = if coding.is_some() { bounds.limits.body } else { bounds.limits.expanded }.bytes();
    let too_large = || {
        count(&bounds.counters.too_large);
        let what = if coding.is_some() { "a compressed body" } else { "a body" };
        Refused::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("{what} has at most {limit} bytes here; send less at a time"),
        )
    };
    // What it declares can only be held against it.
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > limit) {
        return Err(too_large());
    }
    // Most bodies come in one frame, which is then not copied.
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken(&error, bounds))?.into_data() else { continue };
        length += data.len() as u64;
        bounds.counters.bytes.fetch_add(data.len() as u64, Relaxed);
        if length > limit {
            return Err(too_large());
        }
        share.grow(data.len()).map_err(|Exhausted| exhausted(bounds))?;
        if first.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            // What it declares is believed as far as what has come makes it likely.
            all.reserve(declared.map_or(0, |declared| declared as usize).min(first.len() * 8));
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    let bytes = if all.is_empty() { first } else { all.freeze() };
    if let (None, Some(sniffed)) = (coding, Coding::sniff(&bytes)) {
        count(&bounds.counters.bad_encoding);
        let why = format!("the body is compressed and does not say so; add Content-Encoding: {}", sniffed.name());
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    Ok((bytes, coding.filter(|_| length > 0)))
}

async fn expanded(bytes: Bytes, coding: Coding, bounds: &Arc<Bounds>, mut share: Share) -> Result<Content, Refused> {
    let small = bytes.len() <= IN_PLACE;
    let shared = bounds.clone();
    let work = move || expand(coding, &bytes, &shared.limits, &mut share).map(|made| (made, share));
    let done = if small { work() } else { bounds.off_the_loop(work).await };
    let (made, mut share) = done.map_err(|why| unexpanded(&why, coding, bounds))?;
    share.shrink_to(made.len());
    if let Some(inner) = Coding::sniff(&made) {
        count(&bounds.counters.bad_encoding);
        let why = format!("inside the {} there is {} again; compress once", coding.name(), inner.name());
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    Ok(Content { bytes: made.into(), _share: share })
}

fn unexpanded(why: &Unexpanded, coding: Coding, bounds: &Bounds) -> Refused {
    let (limits, name) = (&bounds.limits, coding.name());
    match why {
        Unexpanded::Garbled(error) => {
            count(&bounds.counters.bad_encoding);
            Refused::new(
                StatusCode::BAD_REQUEST,
                format!("Content-Encoding says {name}, but the body is no whole {name}: {error}"),
            )
        }
        Unexpanded::TooLarge => {
            count(&bounds.counters.too_large);
            let most = limits.expanded.bytes();
            Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a body expands to at most {most} bytes here; send less at a time"),
            )
        }
        Unexpanded::Bomb => {
            count(&bounds.counters.bombs);
            let ratio = limits.ratio;
            Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body expands to more than {ratio} times its size; send less at a time"),
            )
        }
        Unexpanded::Exhausted => exhausted(bounds),
    }
}

fn exhausted(bounds: &Bounds) -> Refused {
    count(&bounds.counters.in_flight_full);
    Refused::later("too many bytes are being worked on; try again", MOMENT)
}

/// A body that did not come whole. Whoever broke it off reads no answer.
fn broken(error: &axum::Error, bounds: &Bounds) -> Refused {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<TooSlow>() {
            count(&bounds.counters.body_timeouts);
            return Refused::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly");
        }
        cause = error.source();
    }
    Refused::new(StatusCode::BAD_REQUEST, "the body broke off or is badly framed")
}

/// Reads on, so that whoever is still writing comes to read the answer. Who waits to be asked for a body is not asked.
pub(super) async fn linger(headers: &HeaderMap, body: &mut Body) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let (most, long) = LINGER;
    let throw_away = async {
        let mut thrown = 0;
        while let Some(Ok(frame)) = body.frame().await {
            thrown += frame.data_ref().map_or(0, |data| data.len() as u64);
            if thrown > most {
                break;
            }
        }
    };
    // Whichever ends first: nothing more is owed to a client that goes on.
    let _ = timeout(long, throw_away).await;
}
