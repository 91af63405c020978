//! The exchanges of the reference, whole, and the fuzz bodies over them.

use proptest::prelude::*;
use protocols::rtsp::body::{ContentType, EndOfStream, PairRequest};
use protocols::rtsp::fields::{Condition, Session, Skip, Streaming, UserAgent};
use protocols::rtsp::head::{self, Method};
use protocols::rtsp::range::Range;
use protocols::rtsp::reader::{Limits, Message, Reader, Step};
use protocols::rtsp::{fuzz, pair, rtp_info, sdp_reader, transport};
use protocols::wmsp::packet::{self, Packet, Parsed};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const PLAYER_TCP: &[u8] = include_bytes!("corpus/rtsp/player_tcp.bin");
const PLAYER_UDP: &[u8] = include_bytes!("corpus/rtsp/player_udp.bin");
const SERVER_TCP: &[u8] = include_bytes!("corpus/rtsp/server_tcp.bin");
const TONE: &[u8] = include_bytes!("corpus/rtsp/tone.sdp");

const LIMITS: Limits = Limits {
    head_bytes_max: 4096,
    body_bytes_max: 65_536,
    frame_bytes_max: 65_535,
};

fn messages(bytes: &[u8]) -> (Vec<Message>, Vec<(u8, Vec<u8>)>) {
    let mut reader = Reader::default();
    reader.push(bytes);
    let (mut messages, mut frames) = (Vec::new(), Vec::new());
    loop {
        match reader.next(&LIMITS).expect("a sound stream") {
            Step::Wait => break,
            Step::Message(message) => messages.push(message),
            Step::Frame { channel, bytes } => frames.push((channel, bytes.to_vec())),
            Step::Skipped { .. } => panic!("a long frame"),
        }
    }
    assert_eq!(reader.buffered(), 0);
    (messages, frames)
}

#[test]
fn what_the_player_says_over_tcp() {
    let (all, frames) = messages(PLAYER_TCP);
    assert_eq!((all.len(), frames.len()), (8, 0));
    let methods: Vec<_> = all.iter().filter_map(|m| m.head.method()).collect();
    assert_eq!(
        methods[..3],
        [&Method::Options, &Method::Describe, &Method::GetParameter]
    );
    let describe = &all[1].head;
    assert!(
        UserAgent::parse(describe.get("user-agent").unwrap())
            .unwrap()
            .guid
            .is_some()
    );
    assert_eq!(describe.list("Supported").count(), 3);
    let setup = &all[3].head;
    assert_eq!(setup.target().unwrap().below("/tone.wma"), Some("audio"));
    let spec = transport::specs(setup.get("Transport").unwrap())
        .next()
        .unwrap()
        .unwrap();
    assert!(spec.is_acceptable());
    let condition = Condition::parse(setup.get("If-Match").unwrap(), "If-Match").unwrap();
    assert!(condition.holds("{11111111-2222-3333-4444-555555555555}"));
    let play = &all[4].head;
    assert!(play.target().unwrap().is_at("/tone.wma"));
    assert_eq!(
        Range::parse(play.get("Range").unwrap()),
        Ok(Range::npt(0, None))
    );
    let accel = play.get("X-Accelerate-Streaming").unwrap();
    assert_eq!(
        Streaming::Accelerate.parse(accel).unwrap().duration_ms,
        8000
    );
    assert!(Skip::parse(play.get("X-Playlist-Seek-Id").unwrap()).is_err());
    let log = &all[5];
    assert_eq!(
        log.head.get("Content-Type").and_then(ContentType::parse),
        Some(ContentType::LogConnect)
    );
    assert!(log.body.starts_with(b"<XML>") && log.body.ends_with(b"</XML>"));
    assert_eq!(
        (all[6].head.status(), all[6].head.cseq()),
        (Some(200), Some(1))
    );
}

