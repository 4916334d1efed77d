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
