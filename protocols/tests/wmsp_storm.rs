//! Many requests on many connections in any order, with slow answers and flows that come to their
//! end at any moment. The harness checks the driver contract at each step; at the end nothing is left.

mod wmsp_support;

use proptest::prelude::*;
use protocols::machine::*;
use protocols::media::FlowEnd;
use std::time::Duration;
use wmsp_support::*;

#[derive(Clone, Debug)]
enum Step {
    Open,
    HangUp(usize),
    /// Connection, kind of request, session that it names.
    Request(usize, usize, usize),
    Answer,
    Flow(usize, bool),
    Lost(usize),
    Sleep(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Open),
        1 => (0usize..6).prop_map(Step::HangUp),
        12 => (0usize..6, 0usize..16, 0usize..5).prop_map(|(c, k, s)| Step::Request(c, k, s)),
        8 => Just(Step::Answer),
        6 => (0usize..6, any::<bool>()).prop_map(|(f, end)| Step::Flow(f, end)),
        1 => (0usize..6).prop_map(Step::Lost),
        2 => (0u64..20_000).prop_map(Step::Sleep),
    ]
}

fn request(kind: usize, id: Option<u32>) -> String {
    let ua = "User-Agent: NSPlayer/9.0.0.2980\r\nHost: h\r\n";
    let old = "User-Agent: NSPlayer/4.1.0.3856\r\nHost: h\r\n";
    let id = id.map_or(String::new(), |id| format!("Pragma: client-id={id}\r\n"));
    let post = |tokens: &str, more: &str| {
        format!(
            "POST /list HTTP/1.1\r\n{ua}{id}Pragma: {tokens}\r\n{more}Content-Length: 1\r\n\r\nx"
        )
    };
    let get = |path: &str, tokens: &str| {
        format!(
            "GET {path} HTTP/1.1\r\n{ua}{id}Pragma: {tokens}\r\n\
             Pragma: stream-switch-entry=ffff:1:0 ffff:2:0\r\n\r\n"
        )
    };
    match kind {
        0 => format!("GET /list HTTP/1.1\r\n{ua}{id}\r\n"),
        1 => get("/list", "xPlayStrm=1, version11-enabled=1"),
        2 => get("/pp", "xPlayStrm=1, version11-enabled=1"),
        3 => get("/pp", "xPlayStrm=1"),
        4 => get("/list", "xPlayNextEntry=1"),
        5 => get("/list", "version11-enabled=1"),
        6 => post("x", "Content-Type: application/x-wms-LogStats\r\n"),
        7 => post("x", "Content-Type: application/x-wms-sendevent\r\n"),
        8 => post("x", "Content-Type: application/x-wms-getcontentinfo\r\n"),
        9 => post("xStopStrm=1", ""),
        10 => post("xKeepAliveInPause=1", ""),
        11 => format!("OPTIONS * HTTP/1.1\r\n{ua}{id}\r\n"),
        12 => format!("GET /pp HTTP/1.1\r\n{ua}{id}Pragma: pipeline-request=1\r\n\r\n"),
        13 => "GET /live HTTP/1.1\r\nHost: h\r\n\r\nGET /pp HTTP/1.1\r\n\r\n".to_owned(),
        14 => format!(
            "GET /list HTTP/1.0\r\n{old}Pragma: xPlayStrm=1\r\nPragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        ),
        // Not predictive: the next entry is waited for.
        _ => format!(
            "GET /list HTTP/1.1\r\n{ua}{id}Supported: x\r\nPragma: xPlayStrm=1, version11-enabled=1, client-lag=2000, pl-offset=1\r\n\
             Pragma: stream-switch-entry=ffff:1:0\r\n\r\n"
        ),
    }
}

fn session_ids(b: &Bench) -> Vec<u32> {
    let mut ids: Vec<u32> = Vec::new();
    for write in b.writes.values().flatten() {
        let text = String::from_utf8_lossy(write);
        for (at, _) in text.match_indices("client-id=") {
            let digits: String = text[at + 10..]
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            ids.extend(digits.parse::<u32>().ok());
        }
    }
    ids.dedup();
    ids
}

fn run(steps: &[Step]) {
    let mut b = Bench::new();
    b.next.insert(1, entry(2));
    b.next.insert(2, entry(3));
    b.slow = true;
    let mut conns: Vec<ConnId> = (0..3).map(|_| b.open()).collect();
    for step in steps {
        conns.retain(|c| b.is_open(*c));
        let pick = |n: usize| (!conns.is_empty()).then(|| conns[n % conns.len()]);
        let mut live: Vec<_> = b
            .flows
            .iter()
            .filter(|(_, f)| matches!(f.state, FlowState::Running | FlowState::Holding))
            .map(|(id, f)| (*id, f.state))
            .collect();
        live.sort_by_key(|(id, _)| *id);
        match *step {
            Step::Open if conns.len() < 6 => conns.push(b.open()),
            Step::Open => {}
            Step::HangUp(n) => {
                if let Some(conn) = pick(n) {
                    b.hang_up(conn);
                }
            }
            Step::Request(n, kind, session) => {
                if let Some(conn) = pick(n) {
                    let ids = session_ids(&b);
                    let id = ids.len().checked_sub(session + 1).map(|n| ids[n]);
                    b.send(conn, request(kind, id));
                }
            }
            Step::Answer => {
                if !b.unanswered.is_empty() {
                    b.answer_one();
                }
            }
            Step::Flow(n, end) if !live.is_empty() => {
                let (flow, state) = live[n % live.len()];
                match (state, end) {
                    (FlowState::Holding, false) => b.held(flow),
                    (FlowState::Running, false) if b.flows[&flow].start.is_some() => {
                        b.media(flow, 3)
                    }
                    _ => b.end(flow),
                }
            }
            Step::Lost(n) if !live.is_empty() => {
                b.end_with(live[n % live.len()].0, FlowEnd::SourceLost);
            }
            Step::Flow(..) | Step::Lost(_) => {}
            Step::Sleep(ms) => b.sleep(Duration::from_millis(ms)),
        }
    }
    for conn in conns {
        // One that goes may take another along.
        if b.is_open(conn) {
            b.hang_up(conn);
        }
    }
    b.answer_all();
    b.sleep(Duration::from_secs(200));
    b.answer_all();
    assert_eq!(b.server.connection_count(), 0);
    assert_eq!(b.server.session_count(), 0);
    assert!(b.held.is_empty(), "contents left: {:?}", b.held.keys());
    assert_eq!(b.wake, None);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_left_behind(steps in proptest::collection::vec(step(), 1..150)) {
        run(&steps);
    }
}
