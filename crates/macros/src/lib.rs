//! `#[timeit]` and `#[incr_count]`, which applications take from crate `metlog`.
//!
//! Both put one `let` in front of a function's body: a guard that says something when it goes. So `?`, `return`, a panic
//! and, in async code, a cancelled future all count as an end, and nothing about types, borrows or lifetimes of the
//! body changes. The rest is in crate `metlog`; what is expanded to is all that it has to have:
//!
//! - `__timeit!({ CLIENT } NAME; KEY = VALUE, …)`: a guard that measures; `{}` is the default client
//! - `__incr_count!({ CLIENT } NAME, COUNT; KEY = VALUE, …)`: a guard that counts when it goes. The values are captured
//!   at once, since the body may move what they were made of
//! - `__qualified!("function")`: the default name as a constant, the module path with dots for `::`, a dot, the function
//!
//! `NAME` is a constant of type `&'static str`. Keys are `rate`, `severity`, `logger` and names of fields. Guards are
//! `Send`, because futures hold them. Whether a guard does anything is decided when it is made, by the word of its call
//! site: so `disabled_decorators` and a later change of the configuration act as on any other call.

mod arguments;
mod expand;

use expand::Decorator;
use proc_macro::TokenStream;

/// Measures every call of a function, from entry to return, and sends a message of type `timer`.
///
/// ```text
/// #[timeit]                                        // name: module path and function, with dots
/// async fn handle(request: Request) -> Reply { … }
///
/// #[timeit("db.query", rate = 0.1, fields(table = table))]
/// fn query(table: &str) -> Result<Rows, Error> { … }
/// ```
///
/// The name comes first and is a string literal. Then, in any order: `fields(key = value, …)`, `rate`, `severity`,
/// `logger`, and `client` for another than the default one. Values are expressions over the function's parameters, made
/// at entry.
///
/// A future is measured from its first poll until it is done or dropped. That holds for an `async fn`, and for a function
/// that ends in `async move { … }` or `Box::pin(async move { … })`, which is what `#[async_trait]` on the `impl` makes of
/// its methods. Where `#[async_trait]` is not involved, but another attribute rewrites the function, put this one below.
///
/// Of several such attributes the lowest speaks first.
#[proc_macro_attribute]
pub fn timeit(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::decorate(Decorator::Timeit, arguments.into(), item.into()).into()
}

/// Counts every call of a function when it ends, however it ends, and sends a message of type `counter`.
///
/// ```text
/// #[incr_count]
/// fn login(name: &str) { … }
///
/// #[incr_count("bytes.read", count = buffer.len(), logger = "io")]
/// fn read(buffer: &[u8]) { … }
/// ```
///
/// It takes what [`macro@timeit`] takes, and `count`, which is 1 otherwise.
#[proc_macro_attribute]
pub fn incr_count(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::decorate(Decorator::IncrCount, arguments.into(), item.into()).into()
}
