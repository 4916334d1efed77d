//! The configuration file: read whole, checked whole, before anything is opened.

mod endpoints;
mod filters;
mod fleet;
mod inputs;
mod keys;
mod sections;

pub use endpoints::{EndpointPlan, OpenStore, endpoint_kinds};
pub(crate) use filters::{FilterKind, FilterPlan, edits};
pub use fleet::{FleetPlan, FleetSettings};
pub use inputs::{InputKind, InputPlan, input_kinds};
pub use keys::KeySettings;
pub(crate) use sections::EndpointKeys;
pub use sections::{HttpInput, RouterSettings, SpoolSettings, SyncSetting};

use crate::edits::Edits;
use crate::routes::{Node as FilterNode, Route, Routes};
use endpoints::{Context, endpoint};
use filters::{edit_plan, filter_plans};
use inputs::input;
use metlog_http::server::keys::Keys;
use metlog_pipeline::Filter;
use metlog_pipeline::registry::{Unknown, blame};
use metlog_settings::{Environment, Kind, Layers, Node, Origin, Problem, Problems, Table, source, suggest};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// What the router does when it is given no file.
pub const DEFAULT: &str = include_str!("../../../config/default.toml");

/// Bits in [`metlog_message::Wants`].
pub const MOST_ENDPOINTS: usize = 64;

/// A configuration that was found right. Nothing of it is open yet.
pub struct Plan {
    /// `[router]`
    pub router: RouterSettings,
    /// `[keys.*]`; none: nobody is asked for one.
    pub keys: Keys,
    /// `[spool]`
    pub spool: SpoolSettings,
    /// `[inputs.*]`, in the order of the file.
    pub inputs: Vec<InputPlan>,
    /// `[filters.*]`, each after those it refers to.
    pub(crate) filters: Vec<FilterPlan>,
    /// `router.edit`, as positions among them.
    pub(crate) edits: Vec<usize>,
    /// `[endpoints.*]`, in the order of the file.
    pub endpoints: Vec<EndpointPlan>,
    /// `[fleet]`, if there is one.
    pub fleet: Option<FleetPlan>,
    /// What is right and probably not meant.
    pub warnings: Vec<String>,
    /// `[router]`, for errors that have a place.
    section: Node,
}

impl Plan {
    /// Reads the files that the settings name and that have to be right, such as certificates. What is not wrong yet but
    /// soon will be is given as remarks.
    ///
    /// # Errors
    /// All that is wrong, with file, line and column of the setting.
    pub fn examine(&self) -> Result<Vec<String>, Problems> {
        let mut problems = Problems::new();
        let mut remarks =
            problems.note(inputs::examine_tls(self.router.tls.as_ref(), &self.section)).unwrap_or_default();
        let mut note = |whose: String, examined: Result<Vec<String>, Problems>| {
            let found = problems.note(examined).unwrap_or_default();
            remarks.extend(found.into_iter().map(|remark| format!("{whose}: {remark}")));
        };
        self.inputs.iter().for_each(|input| note(format!("input {}", input.name), input.examine()));
        self.endpoints.iter().for_each(|endpoint| note(format!("endpoint {}", endpoint.name), (endpoint.examine)()));
        self.fleet.iter().for_each(|fleet| note("fleet".to_owned(), fleet.examine()));
        problems.sort();
        problems.or(remarks)
    }
}

/// Reads a file, or the built-in default.
///
/// # Errors
/// All that is wrong, with file, line and column.
pub fn load(file: Option<&Path>) -> Result<Plan, Problems> {
    let environment = Environment::load()?;
    let layers = Layers::new(environment.clone());
    let layers = match file {
        None => layers.toml("the built-in default", DEFAULT),
        Some(path) => {
            let name = path.display().to_string();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("ini" | "cfg" | "conf") => {
                    layers.ini(&name, &source::read_file(path, metlog_settings::MAX_BYTES)?, true)
                }
                Some("yaml" | "yml" | "json") => {
                    layers.yaml(&name, &source::read_file(path, metlog_settings::MAX_BYTES)?)
                }
                _ => layers.toml(&name, &source::read_file(path, metlog_settings::MAX_BYTES)?),
            }
        }
    };
    plan(&layers.variables("METLOG_ROUTER").merge()?)
}

/// Reads TOML text; `name` is what problems call it.
///
/// # Errors
/// All that is wrong.
pub fn from_toml(name: &str, text: &str) -> Result<Plan, Problems> {
    plan(&Layers::new(Environment::process()).toml(name, text).merge()?)
}

