use super::*;
use crate::media::{Framer, Spray};
use crate::rtsp::fec::{Encoder, Params};
use crate::rtsp::payload::Form;
use std::cell::RefCell;
use wme::{DatagramFramer, FrameFramer, Stream};

fn stream(form: Form, payload_max: usize) -> Stream {
    Stream {
        ssrc: 0x3874_dd27,
        first: 26_967,
        form,
        payload_max,
        locations: false,
        mark: Mark::default(),
    }
}

fn meta(number: u32, len: usize) -> PacketMeta {
    PacketMeta {
        number,
        send_time: number * 10,
        duration: 10,
        key: true,
        len: len as u32,
    }
}

#[derive(Default)]
struct Sink(Vec<(usize, Vec<u8>)>);

impl Spray for Sink {
    fn datagram(&mut self, lane: usize, write: &mut dyn FnMut(&mut Vec<u8>)) {
        let mut out = vec![0xEE; 3];
        write(&mut out);
        self.0.push((lane, out.split_off(3)));
    }
}

const PACKET: &[u8] = &[
    0x82, 0, 0, 0x40, 0x5d, 0x30, 0, 0x0a, 0, 0, 0, 0x0a, 0, 0x81, 1, 0, 0, 0, 0, 8, 0x14, 0, 0, 0,
    0xc2, 0x0b, 0, 0, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c,
    0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2, 0xa3,
];

// RTSP-03, RTSP-06, RTSP-07, RTSP-08, RTSP-11: the row of the reference's table, with its frame in front.
#[test]
fn a_frame_is_that_of_the_reference() {
    let framer = FrameFramer::new(stream(Form::Inclusive, 100), 0);
    let mut out = Vec::new();
    framer.put(1, &meta(1, 48), false, PACKET, &mut out);
    let mut want = vec![0x24, 0, 0, 0x40, 0x80, 0xe0, 0x69, 0x58, 0, 0, 0, 0x0a];
    want.extend([0x38, 0x74, 0xdd, 0x27, 0xc0, 0, 0, 0x34]);
    want.extend(PACKET);
    assert_eq!(out, want);
    assert_eq!(framer.stream.mark.get().sequence, 2);
    assert_eq!(framer.stream.mark.get().packet, Some(1));
}

// RTSP-16: numbers only for those who asked.
#[test]
fn locations_are_told_on_request() {
    let framer = FrameFramer::new(
        Stream {
            locations: true,
            ..stream(Form::Exclusive, 0)
        },
        2,
    );
    let mut out = Vec::new();
    framer.put(0, &meta(7, 48), false, PACKET, &mut out);
    assert_eq!(out[..4], [0x24, 2, 0, 12 + 8 + 48]);
    assert_eq!(out[16..24], [0xc8, 0, 0, 48, 0, 0, 0, 7]);
}

// RTSP-05, RTSP-13, RTSP-30: what is sent again is what was sent, piece by piece.
#[test]
fn pieces_are_made_again_byte_for_byte() {
    for form in [Form::Inclusive, Form::Exclusive, Form::Fragment] {
        let framer = DatagramFramer {
            stream: stream(form, 36),
            fec: None,
        };
        let mut sink = Sink::default();
        framer.spray(65_000, &meta(3, 48), false, PACKET, &mut sink);
        assert_eq!(sink.0.len(), 2, "32 and 16 bytes");
        for (piece, (lane, sent)) in sink.0.iter().enumerate() {
            assert_eq!(*lane, 0);
            let mut out = vec![1];
            let piece = piece as u32;
            framer.again(65_000 + piece, piece, &meta(3, 48), PACKET, &mut out);
            assert_eq!(out[1..], sent[..]);
        }
        assert_eq!(framer.stream.mark.get().sequence, 65_002);
        let first = &sink.0[0].1;
        assert_eq!(first[1] & 0x80, 0, "more follows");
        assert_eq!(sink.0[1].1[1] & 0x80, 0x80);
        let number = u16::from_be_bytes([first[2], first[3]]);
        assert_eq!(number, 26_967u16.wrapping_add(65_000));
    }
}

// RTSP-22, RTSP-28: correction leaves beside the packets and does not count among them.
#[test]
fn correction_has_its_own_lane() {
    let params = Params::new(2, 1, 1).unwrap();
    let encoder = Encoder::new(params, 98, 9, 500);
    let framer = DatagramFramer {
        stream: stream(Form::Inclusive, 1460),
        fec: Some((2, Rc::new(RefCell::new(encoder)))),
    };
    let mut lanes = Vec::new();
    for n in 0..4 {
        let mut sink = Sink::default();
        framer.spray(n, &meta(n, 48), false, PACKET, &mut sink);
        lanes.push(sink.0.iter().map(|d| d.0).collect::<Vec<_>>());
    }
    assert_eq!(lanes, [vec![0], vec![0, 2], vec![0], vec![0, 2]]);
    assert_eq!(framer.stream.mark.get().sequence, 4);
}

#[test]
fn numbers_on_the_wire_lead_back_to_the_flow() {
    let mark = Mark::default();
    assert_eq!(mark.sequence_of(100, 100), None, "nothing was sent");
    mark.advance(3, &meta(0, 1));
    assert_eq!(mark.sequence_of(100, 100), Some(0));
    assert_eq!(mark.sequence_of(100, 102), Some(2));
    assert_eq!(mark.sequence_of(100, 103), None, "not sent yet");
    assert_eq!(mark.sequence_of(100, 99), None, "of the flow before");
    mark.advance(65_540, &meta(0, 1));
    assert_eq!(mark.sequence_of(100, 103), Some(65_539));
    assert_eq!(mark.sequence_of(100, 104), Some(4), "65,536 ago");
    mark.advance(200_000, &meta(0, 1));
    let number = 100u16.wrapping_add(199_990u32 as u16);
    assert_eq!(mark.sequence_of(100, number), Some(199_990));
}
