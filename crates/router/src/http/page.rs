//! The page: at `/page`, and at `/` for who asks for HTML there. It says nothing that is not in our source, so it is open
//! to all; what it shows it asks for with its reader's key.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use metlog_http::server::Page;

/// One file without anything from elsewhere, made from `crates/router/page`.
pub const PAGE: &str = include_str!("page.html");

/// Puts the page before what is at `/` otherwise: for programs, in front of keys.
pub fn before(home: axum::Router) -> axum::Router {
    let page = Page::new(PAGE);
    let always = get({
        let page = page.clone();
        move |headers: HeaderMap| std::future::ready(page.answer(&headers))
    });
    let first = from_fn(move |request: Request, next: Next| {
        let page = page.clone();
        async move {
            let here = matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == "/";
            let wanted = here && wants_html(request.headers());
            let mut answer = if wanted { page.answer(request.headers()) } else { next.run(request).await };
            if here {
                answer.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
            }
            answer
        }
    });
    // Where nobody else is at home.
    let home = if home.has_routes() { home } else { axum::Router::new().route("/", always.clone()) };
    home.route_layer(first).route("/page", always.clone()).route("/page/", always)
}

/// A browser names HTML before anything else; programs take anything.
fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/html"))
}
