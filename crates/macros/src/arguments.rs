//! What stands in an attribute's parentheses.

use crate::expand::Decorator;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, Lit, LitStr, Result, Token, parenthesized};

/// What may be written `key = value` besides `name`.
const PLAIN: [&str; 4] = ["client", "logger", "severity", "rate"];

/// The arguments of an attribute.
#[derive(Default)]
pub(crate) struct Arguments {
    pub name: Option<LitStr>,
    pub client: Option<Expr>,
    pub count: Option<Expr>,
    /// Keys and values for the message, in the order of the source.
    pub values: Vec<(TokenStream, Expr)>,
    seen: Vec<String>,
}

impl Arguments {
    pub fn parse(decorator: Decorator, tokens: TokenStream) -> Result<Self> {
        let parser = |input: ParseStream<'_>| {
            let mut arguments = Arguments::default();
            let mut first = true;
            while !input.is_empty() {
                arguments.argument(decorator, input, first)?;
                first = false;
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(arguments)
        };
        parser.parse2(tokens)
    }

    fn argument(&mut self, decorator: Decorator, input: ParseStream<'_>, first: bool) -> Result<()> {
        if !input.peek(Ident::peek_any) || input.peek2(Token![.]) || input.peek2(Token![::]) || input.peek2(Token![!]) {
            return self.positional(decorator, input, first);
        }
        let key = input.call(Ident::parse_any)?;
        let word = key.to_string();
        let known = match word.as_str() {
            "name" | "fields" => true,
            "count" => decorator == Decorator::IncrCount,
            other => PLAIN.contains(&other),
        };
        if !known {
            // Alone at the beginning it was meant for the name.
            if first && (input.is_empty() || input.peek(Token![,])) {
                return Err(Error::new(key.span(), name_is_literal(decorator)));
            }
            return Err(Error::new(key.span(), unknown(decorator, &word)));
        }
        if self.seen.contains(&word) {
            return Err(Error::new(key.span(), format!("`{word}` is given twice")));
        }
        self.seen.push(word.clone());
        if word == "fields" {
            if !input.peek(syn::token::Paren) {
                return Err(Error::new(key.span(), "fields are written `fields(key = value, …)`"));
            }
            return self.fields(input);
        }
        if !input.peek(Token![=]) {
            return Err(Error::new(key.span(), format!("expected `{word} = …`")));
        }
        input.parse::<Token![=]>()?;
        let value: Expr = input.parse()?;
        match word.as_str() {
            "name" => self.name = Some(literal(decorator, &value)?),
            "client" => self.client = Some(value),
            "count" => self.count = Some(value),
            _ => self.values.push((key.into_token_stream(), value)),
        }
        Ok(())
    }

    fn positional(&mut self, decorator: Decorator, input: ParseStream<'_>, first: bool) -> Result<()> {
        let value: Expr = input.parse()?;
        if !first {
            let right =
                "only the name stands without a key, and it comes first; a field is written `fields(key = value)`";
            return Err(Error::new(value.span(), right));
        }
        self.seen.push("name".to_owned());
        self.name = Some(literal(decorator, &value)?);
        Ok(())
    }

    fn fields(&mut self, input: ParseStream<'_>) -> Result<()> {
        let inside;
        parenthesized!(inside in input);
        for Field { key, value } in Punctuated::<Field, Token![,]>::parse_terminated(&inside)? {
            let word = key.to_string();
            if ["rate", "severity", "logger", "name"].contains(&word.as_str()) {
                let right = format!("`{word}` is no field but part of the message; it stands beside `fields(…)`");
                return Err(Error::new(key.span(), right));
            }
            if self.values.iter().any(|(other, _)| other.to_string() == word) {
                return Err(Error::new(key.span(), format!("field `{word}` is given twice")));
            }
            self.values.push((key, value));
        }
        Ok(())
    }
}

fn unknown(decorator: Decorator, word: &str) -> String {
    let name = decorator.name();
    match (word, decorator) {
        ("count", Decorator::Timeit) => "a timer has no `count`; that is `#[incr_count]`'s".to_owned(),
        (_, Decorator::Timeit) => {
            format!("`{name}` has no argument `{word}`; it has a name and client, logger, severity, rate, fields(…)")
        }
        (_, Decorator::IncrCount) => {
            format!(
                "`{name}` has no argument `{word}`; it has a name and client, count, logger, severity, rate, fields(…)"
            )
        }
    }
}

/// The name is fixed when the program is compiled: it is part of the call site.
fn literal(decorator: Decorator, value: &Expr) -> Result<LitStr> {
    if let Expr::Lit(literal) = value
        && let Lit::Str(text) = &literal.lit
    {
        if text.value().is_empty() {
            return Err(Error::new(text.span(), "the name is empty; without a name it is that of the function"));
        }
        return Ok(text.clone());
    }
    Err(Error::new(value.span(), name_is_literal(decorator)))
}

fn name_is_literal(decorator: Decorator) -> String {
    let (name, instead) = match decorator {
        Decorator::Timeit => ("timeit", "timer!"),
        Decorator::IncrCount => ("incr_count", "incr!"),
    };
    format!(
        "the name is a string literal: `#[{name}(\"some.name\")]`; for one known at run time there is `metlog::{instead}`"
    )
}

/// `key = value`; a key that is no identifier is a string: `"http.status" = 200`.
struct Field {
    key: TokenStream,
    value: Expr,
}

impl Parse for Field {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (key, span) = if input.peek(LitStr) {
            let key: LitStr = input.parse()?;
            (quote!(#key), key.span())
        } else {
            let key = input.call(Ident::parse_any)?;
            (quote!(#key), key.span())
        };
        if !input.peek(Token![=]) {
            return Err(Error::new(span, format!("a field is written `{key} = value`")));
        }
        input.parse::<Token![=]>()?;
        Ok(Field { key, value: input.parse()? })
    }
}
