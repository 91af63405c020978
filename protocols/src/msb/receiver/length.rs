//! How long a rebuilt packet was: it comes with the zeros of the longest packet of its cycle behind it
//! (msb-nsc.md 4.3).

use crate::asf::{Packet, Payload};

/// Where a rebuilt packet ends, and whether it can be one at all: behind its end must be nothing but zeros.
/// `behind` are packets that follow it.
// MSB-70
pub(super) fn length<'a>(
    rebuilt: &[u8],
    packet_size: u32,
    behind: impl Iterator<Item = &'a [u8]>,
) -> Option<usize> {
    let packet = Packet::parse(rebuilt, packet_size).ok()?;
    let end = match packet.explicit_length() {
        Some(length) => length as usize,
        None if packet.padding() > 0 && !packet.is_multiple() => rebuilt.len(),
        None => {
            let payload = packet.payloads().last()?;
            let end = payload.range().end;
            match packet.is_multiple() {
                // Padding that is declared reaches to the end, so the end is there.
                true if Packet::parse(rebuilt.get(..end)?, packet_size).is_err() => rebuilt.len(),
                true => end,
                false => end - payload.data.len() + single(&payload, packet_size, behind),
            }
        }
    };
    let zeros = rebuilt.get(end..)?;
    zeros.iter().all(|b| *b == 0).then_some(end)
}

/// Bytes of media in a single payload that reaches to the packet's end: no more than are left of its
/// object, and no more than there are before the object's next piece.
fn single<'a>(
    payload: &Payload<'_>,
    packet_size: u32,
    behind: impl Iterator<Item = &'a [u8]>,
) -> usize {
    let have = payload.data.len();
    if payload.compressed.is_some() {
        // Each object has its length; a length of zero is not told from what was filled in.
        let objects = payload.sub_objects().take_while(|o| !o.data.is_empty());
        return objects.map(|o| 1 + o.data.len()).sum();
    }
    let left = payload.object_size.and_then(|size| {
        let left = size.checked_sub(payload.offset)?;
        usize::try_from(left).ok()
    });
    let next = behind
        .filter_map(|bytes| Packet::parse(bytes, packet_size).ok())
        .flat_map(|packet| packet.payloads().collect::<Vec<_>>())
        .find(|p| p.stream == payload.stream && p.object_number == payload.object_number)
        .and_then(|p| p.offset.checked_sub(payload.offset))
        .filter(|gap| *gap > 0)
        .and_then(|gap| usize::try_from(gap).ok());
    have.min(left.unwrap_or(have)).min(next.unwrap_or(have))
}
