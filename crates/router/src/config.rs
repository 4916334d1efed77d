//! The configuration file: read whole, checked whole, before anything is opened.

mod keys;
mod sections;

pub use keys::KeySettings;
pub(crate) use sections::EndpointKeys;
pub use sections::{HttpInput, RouterSettings, SpoolSettings, SyncSetting};

use crate::deliver::{Habits, Open};
use crate::edits::Edits;
use crate::http::Ground;
use crate::routes::{Node as FilterNode, Route, Routes};
use metlog_http::server::DialectEntry;
use metlog_http::server::keys::Keys;
use metlog_message::Severity;
use metlog_pipeline::registry::{Unknown, blame};
use metlog_pipeline::{Endpoint, EndpointEntry, Filter, FilterEntry, Forward, Input, InputEntry, SenderEntry};
use metlog_query::{Store, StoreEntry};
use metlog_settings::{Environment, Kind, Layers, Node, Origin, Problem, Problems, Table, source, suggest};
use sections::{mistyped, take};
use std::collections::{BTreeMap, BTreeSet};
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
    /// What is right and probably not meant.
    pub warnings: Vec<String>,
}

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
    Http(HttpInput),
}

#[derive(Clone)]
pub(crate) struct FilterPlan {
    pub(crate) name: String,
    pub(crate) what: FilterKind,
}

#[derive(Clone)]
pub(crate) enum FilterKind {
    Plugin(&'static FilterEntry, Node),
    Any(Vec<usize>),
    All(Vec<usize>),
    Not(Vec<usize>),
}

/// An endpoint that was found right.
pub struct EndpointPlan {
    /// Its name, which its cursor goes by.
    pub name: String,
    /// Its section: the same section means the same endpoint.
    pub section: Node,
    /// Whether the spool waits for it when it is full.
    pub required: bool,
    /// How many write side by side.
    pub workers: usize,
    /// What every endpoint can be told.
    pub(crate) keys: EndpointKeys,
    pub(crate) inputs: Option<BTreeSet<u32>>,
    pub(crate) filters: Vec<usize>,
    pub(crate) alerts: bool,
    /// Opens an instance.
    pub open: Open,
    /// Opens what it keeps for questions, if it keeps anything.
    pub store: Option<OpenStore>,
}

/// Opens a store.
pub type OpenStore = Arc<dyn Fn() -> Result<Arc<dyn Store>, String> + Send + Sync>;

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
    const SECTIONS: [&str; 6] = ["router", "keys", "spool", "inputs", "filters", "endpoints"];
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
        let at = crate::http::reachable("http", &router.http, router.trusted_network, asked);
        problems.note(at.map_err(|why| blame(&section("router"), why)));
    }
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
    let mut warnings = Vec::new();
    if inputs.is_empty() {
        warnings.push("no inputs are configured: nothing will come in".to_owned());
    }
    if endpoints.is_empty() {
        warnings.push("no endpoints are configured: whatever comes in is counted and dropped".to_owned());
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
    problems.or(Plan { router, keys, spool, inputs, filters, edits, endpoints, warnings })
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
    Problem::at(place, unknown.to_string()).suggest(unknown.suggestion.as_deref())
}

