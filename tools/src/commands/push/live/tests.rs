use super::*;
use std::io;
use std::sync::mpsc::{Receiver, channel};

const CLIP: &[u8] = include_bytes!("../../../../content/clip.wmv");
const PATIENCE: Duration = Duration::from_secs(20);

/// What is sent to it is there to be read.
struct Pipe(Receiver<Vec<u8>>, Vec<u8>);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.1.is_empty() {
            match self.0.recv() {
                Ok(bytes) => self.1 = bytes,
                Err(_) => return Ok(0),
            }
        }
        let len = buffer.len().min(self.1.len());
        buffer[..len].copy_from_slice(&self.1[..len]);
        self.1.drain(..len);
        Ok(len)
    }
}

/// Header and packets of the clip as broadcast.
fn clip() -> (Bytes, Vec<Vec<u8>>) {
    let (header, blob) = live_header(CLIP).expect("a header");
    let rest = &CLIP[header.blob_len() as usize..];
    let packets = rest.chunks_exact(header.packet_size() as usize);
    (blob, packets.map(<[u8]>::to_vec).collect())
}

/// The next piece, waited for.
fn next(live: &mut Live) -> Result<Option<Piece>, String> {
    loop {
        match live.next()? {
            Next::Give(piece) => return Ok(Some(piece)),
            Next::End => return Ok(None),
            _ => {
                let state = live.0.lock();
                let nothing = |s: &mut State| s.pieces.is_empty() && s.ended.is_none();
                let wait = live.0.changed.wait_timeout_while(state, PATIENCE, nothing);
                assert!(!wait.expect("the reader").1.timed_out(), "nothing comes");
            }
        }
    }
}

/// Waits until the reader has dropped so many.
fn wait_for_dropped(live: &Live, count: u64) {
    let state = live.0.lock();
    let fewer = |s: &mut State| s.dropped < count;
    let wait = live.0.changed.wait_timeout_while(state, PATIENCE, fewer);
    assert!(!wait.expect("the reader").1.timed_out(), "not dropped");
}

#[test]
fn what_comes_before_the_first_session_waits_for_it() {
    let (blob, packets) = clip();
    let mut live = Live::start(io::Cursor::new(CLIP)).expect("a thread");
    assert!(live.wait(PATIENCE));
    assert_eq!(live.begin(), None, "the header comes next itself");
    assert_eq!(next(&mut live), Ok(Some(Piece::Header(blob))));
    let header = protocols::asf::Header::parse(CLIP).expect("a header");
    for packet in packets
        .iter()
        .take(header.packet_count().expect("a count") as usize)
    {
        assert_eq!(next(&mut live), Ok(Some(Piece::Packet(packet.clone()))));
    }
    assert_eq!(next(&mut live), Ok(None));
    assert_eq!((live.is_over(), live.dropped()), (Ok(true), 0));
}

#[test]
fn between_sessions_packets_are_dropped_and_the_header_is_kept() {
    let (blob, packets) = clip();
    let (pipe, end) = channel();
    let mut live = Live::start(Pipe(end, Vec::new())).expect("a thread");
    pipe.send(blob.to_vec()).expect("a reader");
    assert!(live.wait(PATIENCE));
    live.begin();
    pipe.send(packets[0].clone()).expect("a reader");
    assert_eq!(next(&mut live), Ok(Some(Piece::Header(blob.clone()))));
    assert_eq!(next(&mut live), Ok(Some(Piece::Packet(packets[0].clone()))));
    live.pause();
    for packet in &packets[1..4] {
        pipe.send(packet.clone()).expect("a reader");
    }
    wait_for_dropped(&live, 3);
    assert_eq!(live.begin(), Some(blob));
    pipe.send(packets[4].clone()).expect("a reader");
    assert_eq!(next(&mut live), Ok(Some(Piece::Packet(packets[4].clone()))));
    drop(pipe);
    assert_eq!(next(&mut live), Ok(None));
    assert_eq!(live.dropped(), 3);
}

#[test]
fn a_full_queue_makes_the_encoder_wait() {
    let (blob, packets) = clip();
    let (pipe, end) = channel();
    let mut live = Live::start(Pipe(end, Vec::new())).expect("a thread");
    pipe.send(blob.to_vec()).expect("a reader");
    let count = 2 * QUEUE_BYTES_MAX / packets[0].len();
    for _ in 0..count {
        pipe.send(packets[0].clone()).expect("a reader");
    }
    drop(pipe);
    live.begin();
    let state = live.0.lock();
    let room = |s: &mut State| s.bytes < QUEUE_BYTES_MAX;
    let wait = live.0.changed.wait_timeout_while(state, PATIENCE, room);
    let (state, timed_out) = wait.expect("the reader");
    assert!(!timed_out.timed_out());
    assert!(
        state.bytes < QUEUE_BYTES_MAX + packets[0].len(),
        "no more than that"
    );
    drop(state);
    let mut given = 0;
    while next(&mut live).expect("packets").is_some() {
        given += 1;
    }
    assert_eq!((given, live.dropped()), (count + 1, 0), "nothing is lost");
}

#[test]
fn broken_input_is_told_after_what_came_before_it() {
    let mut live = Live::start(io::Cursor::new(b"no ASF at all")).expect("a thread");
    assert!(live.wait(PATIENCE));
    let fault = next(&mut live).expect_err("a fault");
    assert!(fault.starts_with("standard input: byte 0: "), "{fault}");
    assert!(live.is_over().is_err());
    let (blob, packets) = clip();
    let cut = [&blob[..], &packets[0], &packets[1][..7]].concat();
    let mut live = Live::start(io::Cursor::new(cut)).expect("a thread");
    for _ in 0..2 {
        assert!(matches!(next(&mut live), Ok(Some(_))));
    }
    assert_eq!(next(&mut live), Ok(None));
    assert_eq!(live.take_warnings().len(), 1);
}
