//! Looks for bytes that break the law of `ledger::laws::canonical`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hallgate::ledger::laws::canonical(bytes));
