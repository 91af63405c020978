//! Descriptions of presentations against the reference, and back.

mod asf_build;

use asf_build as build;
use proptest::prelude::*;
use protocols::asf::Header;
use protocols::content::{StreamInfo, StreamKind};
use protocols::rtsp::fec::Params;
use protocols::rtsp::range::{Npt, Range};
use protocols::rtsp::sdp::{
    self, Encoding, FecOffer, Format, Media, MediaKind, Presentation, Types,
};
use protocols::rtsp::sdp_reader::{self, resolve};
use protocols::rtsp::slim::slim;
use protocols::wmsp::cdl::Pair;
use std::net::IpAddr;

const TONE: &[u8] = include_bytes!("corpus/rtsp/tone.sdp");

fn stream(number: u8, kind: StreamKind, average: u32, peak: u32) -> StreamInfo {
    StreamInfo {
        number,
        kind,
        average_bit_rate: average,
        peak_bit_rate: peak,
        all_key: false,
    }
}

fn tone(header: Vec<u8>) -> Presentation {
    let audio = stream(1, StreamKind::Audio, 64_000, 64_000);
    Presentation {
        id: 202_001_010_000_000_001,
        address: IpAddr::from([192, 0, 2, 10]),
        name: "Tone".into(),
        control: "rtsp://wme.example/tone.wma/".into(),
        kbits: None,
        etag: Some("{11111111-2222-3333-4444-555555555555}".into()),
        range: Some(Range::npt(3000, Some(3040))),
        packet_size: Some(96),
        types: Types::default(),
        description: vec![Pair::text("language", ""), Pair::text("title", "Tone")],
        header,
        media: vec![
            Media::asf(&audio, "audio".into(), false),
            Media::retransmission(),
        ],
    }
}

// RTSP-46, RTSP-47, RTSP-48, RTSP-49, RTSP-53, RTSP-54, RTSP-56, RTSP-58, RTSP-60
#[test]
fn the_description_of_the_reference() {
    assert_eq!(TONE.len(), 1026);
    let read = sdp_reader::parse(TONE).unwrap();
    // Header Object and the first 50 bytes of the Data Object.
    let asf = Header::parse(&read.header).unwrap();
    assert_eq!(
        (asf.blob_len(), asf.packet_size()),
        (read.header.len() as u64, 96)
    );
    assert_eq!(read.kbits, Some(64));
    let made = tone(read.header.clone());
    assert_eq!(made.write().as_bytes(), TONE);
    assert_eq!(
        Presentation {
            kbits: Some(64),
            ..made
        },
        read
    );
    assert_eq!(
        (read.media[0].stream, read.media[1].stream),
        (Some(1), Some(65_536))
    );
}

// RTSP-48, RTSP-59, RTSP-60
#[test]
fn all_attributes() {
    let mut p = tone(vec![1, 2, 3]);
    p.types = Types {
        broadcast: true,
        last_entry: true,
        not_seekable: true,
        not_stridable: true,
        playlist: true,
        skip_backward: true,
        skip_forward: true,
    };
    p.range = Some(Range::Npt {
        start: Some(Npt::Now),
        end: None,
    });
    p.description = vec![Pair::text("title", "50 % \u{e4}, \"x\"\r\n")];
    let video = stream(2, StreamKind::Video, 300_000, 450_001);
    let mut video = Media::asf(&video, "video".into(), true);
    let params = Params::new(24, 4, 1).unwrap();
    video.fec = Some(FecOffer::of(params, "video/fec98".into()));
    p.media.insert(1, video);
    p.media[2].reliable = true;
    let text = p.write();
    for line in [
        "b=AS:515",
        "a=range:npt=now-",
        "a=type:broadcast,lastentry,notseekable,notstridable,playlist,skipbackward,skipforward",
        "a=pgmpu:data:application/x-wms-contentdesc,5,title,31,14,50%20%25%20%C3%A4,%20%22x%22%0D%0A%0D%0A",
        "a=pgmpu:data:application/vnd.ms.wms-hdr.asfv1;base64,AQID",
        "m=video 0 RTP/AVP 96 98",
        "b=AS:451",
        "b=X-AV:300",
        "a=rtpmap:98 x-wms-fec/1000",
        "a=fmtp:98 video/fec98 24 4",
        "a=stream:2",
        "a=reliable",
    ] {
        assert!(
            text.contains(&format!("\r\n{line}\r\n")),
            "{line} in\n{text}"
        );
    }
    assert_eq!(
        text.matches("a=reliable").count(),
        1,
        "not of retransmission"
    );
    p.media[2].reliable = false;
    p.kbits = Some(515);
    assert_eq!(sdp_reader::parse(text.as_bytes()), Ok(p));
}