fn plan(root: &Node) -> Result<Plan, Problems> {
    let mut problems = Problems::new();
    const SECTIONS: [&str; 7] = ["router", "keys", "spool", "inputs", "filters", "endpoints", "fleet"];
    for (key, place, _) in root.as_table().into_iter().flat_map(Table::iter) {
        if !SECTIONS.contains(&key) {
            let known = SECTIONS.join("], [");
            problems.push(
                Problem::at(place, format!("there is no section `[{key}]`, only [{known}]"))
                    .suggest(suggest::nearest(key, SECTIONS)),
            );
        }
    }
    let empty = || Node::new(root.origin.clone(), Kind::Table(Table::default()));
    let section = |name: &str| root.get(name).cloned().unwrap_or_else(empty);
    let router: RouterSettings = problems.note(metlog_settings::read(&section("router"))).unwrap_or_default();
    let asked = named(root, "keys", &mut problems);
    let keys = keys::plan(&asked, &mut problems);
    // A key with a mistake is one all the same: it has its own problem, and makes no second one.
    let asked = !asked.is_empty();
    if !router.http.is_empty() {
        let at = crate::http::reachable("http", &router.http, router.trusted_network, asked || router.asks());
        problems.note(at.map_err(|why| blame(&section("router"), why)));
    }
    let tls = router.tls.as_ref().map_or(Ok(()), metlog_tls::Identity::check);
    problems.note(tls.map_err(|why| blame(&section("router"), why)));
    let spool: SpoolSettings = problems.note(metlog_settings::read(&section("spool"))).unwrap_or_default();

    let inputs = named(root, "inputs", &mut problems);
    let filters = named(root, "filters", &mut problems);
    let endpoints = named(root, "endpoints", &mut problems);

    let input_names: Vec<&str> = inputs.iter().map(|named| named.name).collect();
    let inputs: Vec<InputPlan> =
        inputs.iter().filter_map(|named| problems.note(input(named, &router, asked))).collect();
    let (filters, order) = filter_plans(&filters, &mut problems);
    let edits = edit_plan(&section("router"), &filters, &order, &mut problems);
    let context = Context { inputs: &input_names, filters: &order };
    let endpoints: Vec<EndpointPlan> =
        endpoints.iter().filter_map(|named| problems.note(endpoint(named, &context))).collect();
    if endpoints.len() > MOST_ENDPOINTS {
        problems.push(Problem::at(
            &section("endpoints").origin,
            format!("a router has at most {MOST_ENDPOINTS} endpoints"),
        ));
    }
    if let Some(name) = &router.store {
        let stores: Vec<&str> = endpoints
            .iter()
            .filter(|endpoint| endpoint.store.is_some())
            .map(|endpoint| endpoint.name.as_str())
            .collect();
        if !stores.contains(&name.as_str()) {
            let section = section("router");
            let place = section.get("store").map_or(&section.origin, |node| &node.origin);
            problems.push(nobody("endpoint that keeps messages", name, place, &stores));
        }
    }
    let fleet = root.get("fleet").and_then(|node| problems.note(fleet::fleet(node)));
    let mut warnings = Vec::new();
    if inputs.is_empty() {
        warnings.push("no inputs are configured: nothing will come in".to_owned());
    }
    if endpoints.is_empty() {
        warnings.push("no endpoints are configured: whatever comes in is counted and dropped".to_owned());
    }
    // What others can reach asks for keys, and whoever listens on the way could have them.
    let open = |at: &str| at.parse().is_ok_and(|at: SocketAddr| !at.ip().to_canonical().is_loopback());
    if asked && router.tls.is_none() && open(&router.http) {
        warnings.push("router.http: keys and messages can be read on the way; `[router.tls]` encrypts".to_owned());
    }
    for input in &inputs {
        if let InputKind::Http(http) = &input.what
            && asked
            && http.tls.is_none()
            && open(&http.listen)
        {
            let name = &input.name;
            warnings.push(format!("input {name}: keys and messages can be read on the way; its table `tls` encrypts"));
        }
    }
    let combined = filters.iter().flat_map(|filter| match &filter.what {
        FilterKind::Plugin(..) => &[],
        FilterKind::Any(of) | FilterKind::All(of) | FilterKind::Not(of) => of.as_slice(),
    });
    let asked_for: BTreeSet<usize> =
        endpoints.iter().flat_map(|endpoint| &endpoint.filters).chain(&edits).chain(combined).copied().collect();
    let unused = filters.iter().enumerate().filter(|(at, _)| !asked_for.contains(at));
    warnings.extend(unused.map(|(_, filter)| {
        format!("filter {}: nobody asks it; an endpoint's `filters` or `router.edit` would", filter.name)
    }));
    problems.sort();
    let keyless =
        inputs.iter().filter(|input| matches!(&input.what, InputKind::Http(http) if !http.keyless.is_empty()));
    if keys.is_empty() {
        warnings.extend(keyless.map(|input| format!("input {}: `keyless` means nothing without keys", input.name)));
    }
    problems.or(Plan {
        router,
        keys,
        spool,
        inputs,
        filters,
        edits,
        endpoints,
        fleet,
        warnings,
        section: section("router"),
    })
}

/// A section `[kind.name]`.
struct Named<'a> {
    name: &'a str,
    place: &'a Origin,
    node: &'a Node,
    table: &'a Table,
}

