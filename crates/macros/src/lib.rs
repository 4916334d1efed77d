//! `#[timeit]` and `#[incr_count]`.
