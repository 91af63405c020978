//! The framing of MMSP, taken apart by hand and without mercy, and what is asked of every session.

use super::{Recording, Side};

/// Where servers listen by custom.
pub const PORT: u16 = 1755;

/// Messages to the server.
pub const CONNECT_FUNNEL: u32 = 0x0003_0002;
pub const START_PLAYING: u32 = 0x0003_0007;
pub const STOP_PLAYING: u32 = 0x0003_0009;

/// Messages to the player.
pub const CONNECTED_EX: u32 = 0x0004_0001;
pub const CONNECTED_FUNNEL: u32 = 0x0004_0002;
pub const REPORT_STARTED_PLAYING: u32 = 0x0004_0005;
pub const REPORT_OPEN_FILE: u32 = 0x0004_0006;
pub const REPORT_READ_BLOCK: u32 = 0x0004_0011;
pub const SECURITY_CHALLENGE: u32 = 0x0004_001a;
pub const END_OF_STREAM: u32 = 0x0004_001e;
pub const REPORT_STREAM_SWITCH: u32 = 0x0004_0021;

/// The AFFlags of a header's last or only piece, and of the others.
const LAST: u8 = 0x0c;
const NOT_LAST: u8 = 0x04;

/// One thing that a server said.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// The message behind its chunkLen and MID.
    Message {
        id: u32,
        body: Vec<u8>,
    },
    Data(Data),
}

/// A Data packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Data {
    pub location: u32,
    pub incarnation: u8,
    pub flags: u8,
    pub payload: Vec<u8>,
}

impl Data {
    fn parse(bytes: &[u8]) -> Option<(Data, &[u8])> {
        let [a, b, c, d, incarnation, flags, low, high, rest @ ..] = bytes else {
            return None;
        };
        let length = usize::from(u16::from_le_bytes([*low, *high])).checked_sub(8)?;
        let (payload, rest) = rest.split_at_checked(length)?;
        let data = Data {
            location: u32::from_le_bytes([*a, *b, *c, *d]),
            incarnation: *incarnation,
            flags: *flags,
            payload: payload.to_vec(),
        };
        Some((data, rest))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(four.try_into().expect("four bytes")))
}

/// Whether a packet with a message begins here, as far as that can be told.
pub fn is_packet(bytes: &[u8]) -> bool {
    const START: [u8; 8] = [1, 0, 0, 0, 0xce, 0xfa, 0x0b, 0xb0];
    let known = bytes.len().min(4);
    bytes[..known] == START[..known] && bytes.get(4..8).is_none_or(|id| *id == START[4..])
}

/// The length of the packet that begins here, once all of it is there.
pub fn packet_length(bytes: &[u8]) -> Option<usize> {
    let length = u32_at(bytes, 8)? as usize + 16;
    (is_packet(bytes) && bytes.len() >= length.max(40)).then_some(length)
}

/// The length of the packet or Data that begins here, once all of it is there.
pub fn item_length(bytes: &[u8]) -> Option<usize> {
    if u32_at(bytes, 4)? == 0xb00b_face {
        return packet_length(bytes);
    }
    let (_, rest) = Data::parse(bytes)?;
    Some(bytes.len() - rest.len())
}

/// The messages of a player's or server's bytes so far, by their MIDs, Data skipped.
pub fn ids(bytes: &[u8]) -> Vec<u32> {
    let packets = whole_items(bytes).filter(|item| is_packet(item));
    packets.filter_map(|packet| u32_at(packet, 36)).collect()
}

/// The first message of a kind in a server's bytes so far, without its chunkLen and MID.
pub fn first(bytes: &[u8], wanted: u32) -> Option<&[u8]> {
    let mut packets = whole_items(bytes).filter(|item| is_packet(item));
    let packet = packets.find(|packet| u32_at(packet, 36) == Some(wanted))?;
    packet.get(40..)
}