#[test]
fn what_is_said_cannot_end_its_line() {
    let mut p = tone(Vec::new());
    p.name = "a\r\nm=video 0 RTP/AVP 1".into();
    p.etag = Some("x\ny".into());
    p.address = "2001:db8::1".parse().unwrap();
    let text = p.write();
    assert!(text.contains("s=a__m=video 0 RTP/AVP 1\r\n"), "{text}");
    assert!(text.contains("c=IN IP6 ::\r\n") && text.contains(" IN IP6 2001:db8::1\r\n"));
    assert_eq!(sdp_reader::parse(text.as_bytes()).unwrap().media.len(), 2);
    p.name.clear();
    assert!(p.write().contains("s= \r\n"));
}

// RTSP-61: the order and the gaps of other servers.
#[test]
fn descriptions_of_others() {
    let read = sdp_reader::parse(
        b"v=0\no=- 5 5 IN IP4 x\na=maxps:1500\nb=RS:0\nb=RR:0\nt=0 0\n\na=maxps: 0\na=pgmpu:http://x/\n\
          a=type:playlist,unknown\na=range:clock=1-\nm=audio 49170 RTP/AVP 0 97 97 200\na=rtpmap:97 MPEG4-generic/48000/2\n\
          a=fmtp:97 mode=AAC-hbr; config=11\na=rtpmap:5 x-wms-fec/1000\na=rtpmap:x\nb=AS:x\nb=\nx=1\n\
          m=video 0 RTP/AVP\nm=text 0 RTP/AVP 98 96\na=rtpmap:96 X-ASF-PF/1000\na=rtpmap:98 x-wms-fec/1000\na=fmtp:98 u 4 5\n",
    )
    .unwrap();
    assert_eq!((read.packet_size, read.range), (None, None));
    assert!(read.types.playlist);
    assert_eq!(read.media.len(), 2);
    assert!(read.media[0].no_rtcp);
    // The first payload type counts; nothing is said of it.
    assert_eq!((read.media[0].payload_type, read.media[0].kbits), (0, None));
    assert_eq!(read.media[1].kind, MediaKind::Application);
    assert_eq!(
        (read.media[1].payload_type, &read.media[1].encoding),
        (96, &Encoding::Asf)
    );
    assert_eq!(read.media[1].fec, None, "more corrections than sources");
}

#[test]
fn plain_sections() {
    let format = Format {
        name: "H264".into(),
        clock: 90_000,
        channels: None,
        parameters: Some("packetization-mode=1".into()),
    };
    let mut p = tone(Vec::new());
    p.packet_size = None;
    p.description.clear();
    p.kbits = Some(7);
    p.media = vec![Media::plain(MediaKind::Video, 97, format, "video".into())];
    let text = p.write();
    assert!(text.ends_with(
        "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=1\r\na=control:video\r\n"
    ));
    assert_eq!(sdp_reader::parse(text.as_bytes()), Ok(p));
}

#[test]
fn damage_is_placed() {
    let fault = |text: &[u8]| {
        let f = sdp_reader::parse(text).unwrap_err();
        (f.production, f.offset)
    };
    assert_eq!(fault(b"v=0\r\nabc\r\n"), ("SDP line", 5));
    assert_eq!(fault(b"v=0\na=maxps:x\n"), ("a=maxps", 12));
    assert_eq!(fault(b"m=\n"), ("SDP media", 2));
    assert_eq!(
        fault(b"m=audio 0 RTP/AVP 96\na=stream:-1\n"),
        ("a=stream", 30)
    );
    let header = b"a=pgmpu:data:application/vnd.ms.wms-hdr.asfv1;base64,AA!A\n";
    assert_eq!(fault(header), ("ASF header", 55));
    assert_eq!(fault(&b"m=audio 0 RTP/AVP 96\n".repeat(257)).0, "SDP media");
    assert_eq!(fault(&vec![b'\n'; (2 << 20) + 1]).0, "SDP");
}

// RTSP-50
#[test]
fn control_urls() {
    for (base, control, want) in [
        ("rtsp://h/tone.wma/", "audio", "rtsp://h/tone.wma/audio"),
        ("rtsp://h/tone.wma", "audio", "rtsp://h/tone.wma/audio"),
        ("rtsp://h/tone.wma/", "rtsp://i/x", "rtsp://i/x"),
        ("rtsp://h/a/b", "/c", "rtsp://h/c"),
        ("rtsp://h", "/c", "rtsp://h/c"),
        ("rtsp://h/a", "*", "rtsp://h/a"),
        ("rtsp://h/a/", "", "rtsp://h/a/"),
    ] {
        assert_eq!(resolve(base, control), want);
    }
}

