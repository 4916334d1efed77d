//! `/docs` and `/v1/openapi.json`: how to ask, for people and for programs. Nothing in them comes from elsewhere.

use super::json;
use axum::http::HeaderMap;
use axum::routing::get;
use metlog_http::server::Page;

/// What the routes are; a test compares it with what is served.
pub const OPENAPI: &str = include_str!("docs/openapi.json");

/// The routes, open to all: they say what everybody can read in our source.
pub fn routes() -> axum::Router {
    let page = Page::new(include_str!("docs/docs.html"));
    let answer = get(move |headers: HeaderMap| std::future::ready(page.answer(&headers)));
    axum::Router::new()
        .route("/docs", answer.clone())
        .route("/docs/", answer)
        .route("/v1/openapi.json", get(|| async { json(OPENAPI) }))
}
