//! The contract of stores, kept by the one in memory.

use metlog_query::memory::Memory;
use metlog_query::suite::contract;

#[test]
fn the_store_in_memory_keeps_the_contract() {
    contract(|| Box::new(Memory::new()));
}
