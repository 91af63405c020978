//! Moving a packet on its timeline: for files that are played over and over.

use super::error::Error;
use super::packet::{Packet, Payload};

/// Payloads of a packet at most, and its send time.
const TIMES_MAX: usize = 64;

/// Add `shift` ms (modulo 2^32) to the send time and to every presentation time of a packet, in
/// place. Payload data, sizes and everything else stay as they are.
///
/// # Errors
/// If the packet cannot be parsed; it is unchanged then.
pub fn retime(packet: &mut [u8], packet_size: u32, shift: u32) -> Result<(), Error> {
    let mut places = [0usize; TIMES_MAX];
    let mut count = 1;
    {
        let parsed = Packet::parse(packet, packet_size)?;
        let layout = parsed.layout();
        places[0] = layout.times_at;
        let property_flags = packet.get(layout.flags_at + 1).copied().unwrap_or(0);
        for payload in parsed.payloads() {
            if let Some(at) = presentation_at(&payload, property_flags)
                && let Some(place) = places.get_mut(count)
            {
                *place = at;
                count += 1;
            }
        }
    }
    for &at in &places[..count] {
        if let Some(field) = packet.get_mut(at..at + 4) {
            let time = field.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b));
            field.copy_from_slice(&time.wrapping_add(shift).to_le_bytes());
        }
    }
    Ok(())
}

/// Where the DWORD with a payload's presentation time stands, if it has one: the second one of
/// the replicated data, or the offset field of a compressed payload.
fn presentation_at(payload: &Payload<'_>, property_flags: u8) -> Option<usize> {
    const WIDTHS: [usize; 4] = [0, 1, 2, 4];
    let width = |shift: u8| WIDTHS[usize::from(property_flags >> shift & 3)];
    let (replicated, offset, number) = (width(0), width(2), width(4));
    let offset_at = payload.range().start + 1 + number;
    if payload.compressed.is_some() {
        (offset == 4).then_some(offset_at)
    } else {
        payload.presentation?;
        Some(offset_at + offset + replicated + 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two payloads at 3100 and 3105 ms, send time 46 (asf.md E5).
    const TWO: [u8; 62] = [
        0x82, 0, 0, 0x01, 0x5D, 0x2E, 0, 0, 0, 5, 0, 0x82, 0x81, 7, 0, 0, 0, 0, 8, 10, 0, 0, 0,
        0x1C, 0x0C, 0, 0, 10, 0, 0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 2, 9,
        0, 0, 0, 0, 8, 6, 0, 0, 0, 0x21, 0x0C, 0, 0, 6, 0, 0xB0, 0xB1, 0xB2, 0xB3, 0xB4, 0xB5,
    ];

    /// One compressed payload from 3100 ms in steps of 20 (asf.md E8).
    const COMPRESSED: [u8; 31] = [
        0x82, 0, 0, 0x01, 0x5D, 0, 0, 0, 0, 0x3C, 0, 0x81, 0x82, 5, 0x1C, 0x0C, 0, 0, 1, 0x14, 9,
        0, 2, 1, 2, 2, 1, 2, 2, 1, 2,
    ];

    #[test]
    fn times_move_and_nothing_else_does() {
        let mut packet = TWO;
        retime(&mut packet, 80, 8046).unwrap();
        let parsed = Packet::parse(&packet, 80).unwrap();
        assert_eq!(parsed.send_time(), 46 + 8046);
        let times: Vec<_> = parsed.payloads().map(|p| p.presentation).collect();
        assert_eq!(times, [Some(3100 + 8046), Some(3105 + 8046)]);
        retime(&mut packet, 80, 8046u32.wrapping_neg()).unwrap();
        assert_eq!(packet, TWO);
    }

    #[test]
    fn compressed_payloads_move_by_their_first_time() {
        let mut packet = COMPRESSED;
        retime(&mut packet, 80, 1000).unwrap();
        let parsed = Packet::parse(&packet, 80).unwrap();
        let times: Vec<_> = parsed
            .payloads()
            .flat_map(|p| p.sub_objects().map(|o| o.presentation).collect::<Vec<_>>())
            .collect();
        assert_eq!(times, [4100, 4120, 4140]);
    }

    #[test]
    fn damage_is_an_error_and_changes_nothing() {
        let mut packet = TWO;
        packet[4] = 0x1D;
        let before = packet;
        assert!(retime(&mut packet, 80, 7).is_err());
        assert_eq!(packet, before);
    }
}
