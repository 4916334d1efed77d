//! `/v1/fleet`: the routers of a fleet and the sums of all, as one of them has heard them.

use super::query::Answer;
use super::query::asked::Asked;
use super::{Shared, gone, json, off_loop};
use crate::fleet::roll;
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;

pub(super) async fn fleet(State(router): Shared, RawQuery(query): RawQuery) -> Answer {
    let asked = Asked::of_address(query, &["limit", "parts"])?;
    let most = asked.number("limit", 1..=roll::MOST as u64)?.unwrap_or(roll::MOST as u64);
    let most = usize::try_from(most).unwrap_or(roll::MOST);
    let parts = asked.one_of("parts", &[("true", true), ("false", false)])?.unwrap_or_default();
    let told = off_loop(router, move |router| router.fleet.tell(router, most, parts).to_string()).await;
    Ok(told.map_or_else(gone, json).into_response())
}
