#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = protocols::playlist::asx::read(&String::from_utf8_lossy(bytes));
});
