//! Looks for bytes that break the law of `ledger::laws::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hallgate::ledger::laws::frames(bytes));
