//! Looks for bytes that break the law of `proxy::laws::admission`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hallgate::proxy::laws::admission(bytes));
