//! Builds ASF for tests, from the field tables of the specification and not from the code under
//! test.
#![allow(dead_code)]

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(u8::is_ascii_hexdigit)
        .map(|d| (d as char).to_digit(16).unwrap() as u8)
        .collect();
    assert_eq!(digits.len() % 2, 0, "whole bytes");
    digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect()
}

/// A payload of the usual form.
#[derive(Clone, Debug)]
pub struct Piece {
    pub stream: u8,
    pub key: bool,
    pub object: u8,
    pub offset: u32,
    pub size: u32,
    pub presentation: u32,
    pub data: Vec<u8>,
}

impl Piece {
    /// A whole object of `len` bytes.
    pub fn whole(stream: u8, key: bool, object: u8, presentation: u32, len: usize) -> Piece {
        Piece {
            stream,
            key,
            object,
            offset: 0,
            size: len as u32,
            presentation,
            data: (0..len).map(|i| stream ^ object ^ i as u8).collect(),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.stream | u8::from(self.key) << 7, self.object];
        out.extend(self.offset.to_le_bytes());
        out.push(8);
        out.extend(self.size.to_le_bytes());
        out.extend(self.presentation.to_le_bytes());
        out.extend((self.data.len() as u16).to_le_bytes());
        out.extend(&self.data);
        out
    }
}

/// A packet of several payloads, BYTE or WORD padding field as ffmpeg writes it.
pub fn packet(size: usize, send_time: u32, duration: u16, pieces: &[Piece]) -> Vec<u8> {
    let body: Vec<u8> = pieces.iter().flat_map(Piece::bytes).collect();
    let gap = size - 12 - body.len();
    let mut out = vec![0x82, 0, 0];
    match gap {
        0 => out.extend([0x01, 0x5D]),
        1..=256 => out.extend([0x09, 0x5D, (gap - 1) as u8]),
        _ => {
            out.extend([0x11, 0x5D]);
            out.extend(((gap - 2) as u16).to_le_bytes());
        }
    }
    out.extend(send_time.to_le_bytes());
    out.extend(duration.to_le_bytes());
    out.push(0x80 | pieces.len() as u8);
    out.extend(body);
    out.resize(size, 0);
    out
}

pub fn object(guid: &str, body: &[u8]) -> Vec<u8> {
    let mut out = hex(guid);
    out.extend((body.len() as u64 + 24).to_le_bytes());
    out.extend(body);
    out
}

pub const HEADER: &str = "30 26 B2 75 8E 66 CF 11 A6 D9 00 AA 00 62 CE 6C";
pub const DATA: &str = "36 26 B2 75 8E 66 CF 11 A6 D9 00 AA 00 62 CE 6C";
pub const FILE_PROPERTIES: &str = "A1 DC AB 8C 47 A9 CF 11 8E E4 00 C0 0C 20 53 65";
pub const STREAM_PROPERTIES: &str = "91 07 DC B7 B7 A9 CF 11 8E E6 00 C0 0C 20 53 65";
pub const HEADER_EXTENSION: &str = "B5 03 BF 5F 2E A9 CF 11 8E E3 00 C0 0C 20 53 65";
pub const EXTENDED_STREAM: &str = "CB A5 E6 14 72 C6 32 43 83 99 A9 69 52 06 5B 5A";
pub const PRIORITIES: &str = "5B D1 FE D4 D3 88 4F 45 81 F0 ED 5C 45 99 9E 24";
pub const ADVANCED_MUTEX: &str = "CF 49 86 A0 75 47 70 46 8A 16 6E 35 35 75 66 CD";
pub const MUTEX_LANGUAGE: &str = "00 2A E2 D6 DA 35 D1 11 90 34 00 A0 C9 03 49 BE";
pub const MUTEX_BIT_RATE: &str = "01 2A E2 D6 DA 35 D1 11 90 34 00 A0 C9 03 49 BE";
pub const LANGUAGES: &str = "A9 46 43 7C E0 EF FC 4B B2 29 39 3E DE 41 5C 85";
pub const AUDIO: &str = "40 9E 69 F8 4D 5B CF 11 A8 FD 00 80 5F 5C 44 2B";
pub const VIDEO: &str = "C0 EF 19 BC 4D 5B CF 11 A8 FD 00 80 5F 5C 44 2B";
pub const COMMAND: &str = "C0 CF DA 59 E6 59 D0 11 A3 AC 00 A0 C9 03 48 F6";
pub const NO_CORRECTION: &str = "00 57 FB 20 55 5B CF 11 A8 FD 00 80 5F 5C 44 2B";
pub const RESERVED_1: &str = "11 D2 D3 AB BA A9 CF 11 8E E6 00 C0 0C 20 53 65";
/// Stream Bitrate Properties of streams 1 - 4 (E3).
pub const E3: &str = "CE 75 F8 7B 8D 46 D1 11 8D 82 00 60 97 C9 A2 B2 32 00 00 00 00 00 00 00 04 00 \
    01 00 F0 49 02 00 02 00 D0 DD 06 00 03 00 A0 BB 0D 00 04 00 F4 FB 00 00";
/// Advanced Mutual Exclusion of streams 1 - 3 (E4).
pub const E4: &str = "CF 49 86 A0 75 47 70 46 8A 16 6E 35 35 75 66 CD 30 00 00 00 00 00 00 00 \
    01 2A E2 D6 DA 35 D1 11 90 34 00 A0 C9 03 49 BE 03 00 01 00 02 00 03 00";

