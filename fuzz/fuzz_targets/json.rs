//! Looks for bytes that break the law of `engine::laws::json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hallgate::engine::laws::json(bytes));
