//! The machine's outputs do not depend on how its input was split, and no input breaks it.

mod wmsp_support;

use proptest::prelude::*;
use protocols::machine::*;
use std::time::Duration;
use wmsp_support::*;

/// What the outside sees of a run in which these bytes arrive on one connection, in these pieces.
#[derive(Debug, PartialEq)]
struct Seen {
    writes: Vec<Vec<u8>>,
    flows: Vec<Vec<String>>,
    reports: String,
    closed: Option<(CloseHow, Option<Fault>)>,
    moved: Option<(CoreId, Vec<u8>)>,
    held: usize,
}

fn run(bytes: &[u8], cuts: &[usize]) -> Seen {
    let mut b = Bench::with(config(0, 2));
    b.next.insert(1, entry(2));
    let conn = b.open();
    let mut pieces = Vec::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        if cut > from && cut <= bytes.len() {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
    }
    for piece in pieces {
        if b.is_open(conn) {
            b.send(conn, piece);
        } else if let Some((_, unread)) = b.moved.get_mut(&conn) {
            // What comes later goes to the other core as well.
            unread.extend_from_slice(piece);
        }
    }
    // What waits for a flow goes on; what flows comes to its end.
    for _ in 0..4 {
        let waiting: Vec<_> = b.flows.iter().map(|(id, f)| (*id, f.state)).collect();
        for (id, state) in waiting {
            match state {
                FlowState::Holding => b.held(id),
                FlowState::Running => b.end(id),
                _ => {}
            }
        }
    }
    let seen = Seen {
        writes: b.writes[&conn].clone(),
        flows: b.flows.values().map(|f| f.commands.clone()).collect(),
        reports: format!("{:?}", b.reports),
        closed: b.closed.get(&conn).cloned(),
        moved: b
            .moved
            .get(&conn)
            .map(|(core, unread)| (*core, unread.clone())),
        held: b.held.len(),
    };
    // Whatever came, everything goes away in time.
    if b.is_open(conn) {
        b.hang_up(conn);
    }
    b.sleep(Duration::from_secs(200));
    assert_eq!(b.server.connection_count(), 0);
    assert_eq!(b.server.session_count(), 0);
    assert!(b.held.is_empty(), "contents left: {:?}", b.held.keys());
    assert_eq!(b.wake, None);
    seen
}

/// The body of the fuzz target: any bytes on one connection.
fn fuzz(bytes: &[u8]) {
    let whole = run(bytes, &[]);
    let mid = run(bytes, &[bytes.len() / 3, bytes.len() / 2]);
    assert_eq!(whole.reports, mid.reports);
}

const UA: &str = "User-Agent: NSPlayer/9.0.0.2980\r\nHost: h\r\n";

fn streams() -> Vec<Vec<u8>> {
    let play = format!(
        "GET /pp HTTP/1.1\r\n{UA}Pragma: xPlayStrm=1, version11-enabled=1\r\n\
         Pragma: stream-switch-entry=ffff:1:0 ffff:2:2\r\n\r\n"
    );
    let list = play.replace("/pp", "/list");
    let options = format!("OPTIONS * HTTP/1.1\r\n{UA}\r\n");
    let event = format!(
        "POST /pp HTTP/1.1\r\n{UA}Content-Type: application/x-wms-sendevent\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\n1\r\n1,\r\n6\r\n28,0\r\n\r\n0\r\n\r\n"
    );
    let describe = format!("GET /pp HTTP/1.1\r\n{UA}Pragma: packet-pair-experiment=1\r\n\r\n");
    let other_core = format!(
        "GET /pp HTTP/1.1\r\n{UA}Pragma: client-id={}\r\n\r\n",
        1u32 << 31
    );
    vec![
        [&*describe, &*options, &*play, &*options, &*event]
            .concat()
            .into_bytes(),
        [&*event, &*list, &*options].concat().into_bytes(),
        [&*options, &*other_core, &*options].concat().into_bytes(),
        [&*play, "GARBAGE\r\n\r\n"].concat().into_bytes(),
        b"GET /pp HTTP/1.1\r\n\r\nHEAD /pp HTTP/1.1\r\n\r\nGET /live HTTP/1.0\r\n\r\n".to_vec(),
        b"GET /pp.asx HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n".to_vec(),
    ]
}

#[test]
fn every_split_gives_the_same() {
    for bytes in streams() {
        let whole = run(&bytes, &[]);
        let single: Vec<usize> = (1..bytes.len()).collect();
        assert_eq!(run(&bytes, &single), whole);
        for cut in 1..bytes.len() {
            assert_eq!(run(&bytes, &[cut]), whole, "cut at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_splits_give_the_same(n in 0usize..6, cuts in proptest::collection::btree_set(1usize..900, 0..12)) {
        let bytes = &streams()[n];
        let cuts: Vec<usize> = cuts.into_iter().collect();
        prop_assert_eq!(run(bytes, &cuts), run(bytes, &[]));
    }

    #[test]
    fn damaged_streams(n in 0usize..6, at in 0usize..900, with: u8, len in 0usize..900) {
        let mut bytes = streams()[n].clone();
        let at = at % bytes.len();
        bytes[at] = with;
        bytes.truncate(len.max(1));
        fuzz(&bytes);
    }

    #[test]
    fn any_tokens(line in "[ -~]{0,120}", post: bool) {
        let method = if post { "POST" } else { "GET" };
        fuzz(format!("{method} /list HTTP/1.1\r\n{UA}Pragma: xPlayStrm=1,{line}\r\n\r\n").as_bytes());
    }
}

#[test]
fn the_corpus() {
    let mut files = 0;
    for entry in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/http")).unwrap()
    {
        fuzz(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 10, "{files} files");
}
