//! `[inputs.*]`

use super::sections::{HttpInput, RouterSettings};
use super::{Named, unknown};
use crate::http::Ground;
use metlog_http::server::DialectEntry;
use metlog_pipeline::registry::blame;
use metlog_pipeline::{Input, InputEntry};
use metlog_settings::{Node, Problem, Problems};
use metlog_tls::Identity;
use std::collections::BTreeSet;

/// An input that was found right.
pub struct InputPlan {
    /// Its name.
    pub name: String,
    /// Its section: the same section means the same input.
    pub section: Node,
    /// What it is.
    pub what: InputKind,
}

/// What an input is.
#[derive(Clone)]
pub enum InputKind {
    /// A plugin.
    Plugin(&'static InputEntry),
    /// Routes on an HTTP port.
    Http(Box<HttpInput>),
}

pub(super) fn input(named: &Named<'_>, router: &RouterSettings, keys: bool) -> Result<InputPlan, Problems> {
    let (kind, place) = named.kind()?;
    let settings = named.without(&["type"]);
    let what = if kind == "http" {
        InputKind::Http(Box::new(http_input(named, &settings, router, keys)?))
    } else {
        let entry = InputEntry::find(kind).map_err(|error| unknown(place, &error.among(input_kinds())))?;
        // Read now for its mistakes, and again whenever it is opened.
        drop((entry.read)(&settings)?);
        InputKind::Plugin(entry)
    };
    Ok(InputPlan { name: named.name.to_owned(), section: settings, what })
}

/// Everything that can be the `type` of an input.
pub fn input_kinds() -> Vec<&'static str> {
    let plugins = InputEntry::all().into_iter().map(|entry| entry.name);
    let kinds: BTreeSet<&str> = plugins.chain(["http"]).collect();
    kinds.into_iter().collect()
}

/// An HTTP input; a table in it with a dialect's name is that dialect's settings.
fn http_input(named: &Named<'_>, settings: &Node, router: &RouterSettings, keys: bool) -> Result<HttpInput, Problems> {
    let mut problems = Problems::new();
    let dialects: Vec<_> =
        DialectEntry::all().into_iter().filter(|entry| named.table.get(entry.name).is_some()).collect();
    let names: Vec<&str> = dialects.iter().map(|entry| entry.name).chain(["type"]).collect();
    let mut http: HttpInput = problems.note(metlog_settings::read(&named.without(&names))).unwrap_or_default();
    for entry in dialects {
        let Some(own) = named.table.get(entry.name) else { continue };
        if !http.dialects.is_empty() && !http.dialects.iter().any(|name| name == entry.name) {
            let why = format!("`{}` has settings here and is not among the `dialects` spoken", entry.name);
            problems.push(Problem::at(&own.origin, why));
        }
        // Read now for its mistakes, and again whenever it is opened.
        problems.note((entry.read)(own).map(drop));
        http.settings.insert(entry.name.to_owned(), own.clone());
    }
    problems.note(crate::http::check(&http, settings, router, keys));
    problems.or(http)
}

/// Reads a listener's files.
pub(super) fn examine_tls(tls: Option<&Identity>, section: &Node) -> Result<Vec<String>, Problems> {
    let examined = tls.map_or(Ok(Vec::new()), Identity::examine);
    examined.map_err(|why| blame(section, why).into())
}

impl InputPlan {
    /// Opens it again and again, long after the plan is gone.
    pub fn reopen(
        &self,
        ground: Ground,
    ) -> impl Fn() -> Result<Option<Box<dyn Input>>, String> + Send + Sync + 'static {
        let what = self.what.clone();
        let section = self.section.clone();
        move || match &what {
            InputKind::Plugin(entry) => (entry.read)(&section).map_err(|problems| problems.to_string())?().map(Some),
            InputKind::Http(http) if http.listen.is_empty() => Ok(None),
            InputKind::Http(http) => Ok(Some(Box::new(crate::http::Listener::open(http, ground.clone())?))),
        }
    }

    /// Reads the files that its settings name, and says what will soon be wrong with them.
    pub(super) fn examine(&self) -> Result<Vec<String>, Problems> {
        match &self.what {
            InputKind::Plugin(entry) => (entry.examine)(&self.section),
            InputKind::Http(http) => examine_tls(http.tls.as_ref(), &self.section),
        }
    }

    /// What it is on the router's own port, if that is where it is.
    pub fn on_own_port(&self) -> Option<&HttpInput> {
        match &self.what {
            InputKind::Http(http) if http.listen.is_empty() => Some(http.as_ref()),
            _ => None,
        }
    }

    /// Opens it, unless it is on the router's own port.
    ///
    /// # Errors
    /// What and where, and what would be right.
    pub fn open(&self, ground: &Ground) -> Result<Option<Box<dyn Input>>, String> {
        self.reopen(ground.clone())()
    }
}
