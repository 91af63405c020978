//! Requests of a player of Windows Media 9, and sessions in each state.

use super::*;
use protocols::media::FlowId;

pub const UA: &str = "User-Agent: NSPlayer/9.0.0.2980\r\nHost: h\r\n";

pub fn get(path: &str, pragma: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{UA}Pragma: no-cache, {pragma}\r\n\r\n")
}

pub fn post(path: &str, pragma: &str, headers: &str, body: &str) -> String {
    let n = body.len();
    format!(
        "POST {path} HTTP/1.1\r\n{UA}Pragma: no-cache, {pragma}\r\n{headers}Content-Length: {n}\r\n\r\n{body}"
    )
}

pub fn play(path: &str, pragma: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\n{UA}Pragma: no-cache, xPlayStrm=1, {pragma}\r\n\
         Pragma: stream-switch-count=2\r\nPragma: stream-switch-entry=ffff:1:0 ffff:2:0\r\n\r\n"
    )
}

pub fn describe(b: &mut Bench, path: &str) -> (ConnId, u32) {
    let (conn, r) = b.ask(get(path, "x=1"));
    assert_eq!(r.status(), 200);
    (conn, r.client_id())
}

/// A session that streams in chunks on a connection of its own.
pub fn streaming(b: &mut Bench, path: &str) -> (ConnId, u32, FlowId) {
    let (conn, id) = describe(b, path);
    b.send(
        conn,
        play(path, &format!("client-id={id}, version11-enabled=1")),
    );
    let r = b.reply(conn);
    assert_eq!(r.status(), 200);
    let flow = b.flow(conn);
    (conn, id, flow)
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    Init,
    Idle,
    Streaming,
    Waiting,
}

/// A session in this state, and its data connection.
pub fn session_at(at: At) -> (Bench, ConnId, u32) {
    let mut b = Bench::new();
    if at == At::Waiting {
        // Without prediction the client selects streams at each entry.
        b.next.insert(1, entry(2));
        let (conn, r) = b.ask(format!(
            "GET /list HTTP/1.1\r\n{UA}Supported: com.microsoft.wm.sswitch\r\n\r\n"
        ));
        let id = r.client_id();
        b.send(
            conn,
            play("/list", &format!("client-id={id}, version11-enabled=1")),
        );
        let flow = b.flow(conn);
        b.end(flow);
        b.take(conn);
        return (b, conn, id);
    }
    let (conn, id) = match at {
        At::Init => describe(&mut b, "/pp"),
        _ => {
            let (conn, id, flow) = streaming(&mut b, "/pp");
            if at == At::Idle {
                b.end(flow);
                b.take(conn);
            }
            (conn, id)
        }
    };
    (b, conn, id)
}

pub const ALL: [At; 4] = [At::Init, At::Idle, At::Streaming, At::Waiting];

/// Status of a request on a connection of its own.
pub fn side(b: &mut Bench, request: String) -> u16 {
    b.ask(request).1.status()
}
