//! The web-side log sink: viewers of a multicast post their logs to a URL, which may be one of this
//! server's (wmlog.md 9, msb-nsc.md 8, MS-WMLOG 2.3).

use super::Server;
use super::answer::{Answering, ReplyBody};
use super::exchange::Exchange;
use crate::http::head::{Head, Method};
use crate::machine::{ClientLog, ConnId, Output, Report, Time};
use crate::wmlog::{self, web};

/// The version in the page by which clients recognise a sink.
const VERSION: [u16; 4] = [9, 1, 1, 3841];

impl Server {
    /// True for requests to the sink's URL, whoever sends them. Its path is compared without regard to
    /// case, as web servers on Windows did.
    pub(super) fn is_for_sink(&self, head: &Head) -> bool {
        let sink = self.config.log_sink.as_ref();
        sink.is_some_and(|sink| head.path.eq_ignore_ascii_case(sink))
    }

    pub(super) fn sink(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        match ex.request.head.method {
            // WMLOG-38
            Method::Get | Method::Head => {
                let page = web::page(VERSION);
                self.document(now, conn, ex, "text/html", page.as_bytes());
            }
            Method::Post => self.take_web_log(now, conn, ex),
            _ => self.refuse(now, conn, ex, 405, "a log sink takes GET and POST"),
        }
    }

    /// Every post closes its connection, so that the bound on an address's new connections is one on its
    /// logs.
    // WMLOG-39, WMLOG-26
    fn take_web_log(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        let Some(peer) = self.conns.get(&conn).map(|c| c.peer) else {
            return;
        };
        let line = match posted_line(&ex.request.body) {
            Ok(line) => line,
            Err((status, why)) => return self.refuse_and_close(now, conn, ex, status, why),
        };
        self.out
            .push_back(Output::Report(Box::new(Report::ClientLog {
                session: 0,
                flow: None,
                peer,
                target: ex.target(),
                user_agent: ex.user_agent().to_owned(),
                log: ClientLog::W3c(line),
            })));
        let bytes = self.compose(
            ex,
            200,
            &Answering {
                body: ReplyBody::Length(0),
                close: true,
                ..Answering::default()
            },
        );
        self.respond(now, conn, bytes, true);
    }
}

/// The log line in a body, on one line; what cannot be one is told from what is merely odd.
fn posted_line(body: &[u8]) -> Result<String, (u16, &'static str)> {
    if body.len() > web::BODY_BYTES_MAX {
        return Err((413, "a log of this size"));
    }
    let text = wmlog::text(body);
    let line = web::line(&text).ok_or((400, "not a log: no MX_STATS_LogLine"))?;
    if line.len() > wmlog::W3C_BYTES_MAX {
        return Err((413, "a log line of this size"));
    }
    // The second of two would pass for a user agent with spaces.
    if line.contains(wmlog::w3c::WEB_PREFIX) || wmlog::w3c::parse(line).defects.invalid {
        return Err((400, "not a log of 44 or 47 values"));
    }
    // A client may wrap its line; values hold no white space.
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    Ok(words.join(" "))
}
