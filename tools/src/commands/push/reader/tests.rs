use super::*;
use protocols::wmhttp::frame;

const CLIP: &[u8] = include_bytes!("../../../../content/clip.wmv");

/// Gives at most so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.1.min(buffer.len()).min(self.0.len());
        buffer[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

type Read1 = (Vec<Piece>, Result<Option<Fault>, Fault>);

/// All pieces, and the remark or the fault at the end.
fn read(bytes: &[u8], size: usize) -> Read1 {
    let mut reader = Reader::new(Pieces(bytes, size));
    let mut pieces = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(piece)) => pieces.push(piece),
            Ok(None) => {
                assert_eq!(reader.next(), Ok(None), "it stays at its end");
                return (pieces, Ok(reader.remark().cloned()));
            }
            Err(e) => {
                assert_eq!(reader.next(), Ok(None), "nothing comes after a fault");
                return (pieces, Err(e));
            }
        }
    }
}

fn header() -> Header {
    Header::parse(CLIP).expect("a header")
}

/// The clip's header and packets.
fn clip() -> (Vec<u8>, Vec<Vec<u8>>) {
    let header = header();
    let (blob, rest) = CLIP.split_at(header.blob_len() as usize);
    let count = header.packet_count().expect("a count") as usize;
    let size = header.packet_size() as usize;
    let packets = rest.chunks(size).take(count).map(<[u8]>::to_vec).collect();
    (blob.to_vec(), packets)
}

fn pieces() -> Vec<Piece> {
    let (blob, packets) = clip();
    let packets = packets.into_iter().map(Piece::Packet);
    std::iter::once(Piece::Header(blob.into()))
        .chain(packets)
        .collect()
}

/// A frame as FFmpeg's asf_stream writes it.
fn framed(letter: u8, number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let length = (payload.len() as u16 + 8).to_le_bytes();
    out.extend([b'$', letter]);
    out.extend(length);
    out.extend(number.to_le_bytes());
    out.extend(if letter == b'H' { [0, 0x0C] } else { [0, 0] });
    out.extend(length);
    out.extend(payload);
    out
}

/// The clip as asf_stream writes it.
fn streamed() -> Vec<u8> {
    let (blob, packets) = clip();
    let mut out = framed(b'H', 0, &blob);
    for (number, packet) in (1..).zip(&packets) {
        out.extend(framed(b'D', number, packet));
    }
    out.extend(framed(b'E', 0, &[]));
    out
}

// WMHTTP-112
#[test]
fn files_and_streams_give_the_same_pieces_in_any_split() {
    let want = pieces();
    assert!(want.len() > 50);
    for bytes in [CLIP, &streamed()] {
        for size in [1, 2, 3, 11, 12, 13, 29, 4096, usize::MAX] {
            let (pieces, end) = read(bytes, size);
            assert!(pieces == want, "reads of {size}");
            assert_eq!(end, Ok(None));
        }
    }
}

#[test]
fn an_index_behind_packets_without_a_count_is_none() {
    let (blob, packets) = clip();
    // As ffmpeg writes a file into a pipe: it does not know how many packets will come.
    let mut bytes = protocols::asf::broadcast_blob(&blob, None).expect("a header");
    bytes.extend(packets.iter().take(2).flatten());
    let whole = bytes.len();
    for index in TRAILERS {
        for len in [16, 104, 10_000] {
            bytes.truncate(whole);
            bytes.extend(index.0);
            bytes.resize(whole + len, 0x55);
            let (pieces, end) = read(&bytes, 1000);
            assert_eq!((pieces.len(), end), (3, Ok(None)), "{index:?}, {len} bytes");
        }
    }
}