impl Named<'_> {
    /// Its `type`, by default its own name, and where that stands.
    fn kind(&self) -> Result<(&str, &Origin), Problem> {
        match self.table.get("type") {
            None => Ok((self.name, self.place)),
            Some(node) => match node.as_str() {
                Some(kind) => Ok((kind, &node.origin)),
                None => Err(Problem::at(&node.origin, "`type` must be the name of a plugin, as text")),
            },
        }
    }

    /// What is left of the section without these keys.
    fn without(&self, keys: &[&str]) -> Node {
        let mut table = self.table.clone();
        for key in keys {
            table.remove(key);
        }
        Node::new(self.node.origin.clone(), Kind::Table(table))
    }
}

fn named<'a>(root: &'a Node, section: &str, problems: &mut Problems) -> Vec<Named<'a>> {
    let Some(node) = root.get(section) else { return Vec::new() };
    let Some(table) = node.as_table() else {
        problems.push(Problem::at(&node.origin, format!("`{section}` must be sections such as `[{section}.name]`")));
        return Vec::new();
    };
    let mut all = Vec::new();
    for (name, place, node) in table.iter() {
        if name.is_empty()
            || name.len() > 64
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        {
            problems.push(Problem::at(
                place,
                format!("`{name}` is no name: letters, digits, `_`, `-` and `.`, at most 64"),
            ));
            continue;
        }
        match node.as_table() {
            Some(table) => all.push(Named { name, place, node, table }),
            None => problems.push(Problem::at(
                &node.origin,
                format!("`{name}` must be a section: write `[{section}.{name}]` above its settings"),
            )),
        }
    }
    all
}

fn unknown(place: &Origin, unknown: &Unknown) -> Problem {
    if let Some(how) = crate::plugins::left_out(unknown.name()) {
        return Problem::at(place, how);
    }
    Problem::at(place, unknown.to_string()).suggest(unknown.suggestion.as_deref())
}

fn names(table: &Table, key: &str) -> Result<Option<Vec<(String, Origin)>>, Problem> {
    let Some(node) = table.get(key) else { return Ok(None) };
    let text = |node: &Node| match node.as_str() {
        Some(text) => Ok((text.to_owned(), node.origin.clone())),
        None => Err(Problem::at(&node.origin, format!("`{key}` must be a list of names"))),
    };
    match node.as_list() {
        Some(list) => list.iter().map(text).collect::<Result<_, _>>().map(Some),
        None => Ok(Some(vec![text(node)?])),
    }
}

fn nobody(what: &str, name: &str, place: &Origin, known: &[&str]) -> Problem {
    let there =
        if known.is_empty() { "none is configured".to_owned() } else { format!("there are {}", known.join(", ")) };
    Problem::at(place, format!("no {what} is called `{name}`; {there}"))
        .suggest(suggest::nearest(name, known.iter().copied()))
}

impl Plan {
    /// The editors, those that go on as they are taken from `before`; none if the configuration names none.
    ///
    /// # Errors
    /// If one does not open.
    pub fn edits(&self, before: Option<&Edits>) -> Result<Option<Arc<Edits>>, String> {
        edits(&self.editors(), before)
    }

    /// What is needed to open the editors when the plan is gone.
    pub(crate) fn editors(&self) -> Vec<FilterPlan> {
        self.edits.iter().filter_map(|at| self.filters.get(*at).cloned()).collect()
    }

    /// The endpoint whose messages are asked for: the one that `router.store` names, or else the first that keeps any.
    pub fn store(&self) -> Option<&EndpointPlan> {
        let mut stores = self.endpoints.iter().filter(|endpoint| endpoint.store.is_some());
        match &self.router.store {
            Some(name) => stores.find(|endpoint| endpoint.name == *name),
            None => stores.next(),
        }
    }

    /// The routes, with each endpoint's slot.
    ///
    /// # Errors
    /// If a filter does not open.
    pub fn routes(&self, slots: &BTreeMap<String, u32>) -> Result<Routes, String> {
        let mut filters = Vec::new();
        for plan in &self.filters {
            let node = match &plan.what {
                FilterKind::Plugin(entry, settings) => {
                    let opened = (entry.read)(settings).map_err(|problems| problems.to_string())?();
                    let filter: Box<dyn Filter> = opened.map_err(|why| format!("filter `{}`: {why}", plan.name))?;
                    FilterNode::Leaf(filter)
                }
                FilterKind::Any(of) => FilterNode::Any(of.as_slice().into()),
                FilterKind::All(of) => FilterNode::All(of.as_slice().into()),
                FilterKind::Not(of) => FilterNode::Not(of.as_slice().into()),
            };
            filters.push((plan.name.clone(), node));
        }
        let routes = self.endpoints.iter().filter_map(|endpoint| {
            let slot = *slots.get(&endpoint.name)?;
            Some(Route {
                endpoint: endpoint.name.clone(),
                slot,
                inputs: endpoint.inputs.clone(),
                severity_max: endpoint.keys.severity_max,
                types: endpoint.keys.types.clone().map(|types| types.into_iter().collect()),
                filters: endpoint.filters.clone(),
                alerts: endpoint.alerts,
            })
        });
        Ok(Routes::new(routes.collect(), filters))
    }
}
