//! The guard in front of the body.

use crate::arguments::Arguments;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Block, Error, Expr, GenericArgument, Ident, Item, ItemFn, Pat, PathArguments, PathSegment, Result, ReturnType,
    Stmt, TraitItemFn, Type, TypeParamBound,
};

/// Name of every guard: the mark by which the next attribute finds those that are there.
const GUARD: &str = "__metlog_guard";

/// Which attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decorator {
    Timeit,
    IncrCount,
}

impl Decorator {
    pub fn name(self) -> &'static str {
        match self {
            Decorator::Timeit => "timeit",
            Decorator::IncrCount => "incr_count",
        }
    }
}

/// The function with its guard, or as it was beside the error: it may still be called elsewhere, and reports of that would
/// hide the one that counts.
pub(crate) fn decorate(decorator: Decorator, arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(decorator, arguments, item.clone()).unwrap_or_else(|error| {
        let error = error.into_compile_error();
        quote!(#error #item)
    })
}

pub(crate) fn expand(decorator: Decorator, arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let mut function = function(decorator, item)?;
    let arguments = Arguments::parse(decorator, arguments)?;
    if let Some(token) = function.sig.constness {
        let right = format!(
            "`#[{}]` cannot do anything when the program is compiled: this must not be `const`",
            decorator.name()
        );
        return Err(Error::new_spanned(token, right));
    }
    let guard = guard(decorator, &arguments, &function.sig.ident);
    let is_async = function.sig.asyncness.is_some();
    match future(&mut function.block).filter(|_| !is_async) {
        Some(inner) => insert(inner, guard),
        None if !is_async && is_future(&function.sig.output) => {
            let right = format!(
                "to measure a future, `#[{}]` needs a body that ends in `async move {{ … }}` or `Box::pin(async move {{ … }})`; \
                 or make it an `async fn`",
                decorator.name()
            );
            return Err(Error::new_spanned(&function.sig.output, right));
        }
        None => insert(&mut function.block, guard),
    }
    Ok(function.into_token_stream())
}

fn function(decorator: Decorator, item: TokenStream) -> Result<ItemFn> {
    let name = decorator.name();
    let wrong = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => return Ok(function),
        Err(wrong) => wrong,
    };
    if let Ok(method) = syn::parse2::<TraitItemFn>(item.clone()) {
        let right = format!("`#[{name}]` needs a body; put it on the implementations of `{}`", method.sig.ident);
        return Err(Error::new_spanned(method.sig.ident, right));
    }
    match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Verbatim(_)) | Err(_) => Err(wrong),
        Ok(_) => Err(Error::new_spanned(item, format!("`#[{name}]` goes on a function or method"))),
    }
}

