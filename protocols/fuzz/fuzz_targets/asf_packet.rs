#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The size comes from the input too, so that short and full packets both occur.
    let (size, packet) = bytes.split_first().unwrap_or((&0, &[]));
    let packet_size = (packet.len() as u32 + u32::from(*size)).clamp(32, 65_535);
    protocols::asf::fuzz::packet(packet, packet_size);
});
