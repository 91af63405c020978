//! Log records on their way to the station's Log URL (MS-MSB 3.2.5.4; msb-nsc.md 8; wmlog.md 9).
//!
//! The resource is looked at first, and given records only if it says that it is one for logs. Each
//! request has a connection of its own.

use crate::client::url;
use crate::http::replies::{Reader, Step};
use crate::machine::{CloseHow, ConnId, Output};
use crate::wmlog::web;
use bytes::Bytes;
use std::collections::VecDeque;

/// Records that wait, at most; the oldest goes.
const RECORD_COUNT_MAX: usize = 8;

/// Most of a reply's body that is kept.
const PAGE_BYTES_MAX: usize = 64 * 1024;

/// The way to a log resource.
#[derive(Debug)]
pub(super) struct LogPost {
    host: String,
    port: u16,
    authority: String,
    target: String,
    user_agent: String,
    /// The resource is one for logs, or is none.
    is_valid: Option<bool>,
    records: VecDeque<String>,
    exchange: Option<Exchange>,
    next_conn: u64,
}

#[derive(Debug)]
struct Exchange {
    conn: ConnId,
    /// The record that is posted; `None`: the page is asked for.
    record: Option<String>,
    reader: Reader,
    status: u16,
    page: Vec<u8>,
}

/// What an exchange came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing yet, or nothing to be told.
    Nothing,
    /// A record was accepted.
    Sent,
}

impl LogPost {
    /// To a URL; `None` if that is not `http://`.
    pub fn new(log_url: &str, user_agent: &str) -> Option<LogPost> {
        let (scheme, authority, local) = url::split(log_url)?;
        if !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let (host, port) = url::host_and_port(authority, 80).ok()?;
        Some(LogPost {
            authority: url::authority(&host, port, 80),
            host,
            port,
            target: url::target(local),
            user_agent: user_agent.chars().filter(|c| !c.is_control()).collect(),
            is_valid: None,
            records: VecDeque::new(),
            exchange: None,
            next_conn: 1,
        })
    }

    /// Submit a record as soon as that may be.
    pub fn push(&mut self, record: String, out: &mut VecDeque<Output>) {
        if self.is_valid == Some(false) {
            return;
        }
        if self.records.len() >= RECORD_COUNT_MAX {
            self.records.pop_front();
        }
        self.records.push_back(record);
        self.go_on(out);
    }

    /// Nothing waits and nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.exchange.is_none() && self.records.is_empty()
    }

    /// A connection was opened.
    pub fn opened(&mut self, conn: ConnId, out: &mut VecDeque<Output>) {
        let Some(exchange) = self.exchange.as_ref().filter(|e| e.conn == conn) else {
            return;
        };
        let body = exchange.record.as_deref().map(web::body);
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = body.unwrap_or_default();
        let mut head = format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nAccept: */*\r\n",
            self.target, self.authority, self.user_agent
        );
        if exchange.record.is_some() {
            let length = body.len();
            head.push_str("Content-Type: text/plain;charset=UTF-8\r\n");
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head.push_str("Connection: close\r\n\r\n");
        let bytes = Bytes::from(head + &body);
        out.push_back(Output::Send { conn, bytes });
    }

    /// Bytes came.
    pub fn data(&mut self, conn: ConnId, bytes: &[u8], out: &mut VecDeque<Output>) -> Came {
        let Some(exchange) = self.exchange.as_mut().filter(|e| e.conn == conn) else {
            return Came::Nothing;
        };
        exchange.reader.push(bytes);
        loop {
            match exchange.reader.next(&mut exchange.page) {
                Ok(Step::Wait) => return Came::Nothing,
                Ok(Step::Head(head)) => exchange.status = head.status,
                Ok(Step::Body(_)) if exchange.page.len() > PAGE_BYTES_MAX => break,
                Ok(Step::Body(_)) => {}
                // A reply that says only that another one comes.
                Ok(Step::End) if exchange.status < 200 => {}
                Ok(Step::End) => break,
                Err(_) => {
                    exchange.status = 0;
                    break;
                }
            }
        }
        let conn = exchange.conn;
        out.push_back(Output::Close {
            conn,
            how: CloseHow::Flush,
            fault: None,
        });
        self.done(out)
    }

    /// A connection was closed, or could not be opened.
    pub fn closed(&mut self, conn: ConnId, out: &mut VecDeque<Output>) -> Came {
        let Some(exchange) = self.exchange.as_mut().filter(|e| e.conn == conn) else {
            return Came::Nothing;
        };
        if !exchange.reader.ends_by_close() {
            exchange.status = 0;
        }
        self.done(out)
    }

    /// It takes too long.
    pub fn give_up(&mut self, out: &mut VecDeque<Output>) {
        if let Some(exchange) = self.exchange.take() {
            out.push_back(Output::Close {
                conn: exchange.conn,
                how: CloseHow::Abort,
                fault: None,
            });
        }
        self.records.clear();
    }

    fn done(&mut self, out: &mut VecDeque<Output>) -> Came {
        let Some(exchange) = self.exchange.take() else {
            return Came::Nothing;
        };
        let mut came = Came::Nothing;
        if exchange.record.is_some() {
            if (200..300).contains(&exchange.status) {
                came = Came::Sent;
            }
        } else {
            // WMLOG-40
            let page = crate::wmlog::text(&exchange.page);
            let valid = exchange.status == 200 && web::is_log_resource(&page);
            self.is_valid = Some(valid);
            if !valid {
                self.records.clear();
            }
        }
        self.go_on(out);
        came
    }

    fn go_on(&mut self, out: &mut VecDeque<Output>) {
        if self.exchange.is_some() || self.records.is_empty() {
            return;
        }
        let record = match self.is_valid {
            Some(true) => self.records.pop_front(),
            _ => None,
        };
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.exchange = Some(Exchange {
            conn,
            record,
            reader: Reader::default(),
            status: 0,
            page: Vec::new(),
        });
        out.push_back(Output::Connect {
            conn,
            host: self.host.clone(),
            port: self.port,
        });
    }
}
