//! Clients that speak HTTP but not WMSP: files are downloaded, live content is listened to (WMSP-37).

use super::conn::{Job, Stage};
use super::exchange::Exchange;
use super::{Owner, Server};
use crate::content::{Content, Cue, CueRequest, Protocol, Question, Selection, Start, StreamKind};
use crate::http::head::{Method, Version};
use crate::http::range::{self, Range};
use crate::http::reply::{self, ReplyHead};
use crate::machine::{CloseHow, ConnId, Output, Time};
use crate::media::{FlowCommand, FlowEnd, FlowId, FlowStart, Pace};
use crate::wmsp::cache_control;
use crate::wmsp::framer::PlainFramer;

impl Server {
    pub(super) fn download(&mut self, now: Time, conn: ConnId, ex: Box<Exchange>) {
        if self.draining {
            return self.refuse(now, conn, &ex, 503, "the server is being drained");
        }
        let play = ex.request.head.method == Method::Get;
        self.open(now, conn, ex, Protocol::Http, play);
    }

    pub(super) fn opened_to_download(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let is_get = ex.request.head.method == Method::Get;
        let size = match &ex.content {
            Some(content) if !content.broadcast => content.file_size,
            Some(_) => None,
            None => return,
        };
        match (size, is_get) {
            (Some(size), _) => self.send_file(now, conn, ex, size),
            (None, false) => {
                let content = ex.content.take();
                let head = content.map(|c| {
                    self.out.push_back(Output::Release { content: c.id });
                    let mut head = self.plain_head(&ex, 200);
                    head.header("Content-Type", media_type(&ex.request.head.path, &c));
                    head
                });
                if let Some(head) = head {
                    self.end_plain(now, conn, &ex, head);
                }
            }
            (None, true) => {
                let Some(content) = &ex.content else { return };
                let selection = Selection::ALL.within(&content.streams);
                let cue = CueRequest {
                    content: content.id,
                    start: Start::Beginning,
                    selection,
                    accel: None,
                    speed_milli: None,
                    profile: false,
                    rate_milli: 1000,
                };
                ex.selection = selection;
                self.ask_for(conn, ex, Stage::Cue, Question::Cue(cue));
            }
        }
    }

    fn plain_head(&self, ex: &Exchange, status: u16) -> ReplyHead {
        let mut head = ReplyHead::new(ex.version(), status);
        head.header("Server", &self.config.server);
        head
    }

    /// A reply without body, or to HEAD.
    fn end_plain(&mut self, now: Time, conn: ConnId, ex: &Exchange, mut head: ReplyHead) {
        let close = ex.wants_close();
        ex.put_connection(&mut head, close);
        self.respond(now, conn, head.finish(), close);
    }

    fn send_file(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>, size: u64) {
        let Some(content) = ex.content.take() else {
            return;
        };
        let request = &ex.request.head;
        let caching = &content.caching;
        let is_get = request.method == Method::Get;
        let not_modified = range::not_modified(request, caching);
        let range = match is_get {
            true => Range::of(request, size, caching),
            false => Range::Whole,
        };
        let (status, offset, len) = match range {
            _ if not_modified => (304, 0, 0),
            Range::Whole => (200, 0, size),
            Range::Part { first, last } => (206, first, last - first + 1),
            Range::Unsatisfiable => (416, 0, 0),
        };
        let mut head = self.plain_head(&ex, status);
        if let Some(date) = &caching.last_modified {
            head.header("Last-Modified", date);
        }
        if let Some(etag) = &caching.etag {
            head.header("Etag", format_args!("\"{etag}\""));
        }
        match caching.allowed {
            true => head.header("Cache-Control", format_args!("max-age={}", caching.max_age)),
            false => head.header("Cache-Control", cache_control::NO_CACHE),
        };
        match status {
            206 => {
                let last = offset + len - 1;
                head.header(
                    "Content-Range",
                    format_args!("bytes {offset}-{last}/{size}"),
                );
            }
            416 => {
                head.header("Content-Range", format_args!("bytes */{size}"));
            }
            _ => {
                head.header("Accept-Ranges", "bytes");
            }
        }
        if status != 304 {
            head.header("Content-Type", media_type(&request.path, &content));
            head.header("Content-Length", len);
        }
        if !is_get || len == 0 {
            self.out.push_back(Output::Release {
                content: content.id,
            });
            return self.end_plain(now, conn, &ex, head);
        }
        let close = ex.wants_close();
        ex.put_connection(&mut head, close);
        self.send(conn, head.finish());
        let flow = FlowId(self.count());
        self.out.push_back(Output::Flow {
            flow,
            command: FlowCommand::StartFile {
                conn,
                content: content.id,
                offset,
                len,
            },
        });
        self.downloading(conn, flow, &content, false, close);
    }

