#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocols::wmhttp::fuzz::server(bytes));
