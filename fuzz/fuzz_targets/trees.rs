//! Looks for bytes that break the law of `ledger::verify::laws::trees`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hallgate::ledger::verify::laws::trees(bytes));
