//! What travels in `cef_meta`: how the receiver shall hand the line to syslog.

use metlog_settings::suggest;
use serde::Deserialize;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $word:literal)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub enum $name {
            $(
                #[doc = concat!("`", $word, "`")]
                #[serde(rename = $word)]
                $variant,
            )*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The word in configurations and messages.
            pub const fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }
    };
}

words! {
    /// A syslog facility.
    Facility {
        Kern "KERN" User "USER" Mail "MAIL" Daemon "DAEMON" Auth "AUTH" Lpr "LPR" News "NEWS" Uucp "UUCP" Cron "CRON"
        Local0 "LOCAL0" Local1 "LOCAL1" Local2 "LOCAL2" Local3 "LOCAL3" Local4 "LOCAL4" Local5 "LOCAL5" Local6 "LOCAL6"
        Local7 "LOCAL7"
    }
}

words! {
    /// A syslog priority.
    Priority {
        Emerg "EMERG" Alert "ALERT" Crit "CRIT" Err "ERR" Warning "WARNING" Notice "NOTICE" Info "INFO" Debug "DEBUG"
    }
}

words! {
    /// A syslog option.
    SyslogOption {
        Pid "PID" Cons "CONS" Ndelay "NDELAY" Nowait "NOWAIT" LogPerror "LOG_PERROR"
    }
}

/// Syslog options: a list, or one text with commas as Metlog had it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Options(pub Vec<SyslogOption>);

impl Options {
    /// With commas.
    pub fn word(&self) -> String {
        self.0.iter().map(|option| option.word()).collect::<Vec<_>>().join(",")
    }
}

impl TryFrom<Vec<String>> for Options {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let words = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
        words.map(option).collect::<Result<_, _>>().map(Options)
    }
}

fn option(word: &str) -> Result<SyslogOption, String> {
    let known = || SyslogOption::ALL.iter().map(|option| option.word());
    SyslogOption::ALL.iter().copied().find(|option| option.word() == word).ok_or_else(|| {
        let meant = suggest::nearest(word, known());
        let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        format!("unknown value `{word}`, expected one of `{}`{meant}", known().collect::<Vec<_>>().join("`, `"))
    })
}
