//! Who wants a message: every endpoint's conditions, asked once, answered as one bit per endpoint.
//!
//! Most conditions look at type and severity alone. For those the answer is worked out once per type and severity and
//! then looked up, so twenty endpoints cost what one does. Only where a filter has to see the message itself is it
//! asked, under a lock, since such filters may count.

use metlog_message::batch::bit;
use metlog_message::{Head, Severity, Wants, wire};
use metlog_pipeline::{Event, Filter};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A named filter, or filters combined. The numbers are positions in the list of all filters, always of earlier ones,
/// so that nothing goes round in circles.
pub enum Node {
    /// A filter.
    Leaf(Box<dyn Filter>),
    /// Passes what one of these passes.
    Any(Arc<[usize]>),
    /// Passes what all of these pass.
    All(Arc<[usize]>),
    /// Passes what none of these passes.
    Not(Arc<[usize]>),
}

/// The conditions of one endpoint, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// Its name, for `explain`.
    pub endpoint: String,
    /// Its bit.
    pub slot: u32,
    /// Inputs it takes messages of, by number; `None`: all.
    pub inputs: Option<BTreeSet<u32>>,
    /// The least severe it takes.
    pub severity_max: Option<Severity>,
    /// The types it takes; `None`: all.
    pub types: Option<BTreeSet<String>>,
    /// Positions in the list of filters.
    pub filters: Vec<usize>,
    /// Takes every message of its inputs whose field `alert` is true, whatever its other conditions say.
    pub alerts: bool,
}

/// All routes of a configuration.
pub struct Routes {
    routes: Vec<Route>,
    names: Vec<String>,
    filters: Mutex<Vec<Node>>,
}

/// What type and severity alone say: who wants it, and who has to be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Verdict {
    yes: Wants,
    ask: Wants,
    /// Who wants it if it is an alert.
    alert: Wants,
}

/// Why an endpoint does not want a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It takes messages of other inputs only.
    Input,
    /// The message is not severe enough.
    Severity(Severity),
    /// It takes other types only.
    Type,
    /// This filter said no.
    Filter(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Input => f.write_str("from_inputs does not name this input"),
            Refusal::Severity(most) => write!(f, "severity_max = {} wants it more severe", *most as u8),
            Refusal::Type => f.write_str("types does not list this type"),
            Refusal::Filter(name) => write!(f, "filter `{name}` said no"),
        }
    }
}

impl Routes {
    /// Routes over named filters, each of which refers to earlier ones only.
    pub fn new(routes: Vec<Route>, filters: Vec<(String, Node)>) -> Self {
        let (names, filters) = filters.into_iter().unzip();
        Routes { routes, names, filters: Mutex::new(filters) }
    }