#[test]
fn what_ends_early_is_remarked_with_its_place() {
    let header = header();
    let (at, size) = (header.blob_len(), u64::from(header.packet_size()));
    let remark = |bytes: &[u8]| {
        let (pieces, end) = read(bytes, 777);
        (pieces.len(), end.expect("no fault").expect("a remark"))
    };
    let (count, inside) = remark(&CLIP[..(at + 2 * size + 5) as usize]);
    assert_eq!((count, inside.offset), (3, at + 2 * size));
    assert!(inside.reason.contains("5 bytes of it"), "{inside}");
    let (count, between) = remark(&CLIP[..(at + 2 * size) as usize]);
    assert_eq!((count, between.offset), (3, at + 2 * size));
    let left = header.packet_count().expect("a count") - 2;
    assert!(
        between.reason.contains(&format!("{left} packets early")),
        "{between}"
    );
    let stream = streamed();
    let frame = at + 12 + size + 12;
    for len in [frame + 1, frame + 11, frame + 12, frame + 100] {
        let (count, inside) = remark(&stream[..len as usize]);
        assert_eq!((count, inside.offset), (2, frame), "{len}");
    }
    let (_, between) = remark(&stream[..frame as usize]);
    assert_eq!(
        between.to_string(),
        format!("byte {frame}: the stream ends without an $E")
    );
}

#[test]
fn what_is_no_asf_is_told_with_its_place() {
    let fault = |bytes: &[u8]| read(bytes, 500).1.expect_err("a fault");
    assert_eq!(fault(b"").offset, 0);
    assert_eq!(
        fault(b"RIFF....").to_string(),
        "byte 0: neither ASF nor what FFmpeg's asf_stream writes"
    );
    assert_eq!(
        fault(&CLIP[..20]).to_string(),
        "byte 20: ends inside the header"
    );
    assert_eq!(
        fault(&CLIP[..200]).to_string(),
        "byte 200: ends inside the header"
    );
    let mut long = CLIP.to_vec();
    long[16..24].copy_from_slice(&70_000u64.to_le_bytes());
    assert!(fault(&long).reason.contains("exceeds the limit of 65531"));
    let mut damaged = CLIP.to_vec();
    damaged[38] = 0xFF;
    assert!(fault(&damaged).offset > 0);
}

#[test]
fn damaged_frames_are_told_with_their_place() {
    let stream = streamed();
    let second = (header().blob_len() + 12) as usize;
    let fault = |change: fn(&mut [u8])| {
        let mut bytes = stream.clone();
        change(&mut bytes[second..]);
        let (pieces, end) = read(&bytes, 99);
        assert_eq!(pieces.len(), 1, "the header");
        end.expect_err("a fault")
    };
    let at = second as u64;
    let magic = fault(|f| f[0] = b'%');
    assert_eq!(
        (magic.offset, &*magic.reason),
        (at, "no frame where one should begin")
    );
    let lengths = fault(|f| f[10] ^= 1);
    assert_eq!(
        (lengths.offset, &*lengths.reason),
        (at, "the two lengths of a frame differ")
    );
    let short = fault(|f| {
        f[2..4].fill(0);
        f[10..12].fill(0);
    });
    assert_eq!(short.offset, at);
    let long = fault(|f| {
        f[3] = 0xFF;
        f[11] = 0xFF;
    });
    assert_eq!(long.offset, at + 12);
    assert!(long.reason.starts_with("packet of "), "{long}");
}

#[test]
fn frames_of_no_use_are_passed_over_and_headers_may_follow() {
    let (blob, packets) = clip();
    let mut bytes = framed(b'H', 0, &blob);
    bytes.extend(framed(b'M', 1, b"metadata"));
    bytes.extend(framed(b'D', 2, &packets[0]));
    bytes.extend(framed(b'H', 3, &blob));
    bytes.extend(framed(b'D', 4, &packets[1][..100]));
    bytes.extend(framed(b'E', 5, &[]));
    bytes.extend(b"and what comes behind");
    let (pieces, end) = read(&bytes, 64);
    let header = Piece::Header(blob.into());
    let want = [
        header.clone(),
        Piece::Packet(packets[0].clone()),
        header,
        Piece::Packet(packets[1][..100].to_vec()),
    ];
    assert!(pieces == want);
    assert_eq!(end, Ok(None));
    // The frames of a push are others: their heads are shorter.
    let mut pushed = Vec::new();
    assert!(frame::put(frame::Kind::Header, 0, &clip().0, &mut pushed));
    assert!(read(&pushed, 64).1.is_err());
}
