//! What a streaming session costs the machine, and what it costs to have many.

mod wmsp_support;

use bytes::Bytes;
use protocols::content::*;
use protocols::machine::*;
use protocols::media::*;
use protocols::wmsp::server::{Config, Server};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// Counts the bytes that are allocated.
struct Counting;

static ALLOCATED: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call goes to the system allocator with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: `at` came from `alloc` above, hence from the system allocator, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const SESSIONS: u64 = 10_000;
/// Most bytes of one streaming session in the machine, its connection and its tables included.
const BYTES_MAX: isize = 600;

/// Take what the machine wants, answering questions; gives the number of outputs.
fn drive(server: &mut Server, now: Time, next: &mut u64, content: &Content) -> usize {
    let mut count = 0;
    loop {
        let answer = match server.poll(now) {
            Output::Idle(_) => return count,
            Output::Ask { ticket, question } => {
                let answer = match *question {
                    Question::Open(_) => {
                        *next += 1;
                        let mut content = content.clone();
                        content.id = ContentId(*next);
                        Answer::Opened(Box::new(content))
                    }
                    _ => Answer::Cued(Box::new(Cue {
                        packet: 0,
                        send_time: 0,
                        accel: None,
                        speed_milli: None,
                        profile: None,
                    })),
                };
                Some((ticket, answer))
            }
            // The framer is the driver's to keep.
            Output::Flow {
                command: FlowCommand::Start(_),
                ..
            } => None,
            _ => None,
        };
        count += 1;
        if let Some((ticket, answer)) = answer {
            server.handle(now, Input::Answer { ticket, answer });
        }
    }
}

#[test]
fn a_streaming_session_is_small() {
    let mut content = wmsp_support::clip();
    content.header = Bytes::from(vec![0xAA; 5000]);
    content.file_size = None;
    let mut server = Server::new(Config::new(CoreId(0), 4, [9; 32]));
    let (now, mut next) = (Time(1), 0);
    let before = ALLOCATED.load(Ordering::Relaxed);
    let request = b"GET /pp HTTP/1.1\r\nUser-Agent: NSPlayer/12.0.0.1\r\nHost: h\r\n\
        Pragma: xPlayStrm=1, version11-enabled=1, AccelBW=3500000, AccelDuration=18000\r\n\
        Pragma: stream-switch-count=2\r\nPragma: stream-switch-entry=ffff:1:0 ffff:2:0\r\n\r\n";
    let peer = "192.0.2.7:4321".parse().unwrap();
    for n in 0..SESSIONS {
        let conn = ConnId(n);
        server.handle(
            now,
            Input::Opened {
                conn,
                peer,
                local: peer,
            },
        );
        server.handle(
            now,
            Input::Data {
                conn,
                bytes: request,
            },
        );
        drive(&mut server, now, &mut next, &content);
    }
    let each = (ALLOCATED.load(Ordering::Relaxed) - before) / SESSIONS as isize;
    assert_eq!(server.session_count() as u64, SESSIONS);
    assert!(each <= BYTES_MAX, "{each} bytes for each session");
    assert!(each > 100, "{each} bytes: nothing was counted");

    // A tick with nothing to do says so without looking at the sessions.
    server.handle(now, Input::Timeout);
    assert!(matches!(server.poll(now), Output::Idle(None)));

    // And all of it is given back.
    for n in 0..SESSIONS {
        server.handle(now, Input::Closed { conn: ConnId(n) });
        drive(&mut server, now, &mut next, &content);
    }
    server.handle(Time(100_000_000), Input::Timeout);
    assert!(drive(&mut server, Time(100_000_000), &mut next, &content) == 0);
    assert_eq!(server.session_count() + server.connection_count(), 0);
}