#[test]
fn what_the_player_says_over_udp() {
    let (all, _) = messages(PLAYER_UDP);
    let offered = |n: usize| {
        let value: &str = all[n].head.get("Transport").unwrap();
        transport::specs(value)
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        PairRequest::parse(&all[1].body),
        Ok(PairRequest {
            variable_size: true
        })
    );
    assert_eq!(offered(2).len(), 2);
    let fec = offered(3)[0].fec.unwrap();
    assert_eq!((fec.span(), fec.per_span(), fec.margin()), (4, 1, 6));
    let accepted = rtp_info::parse(all[4].head.get("X-RTP-Info").unwrap()).unwrap();
    assert!(accepted.iter().all(rtp_info::StreamEntry::is_bare));
}

// RTSP-03
#[test]
fn what_the_server_says() {
    let (all, frames) = messages(SERVER_TCP);
    assert_eq!(all.len(), 5);
    assert_eq!(all[1].body, TONE);
    let session = Session::parse(all[2].head.get("Session").unwrap()).unwrap();
    assert_eq!(session.timeout, Some(60));
    let info = rtp_info::parse(all[3].head.get("RTP-Info").unwrap()).unwrap();
    let base = sdp_reader::parse(TONE).unwrap();
    assert_eq!(
        sdp_reader::resolve(&base.control, &base.media[0].control),
        info[0].url
    );
    assert_eq!((frames.len(), frames[0].0, frames[0].1.len()), (1, 0, 64));
    let end = &all[4];
    assert_eq!(end.head.method(), Some(&Method::SetParameter));
    assert_eq!(EndOfStream::parse(&end.body).unwrap().session, session.id);
}

// BW-08
#[test]
fn the_packet_pair_over_tcp() {
    let mut head = head::response(200);
    head.header("Content-Type", ContentType::PacketPair.name())
        .header("Content-Length", 2080)
        .header("CSeq", 3)
        .header("Server", "WMServer/9.5");
    let head = head.finish();
    assert_eq!(head.len(), 117);
    let set = pair::tcp_packets(head.len(), &mut ChaCha20Rng::from_seed([3; 32]));
    assert_eq!(set[0][..8], [0xa4, 0x50, 0xf8, 0x01, 0x75, 0, 0, 0]);
    assert_eq!(set[1][..8], [0xa4, 0x50, 0xf8, 0x01, 0x75, 0, 0, 0]);
    assert_eq!(set[2][..8], [0x24, 0x50, 0x18, 0x04, 0x75, 0, 0, 0]);
    assert_eq!(set.each_ref().map(|p| p.len() - 8), [387, 504, 1165]);
    // With its head the first one fills as much as the second.
    assert_eq!(set[0].len() + head.len(), 512);
    let body = set.concat();
    assert_eq!(body.len(), 2080);
    let mut at = 0;
    for n in 0..3 {
        let Ok(Parsed::Whole(Packet::Pair { reason: 117 }, len)) = packet::parse(&body[at..], n)
        else {
            panic!("packet {n}");
        };
        at += len;
    }
    assert_eq!(at, body.len());
}

#[test]
fn the_corpus_goes_through_the_fuzz_bodies() {
    for bytes in [PLAYER_TCP, PLAYER_UDP, SERVER_TCP, TONE] {
        fuzz::stream(bytes);
        fuzz::description(bytes);
        fuzz::media(bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_exchanges(which in 0usize..3, at in 0usize..4096, with in proptest::collection::vec(any::<u8>(), 0..24)) {
        let mut bytes = [PLAYER_TCP, PLAYER_UDP, SERVER_TCP][which].to_vec();
        let at = at % bytes.len();
        bytes.splice(at..(at + with.len()).min(bytes.len()), with);
        fuzz::stream(&bytes);
    }

    #[test]
    fn damaged_descriptions(cuts in proptest::collection::vec((0usize..1100, "[ -~\r\n=:/]{0,20}"), 1..6)) {
        let mut bytes = TONE.to_vec();
        for (at, with) in cuts {
            let at = at % bytes.len().max(1);
            bytes.splice(at..(at + with.len()).min(bytes.len()), with.into_bytes());
        }
        fuzz::description(&bytes);
    }

    #[test]
    fn media_of_anything(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        fuzz::media(&bytes);
        fuzz::description(&bytes);
    }
}