    /// The routes.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// Those that take alerts.
    fn alerts(&self) -> Wants {
        self.routes.iter().filter(|route| route.alerts).fold(0, |all, route| all | bit(route.slot))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Node>> {
        // A filter that panicked has kept or refused one message wrongly; that is no reason to lose the rest.
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verdict(&self, filters: &[Node], input: u32, kind: &str, severity: Severity) -> Verdict {
        let mut verdict = Verdict::default();
        for route in &self.routes {
            if route.alerts && route.takes_input(input) {
                verdict.alert |= bit(route.slot);
            }
            if route.plainly_refuses(input, kind, severity).is_some() {
                continue;
            }
            // In order: a filter that counts has to see what it would see if all were asked.
            let first_open =
                route.filters.iter().map(|at| decide(filters, *at, kind, severity)).find(|say| *say != Some(true));
            match first_open {
                None => verdict.yes |= bit(route.slot),
                Some(None) => verdict.ask |= bit(route.slot),
                Some(_) => {}
            }
        }
        verdict
    }

    /// What each endpoint says to a message, and which condition said no. Nothing is counted.
    pub fn explain(&self, input: u32, event: &Event<'_>) -> Vec<(&Route, Result<(), Refusal>)> {
        let mut filters = self.lock();
        let mut asked = Asked::looking();
        let alert = self.alerts() != 0 && is_alert(event.head);
        let mut verdict = |route: &Route| {
            if alert && route.alerts && route.takes_input(input) {
                return Ok(());
            }
            if let Some(refusal) = route.plainly_refuses(input, &event.head.kind, event.head.severity) {
                return Err(refusal);
            }
            match route.filters.iter().find(|at| !asked.keep(&mut filters, **at, event)) {
                Some(at) => Err(Refusal::Filter(self.names.get(*at).cloned().unwrap_or_default())),
                None => Ok(()),
            }
        };
        self.routes.iter().map(|route| (route, verdict(route))).collect()
    }

    /// What each filter says to a message, by its name. Nothing is counted.
    pub fn opinions(&self, event: &Event<'_>) -> Vec<(&str, bool)> {
        let mut filters = self.lock();
        let mut asked = Asked::looking();
        self.names.iter().enumerate().map(|(at, name)| (name.as_str(), asked.keep(&mut filters, at, event))).collect()
    }

    /// Whether an endpoint's conditions take a message again that it may have had: `marked` says that it was meant for it
    /// once, and so came by an input that it takes. By which input another one came nobody knows any more, so it is taken
    /// only if any will do. Nothing is counted.
    pub fn takes_again(&self, slot: u32, marked: bool, event: &Event<'_>) -> bool {
        let Some(route) = self.routes.iter().find(|route| route.slot == slot) else { return false };
        if !marked && route.inputs.is_some() {
            return false;
        }
        if route.alerts && is_alert(event.head) {
            return true;
        }
        let input = route.inputs.iter().flatten().next().copied().unwrap_or_default();
        if route.plainly_refuses(input, &event.head.kind, event.head.severity).is_some() {
            return false;
        }
        if route.filters.is_empty() {
            return true;
        }
        let mut filters = self.lock();
        let mut asked = Asked::looking();
        route.filters.iter().all(|at| asked.keep(&mut filters, *at, event))
    }
}

/// Whether a message says that somebody has to be told: its field `alert` is true.
fn is_alert(head: &Head<'_>) -> bool {
    memchr::memmem::find(head.fields, b"\"alert\"").is_some()
        && wire::read_value_within(head.fields, &wire::Limits::NONE)
            .is_ok_and(|fields| fields.as_map().and_then(|map| map.get("alert")?.as_bool()) == Some(true))
}

impl Route {
    fn takes_input(&self, input: u32) -> bool {
        self.inputs.as_ref().is_none_or(|inputs| inputs.contains(&input))
    }

    fn plainly_refuses(&self, input: u32, kind: &str, severity: Severity) -> Option<Refusal> {
        if !self.takes_input(input) {
            return Some(Refusal::Input);
        }
        if let Some(most) = self.severity_max.filter(|most| severity > *most) {
            return Some(Refusal::Severity(most));
        }
        self.types.as_ref().is_some_and(|types| !types.contains(kind)).then_some(Refusal::Type)
    }
}

fn decide(filters: &[Node], at: usize, kind: &str, severity: Severity) -> Option<bool> {
    let each = |of: &[usize]| of.iter().map(|at| decide(filters, *at, kind, severity)).collect::<Vec<_>>();
    let any = |says: &[Option<bool>]| match says.iter().find(|say| **say != Some(false)) {
        // Asked in order, the first that is not a plain no settles it, unless it is open.
        Some(say) => *say,
        None => Some(false),
    };
    match filters.get(at)? {
        Node::Leaf(filter) => filter.decide(kind, severity),
        Node::Any(of) => any(&each(of)),
        Node::Not(of) => any(&each(of)).map(|say| !say),
        Node::All(of) => each(of).into_iter().find(|say| *say != Some(true)).unwrap_or(Some(true)),
    }
}

/// Each filter's answer about one message, so that none is asked twice: two endpoints with the same sample get the same
/// messages, and a rate limit counts each once.
#[derive(Default)]
struct Asked {
    answers: Vec<Option<bool>>,
    /// Filters that count are to leave that.
    looking: bool,
}

impl Asked {
    fn looking() -> Self {
        Asked { looking: true, ..Asked::default() }
    }

    fn keep(&mut self, filters: &mut [Node], at: usize, event: &Event<'_>) -> bool {
        if let Some(Some(known)) = self.answers.get(at) {
            return *known;
        }
        let answer = match filters.get_mut(at) {
            Some(Node::Leaf(filter)) if self.looking => filter.peek(event),
            Some(Node::Leaf(filter)) => filter.keep(event),
            Some(Node::Any(of)) => of.clone().iter().any(|at| self.keep(filters, *at, event)),
            Some(Node::All(of)) => of.clone().iter().all(|at| self.keep(filters, *at, event)),
            Some(Node::Not(of)) => !of.clone().iter().any(|at| self.keep(filters, *at, event)),
            None => true,
        };
        if self.answers.len() <= at {
            self.answers.resize(at + 1, None);
        }
        if let Some(place) = self.answers.get_mut(at) {
            *place = Some(answer);
        }
        answer
    }
}

/// Types beyond this many are looked up the long way: the sender chooses them, memory must not follow.
const KNOWN_TYPES: usize = 1024;

/// One input's memory of verdicts. Thrown away when the routes change.
#[derive(Default)]
pub struct Judge {
    known: HashMap<Box<str>, [Option<Verdict>; 8], foldhash::fast::RandomState>,
    asked: Asked,
}

impl Judge {
    /// Who wants this message.
    #[inline]
    pub fn wants(&mut self, routes: &Routes, input: u32, head: &Head<'_>, raw: &[u8]) -> Wants {
        let known = self.known.get(&*head.kind).and_then(|by_severity| by_severity.get(head.severity as usize));
        let Verdict { yes, ask, alert } = match known {
            Some(Some(verdict)) => *verdict,
            _ => self.learn(routes, input, &head.kind, head.severity),
        };
        let wants = if ask == 0 { yes } else { yes | self.ask(routes, ask, &Event { head, raw }) };
        if alert & !wants != 0 && is_alert(head) { wants | alert } else { wants }
    }

    #[cold]
    fn learn(&mut self, routes: &Routes, input: u32, kind: &str, severity: Severity) -> Verdict {
        let verdict = routes.verdict(&routes.lock(), input, kind, severity);
        if self.known.len() < KNOWN_TYPES || self.known.contains_key(kind) {
            let by_severity = self.known.entry(kind.into()).or_default();
            if let Some(place) = by_severity.get_mut(severity as usize) {
                *place = Some(verdict);
            }
        }
        verdict
    }

    #[inline(never)]
    fn ask(&mut self, routes: &Routes, ask: Wants, event: &Event<'_>) -> Wants {
        let mut filters = routes.lock();
        self.asked.answers.clear();
        let mut yes = 0;
        for route in routes.routes.iter().filter(|route| ask & bit(route.slot) != 0) {
            if route.filters.iter().all(|at| self.asked.keep(&mut filters, *at, event)) {
                yes |= bit(route.slot);
            }
        }
        yes
    }
}
