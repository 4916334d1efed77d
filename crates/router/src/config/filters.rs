//! `[filters.*]`, and `router.edit`, which names some of them.

use super::{Named, names, nobody, unknown};
use crate::edits::Edits;
use metlog_pipeline::FilterEntry;
use metlog_settings::{Node, Problem, Problems, suggest};
use std::collections::BTreeMap;
use std::sync::Arc;

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

/// The filters, each after those it refers to, and the position of each name.
pub(super) fn filter_plans(
    sections: &[Named<'_>],
    problems: &mut Problems,
) -> (Vec<FilterPlan>, BTreeMap<String, usize>) {
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
pub(super) fn edit_plan(
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
