//! What is configured, for those who look at it: names, kinds and conditions, and no setting that may be a secret.

use crate::config::{EndpointPlan, FilterKind, FilterPlan, InputKind, Plan};
use serde::Serialize;

/// The whole of it.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    /// Name and kind, in the order of the file.
    pub inputs: Vec<(String, String)>,
    /// In an order in which each comes after those it is made of.
    pub filters: Vec<FilterShape>,
    /// The filters that every message passes first.
    pub edits: Vec<String>,
    /// In the order of the file.
    pub endpoints: Vec<EndpointShape>,
}

/// A filter.
#[derive(Debug, Clone, Serialize)]
pub struct FilterShape {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// The filters it is made of.
    of: Vec<String>,
}

/// An endpoint and its conditions.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointShape {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    required: bool,
    from_inputs: Option<Vec<String>>,
    severity_max: Option<u8>,
    types: Option<Vec<String>>,
    filters: Vec<String>,
    alerts: bool,
    /// Whether it is the one that questions are answered from.
    is_store: bool,
}

impl Topology {
    /// Of a configuration.
    pub fn of(plan: &Plan) -> Self {
        let filter = |at: &usize| plan.filters.get(*at).map(|filter| filter.name.clone());
        let shape = |FilterPlan { name, what }: &FilterPlan| {
            let (kind, of) = match what {
                FilterKind::Plugin(entry, _) => (entry.name, &[][..]),
                FilterKind::Any(of) => ("any", of.as_slice()),
                FilterKind::All(of) => ("all", of.as_slice()),
                FilterKind::Not(of) => ("not", of.as_slice()),
            };
            FilterShape { name: name.clone(), kind: kind.to_owned(), of: of.iter().filter_map(filter).collect() }
        };
        let store = plan.store().map(|store| &store.name);
        let input = |number: &u32| plan.inputs.get(*number as usize).map(|input| input.name.clone());
        let endpoint = |endpoint: &EndpointPlan| EndpointShape {
            name: endpoint.name.clone(),
            kind: endpoint.section.get("type").and_then(|node| node.as_str()).unwrap_or(&endpoint.name).to_owned(),
            required: endpoint.required,
            from_inputs: endpoint.inputs.as_ref().map(|inputs| inputs.iter().filter_map(input).collect()),
            severity_max: endpoint.keys.severity_max.map(|severity| severity as u8),
            types: endpoint.keys.types.clone(),
            filters: endpoint.filters.iter().filter_map(filter).collect(),
            alerts: endpoint.alerts,
            is_store: store == Some(&endpoint.name),
        };
        let kind = |what: &InputKind| match what {
            InputKind::Plugin(entry) => entry.name.to_owned(),
            InputKind::Http(_) => "http".to_owned(),
        };
        Topology {
            inputs: plan.inputs.iter().map(|input| (input.name.clone(), kind(&input.what))).collect(),
            filters: plan.filters.iter().map(shape).collect(),
            edits: plan.edits.iter().filter_map(filter).collect(),
            endpoints: plan.endpoints.iter().map(endpoint).collect(),
        }
    }
}