fn whole_items(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (item, rest) = bytes.split_at(item_length(bytes)?);
        bytes = rest;
        Some(item)
    })
}

/// The port for datagrams that a ConnectFunnel names.
pub fn udp_port(packet: &[u8]) -> Option<u16> {
    if u32_at(packet, 36)? != CONNECT_FUNNEL {
        return None;
    }
    let name = funnel_name(packet);
    let (_, port) = name.split_once("\\UDP\\")?;
    port.parse().ok()
}

fn funnel_name(packet: &[u8]) -> String {
    let units: Vec<u16> = packet[60..]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|&unit| unit != 0)
        .collect();
    String::from_utf16_lossy(&units)
}

/// A ConnectFunnel that names another port.
pub fn with_udp_port(packet: &[u8], port: u16) -> Vec<u8> {
    let name = funnel_name(packet);
    let (start, _) = name.rsplit_once('\\').expect("a port");
    let mut packet = packet[..60].to_vec();
    for unit in format!("{start}\\{port}\0").encode_utf16() {
        packet.extend(unit.to_le_bytes());
    }
    packet.resize(packet.len().next_multiple_of(8), 0);
    let length = packet.len() as u32 - 16;
    packet[8..12].copy_from_slice(&length.to_le_bytes());
    packet[16..20].copy_from_slice(&(length / 8).to_le_bytes());
    packet[32..36].copy_from_slice(&((length - 16) / 8).to_le_bytes());
    packet
}

/// Takes apart what a server sent by TCP. Everything must be whole, and its framing exact.
pub fn items(mut bytes: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut sequence = 0u32;
    while !bytes.is_empty() {
        let at = items.len();
        if u32_at(bytes, 4) == Some(0xb00b_face) {
            let length = packet_length(bytes)
                .unwrap_or_else(|| panic!("item {at}: a cut packet: {bytes:02x?}"));
            let (packet, rest) = bytes.split_at(length);
            assert_eq!(packet[..4], [1, 0, 0, 0], "item {at}: rep and versions");
            assert_eq!(&packet[12..16], b"MMS ", "item {at}: seal");
            let chunks = (length as u32 - 16) / 8;
            assert_eq!(length % 8, 0, "item {at}: padding");
            assert_eq!(u32_at(packet, 16), Some(chunks), "item {at}: chunkCount");
            assert_eq!(u32_at(packet, 20), Some(sequence), "item {at}: seq and MBZ");
            // One message, and nothing behind it.
            assert_eq!(u32_at(packet, 32), Some(chunks - 2), "item {at}: chunkLen");
            sequence = (sequence + 1) & 0xffff;
            items.push(Item::Message {
                id: u32_at(packet, 36).expect("longer"),
                body: packet[40..].to_vec(),
            });
            bytes = rest;
        } else {
            let (data, rest) =
                Data::parse(bytes).unwrap_or_else(|| panic!("item {at}: cut Data: {bytes:02x?}"));
            items.push(Item::Data(data));
            bytes = rest;
        }
    }
    items
}

/// The MIDs among items.
pub fn messages(items: &[Item]) -> Vec<u32> {
    let id = |item: &Item| match item {
        Item::Message { id, .. } => Some(*id),
        Item::Data(_) => None,
    };
    items.iter().filter_map(id).collect()
}

/// The first message of a kind.
pub fn message(items: &[Item], wanted: u32) -> Option<&[u8]> {
    items.iter().find_map(|item| match item {
        Item::Message { id, body } if *id == wanted => Some(body.as_slice()),
        _ => None,
    })
}

/// A number in a message, by its offset from the message's start, as tables of the fields give it.
pub fn field(body: &[u8], offset: usize) -> u32 {
    u32_at(body, offset - 8).unwrap_or_else(|| panic!("no field at {offset} of {body:02x?}"))
}

