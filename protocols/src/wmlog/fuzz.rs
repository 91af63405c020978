//! Bodies for fuzzing: plain functions over bytes that assert what must always hold. The tests
//! replay a kept corpus through them; a fuzzer can call them as they are.

use super::file::{ServerFacts, write_json, write_w3c};
use super::{field::Field, parse, text};
use crate::machine::ClientLog;
use std::net::{IpAddr, Ipv4Addr};

/// A submitted log in every form: whatever it holds, our own file gets one line of its columns, with
/// nothing in it that could pass for another line or column (WMLOG-26).
pub fn log(bytes: &[u8]) {
    let words = text(bytes).into_owned();
    for log in [
        ClientLog::W3c(words.clone()),
        ClientLog::Xml(words.clone()),
        ClientLog::RemoteEvent(bytes.to_vec()),
        ClientLog::Mmsp(bytes.to_vec()),
    ] {
        let Ok(entry) = parse(&log) else { continue };
        let facts = facts();
        let mut line = String::new();
        write_w3c(Some(&entry), &facts, &mut line);
        let body = line.strip_suffix("\r\n").expect("a line ends with CRLF");
        assert_eq!(body.split(' ').count(), Field::ALL.len(), "{line:?}");
        assert!(!body.chars().any(char::is_control), "{line:?}");
        let mut json = String::new();
        write_json(Some(&entry), &facts, &mut json);
        assert!(!json.trim_end().chars().any(char::is_control), "{json:?}");
    }
}

fn facts() -> ServerFacts<'static> {
    ServerFacts {
        unix_seconds: 0,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        local: IpAddr::V4(Ipv4Addr::LOCALHOST),
        host: None,
        url: "http://h/a.wmv",
        user_agent: "NSPlayer/12.0",
        protocol: "http",
        transport: "TCP",
        status: 200,
        sent_ms: 1,
        sent_bytes: 2,
        sent_packets: 3,
        clients: 4,
        cpu: 5,
        user: None,
        session: 6,
        content_path: "a.wmv",
        granted_bps: None,
    }
}