fn guard(decorator: Decorator, arguments: &Arguments, function: &Ident) -> Stmt {
    let Arguments { name, client, count, values, .. } = arguments;
    let client = client.as_ref();
    let function = function.to_string();
    let function = function.strip_prefix("r#").unwrap_or(&function);
    let name = name.as_ref().map_or_else(|| quote!(::metlog::__qualified!(#function)), |name| quote!(#name));
    let values = values.iter().map(|(key, value)| quote!(#key = #value));
    let guard = Ident::new(GUARD, Span::mixed_site());
    Stmt::Expr(
        Expr::Verbatim(match decorator {
            Decorator::Timeit => quote! {
                let #guard = ::metlog::__timeit!({ #client } #name; #(#values),*);
            },
            Decorator::IncrCount => {
                let count = count.as_ref().map_or_else(|| quote!(1u64), |count| quote!(#count));
                quote! {
                    let #guard = ::metlog::__incr_count!({ #client } #name, #count; #(#values),*);
                }
            }
        }),
        None,
    )
}

/// After the guards that are there: they belong to attributes further up and so have to go last.
fn insert(block: &mut Block, guard: Stmt) {
    let is_guard = |stmt: &Stmt| match stmt {
        Stmt::Local(local) => matches!(&local.pat, Pat::Ident(pat) if pat.ident == GUARD),
        _ => false,
    };
    let at = block.stmts.iter().take_while(|stmt| is_guard(stmt)).count();
    block.stmts.insert(at, guard);
}

/// The body of the future that a block ends in: `async { … }` or `Box::pin(async { … })`.
fn future(block: &mut Block) -> Option<&mut Block> {
    let Some(Stmt::Expr(last, None)) = block.stmts.last_mut() else { return None };
    match last {
        Expr::Async(future) => Some(&mut future.block),
        Expr::Call(call) => {
            let Expr::Path(function) = &*call.func else { return None };
            let is_pin = function.path.segments.last().is_some_and(|segment| segment.ident == "pin");
            match call.args.first_mut() {
                Some(Expr::Async(future)) if is_pin => Some(&mut future.block),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `impl Future` or `Pin<Box<dyn Future>>`. Other names for the same are not known to an attribute.
fn is_future(output: &ReturnType) -> bool {
    let ReturnType::Type(_, output) = output else { return false };
    match &**output {
        Type::ImplTrait(is) => is.bounds.iter().any(is_future_bound),
        Type::Path(path) => inside(path.path.segments.last(), "Pin")
            .and_then(|boxed| match boxed {
                Type::Path(path) => inside(path.path.segments.last(), "Box"),
                _ => None,
            })
            .is_some_and(|is| matches!(is, Type::TraitObject(is) if is.bounds.iter().any(is_future_bound))),
        _ => false,
    }
}

/// The type in `Name<Type>`.
fn inside<'a>(segment: Option<&'a PathSegment>, name: &str) -> Option<&'a Type> {
    let segment = segment.filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inside) => Some(inside),
        _ => None,
    }
}

fn is_future_bound(bound: &TypeParamBound) -> bool {
    let TypeParamBound::Trait(bound) = bound else { return false };
    bound.path.segments.last().is_some_and(|segment| segment.ident == "Future")
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decorator::{IncrCount, Timeit};

    fn tokens(text: &str) -> TokenStream {
        text.parse().expect("Rust tokens")
    }

    #[track_caller]
    fn expands(decorator: Decorator, arguments: &str, item: &str, expected: &str) {
        let expanded = expand(decorator, tokens(arguments), tokens(item)).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(same(expanded), same(tokens(expected)));
    }

    /// Text without the blanks, which say nothing about tokens.
    fn same(tokens: TokenStream) -> String {
        tokens.to_string().replace(' ', "")
    }

    /// The message, and the source text that it points at.
    #[track_caller]
    fn refuses(decorator: Decorator, arguments: &str, item: &str, at: &str, message: &str) {
        let Err(error) = expand(decorator, tokens(arguments), tokens(item)) else { panic!("{arguments} was taken") };
        assert_eq!(error.to_string(), message);
        assert_eq!(error.span().source_text().as_deref(), Some(at));
    }

    const F: &str = "fn f() {}";

    #[test]
    fn a_plain_function() {
        expands(
            Timeit,
            "",
            "/// Doc.\n#[inline] pub(crate) fn f<T: Copy>(&self, x: T) -> Result<T, E> where T: Send { g()?; Ok(x) }",
            "/// Doc.\n#[inline] pub(crate) fn f<T: Copy>(&self, x: T) -> Result<T, E> where T: Send {
                let __metlog_guard = ::metlog::__timeit!({} ::metlog::__qualified!(\"f\"););
                g()?; Ok(x)
            }",
        );
        expands(
            IncrCount,
            "",
            "fn r#match() {}",
            "fn r#match() {
                let __metlog_guard = ::metlog::__incr_count!({} ::metlog::__qualified!(\"match\"), 1u64;);
            }",
        );
    }

    #[test]
    fn every_argument() {
        let expected = "fn f() {
            let __metlog_guard = ::metlog::__timeit!({ self.client } \"a.b\";
                rate = 0.1, user = id + 1, \"http.status\" = s, severity = 2, logger = \"l\");
        }";
        let arguments = "\"a.b\", rate = 0.1, fields(user = id + 1, \"http.status\" = s,), severity = 2, logger = \"l\", client = self.client";
        expands(Timeit, arguments, F, expected);
        expands(Timeit, &format!("name = {arguments},"), F, expected);
        expands(
            IncrCount,
            "count = data.len()",
            F,
            "fn f() { let __metlog_guard = ::metlog::__incr_count!({} ::metlog::__qualified!(\"f\"), data.len();); }",
        );
    }

    #[test]
    fn async_functions_and_the_shapes_that_stand_for_them() {
        let guard = "let __metlog_guard = ::metlog::__timeit!({} \"n\";);";
        for (before, after) in [
            ("async fn f() { ", "g().await }"),
            ("async fn f() { ", "async { 1 }.await }"),
            ("fn f() -> impl Future<Output = u8> + Send { let x = 1; async move { ", "x } }"),
            ("fn f() -> BoxFuture<'static, u8> { async move { ", "1 }}"),
            ("fn f<'a>(&'a self) -> Pin<Box<dyn Future<Output = u8> + Send + 'a>> { Box::pin(async move { ", "1 }) }"),
            (
                "fn f() -> ::core::pin::Pin<Box<dyn ::core::future::Future<Output = u8>>> { ::std::boxed::Box::pin(async { ",
                "1 }) }",
            ),
            // What looks like it, but is not the value of the function.
            ("fn f() { ", "let x = async { 1 }; drop(x); }"),
            ("fn f() { ", "Box::pin(async { 1 }); }"),
            ("fn f() -> Pin<Box<u8>> { ", "Box::pin(1) }"),
        ] {
            expands(Timeit, "\"n\"", &format!("{before}{after}"), &format!("{before}{guard}{after}"));
        }
    }

    #[test]
    fn a_future_that_cannot_be_measured_is_refused() {
        let right = "to measure a future, `#[timeit]` needs a body that ends in `async move { … }` or \
            `Box::pin(async move { … })`; or make it an `async fn`";
        refuses(Timeit, "", "fn f() -> impl Future<Output = u8> { g() }", "-> impl Future<Output = u8>", right);
        let boxed = "-> Pin<Box<dyn Future<Output = u8> + Send>>";
        refuses(Timeit, "", &format!("fn f() {boxed} {{ g() }}"), boxed, right);
    }

    #[test]
    fn the_lowest_attribute_gets_the_innermost_guard() {
        let first = expand(IncrCount, tokens("\"c\""), tokens("fn f() { body() }")).unwrap();
        let both = expand(Timeit, tokens("\"t\""), first).unwrap();
        let expected = "fn f() {
            let __metlog_guard = ::metlog::__incr_count!({} \"c\", 1u64;);
            let __metlog_guard = ::metlog::__timeit!({} \"t\";);
            body()
        }";
        assert_eq!(same(both), same(tokens(expected)));
    }

    #[test]
    fn inner_attributes_stay_first() {
        let expanded = expand(Timeit, tokens("\"n\""), tokens("fn f() { #![allow(unused)] body() }")).unwrap();
        let expected = "fn f() { #![allow(unused)] let __metlog_guard = ::metlog::__timeit!({} \"n\";); body() }";
        assert_eq!(same(expanded), same(tokens(expected)));
    }

    #[test]
    fn wrong_arguments_are_pointed_at() {
        let timer = "a name and client, logger, severity, rate, fields(…)";
        let counter = "a name and client, count, logger, severity, rate, fields(…)";
        refuses(Timeit, "ratte = 1", F, "ratte", &format!("`timeit` has no argument `ratte`; it has {timer}"));
        refuses(IncrCount, "user = 1", F, "user", &format!("`incr_count` has no argument `user`; it has {counter}"));
        refuses(Timeit, "\"n\", count = 1", F, "count", "a timer has no `count`; that is `#[incr_count]`'s");
        refuses(Timeit, "rate = 1, rate = 2", F, "rate", "`rate` is given twice");
        refuses(Timeit, "\"n\", name = \"m\"", F, "name", "`name` is given twice");
        refuses(Timeit, "rate(1)", F, "rate", "expected `rate = …`");
        refuses(Timeit, "fields = x", F, "fields", "fields are written `fields(key = value, …)`");
        refuses(Timeit, "fields(user)", F, "user", "a field is written `user = value`");
        refuses(Timeit, "fields(a = 1, a = 2)", F, "a", "field `a` is given twice");
        let right = "`rate` is no field but part of the message; it stands beside `fields(…)`";
        refuses(Timeit, "fields(rate = 1)", F, "rate", right);
        refuses(Timeit, "rate = 1 logger = 2", F, "logger", "expected `,`");
    }

    #[test]
    fn wrong_names_are_pointed_at() {
        let right = "the name is a string literal: `#[timeit(\"some.name\")]`; for one known at run time there is `metlog::timer!`";
        for name in ["NAME", "5", "module::NAME", "concat!(\"a\", \"b\")", "self.name", "b\"n\""] {
            refuses(Timeit, name, F, name, right);
            refuses(Timeit, &format!("name = {name}"), F, name, right);
        }
        let right = right.replace("timeit", "incr_count").replace("timer!", "incr!");
        refuses(IncrCount, "format!(\"{x}\")", F, "format!(\"{x}\")", &right);
        refuses(Timeit, "\"\"", F, "\"\"", "the name is empty; without a name it is that of the function");
        let right = "only the name stands without a key, and it comes first; a field is written `fields(key = value)`";
        refuses(Timeit, "rate = 1, \"n\"", F, "\"n\"", right);
        refuses(Timeit, "\"n\", \"m\"", F, "\"m\"", right);
    }

    #[test]
    fn what_is_no_function_is_pointed_at() {
        let right = "`#[timeit]` goes on a function or method";
        for item in ["struct S { x: u8 }", "impl S { fn f() {} }", "mod m { fn f() {} }", "const C: u8 = 1;"] {
            refuses(Timeit, "", item, item, right);
        }
        let right = "`#[timeit]` needs a body; put it on the implementations of `f`";
        refuses(Timeit, "", "fn f(&self) -> u8;", "f", right);
        let right = "`#[incr_count]` cannot do anything when the program is compiled: this must not be `const`";
        refuses(IncrCount, "", "pub const fn f() {}", "const", right);
    }

    #[test]
    fn an_error_leaves_the_function_as_it_was() {
        let decorated = decorate(Timeit, tokens("ratte = 1"), tokens(F)).to_string();
        assert!(decorated.contains("compile_error") && decorated.ends_with(&tokens(F).to_string()), "{decorated}");
    }
}
