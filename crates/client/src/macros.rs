//! The calls. Each makes one static [`crate::__private::Site`] and captures its values in binary; text is put together
//! later, on the background thread, except where a format string needs more than `{}`.
//!
//! A call goes to the default client unless it begins with `client: some_client,`.

/// Defines the log helpers: name, severity, and the level word where the severity does not say it.
macro_rules! helpers {
    (($d:tt) $($(#[$doc:meta])* $helper:ident $severity:ident $level:literal;)*) => {$(
        $(#[$doc])*
        #[macro_export]
        macro_rules! $helper {
            (client: $d client:expr, $d ($d rest:tt)+) => {
                $crate::__log!({ $d client } $severity $level $d ($d rest)+)
            };
            ($d ($d rest:tt)+) => {
                $crate::__log!({} $severity $level $d ($d rest)+)
            };
        }
    )*};
}

helpers! { ($)
    /// Type `oldstyle`, severity 0: the system is unusable.
    emergency Emergency "";
    /// Type `oldstyle`, severity 1: act at once. See [`crate::exception!`] for errors.
    alert Alert "";
    /// Type `oldstyle`, severity 2.
    critical Critical "";
    /// [`crate::critical!`] for those who call it so; the message carries `level = "fatal"`.
    fatal Critical "fatal";
    /// Type `oldstyle`, severity 3.
    error Error "";
    /// Type `oldstyle`, severity 4.
    warn Warning "";
    /// [`crate::warn!`] for those who call it so.
    warning Warning "";
    /// Type `oldstyle`, severity 5.
    notice Notice "";
    /// Type `oldstyle`, severity 6.
    ///
    /// ```
    /// # let (name, id) = ("bob", 7);
    /// metlog::info!("user {} logged in", name; user_id = id);
    /// metlog::info!("as {name}, the {0:>5}th", id);   // formatted on the spot
    /// ```
    info Informational "";
    /// Type `oldstyle`, severity 7.
    debug Debug "";
    /// [`crate::debug!`] for what is finer still; the message carries `level = "trace"`.
    trace Debug "trace";
}

/// Type `oldstyle`, at a severity known at run time: `log!(Severity::Notice, "…"; key = value)`.
#[macro_export]
macro_rules! log {
    (client: $client:expr, $severity:expr, $text:literal $(, $arg:expr)* $(,)? $(; $($key:tt = $value:expr),* $(,)?)?) => {
        $crate::__log!({ $client } Informational "" $text $(, $arg)*; severity = $severity $($(, $key = $value)*)?)
    };
    ($severity:expr, $text:literal $(, $arg:expr)* $(,)? $(; $($key:tt = $value:expr),* $(,)?)?) => {
        $crate::__log!({} Informational "" $text $(, $arg)*; severity = $severity $($(, $key = $value)*)?)
    };
}

/// Print-like: any values with `Display`, joined by blanks or by `sep`.
///
/// ```
/// metlog::mlog!(info, "took", 3, "tries");
/// metlog::mlog!(warn, sep = ", ", "disk", "nearly full"; title = "disk", tags = ["ops"]);
/// ```
#[macro_export]
macro_rules! mlog {
    (client: $client:expr, $helper:ident, sep = $sep:expr, $($part:expr),+ $(,)? $(; $($key:tt = $value:expr),* $(,)?)?) => {
        $crate::$helper!(client: $client, "{}", $crate::__private::join($sep, &[$(&$part),+]) $(; $($key = $value),*)?)
    };
    (client: $client:expr, $helper:ident, $($rest:tt)+) => {
        $crate::mlog!(client: $client, $helper, sep = " ", $($rest)+)
    };
    ($helper:ident, sep = $sep:expr, $($part:expr),+ $(,)? $(; $($key:tt = $value:expr),* $(,)?)?) => {
        $crate::$helper!("{}", $crate::__private::join($sep, &[$(&$part),+]) $(; $($key = $value),*)?)
    };
    ($helper:ident, $($rest:tt)+) => {
        $crate::mlog!($helper, sep = " ", $($rest)+)
    };
}

/// An error, at severity 1 (alert): the text, then the error, what caused it, and the stack, in the payload.
///
/// The stack is left out when `RUST_BACKTRACE` or `RUST_LIB_BACKTRACE` is `0`.
///
/// ```
/// # let read = || std::fs::read("/nowhere");
/// if let Err(error) = read() {
///     metlog::exception!(error, "lookup failed for {}", "bob"; user = "bob");
/// }
/// ```
#[macro_export]
macro_rules! exception {
    (client: $client:expr, $($rest:tt)+) => { $crate::__exception!({ $client } $($rest)+) };
    ($($rest:tt)+) => { $crate::__exception!({} $($rest)+) };
}

/// Type `counter`: `incr!("name")`, `incr!("name", 5)`, `incr!("name", 1, rate = 0.1, host = name)`.
///
/// `rate` below 1 sends that share of the calls and says so in the message. Other names become fields, except
/// `severity` and `logger`, which replace the client's defaults.
#[macro_export]
macro_rules! incr {
    (client: $client:expr, $($rest:tt)+) => { $crate::__incr!({ $client } $($rest)+) };
    ($($rest:tt)+) => { $crate::__incr!({} $($rest)+) };
}

/// Type `timer`: measures to the end of the scope, of a block, or to [`crate::Timer::stop`].
///
/// ```
/// # fn query() -> Result<u8, ()> { Ok(1) }
/// # fn run() -> Result<(), ()> {
/// let _timer = metlog::timer!("db.query", table = "users");
/// let rows = metlog::timer!("db.query", { query()? });
/// # Ok(()) }
/// ```
#[macro_export]
macro_rules! timer {
    (client: $client:expr, $($rest:tt)+) => { $crate::__timer!({ $client } $($rest)+) };
    ($($rest:tt)+) => { $crate::__timer!({} $($rest)+) };
}

/// Type `timer`, measured by you: `timer_send!("db.query", 12.5, rate = 0.5)`, in milliseconds. It neither samples nor
/// asks whether the timer is disabled; `rate` is only recorded.
#[macro_export]
macro_rules! timer_send {
    (client: $client:expr, $name:expr, $elapsed:expr $(, $key:tt = $value:expr)* $(,)?) => {
        $crate::__metric!({ $client } TimerSend [$name] [$crate::__capture!($elapsed)] $($key = $value),*)
    };
    ($name:expr, $elapsed:expr $(, $key:tt = $value:expr)* $(,)?) => {
        $crate::__metric!({} TimerSend [$name] [$crate::__capture!($elapsed)] $($key = $value),*)
    };
}

/// Any type: `metlog!("bid", payload = p, severity = 2, logger = "market", amount = 12.5)`.
///
/// `payload`, `severity` and `logger` are the envelope's; `fields = map` adds a whole map; everything else is a field.
#[macro_export]
macro_rules! metlog {
    (client: $client:expr, $kind:expr $(, $key:tt = $value:expr)* $(,)?) => {
        $crate::__custom!({ $client } $kind; $($key = $value),*)
    };
    ($kind:expr $(, $key:tt = $value:expr)* $(,)?) => {
        $crate::__custom!({} $kind; $($key = $value),*)
    };
}

/// Values that every message carries while the returned guard lives: `let _c = context!(trace_id = id);`
///
/// See [`mod@crate::context`] for tasks.
#[macro_export]
macro_rules! context {
    ($($key:tt = $value:expr),* $(,)?) => {
        $crate::context::enter([$(($crate::__key!($key), $crate::Value::from($value))),*])
    };
}

/// A map of fields: `fields! { user_id = 42, tags = ["a", "b"] }`.
#[macro_export]
macro_rules! fields {
    ($($key:tt = $value:expr),* $(,)?) => {{
        #[allow(unused_mut)]
        let mut fields = $crate::Fields::new();
        $(fields.set($crate::__key!($key), $value);)*
        fields
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ({ $($client:expr)? } $severity:ident $level:literal $text:literal $(, $arg:expr)* $(,)? $(; $($key:tt = $value:expr),* $(,)?)?) => {{
        const __METLOG_ARGS: usize = <[()]>::len(&[$($crate::__unit!($arg)),*]);
        const __METLOG_PLAIN: bool = $crate::__private::plain($text, __METLOG_ARGS);
        $crate::__site! {
            kind: $crate::__private::Kind::Log($crate::Severity::$severity),
            name: "",
            text: if __METLOG_PLAIN { $text } else { "{}" },
            text_args: if __METLOG_PLAIN { __METLOG_ARGS } else { 1 },
            fields: &[$($($crate::__key!($key)),*)?],
            level: $level,
        }
        let word = $crate::__word!($($client)?);
        if word & $crate::__private::LIVE != 0 {
            if __METLOG_PLAIN {
                $crate::__private::emit_here(&__METLOG_SITE, word, [$($crate::__capture!($arg),)* $($($crate::__capture!($value)),*)?], || ());
            } else {
                $crate::__private::emit_here(&__METLOG_SITE, word, [
                    $crate::__private::Arg::Str(&::std::format!($text $(, $arg)*)), $($($crate::__capture!($value)),*)?
                ], || ());
            }
        }
    }};
    ({ $($client:expr)? } $severity:ident $level:literal $text:expr $(; $($fields:tt)*)?) => {
        $crate::__log!({ $($client)? } $severity $level "{}", $text $(; $($fields)*)?)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __exception {
    ({ $($client:expr)? } $text:literal $(, $arg:expr)* $(,)? $(; $($fields:tt)*)?) => {
        $crate::__log!({ $($client)? } Alert "" "{}", $crate::__private::with_stack(::std::format!($text $(, $arg)*)) $(; $($fields)*)?)
    };
    ({ $($client:expr)? } $error:expr, $text:literal $(, $arg:expr)* $(,)? $(; $($fields:tt)*)?) => {{
        #[allow(unused_imports)]
        use $crate::__private::{ViaDeref as _, ViaError as _, ViaText as _};
        $crate::__log!({ $($client)? } Alert "" "{}",
            $crate::__private::with_error(::std::format!($text $(, $arg)*), (&&&$crate::__private::Trouble(&$error)).chain())
            $(; $($fields)*)?)
    }};
    ({ $($client:expr)? } $error:expr $(; $($fields:tt)*)?) => {
        $crate::__exception!({ $($client)? } $error, "an error" $(; $($fields)*)?)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __incr {
    ({ $($client:expr)? } $name:expr $(, $key:tt = $value:expr)* $(,)?) => {
        $crate::__metric!({ $($client)? } Counter [$name] [$crate::__private::Arg::U64(1)] $($key = $value),*)
    };
    ({ $($client:expr)? } $name:expr, $count:expr $(, $key:tt = $value:expr)* $(,)?) => {
        $crate::__metric!({ $($client)? } Counter [$name] [$crate::__capture!($count)] $($key = $value),*)
    };
}

/// A counter or a ready timer. A literal name is the site's; any other travels as a value.
#[doc(hidden)]
#[macro_export]
macro_rules! __metric {
    ({ $($client:expr)? } $kind:ident [$name:literal] [$count:expr] $($key:tt = $value:expr),*) => {{
        const __METLOG_FIELDS: &[&str] = &[$($crate::__key!($key)),*];
        $crate::__site! {
            kind: $crate::__private::Kind::$kind, name: $name, text: "", text_args: 1, fields: __METLOG_FIELDS, level: "",
        }
        let word = $crate::__word!($($client)?);
        if word & $crate::__private::LIVE != 0 {
            $crate::__private::count::<{ $crate::__private::rate_at(__METLOG_FIELDS) }, _, _>(
                &__METLOG_SITE, word, [$count, $($crate::__capture!($value)),*], || ());
        }
    }};
    ({ $($client:expr)? } $kind:ident [$name:expr] [$count:expr] $($key:tt = $value:expr),*) => {
        $crate::__metric!({ $($client)? } $kind [""] [$count] $($key = $value,)* name = $name)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __timer {
    ({ $($client:expr)? } $name:literal $(, $key:tt = $value:expr)* $(,)?) => {{
        const __METLOG_FIELDS: &[&str] = &[$($crate::__key!($key)),*];
        $crate::__site! {
            kind: $crate::__private::Kind::Timer, name: $name, text: "", text_args: 1, fields: __METLOG_FIELDS, level: "",
        }
        let word = $crate::__word!($($client)?);
        if word & $crate::__private::LIVE != 0 {
            $crate::Timer::start::<{ $crate::__private::rate_at(__METLOG_FIELDS) }, _>(
                &__METLOG_SITE, word, [$crate::__private::Arg::Null, $($crate::__capture!($value)),*])
        } else {
            $crate::Timer::off()
        }
    }};
    ({ $($client:expr)? } $name:expr $(, $key:tt = $value:expr)* $(,)?) => {
        $crate::Timer::named($crate::__timer!({ $($client)? } "" $(, $key = $value)*, name = $name), &$name)
    };
    ({ $($client:expr)? } $name:expr $(, $key:ident = $value:expr)*, $body:block) => {{
        let timer = $crate::__timer!({ $($client)? } $name $(, $key = $value)*);
        let result = $body;
        ::core::mem::drop(timer);
        result
    }};
}

/// What `#[timeit]` puts in front of a body.
#[doc(hidden)]
#[macro_export]
macro_rules! __timeit {
    ({ $($client:expr)? } $name:expr; $($key:tt = $value:expr),*) => {{
        const __METLOG_FIELDS: &[&str] = &[$($crate::__key!($key)),*];
        $crate::__site! {
            kind: $crate::__private::Kind::Timer, name: $name, text: "", text_args: 1, fields: __METLOG_FIELDS, level: "",
        }
        let word = $crate::__word!($($client)?);
        if word & $crate::__private::LIVE != 0 && $crate::__private::Decorator::Timeit.is_on() {
            $crate::Timer::start::<{ $crate::__private::rate_at(__METLOG_FIELDS) }, _>(
                &__METLOG_SITE, word, [$crate::__private::Arg::Null, $($crate::__capture!($value)),*])
        } else {
            $crate::Timer::off()
        }
    }};
}

/// What `#[incr_count]` puts in front of a body.
#[doc(hidden)]
#[macro_export]
macro_rules! __incr_count {
    ({ $($client:expr)? } $name:expr, $count:expr; $($key:tt = $value:expr),*) => {{
        const __METLOG_FIELDS: &[&str] = &[$($crate::__key!($key)),*];
        $crate::__site! {
            kind: $crate::__private::Kind::Counter, name: $name, text: "", text_args: 1, fields: __METLOG_FIELDS, level: "",
        }
        let word = $crate::__word!($($client)?);
        if word & $crate::__private::LIVE != 0 && $crate::__private::Decorator::IncrCount.is_on() {
            $crate::__private::Counting::start::<{ $crate::__private::rate_at(__METLOG_FIELDS) }, _>(
                &__METLOG_SITE, word, [$crate::__capture!($count), $($crate::__capture!($value)),*])
        } else {
            $crate::__private::Counting::off()
        }
    }};
}

/// The default name of a decorated function: its path with dots.
#[doc(hidden)]
#[macro_export]
macro_rules! __qualified {
    ($function:literal) => {{
        const PATH: &str = ::core::concat!(::core::module_path!(), "::", $function);
        const DOTTED: [u8; $crate::__private::dotted_len(PATH)] = $crate::__private::dotted(PATH);
        match ::core::str::from_utf8(&DOTTED) {
            Ok(name) => name,
            Err(_) => PATH,
        }
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __custom {
    ({ $($client:expr)? } $kind:literal; $($key:tt = $value:expr),*) => {{
        $crate::__site! {
            kind: $crate::__private::Kind::Custom, name: $kind, text: "", text_args: 0,
            fields: &[$($crate::__key!($key)),*], level: "",
        }
        let word = $crate::__word!($($client)?);
        if word & $crate::__private::LIVE != 0 {
            $crate::__private::emit_here(&__METLOG_SITE, word, [$($crate::__capture!($value)),*], || ());
        }
    }};
    ({ $($client:expr)? } $kind:expr; $($key:tt = $value:expr),*) => {
        $crate::__custom!({ $($client)? } ""; $($key = $value,)* type = $kind)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __site {
    (kind: $kind:expr, name: $name:expr, text: $text:expr, text_args: $text_args:expr, fields: $fields:expr, level: $level:expr $(,)?) => {
        #[allow(unused_imports)]
        use $crate::__private::{ViaDisplay as _, ViaNothing as _, ViaPrimitive as _, ViaStructured as _};
        static __METLOG_SITE: $crate::__private::Site = $crate::__private::Site::new($crate::__private::Meta {
            kind: $kind,
            name: $name,
            text: $text,
            text_args: $text_args,
            fields: $fields,
            level: $level,
            module: ::core::module_path!(),
            file: ::core::file!(),
            line: ::core::line!(),
        });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __word {
    () => {
        __METLOG_SITE.word()
    };
    ($client:expr) => {
        $crate::Client::word(&$client, &__METLOG_SITE)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __capture {
    ($value:expr) => {
        // No block: what is made here must live as long as the call it is an argument of.
        (&&&&$crate::__private::Wrap(&$value)).capture().arg()
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __unit {
    ($any:expr) => {
        ()
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __key {
    ($name:literal) => {
        $name
    };
    ($name:ident) => {
        ::core::stringify!($name)
    };
    ($($name:tt)+) => {
        ::core::stringify!($($name)+)
    };
}
