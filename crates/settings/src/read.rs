//! From the tree to a settings struct. serde stops at the first mistake; this goes on behind it, so that all of them
//! are reported at once.

use crate::de::Reading;
use crate::node::DISGUISES;
use crate::unfit::{Error, Step, Wrong};
use crate::{Kind, Node, Problems};
use serde::de::DeserializeOwned;

/// Each round reads everything again, so rounds are bounded like problems are.
const MAX_ROUNDS: usize = 1000;

/// Reads settings. Where it is asked for, text becomes a number or a truth value, a whole number becomes text, and a
/// single value becomes a list of one. Give structs `#[serde(deny_unknown_fields)]`: it is what finds mistyped keys.
///
/// After a mistake something harmless stands in for it and reading starts again, until nothing more is found. What
/// stood in is thrown away with everything else; only the problems remain.
///
/// # Errors
/// All that is wrong, in the order of the file. Inside untagged and flattened types serde does not say what and where,
/// so there the whole is pointed at; and what else is missing beside a wrong value of such a type shows only when that is
/// put right.
pub fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Problems> {
    let mut problems = Problems::new();
    let mut error = match T::deserialize(Reading(node)) {
        Ok(settings) => return Ok(settings),
        Err(error) => error,
    };
    let mut patched = node.clone();
    for _ in 0..MAX_ROUNDS {
        if !error.in_hole {
            problems.push(error.problem());
        }
        if problems.len() >= crate::problem::MAX_PROBLEMS || !patch(&mut patched, &error) {
            break;
        }
        match T::deserialize(Reading(&patched)) {
            Ok(_) => break,
            Err(next) => error = next,
        }
    }
    problems.sort();
    Err(problems)
}

/// Puts something else in the place of what was wrong. False when there is nothing left to try.
fn patch(root: &mut Node, error: &Error) -> bool {
    let mut node = root;
    let mut steps = error.path.iter().rev().peekable();
    while let Some(step) = steps.next() {
        if matches!(node.kind, Kind::Hole(_)) {
            break;
        }
        let remove = steps.peek().is_none() && matches!(error.wrong, Wrong::UnknownKey(..));
        match (step, &mut node.kind) {
            (Step::Key(key), Kind::Table(table)) if remove => return table.remove(key).is_some(),
            (Step::Key(key), Kind::Table(table)) => match table.get_mut(key) {
                Some(below) => node = below,
                None => return false,
            },
            (Step::Index(at), Kind::List(list)) => match list.get_mut(*at) {
                Some(below) => node = below,
                None => return false,
            },
            _ => return false,
        }
    }
    let origin = node.origin.clone();
    match (&error.wrong, &mut node.kind) {
        (_, Kind::Hole(at)) if *at <= DISGUISES => {
            *at += 1;
            return *at <= DISGUISES || !error.path.is_empty();
        }
        (_, Kind::Hole(_)) => return false,
        (Wrong::Missing(key), Kind::Table(table)) if table.get(key).is_none() => {
            table.insert(key.clone(), origin.clone(), Node::new(origin, Kind::Hole(0)));
        }
        (_, kind) => *kind = Kind::Hole(0),
    }
    true
}
