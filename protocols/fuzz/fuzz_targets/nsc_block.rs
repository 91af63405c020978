#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocols::nsc::fuzz::encoded_block(bytes));
