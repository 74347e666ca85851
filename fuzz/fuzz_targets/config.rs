//! Looks for bytes that break the law of `config::laws::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hallgate::config::laws::config(bytes));