/// File Properties with the values of E2 but for what is given.
pub fn file_properties(packets: u64, preroll: u64, flags: u32, sizes: [u32; 2]) -> Vec<u8> {
    let mut body = vec![0x11; 16];
    body.extend(290_000u64.to_le_bytes());
    body.extend(116_444_736_000_000_000u64.to_le_bytes());
    body.extend(packets.to_le_bytes());
    body.extend(111_460_000u64.to_le_bytes());
    body.extend(80_460_000u64.to_le_bytes());
    body.extend(preroll.to_le_bytes());
    body.extend(flags.to_le_bytes());
    body.extend(sizes[0].to_le_bytes());
    body.extend(sizes[1].to_le_bytes());
    body.extend(364_000u32.to_le_bytes());
    object(FILE_PROPERTIES, &body)
}

pub fn stream(number: u16, kind: &str, specific: &[u8]) -> Vec<u8> {
    let mut body = hex(kind);
    body.extend(hex(NO_CORRECTION));
    body.extend(0u64.to_le_bytes());
    body.extend((specific.len() as u32).to_le_bytes());
    body.extend(0u32.to_le_bytes());
    body.extend(number.to_le_bytes());
    body.extend(0u32.to_le_bytes());
    body.extend(specific);
    object(STREAM_PROPERTIES, &body)
}

pub fn audio(number: u16, bytes_per_second: u32) -> Vec<u8> {
    let mut specific = hex("61 01 02 00 44 AC 00 00");
    specific.extend(bytes_per_second.to_le_bytes());
    specific.extend(hex("73 01 10 00 00 00"));
    stream(number, AUDIO, &specific)
}

pub fn video(number: u16, width: u32) -> Vec<u8> {
    let mut specific = width.to_le_bytes().to_vec();
    specific.extend((width * 3 / 4).to_le_bytes());
    specific.extend(hex("02 28 00 28 00 00 00"));
    specific.extend(width.to_le_bytes());
    specific.extend((width * 3 / 4).to_le_bytes());
    specific.extend(hex("01 00 18 00 57 4D 56 32"));
    specific.extend([0; 20]);
    stream(number, VIDEO, &specific)
}

/// Extended Stream Properties: average and peak rate, flags, language index, what follows @88.
pub fn extended(number: u16, rates: [u32; 2], flags: u32, language: u16, tail: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 16];
    body.extend(rates[0].to_le_bytes());
    body.extend([0; 8]);
    body.extend(rates[1].to_le_bytes());
    body.extend([0; 12]);
    body.extend(flags.to_le_bytes());
    body.extend(number.to_le_bytes());
    body.extend(language.to_le_bytes());
    body.extend([0; 12]);
    body.extend(tail);
    object(EXTENDED_STREAM, &body)
}

pub fn languages(tags: &[&str]) -> Vec<u8> {
    let mut body = (tags.len() as u16).to_le_bytes().to_vec();
    for tag in tags {
        let text = utf16(tag);
        body.push(text.len() as u8 + 2);
        body.extend(text);
        body.extend([0, 0]);
    }
    object(LANGUAGES, &body)
}

pub fn mutex(kind: &str, streams: &[u16]) -> Vec<u8> {
    let mut body = hex(kind);
    body.extend((streams.len() as u16).to_le_bytes());
    body.extend(streams.iter().flat_map(|s| s.to_le_bytes()));
    object(ADVANCED_MUTEX, &body)
}

pub fn priorities(streams: &[(u16, u16)]) -> Vec<u8> {
    let mut body = (streams.len() as u16).to_le_bytes().to_vec();
    for (stream, flags) in streams {
        body.extend(stream.to_le_bytes());
        body.extend(flags.to_le_bytes());
    }
    object(PRIORITIES, &body)
}

pub fn extension(children: &[Vec<u8>]) -> Vec<u8> {
    let children = children.concat();
    let mut body = hex(RESERVED_1);
    body.extend(6u16.to_le_bytes());
    body.extend((children.len() as u32).to_le_bytes());
    body.extend(children);
    object(HEADER_EXTENSION, &body)
}

pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Header Object with these children and the 50 bytes of a Data Object.
pub fn blob(children: &[Vec<u8>], data_size: u64, packets: u64) -> Vec<u8> {
    let mut body = (children.len() as u32).to_le_bytes().to_vec();
    body.extend([1, 2]);
    body.extend(children.concat());
    let mut out = object(HEADER, &body);
    let mut data = vec![0x11; 16];
    data.extend(packets.to_le_bytes());
    data.extend([1, 1]);
    let mut data = object(DATA, &data);
    data[16..24].copy_from_slice(&data_size.to_le_bytes());
    out.extend(data);
    out
}

/// Header of a file of `packets` packets with video stream 1 and audio stream 2.
pub fn simple_blob(packets: u64, packet_size: u32, preroll: u64) -> Vec<u8> {
    let children = [
        file_properties(packets, preroll, 2, [packet_size; 2]),
        extension(&[]),
        video(1, 320),
        audio(2, 8000),
    ];
    blob(&children, 50 + packets * u64::from(packet_size), packets)
}
