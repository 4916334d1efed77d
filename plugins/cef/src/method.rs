use crate::line;
use crate::syslog::{Facility, Options, Priority};
use metlog_message::{Fields, Timestamp, Value};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Emit, Method, MethodEntry, MethodError, inventory};
use serde::Deserialize;
use std::borrow::Cow;

/// CEF's severities in words; else it is a number from 0 to 10.
const SEVERITIES: [&str; 5] = ["Unknown", "Low", "Medium", "High", "Very-High"];

/// Settings of the method. The `syslog_` keys travel with each event, for the receiver that hands it to syslog; the
/// others are CEF's header, and win over what a call says in its `config`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Syslog facility: `KERN`, `USER`, `MAIL`, `DAEMON`, `AUTH`, `LPR`, `NEWS`, `UUCP`, `CRON`, `LOCAL0` to `LOCAL7`.
    pub syslog_facility: Option<Facility>,
    /// Syslog priority: `EMERG`, `ALERT`, `CRIT`, `ERR`, `WARNING`, `NOTICE`, `INFO` or `DEBUG`.
    pub syslog_priority: Option<Priority>,
    /// Syslog options: `PID`, `CONS`, `NDELAY`, `NOWAIT`, `LOG_PERROR`.
    pub syslog_options: Option<Options>,
    /// The name syslog shows.
    pub syslog_ident: Option<String>,
    /// CEF version; 0 if nobody says otherwise.
    pub version: Option<String>,
    /// Who makes the application.
    pub vendor: Option<String>,
    /// The application.
    pub product: Option<String>,
    /// Its version.
    pub device_version: Option<String>,
}

/// The method.
#[derive(Debug)]
pub struct CefMethod {
    config: Config,
    /// What travels as the field `cef_meta`.
    meta: Fields,
}

impl Configured for CefMethod {
    type Config = Config;

    fn open(config: Config) -> Result<Self, String> {
        let mut meta = Fields::new();
        meta.set("syslog_options", config.syslog_options.as_ref().map(Options::word));
        meta.set("syslog_facility", config.syslog_facility.map(Facility::word));
        meta.set("syslog_ident", config.syslog_ident.clone());
        meta.set("syslog_priority", config.syslog_priority.map(Priority::word));
        Ok(CefMethod { config, meta })
    }
}

/// A call's arguments, still as they came.
struct Call<'a> {
    args: &'a Fields,
    environ: Option<&'a Fields>,
    config: Option<&'a Fields>,
}

impl<'a> Call<'a> {
    fn new(args: &'a Fields) -> Result<Self, MethodError> {
        let map = |key: &str| match args.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Map(map)) => Ok(Some(map)),
            Some(other) => {
                Err(MethodError::Arguments(format!("cef's `{key}` must be a map, not `{}`", other.to_text())))
            }
        };
        map("extensions")?;
        Ok(Call { args, environ: map("environ")?, config: map("config")? })
    }

    fn text(from: Option<&'a Fields>, key: &str) -> Option<Cow<'a, str>> {
        from?.get(key).filter(|value| **value != Value::Null).map(Value::to_text)
    }

    fn needed(&self, key: &str, right: &str) -> Result<Cow<'a, str>, MethodError> {
        Self::text(Some(self.args), key)
            .ok_or_else(|| MethodError::Arguments(format!("cef needs the argument `{key}`, {right}")))
    }

    fn environ(&self, key: &str) -> Cow<'a, str> {
        Self::text(self.environ, key).unwrap_or(Cow::Borrowed("none"))
    }

    fn severity(&self) -> Result<Cow<'a, str>, MethodError> {
        let right = "a number from 0 to 10 or one of Unknown, Low, Medium, High, Very-High";
        let severity = self.needed("severity", right)?;
        let number = severity.parse().is_ok_and(|number: u8| number <= 10);
        if number || SEVERITIES.iter().any(|word| word.eq_ignore_ascii_case(&severity)) {
            return Ok(severity);
        }
        Err(MethodError::Arguments(format!("cef's `severity` must be {right}, not `{severity}`")))
    }

    fn source(&self) -> Cow<'a, str> {
        let forwarded = Self::text(self.environ, "HTTP_X_FORWARDED_FOR");
        let first = forwarded.and_then(|header| header.split(',').next().map(|first| first.trim().to_owned()));
        first.filter(|first| !first.is_empty()).map_or_else(|| self.environ("REMOTE_ADDR"), Cow::Owned)
    }

    /// Everything that has no other meaning.
    fn extensions(&self) -> Vec<(String, String)> {
        const OTHERS: [&str; 7] = ["name", "severity", "environ", "config", "username", "signature", "extensions"];
        let named = self.args.get("extensions").and_then(Value::as_map);
        let named = named.into_iter().flat_map(Fields::iter);
        let loose = self.args.iter().filter(|(key, _)| !OTHERS.contains(key));
        named.chain(loose).map(|(key, value)| (key.to_owned(), value.to_text().into_owned())).collect()
    }
}