fn input(named: &Named<'_>, router: &RouterSettings, keys: bool) -> Result<InputPlan, Problems> {
    let (kind, place) = named.kind()?;
    let settings = named.without(&["type"]);
    let what = if kind == "http" {
        InputKind::Http(http_input(named, &settings, router, keys)?)
    } else {
        let entry = InputEntry::find(kind).map_err(|error| unknown(place, &error))?;
        // Read now for its mistakes, and again whenever it is opened.
        drop((entry.read)(&settings)?);
        InputKind::Plugin(entry)
    };
    Ok(InputPlan { name: named.name.to_owned(), section: settings, what })
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

    /// What it is on the router's own port, if that is where it is.
    pub fn on_own_port(&self) -> Option<&HttpInput> {
        match &self.what {
            InputKind::Http(http) if http.listen.is_empty() => Some(http),
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

struct Context<'a> {
    inputs: &'a [&'a str],
    filters: &'a BTreeMap<String, usize>,
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

fn endpoint(named: &Named<'_>, context: &Context<'_>) -> Result<EndpointPlan, Problems> {
    let mut problems = Problems::new();
    let (kind, place) = named.kind()?;
    let (kind, place) = (kind.to_owned(), place.clone());
    let (common, own) = take(named.table, named.node);
    let keys: Option<EndpointKeys> = problems.note(metlog_settings::read(&common));

    let inputs = problems.note(names(named.table, "from_inputs")).flatten().map(|wanted| {
        let found = wanted.iter().filter_map(|(name, place)| {
            let number = context.inputs.iter().position(|known| known == name);
            if number.is_none() {
                problems.push(nobody("input", name, place, context.inputs));
            }
            number.and_then(|number| u32::try_from(number).ok())
        });
        found.collect::<BTreeSet<u32>>()
    });
    let known: Vec<&str> = context.filters.keys().map(String::as_str).collect();
    let wanted = problems.note(names(named.table, "filters")).flatten().unwrap_or_default();
    let mut filters = Vec::new();
    for (name, place) in &wanted {
        match context.filters.get(name) {
            Some(at) => filters.push(*at),
            None => problems.push(nobody("filter", name, place, &known)),
        }
    }
    let store = StoreEntry::find(&kind).map(|entry| -> OpenStore {
        let settings = own.clone();
        Arc::new(move || (entry.read)(&settings).map_err(|problems| problems.to_string())?())
    });
    let open = problems.note(opener(&kind, &place, own).map_err(mistyped));
    let (Some(keys), Some(open)) = (keys, open) else { return Err(problems) };
    let alerts = keys.alerts.unwrap_or_else(|| EndpointEntry::find(&kind).is_ok_and(|entry| entry.alerts));
    problems.or(EndpointPlan {
        name: named.name.to_owned(),
        section: named.node.clone(),
        required: keys.required,
        workers: keys.workers.get(),
        keys,
        inputs,
        filters,
        alerts,
        open,
        store,
    })
}

/// How to open an endpoint of a kind: one of its own, or a sender.
fn opener(kind: &str, place: &Origin, settings: Node) -> Result<Open, Problems> {
    if let Ok(entry) = EndpointEntry::find(kind) {
        drop((entry.read)(&settings)?);
        return Ok(Arc::new(move || (entry.read)(&settings).map_err(|problems| problems.to_string())?()));
    }
    if let Ok(entry) = SenderEntry::find(kind) {
        drop((entry.read)(&settings)?);
        return Ok(Arc::new(move || {
            let sender = (entry.read)(&settings).map_err(|problems| problems.to_string())?()?;
            Ok(Box::new(Forward(sender)) as Box<dyn Endpoint>)
        }));
    }
    let known = endpoint_kinds();
    let message = format!("unknown endpoint `{kind}`, this program has {}", known.join(", "));
    Err(Problem::at(place, message).suggest(suggest::nearest(kind, known.iter().copied())).into())
}

/// Everything that can be the `type` of an endpoint.
pub fn endpoint_kinds() -> Vec<&'static str> {
    let own = EndpointEntry::all().into_iter().map(|entry| entry.name);
    let kinds: BTreeSet<&str> = own.chain(SenderEntry::all().into_iter().map(|entry| entry.name)).collect();
    kinds.into_iter().collect()
}

/// The filters, each after those it refers to, and the position of each name.
fn filter_plans(sections: &[Named<'_>], problems: &mut Problems) -> (Vec<FilterPlan>, BTreeMap<String, usize>) {
    let known: Vec<&str> = sections.iter().map(|named| named.name).collect();
    let mut plans = Vec::new();
    let mut order: BTreeMap<String, usize> = BTreeMap::new();
    let mut waiting = Vec::new();
    for named in sections {
        let Some((kind, place)) = problems.note(named.kind()) else { continue };
        if !["any", "all", "not"].contains(&kind) {
            let settings = named.without(&["type"]);
            let found = FilterEntry::find(kind).map_err(|error| unknown(place, &error).into());
            let read = found.and_then(|entry| (entry.read)(&settings).map(|_| entry));
            if let Some(entry) = problems.note(read) {
                order.insert(named.name.to_owned(), plans.len());
                plans.push(FilterPlan { name: named.name.to_owned(), what: FilterKind::Plugin(entry, settings) });
            }
            continue;
        }
        for (key, place, _) in named.table.iter().filter(|(key, _, _)| !["type", "of"].contains(key)) {
            let message = format!("`{key}` means nothing to `{kind}`, which has `of` and no other setting");
            problems.push(Problem::at(place, message).suggest(suggest::nearest(key, ["of", "type"])));
        }
        let of = problems.note(names(named.table, "of")).flatten().unwrap_or_default();
        if of.is_empty() && named.table.get("of").is_none_or(|node| node.as_list().is_some_and(<[Node]>::is_empty)) {
            let message = format!("`{kind}` needs `of = [\"…\"]`, the names of the filters it combines");
            problems.push(Problem::at(named.place, message));
        }
        for (name, place) in &of {
            if !known.contains(&name.as_str()) {
                problems.push(nobody("filter", name, place, &known));
            }
        }
        waiting.push((named, kind, of));
    }
    // Those whose parts are all there, round after round. What is left at the end refers to itself, or to what is wrong.
    loop {
        let before = waiting.len();
        waiting.retain(|(named, kind, of)| {
            let Some(parts) = of.iter().map(|(name, _)| order.get(name).copied()).collect::<Option<Vec<_>>>() else {
                return true;
            };
            let what = match *kind {
                "any" => FilterKind::Any(parts),
                "all" => FilterKind::All(parts),
                _ => FilterKind::Not(parts),
            };
            order.insert(named.name.to_owned(), plans.len());
            plans.push(FilterPlan { name: named.name.to_owned(), what });
            false
        });
        if waiting.len() == before {
            break;
        }
    }
    if problems.is_empty() {
        for (named, _, of) in waiting {
            let through: Vec<&str> = of.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("`{}` is a filter of itself, by way of {}", named.name, through.join(", "));
            problems.push(Problem::at(named.place, message));
        }
    }
    // An endpoint that names a filter with a mistake of its own has no second one.
    for named in sections {
        order.entry(named.name.to_owned()).or_insert(usize::MAX);
    }
    (plans, order)
}

/// The filters that edit, in their order.
fn edit_plan(
    router: &Node,
    filters: &[FilterPlan],
    order: &BTreeMap<String, usize>,
    problems: &mut Problems,
) -> Vec<usize> {
    let wanted = router.as_table().and_then(|table| problems.note(names(table, "edit")).flatten()).unwrap_or_default();
    let known: Vec<&str> = order.keys().map(String::as_str).collect();
    let mut edits = Vec::new();
    for (name, place) in &wanted {
        let Some(at) = order.get(name) else {
            problems.push(nobody("filter", name, place, &known));
            continue;
        };
        let what = filters.get(*at).map(|plan| &plan.what);
        if matches!(what, Some(FilterKind::Any(_) | FilterKind::All(_) | FilterKind::Not(_))) {
            problems.push(Problem::at(
                place,
                format!("`{name}` combines filters, and changes nothing; name those that do"),
            ));
        } else if edits.contains(at) && what.is_some() {
            problems.push(Problem::at(place, format!("`{name}` is named twice: it sees each message once")));
        }
        edits.push(*at);
    }
    edits
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

/// Opens editors; see [`Plan::edits`].
pub(crate) fn edits(plans: &[FilterPlan], before: Option<&Edits>) -> Result<Option<Arc<Edits>>, String> {
    let mut editors = Vec::new();
    for FilterPlan { name, what } in plans {
        let FilterKind::Plugin(entry, settings) = what else {
            return Err("`router.edit` names a filter that is none".to_owned());
        };
        let opened = (entry.read)(settings).map_err(|problems| problems.to_string())?();
        let filter = opened.map_err(|why| format!("filter `{name}`: {why}"))?;
        editors.push((name.clone(), format!("{} {}", entry.name, settings.to_json()), filter));
    }
    Ok(Edits::new(editors, before))
}

impl EndpointPlan {
    /// How it is served, where the configuration does not say as the plugin likes it.
    pub fn habits(&self, endpoint: &dyn Endpoint) -> Habits {
        let mut pacing = endpoint.pacing();
        pacing.messages = self.keys.batch_messages.map_or(pacing.messages, std::num::NonZeroUsize::get);
        pacing.bytes =
            self.keys.batch_bytes.map_or(pacing.bytes, |size| usize::try_from(size.bytes()).unwrap_or(usize::MAX));
        pacing.wait = self.keys.batch_wait.map_or(pacing.wait, |span| span.duration());
        Habits {
            pacing,
            retry: (self.keys.retry_min.duration(), self.keys.retry_max.duration()),
            give_up_after: self.keys.give_up_after.map(|span| span.duration()),
        }
    }

    /// The least severe it takes.
    pub fn severity_max(&self) -> Option<Severity> {
        self.keys.severity_max
    }
}