/// Splits Data into the pieces of a header and the media. The pieces must be in order and whole.
pub fn header_and_media(data: Vec<Data>) -> (Vec<Data>, Vec<Data>) {
    let end = data
        .iter()
        .position(|d| d.flags & 0x08 != 0)
        .expect("the end of a header")
        + 1;
    let mut header = data;
    let media = header.split_off(end);
    for (number, piece) in header.iter().enumerate() {
        assert_eq!(piece.location as usize, number, "LocationIds of the header");
        let last = number + 1 == header.len();
        let flags = if last { LAST } else { NOT_LAST };
        assert_eq!(piece.flags, flags, "AFFlags of piece {number}");
    }
    (header, media)
}

/// Everything in a session that was recorded whole: its messages by TCP, and its Data by TCP or UDP.
pub struct Session {
    pub items: Vec<Item>,
    pub header: Vec<Data>,
    pub media: Vec<Data>,
}

impl Session {
    /// Takes the last connection of a recording apart and holds it to what holds for every session.
    pub fn of(recording: &Recording) -> Session {
        let mut items = items(&recording.bytes(recording.last(), Side::Server));
        let datagrams = recording.datagrams(Side::Server);
        let whole = |bytes: &[u8]| match Data::parse(bytes) {
            Some((data, [])) => data,
            _ => panic!("a datagram that is not one Data: {bytes:02x?}"),
        };
        let by_udp: Vec<Data> = datagrams.into_iter().map(whole).collect();
        let is_udp = !by_udp.is_empty();
        let mut data = by_udp;
        let mut at = 0;
        while at < items.len() {
            if matches!(items[at], Item::Message { .. }) {
                at += 1;
                continue;
            }
            if let Item::Data(one) = items.remove(at) {
                assert!(!is_udp, "Data by TCP in a session that asked for UDP");
                data.push(one);
            }
        }
        let opened = message(&items, REPORT_OPEN_FILE).expect("ReportOpenFile");
        let packet_size = field(opened, 60) as usize;
        let header_size = field(opened, 76) as usize;
        let (header, mut media) = header_and_media(data);
        // What makes FFmpeg end is no media.
        media.retain(|d| d.location != u32::MAX);
        let pieces = header.iter().map(|d| d.payload.len());
        assert_eq!(pieces.clone().sum::<usize>(), header_size, "fileHeaderSize");
        assert!(pieces.max() <= Some(packet_size), "a piece is too long");
        let last = &header.last().expect("one piece").payload;
        assert!(last.ends_with(&[1, 1]), "the header's end: {last:02x?}");
        for (number, data) in media.iter().enumerate() {
            let payload = data.payload.len();
            assert!(payload <= packet_size, "media {number}: {payload} bytes");
            assert_ne!(data.incarnation, 0, "media {number}");
        }
        Session {
            items,
            header,
            media,
        }
    }

    /// Fails unless AFFlags count the packets of media.
    pub fn assert_counted(&self) {
        for (number, data) in self.media.iter().enumerate() {
            assert_eq!(data.flags, number as u8, "AFFlags of media {number}");
        }
    }
}

#[test]
fn another_port_in_a_funnel_name_changes_the_lengths() {
    let mut packet = vec![1, 0, 0, 0, 0xce, 0xfa, 0x0b, 0xb0];
    packet.resize(36, 0);
    packet.extend(CONNECT_FUNNEL.to_le_bytes());
    packet.resize(60, 7);
    for unit in "\\\\127.0.0.1\\UDP\\7000\0".encode_utf16() {
        packet.extend(unit.to_le_bytes());
    }
    assert_eq!(udp_port(&packet), Some(7000));
    let other = with_udp_port(&packet, 54_321);
    assert_eq!(udp_port(&other), Some(54_321));
    assert_eq!(packet_length(&other), Some(other.len()));
    assert_eq!(other.len() % 8, 0);
    assert_eq!(
        u32_at(&other, 32).map(|n| n as usize * 8 + 32),
        Some(other.len())
    );
}
