//! What was counted, as JSON.

use metlog_query::tally::{Came, Tally, Took};
use serde_json::{Map, Value, json as tree};

/// The answer to a question that counts. `settled`: whether the store had what was acknowledged before.
pub(super) fn written(tally: &Tally, settled: bool) -> Vec<u8> {
    let series = tally.over.series.iter().map(|series| tree!({"name": series.name, "counts": series.counts}));
    let facets = tally.facets.iter().map(|facet| {
        let values = facet.values.iter().map(|(value, count)| tree!({"value": value, "count": count}));
        tree!({
            "path": facet.path.to_string(), "values": values.collect::<Vec<_>>(), "other": facet.other,
            "missing": facet.missing, "distinct": facet.distinct, "bounded": facet.bounded,
        })
    });
    let timers = tally.timers.iter().map(|timer| {
        let more = [("per_second", timer.per_second.into()), ("mean", timer.mean.into())];
        measure(&timer.logger, &timer.name, more, &timer.whole, &timer.course, took)
    });
    let counters = tally.counters.iter().map(|counter| {
        let more = [("per_second", counter.per_second.into())];
        measure(&counter.logger, &counter.name, more, &counter.whole, &counter.course, came)
    });
    let tree = tree!({
        "matched": tally.matched, "scanned": tally.scanned, "partial": tally.partial, "settled": settled,
        "over": {
            "since": tally.over.since.to_string(), "until": tally.over.until.to_string(),
            "bucket_ms": tally.over.width as f64 / 1e6, "series": series.collect::<Vec<_>>(), "other": tally.over.other,
            "bounded": tally.over.bounded,
        },
        "facets": facets.collect::<Vec<_>>(), "timers": timers.collect::<Vec<_>>(),
        "counters": counters.collect::<Vec<_>>(), "unnamed": tally.unnamed, "unreadable": tally.unreadable,
        "cut": tally.cut,
    });
    tree.to_string().into_bytes()
}

fn took(took: &Took) -> Vec<(&'static str, Value)> {
    let Took { count, total, p50, p90, p99, max } = *took;
    let times = [("total", total), ("p50", p50), ("p90", p90), ("p99", p99), ("max", max)];
    let times = times.into_iter().map(|(name, value)| (name, value.into()));
    [("count", count.into())].into_iter().chain(times).collect()
}

fn came(came: &Came) -> Vec<(&'static str, Value)> {
    vec![("count", came.count.into()), ("sum", came.sum.into())]
}

/// A timer or counter; its course, if there is one, column by column: which buckets, and what was in each of them.
fn measure<T>(
    logger: &str,
    name: &str,
    more: impl IntoIterator<Item = (&'static str, Value)>,
    whole: &T,
    course: &[(usize, T)],
    values: impl Fn(&T) -> Vec<(&'static str, Value)>,
) -> Value {
    let named = [("logger", logger.into()), ("name", name.into())];
    let all = named.into_iter().chain(values(whole)).chain(more);
    let mut object: Map<String, Value> = all.map(|(name, value)| (name.to_owned(), value)).collect();
    if !course.is_empty() {
        let mut columns: Map<String, Value> = Map::new();
        let mut push = |name: &str, value: Value| {
            let column = columns.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(column) = column {
                column.push(value);
            }
        };
        for (bucket, slot) in course {
            push("bucket", (*bucket).into());
            values(slot).into_iter().for_each(|(name, value)| push(name, value));
        }
        object.insert("course".to_owned(), Value::Object(columns));
    }
    Value::Object(object)
}
