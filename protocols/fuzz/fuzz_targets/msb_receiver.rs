#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| protocols::msb::fuzz::receiver(bytes));
