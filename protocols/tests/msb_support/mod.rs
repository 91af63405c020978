//! The worked examples of msb-nsc.md 10, and a stream to send.

#![allow(dead_code)]

pub mod air;

/// The header of 10.1.
pub const S1: &str = "\
    30 26 B2 75 8E 66 CF 11 A6 D9 00 AA 00 62 CE 6C 14 01 00 00 00 00 00 00 03 00 00 00 01 02 A1 DC \
    AB 8C 47 A9 CF 11 8E E4 00 C0 0C 20 53 65 68 00 00 00 00 00 00 00 10 11 12 13 14 15 16 17 18 19 \
    1A 1B 1C 1D 1E 1F 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 \
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 40 00 00 00 40 00 \
    00 00 00 FA 00 00 B5 03 BF 5F 2E A9 CF 11 8E E3 00 C0 0C 20 53 65 2E 00 00 00 00 00 00 00 11 D2 \
    D3 AB BA A9 CF 11 8E E6 00 C0 0C 20 53 65 06 00 00 00 00 00 91 07 DC B7 B7 A9 CF 11 8E E6 00 C0 \
    0C 20 53 65 60 00 00 00 00 00 00 00 40 9E 69 F8 4D 5B CF 11 A8 FD 00 80 5F 5C 44 2B 00 57 FB 20 \
    55 5B CF 11 A8 FD 00 80 5F 5C 44 2B 00 00 00 00 00 00 00 00 12 00 00 00 00 00 00 00 01 00 00 00 \
    00 00 01 00 01 00 40 1F 00 00 40 1F 00 00 01 00 08 00 00 00 36 26 B2 75 8E 66 CF 11 A6 D9 00 AA \
    00 62 CE 6C 00 00 00 00 00 00 00 00 10 11 12 13 14 15 16 17 18 19 1A 1B 1C 1D 1E 1F 00 00 00 00 \
    00 00 00 00 01 01";

/// Packet 1 of 10.2, whole.
pub const F1: &str = "\
    82 00 00 08 5D 17 00 00 00 00 64 00 81 00 00 00 00 00 08 0E 00 00 00 00 00 00 00 41 53 46 2D 50 \
    41 43 4B 45 54 2D 4F 4E 45 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";

/// Packet 2 of 10.2, whole.
pub const F2: &str = "\
    82 00 00 08 5D 1D 64 00 00 00 64 00 81 01 00 00 00 00 08 08 00 00 00 64 00 00 00 50 41 43 4B 45 \
    54 2D 32 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";

/// Packet 3 of 10.2, whole.
pub const F3: &str = "\
    82 00 00 08 5D 11 C8 00 00 00 64 00 81 02 00 00 00 00 08 14 00 00 00 C8 00 00 00 74 68 65 2D 74 \
    68 69 72 64 2D 70 61 63 6B 65 74 2D 69 73 2D 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";

/// Packet 1 of 10.2, stripped.
pub const P1: &str = "\
    82 00 00 08 5D 00 00 00 00 00 64 00 81 00 00 00 00 00 08 0E 00 00 00 00 00 00 00 41 53 46 2D 50 \
    41 43 4B 45 54 2D 4F 4E 45";

/// Packet 2 of 10.2, stripped.
pub const P2: &str = "\
    82 00 00 08 5D 00 64 00 00 00 64 00 81 01 00 00 00 00 08 08 00 00 00 64 00 00 00 50 41 43 4B 45 \
    54 2D 32";

/// Packet 3 of 10.2, stripped.
pub const P3: &str = "\
    82 00 00 08 5D 00 C8 00 00 00 64 00 81 02 00 00 00 00 08 14 00 00 00 C8 00 00 00 74 68 65 2D 74 \
    68 69 72 64 2D 70 61 63 6B 65 74 2D 69 73 2D";

/// The cycle of 10.3: three data packets and their parity.
pub const CYCLE: [&str; 4] = [
    "\
        00 00 00 00 DE 00 31 00 82 11 00 08 5D 00 00 00 00 00 64 00 81 00 00 00 00 00 08 0E 00 00 00 00 \
        00 00 00 41 53 46 2D 50 41 43 4B 45 54 2D 4F 4E 45",
    "\
        01 00 00 00 DE 00 2B 00 82 21 00 08 5D 00 64 00 00 00 64 00 81 01 00 00 00 00 08 08 00 00 00 64 \
        00 00 00 50 41 43 4B 45 54 2D 32",
    "\
        02 00 00 00 DE 00 37 00 82 31 00 08 5D 00 C8 00 00 00 64 00 81 02 00 00 00 00 08 14 00 00 00 C8 \
        00 00 00 74 68 65 2D 74 68 69 72 64 2D 70 61 63 6B 65 74 2D 69 73 2D",
    "\
        02 00 00 00 DE 00 37 00 92 42 00 08 5D 00 AC 00 00 00 64 00 81 03 00 00 00 00 08 12 00 00 00 AC \
        00 00 00 65 7A 60 4B 61 7D 07 0B 21 79 5D 2E 2D 2E 65 74 2D 69 73 2D",
];

/// The body that 10.4 repairs.
pub const REPAIRED: &str = "\
    08 5D 00 64 00 00 00 64 00 81 01 00 00 00 00 08 08 00 00 00 64 00 00 00 50 41 43 4B 45 54 2D 32 \
    00 00 00 00 00 00 00 00 00 00 00 00";

/// Bytes written as hexadecimal pairs.
pub fn hex(text: &str) -> Vec<u8> {
    let byte = |pair: &str| u8::from_str_radix(pair, 16).expect("a pair of digits");
    text.split_whitespace().map(byte).collect()
}

/// Bytes of every packet of [`media`].
pub const PACKET_SIZE: u32 = 64;

/// So many packets of the header's stream, each of another length, as a sender gets them.
pub fn media(count: u32) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| trimmed(&whole(n, (n * 7 % 34 + 1) as u8)))
        .collect()
}

/// A packet of full size with so many bytes of media.
pub fn whole(n: u32, len: u8) -> Vec<u8> {
    let mut packet = vec![0x82, 0, 0, 0x08, 0x5D, 37 - len];
    packet.extend_from_slice(&(n * 100).to_le_bytes());
    packet.extend_from_slice(&[100, 0, 0x81, n as u8, 0, 0, 0, 0, 8, len, 0, 0, 0]);
    packet.extend_from_slice(&(n * 100).to_le_bytes());
    packet.extend((0..len).map(|at| at.wrapping_mul(31) ^ n as u8 | 1));
    packet.resize(PACKET_SIZE as usize, 0);
    packet
}

/// Without its padding.
pub fn trimmed(packet: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    protocols::asf::trim::trim(packet, PACKET_SIZE, &mut out).expect("a packet");
    out
}
