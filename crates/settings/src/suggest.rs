//! The nearest name, for every "unknown X": a slip of the finger should cost a glance, not a search.

/// The known name nearest to `name`, if one is near enough to have been meant: one edit per three characters, at
/// least one. Case does not count; a swap of neighbours is one edit.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a name this long into one we know; the comparison is quadratic.
    if name.len() > 100 {
        return None;
    }
    let limit = (name.chars().count() / 3).max(1);
    let scored = known.into_iter().map(|candidate| (distance(name, candidate), candidate));
    scored.filter(|(edits, _)| *edits <= limit).min().map(|(_, candidate)| candidate)
}

/// Edits between two names: insert, delete, replace, swap neighbours (Damerau-Levenshtein, optimal string alignment).
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX);
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replace = cell(&above, j) + usize::from(x != y);
            let mut best = replace.min(cell(&above, j + 1) + 1).min(cell(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}