impl CefMethod {
    /// A value of CEF's header that operations or the call must say.
    fn device<'a>(&'a self, call: &Call<'a>, key: &str) -> Result<Cow<'a, str>, MethodError> {
        let configured = match key {
            "version" => &self.config.version,
            "vendor" => &self.config.vendor,
            "product" => &self.config.product,
            _ => &self.config.device_version,
        };
        let configured = configured.as_deref().map(Cow::Borrowed).or_else(|| Call::text(call.config, key));
        match configured {
            Some(value) => Ok(value),
            None if key == "version" => Ok(Cow::Borrowed("0")),
            None => Err(MethodError::Arguments(format!(
                "cef needs a `{key}`, in its configuration or in the call's `config`"
            ))),
        }
    }

    /// The line, and the keys of extensions that it has no room for.
    fn line(&self, call: &Call<'_>, time: Timestamp, host: &str) -> Result<(String, Vec<String>), MethodError> {
        let name = call.needed("name", "what happened")?;
        let signature = Call::text(Some(call.args), "signature").unwrap_or_else(|| name.clone());
        let version = self.device(call, "version")?;
        let vendor = self.device(call, "vendor")?;
        let product = self.device(call, "product")?;
        let device_version = self.device(call, "device_version")?;
        let severity = call.severity()?;
        let header = [&version, &vendor, &product, &device_version, &signature, &name, &severity];
        let mut line = line::header(&date(time), host, header.map(|field| field.as_ref()));
        let user = Call::text(Some(call.args), "username").unwrap_or(Cow::Borrowed("none"));
        let values = [
            Cow::Borrowed("requestClientApplication"),
            call.environ("HTTP_USER_AGENT"),
            call.environ("REQUEST_METHOD"),
            call.environ("PATH_INFO"),
            call.source(),
            call.environ("HTTP_HOST"),
            user,
        ];
        line::KEYS.iter().zip(values).for_each(|(key, value)| line::extend(&mut line, key, &value));
        let left_out = line::extend_all(&mut line, call.extensions());
        Ok((line, left_out))
    }
}

/// `Nov 20 22:00:50`, as syslog has it, in UTC.
fn date(time: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = time.to_string();
    let part = |range| text.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{} {} {}", month.unwrap_or(&"Jan"), part(8..10), part(11..19))
}

impl Method for CefMethod {
    fn call(&self, client: &dyn Emit, args: &Fields) -> Result<Value, MethodError> {
        let call = Call::new(args)?;
        let message = client.message("cef");
        let host = message.hostname.clone().unwrap_or_else(|| "localhost".into());
        let (line, left_out) = self.line(&call, message.timestamp, &host)?;
        let mut message = message.payload(line.as_str()).field("cef_meta", self.meta.clone());
        if !left_out.is_empty() {
            message = message.field("cef_left_out", left_out);
        }
        client.emit(message);
        Ok(Value::from(line))
    }
}

inventory::submit! {
    MethodEntry::of::<CefMethod>(
        "cef",
        &["metlog_cef.cef_plugin:config_plugin", "metlog_cef.cef_plugin.config_plugin"],
        include_str!("../example.toml"),
    )
}