// One control URL for players that stall otherwise.
#[test]
fn control_urls_of_streams() {
    let (audio, video) = (StreamKind::Audio, StreamKind::Video);
    let one = [
        stream(1, audio, 1, 1),
        stream(2, video, 1, 1),
        stream(3, StreamKind::Command, 0, 0),
    ];
    assert_eq!(sdp::controls(&one, false), ["audio", "video", "stream=3"]);
    assert_eq!(sdp::controls(&one, true), ["audio"; 3]);
    let many = [
        stream(1, audio, 1, 1),
        stream(2, video, 1, 1),
        stream(3, video, 0, 0),
    ];
    assert_eq!(
        sdp::controls(&many, false),
        ["audio", "stream=2", "stream=3"]
    );
    assert!(sdp::controls(&[], true).is_empty());
    // No rate is known, and a section must have one.
    assert_eq!(Media::asf(&one[2], String::new(), false).kbits, Some(1));
}

// RTSP-53
#[test]
fn headers_are_slimmed_only_as_far_as_needed() {
    assert_eq!(sdp::HEADER_MAX, 12_249);
    let padding = |len: usize| {
        build::object(
            "74 D4 06 18 DF CA 09 45 A4 BA 9A AB CB 96 AA E8",
            &vec![0; len],
        )
    };
    let marker = |len: usize| {
        build::object(
            "01 CD 87 F4 51 A9 CF 11 8E E6 00 C0 0C 20 53 65",
            &vec![0; len],
        )
    };
    let parts = |inner: Vec<Vec<u8>>, outer: Vec<Vec<u8>>| {
        let mut all = vec![
            build::file_properties(4, 3000, 2, [1000, 1000]),
            build::audio(1, 8000),
            build::extension(&inner),
        ];
        all.extend(outer);
        all.push(build::video(2, 320));
        build::blob(&all, 50, 4)
    };
    let small = parts(vec![padding(100)], vec![marker(500)]);
    assert!(slim(&small).unwrap() == small);
    // The padding goes wherever it is, the marker stays.
    let big = parts(vec![padding(9000)], vec![marker(500), padding(6000)]);
    assert!(big.len() > sdp::HEADER_MAX);
    let first = slim(&big).unwrap();
    let want = parts(vec![], vec![marker(500), padding(6000)]);
    assert!(first == want, "{} bytes, not {}", first.len(), want.len());
    let bigger = parts(vec![padding(9000)], vec![marker(12_300), padding(6000)]);
    let least = slim(&bigger).unwrap();
    assert!(least == parts(vec![], vec![]), "{} bytes", least.len());
    let slimmed = Header::parse(&slim(&bigger).unwrap()).unwrap();
    assert_eq!(slimmed.streams().len(), 2);
    assert!(slimmed.remarks().is_empty(), "{:?}", slimmed.remarks());
    assert!(slim(&[]).is_err());
}

fn media() -> impl Strategy<Value = Media> {
    let kinds = prop_oneof![
        Just(StreamKind::Audio),
        Just(StreamKind::Video),
        Just(StreamKind::Command)
    ];
    (
        1u8..=127,
        kinds,
        any::<u32>(),
        any::<u32>(),
        "[a-z=/0-9]{1,20}",
        any::<bool>(),
        any::<bool>(),
        1u8..=24,
    )
        .prop_map(|(n, kind, average, peak, control, reliable, fec, span)| {
            let fec = fec.then(|| FecOffer {
                payload_type: 98,
                url: format!("{control}/fec"),
                span,
                per_span: span.div_ceil(2),
            });
            Media {
                fec,
                ..Media::asf(&stream(n, kind, average, peak), control, reliable)
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_presentation_round_trips(
        media in proptest::collection::vec(media(), 0..6),
        header in proptest::collection::vec(any::<u8>(), 1..400),
        name in "[ -~]{0,20}", value in any::<String>(), seek: bool, live: bool, id: u64,
    ) {
        let mut p = tone(header);
        p.name = name.trim().to_owned();
        p.media = media;
        p.id = id;
        p.types.not_seekable = seek;
        p.types.broadcast = live;
        p.description = vec![Pair::text("title", value)];
        let read = sdp_reader::parse(p.write().as_bytes()).unwrap();
        p.kbits = read.kbits;
        prop_assert_eq!(read, p);
    }

    #[test]
    fn descriptions_of_anything(at in 0usize..1026, with in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = TONE.to_vec();
        bytes.splice(at..(at + with.len()).min(bytes.len()), with);
        match sdp_reader::parse(&bytes) {
            Ok(read) => prop_assert!(read.media.len() <= 3),
            Err(fault) => prop_assert!(fault.offset <= bytes.len() as u64, "{}", fault),
        }
    }
}
