//! Looks for bytes that break the law of `telemetry::traces::laws::traceparent`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hallgate::telemetry::traces::laws::traceparent(bytes));
