//! As much of ASF as a load generator reads: a packet's send time, a header's main facts.

/// Bytes from the start of an ASF packet that always hold its send time.
pub const SEND_TIME_WITHIN: usize = 1 + 15 + 2 + 4 + 4 + 4 + 4;

/// Header Object's GUID as stored.
pub const HEADER: [u8; 16] = guid(0x75B2_2630, 0x668E, 0x11CF, 0xA6D9_00AA_0062_CE6C);
/// Data Object's.
pub const DATA: [u8; 16] = guid(0x75B2_2636, 0x668E, 0x11CF, 0xA6D9_00AA_0062_CE6C);
/// File Properties Object's.
pub const FILE_PROPERTIES: [u8; 16] = guid(0x8CAB_DCA1, 0xA947, 0x11CF, 0x8EE4_00C0_0C20_5365);
/// Stream Properties Object's.
pub const STREAM_PROPERTIES: [u8; 16] = guid(0xB7DC_0791, 0xA9B7, 0x11CF, 0x8EE6_00C0_0C20_5365);

/// A GUID in its stored byte order, from its printed groups (the last two joined).
pub const fn guid(a: u32, b: u16, c: u16, rest: u64) -> [u8; 16] {
    let (a, b, c, d) = (
        a.to_le_bytes(),
        b.to_le_bytes(),
        c.to_le_bytes(),
        rest.to_be_bytes(),
    );
    [
        a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6],
        d[7],
    ]
}

/// Send time in ms of the packet that starts with `head` (ASF 5.2; asf.md 5.2). `None` if the
/// head is damaged or too short; [`SEND_TIME_WITHIN`] bytes are always enough.
pub fn send_time(head: &[u8]) -> Option<u32> {
    let first = *head.first()?;
    let mut at = 0;
    if first & 0x80 != 0 {
        if first & 0x60 != 0 {
            return None;
        }
        at = 1 + usize::from(first & 0x0F);
    }
    let flags = *head.get(at)?;
    if flags & 0x80 != 0 {
        return None;
    }
    let width = |bits: u8| [0usize, 1, 2, 4][usize::from(bits & 3)];
    at += 2 + width(flags >> 5) + width(flags >> 1) + width(flags >> 3);
    let bytes = head.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// The main facts of an ASF header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFacts {
    /// Bytes of every packet.
    pub packet_size: u32,
    /// bit/s, as the file declares.
    pub bit_rate: u32,
    /// ms.
    pub preroll: u64,
    /// Stream numbers in order.
    pub streams: Vec<u8>,
}

/// Read a Header Object. The error names the place.
pub fn header_facts(header: &[u8]) -> Result<HeaderFacts, String> {
    if header.get(..16) != Some(&HEADER[..]) {
        return Err("offset 0: not an ASF Header Object".into());
    }
    let mut facts = HeaderFacts {
        packet_size: 0,
        bit_rate: 0,
        preroll: 0,
        streams: Vec::new(),
    };
    let end = u64_at(header, 16).map_or(0, |n| usize::try_from(n).unwrap_or(0));
    let children = header
        .get(30..end)
        .ok_or("offset 16: size of the Header Object is beyond the data")?;
    let mut rest = children;
    while rest.len() >= 24 {
        let offset = 30 + children.len() - rest.len();
        let size = u64_at(rest, 16).and_then(|n| usize::try_from(n).ok());
        let object = size
            .filter(|&n| n >= 24)
            .and_then(|n| rest.get(..n))
            .ok_or_else(|| format!("offset {offset}: bad object size"))?;
        if object[..16] == FILE_PROPERTIES {
            let field = |at| {
                u32_at(object, at).ok_or_else(|| format!("offset {offset}: short File Properties"))
            };
            facts.packet_size = field(96)?;
            facts.bit_rate = field(100)?;
            facts.preroll = u64_at(object, 80).unwrap_or(0);
        } else if object[..16] == STREAM_PROPERTIES {
            let flags = object
                .get(72)
                .ok_or_else(|| format!("offset {offset}: short Stream Properties"))?;
            facts.streams.push(flags & 0x7F);
        }
        rest = &rest[object.len()..];
    }
    if facts.packet_size == 0 {
        return Err("no File Properties Object, or packet size 0".into());
    }
    facts.streams.sort_unstable();
    Ok(facts)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // asf.md 10: E5, E6 (with Packet Length inserted), E7.
    #[test]
    fn send_time_is_found_behind_every_optional_field() {
        let e5 = [
            0x82, 0, 0, 0x09, 0x5D, 0x11, 0x2E, 0, 0, 0, 5, 0, 0x82, 0x81,
        ];
        assert_eq!(send_time(&e5), Some(46));
        let e6 = [0x82, 0, 0, 0x40, 0x5D, 0x26, 0, 0x2E, 0, 0, 0, 0, 0];
        assert_eq!(send_time(&e6), Some(46));
        let e7 = [0x82, 0, 0, 0x49, 0x5D, 0x44, 0, 3, 0x2E, 0, 0, 0, 5, 0];
        assert_eq!(send_time(&e7), Some(46));
        let bare = [0x01, 0x5D, 0x78, 0x56, 0x34, 0x12];
        assert_eq!(send_time(&bare), Some(0x1234_5678));
    }

    #[test]
    fn damaged_heads_have_no_send_time() {
        assert_eq!(send_time(&[]), None);
        assert_eq!(send_time(&[0xE2, 0, 0, 1, 0x5D, 0, 0, 0, 0]), None);
        assert_eq!(send_time(&[0x82, 0, 0, 0x81, 0x5D, 0, 0, 0, 0]), None);
        assert_eq!(send_time(&[0x82, 0, 0, 0x01, 0x5D, 0, 0, 0]), None);
    }

    #[test]
    fn widest_head_fits_the_stated_bound() {
        let mut head = vec![0x8F];
        head.extend([0; 15]);
        head.extend([0x7E, 0x5D]);
        head.extend([0; 12]);
        head.extend(7u32.to_le_bytes());
        assert_eq!(head.len(), SEND_TIME_WITHIN);
        assert_eq!(send_time(&head), Some(7));
    }

    #[test]
    fn guids_are_stored_as_the_files_have_them() {
        assert_eq!(
            HEADER,
            [
                0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11, 0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62,
                0xCE, 0x6C
            ]
        );
    }

    #[test]
    fn header_errors_name_the_place() {
        assert!(header_facts(b"RIFF").unwrap_err().contains("offset 0"));
        let mut short = HEADER.to_vec();
        short.extend(1000u64.to_le_bytes());
        short.extend([0; 6]);
        assert!(header_facts(&short).unwrap_err().contains("offset 16"));
        let mut empty = HEADER.to_vec();
        empty.extend(54u64.to_le_bytes());
        empty.extend([0; 6]);
        empty.extend([0; 24]);
        assert!(header_facts(&empty).unwrap_err().contains("offset 30"));
    }
}