    /// Live content, or one whose file cannot be had: its header, then whole packets in real time.
    pub(super) fn listen(&mut self, _now: Time, conn: ConnId, mut ex: Box<Exchange>, cue: &Cue) {
        let Some(content) = ex.content.take() else {
            return;
        };
        let chunked = ex.version() == Version::Http11;
        let close = !chunked || ex.wants_close();
        let mut head = self.plain_head(&ex, 200);
        head.header("Cache-Control", cache_control::NO_CACHE);
        head.header("Content-Type", media_type(&ex.request.head.path, &content));
        if chunked {
            head.header("Transfer-Encoding", "chunked");
        }
        ex.put_connection(&mut head, close);
        let mut bytes = head.finish();
        if !content.header.is_empty() {
            Server::put_media(chunked, &content.header, &mut bytes);
        }
        self.send(conn, bytes);
        let flow = FlowId(self.count());
        let start = FlowStart {
            conn,
            datagrams: None,
            content: content.id,
            packet: cue.packet,
            send_time: cue.send_time,
            selection: ex.selection,
            resumes: false,
            pace: Pace::Media {
                accel: cue.accel,
                speed_milli: cue.speed_milli.unwrap_or(1000),
            },
            rate_milli: 1000,
            max_duration: None,
            whole: false,
            framer: Box::new(PlainFramer { chunked }),
        };
        self.out.push_back(Output::Flow {
            flow,
            command: FlowCommand::Start(Box::new(start)),
        });
        self.downloading(conn, flow, &content, chunked, close);
    }

    fn downloading(
        &mut self,
        conn: ConnId,
        flow: FlowId,
        content: &Content,
        chunked: bool,
        close: bool,
    ) {
        self.flows.insert(flow, Owner::Conn(conn));
        if let Some(c) = self.conns.get_mut(&conn) {
            c.flow = Some(flow);
            c.job = Some(Job::Download {
                flow,
                content: content.id,
                chunked,
                close,
            });
        }
    }

    /// The flow of a download has ended.
    pub(super) fn downloaded(&mut self, now: Time, conn: ConnId, end: FlowEnd) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(Job::Download {
            flow,
            content,
            chunked,
            close,
        }) = c.job.take()
        else {
            return;
        };
        self.flows.remove(&flow);
        self.out.push_back(Output::Flow {
            flow,
            command: FlowCommand::Drop,
        });
        self.out.push_back(Output::Release { content });
        // Without its end a body that broke off is known as such.
        if end == FlowEnd::SourceLost {
            return self.close(now, conn, CloseHow::Flush, None);
        }
        if chunked {
            self.send(conn, reply::LAST_CHUNK.to_vec());
        }
        self.close_if(now, conn, close);
        self.pump(now, conn);
    }
}

/// Media type of a content: by the name that was asked for, else by what is in it.
fn media_type(path: &str, content: &Content) -> &'static str {
    let extension = path.rsplit_once('.').map_or("", |(_, e)| e);
    let has_video = content.streams.iter().any(|s| s.kind == StreamKind::Video);
    let has_audio = content.streams.iter().any(|s| s.kind == StreamKind::Audio);
    match &*extension.to_ascii_lowercase() {
        "wmv" => "video/x-ms-wmv",
        "wma" => "audio/x-ms-wma",
        _ if has_audio && !has_video => "audio/x-ms-wma",
        _ => "video/x-ms-asf",
    }
}
