//! Percentiles of many values in bounded memory.

use std::collections::BTreeMap;

/// So many values are kept as they are; their percentiles are exact.
pub const EXACT: usize = 2048;
/// How far a percentile of more values may be from the value it stands for.
pub const ERROR: f64 = 0.01;

/// The ratio of a bucket's upper end to its lower one. A little less than the error allows, for the sake of rounding.
const RATIO: f64 = 1.0 + 1.98 * ERROR;
/// Below and above these a value counts as one of them: no time in milliseconds is outside, and there are fewer than
/// three thousand buckets between them.
const LEAST: f64 = 1e-9;
const LARGEST: f64 = 1e15;

/// Values that are not negative.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    /// So many are kept as they are.
    exact: usize,
    values: Vec<f64>,
    /// Values by the logarithm of their bucket's upper end, once there are too many.
    buckets: BTreeMap<i32, u64>,
    count: u64,
    sum: f64,
    least: Option<f64>,
    most: f64,
}

impl Default for Times {
    fn default() -> Self {
        Times::keeping(EXACT)
    }
}

impl Times {
    /// None yet. Of so many their percentiles will be exact.
    pub fn keeping(exact: usize) -> Self {
        let (values, buckets) = (Vec::new(), BTreeMap::new());
        Times { exact, values, buckets, count: 0, sum: 0.0, least: None, most: 0.0 }
    }

    /// Takes a value that is finite and not negative.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.most = self.most.max(value);
        self.least = Some(self.least.map_or(value, |least| least.min(value)));
        if self.buckets.is_empty() && self.values.len() < self.exact {
            self.values.push(value);
            return;
        }
        for value in std::mem::take(&mut self.values).into_iter().chain([value]) {
            *self.buckets.entry(bucket(value)).or_default() += 1;
        }
    }

    /// How many values, or buckets of values, it holds in memory.
    pub fn held(&self) -> usize {
        self.values.len() + self.buckets.len()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest.
    pub fn most(&self) -> f64 {
        self.most
    }

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The least value that is not below so many of them, of 1; 0 of none. Exact up to [`EXACT`] values, if it was not made otherwise, then within
    /// [`ERROR`].
    pub fn percentile(&self, part: f64) -> f64 {
        let rank = ((part * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        if self.buckets.is_empty() {
            let mut values = self.values.clone();
            values.sort_unstable_by(f64::total_cmp);
            return usize::try_from(rank - 1).ok().and_then(|at| values.get(at).copied()).unwrap_or(0.0);
        }
        let mut below = 0;
        for (bucket, count) in &self.buckets {
            below += count;
            if below >= rank {
                return middle(*bucket).clamp(self.least.unwrap_or(0.0), self.most);
            }
        }
        self.most
    }
}

fn bucket(value: f64) -> i32 {
    if value < LEAST { i32::MIN } else { (value.min(LARGEST).ln() / RATIO.ln()).ceil() as i32 }
}

/// The value that is as far, in parts, from both ends of a bucket.
fn middle(bucket: i32) -> f64 {
    if bucket == i32::MIN { 0.0 } else { RATIO.powi(bucket) * 2.0 / (1.0 + RATIO) }
}
