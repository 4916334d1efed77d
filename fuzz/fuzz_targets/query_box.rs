#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| metlog_oracles::query_box(data));
