//! Looks for bytes that break the law of `tls::laws::certificates`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hallgate::tls::laws::certificates(bytes));
