//! Moving a packet on its timeline: for files that are played over and over.

use super::{Error, Packet};

/// Add `shift` ms (modulo 2^32) to the send time and to every presentation time of a packet, in
/// place. Payload data, sizes and everything else stay as they are.
///
/// # Errors
/// If the packet cannot be parsed; it is unchanged then.
pub fn retime(packet: &mut [u8], packet_size: u32, shift: u32) -> Result<(), Error> {
    if shift == 0 {
        return Packet::parse(packet, packet_size).map(|_| ());
    }
    // A packet has at most 63 payloads; where their times stand is noted before any is changed.
    let mut places = [0usize; 64];
    let mut count = 0;
    {
        let parsed = Packet::parse(packet, packet_size)?;
        places[count] = parsed.send_time_offset();
        count += 1;
        for payload in parsed.payloads() {
            if let (Some(at), Some(place)) = (payload.presentation_offset(), places.get_mut(count)) {
                *place = at;
                count += 1;
            }
        }
    }
    for &at in &places[..count] {
        if let Some(field) = packet.get_mut(at..at + 4).and_then(|f| <&mut [u8; 4]>::try_from(f).ok()) {
            *field = u32::from_le_bytes(*field).wrapping_add(shift).to_le_bytes();
        }
    }
    Ok(())
}
