//! Describe: what a content is, with a packet pair if asked (MS-WMSP 3.2.5.4).

use super::Server;

use super::answer::{Answering, ReplyBody};
use super::exchange::{Exchange, Kind};
use super::session::{Held, State};
use crate::asf::redirect_blob;
use crate::content::{Content, Protocol};
use crate::http::head::{Method, Version};
use crate::machine::Output;
use crate::machine::{ConnId, Time};
use crate::rate::packet_pair;
use crate::wmsp::cdl;
use crate::wmsp::features;
use crate::wmsp::packet::{self, PacketId};
use crate::wmsp::pragma::ReplyPragma;
use crate::wmsp::version::Client;

/// Content type of a description (WMSP-67).
pub(super) const HEADER_TYPE: &str = "application/vnd.ms.wms-hdr.asfv1";
/// The User-Agent of VLC's MMSH module.
const VLC: &str = "NSPlayer/7.10.0.3059";
/// Longest target of a redirection by script command, bytes.
const SCRIPT_URL_MAX: usize = 256;

impl Server {
    pub(super) fn describe(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        match ex.session.and_then(|id| self.sessions.get(&id)) {
            // WMSP-48
            Some(s) if matches!(s.state, State::Streaming | State::Waiting) => {
                return self.refuse(now, conn, &ex, 400, "Describe of a session that plays");
            }
            Some(_) => {}
            None => {
                ex.session = None;
                if let Some((status, why)) = self.no_room() {
                    return self.refuse(now, conn, &ex, status, why);
                }
            }
        }
        if let Some(id) = ex.session {
            self.release_content(id);
        }
        self.open(now, conn, ex, Protocol::Wmsp, true);
    }

    pub(super) fn described(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        if is_too_large(&ex) {
            return self.give_up(now, conn, ex, 500, "packets too large for WMSP");
        }
        // A Play may have come while the answer was awaited.
        let state = ex
            .session
            .and_then(|id| self.sessions.get(&id))
            .map(|s| s.state);
        if matches!(state, Some(State::Streaming | State::Waiting)) {
            return self.give_up(now, conn, ex, 400, "Describe of a session that plays");
        }
        let (Some(content), Some(client)) = (ex.content.take(), ex.client) else {
            return;
        };
        let alive = ex.session.filter(|id| self.sessions.contains_key(id));
        let id = match alive {
            Some(id) => id,
            None => self.new_session(client, ex.supported.unwrap_or_default()),
        };
        let bound = self.sessions.get(&id).is_some_and(|s| s.conn.is_some());
        if !bound {
            self.bind(now, id, conn);
        }
        let close = ex.wants_close();
        let pair = ex.pragma.packet_pair;
        let media = media_head(&content, client, 0, false);
        let length = media.len() + if pair { packet_pair::TOTAL } else { 0 };
        let head = self.compose(
            &ex,
            200,
            &Answering {
                session: Some(id),
                pragma: ReplyPragma {
                    features: Some(features::features(&content, client)),
                    reset: ex.unknown_session,
                    // WMSP-52, BW-02
                    packet_pair: pair,
                    pipeline_experiment: ex.pragma.pipeline_experiment && can_pipeline(&ex),
                    playlist_gen_id: client.is_9().then_some(content.entry),
                    ..ReplyPragma::default()
                },
                about: Some(&content),
                content_type: Some(HEADER_TYPE),
                // WMSP-30: never chunked. BW-07: the length counts the packet pair.
                body: ReplyBody::Length(length),
                close,
                ..Answering::default()
            },
        );
        // A client of old that closes now comes back without its client-id: what was opened for it
        // would wait in vain.
        if close && !client.is_9() {
            self.out.push_back(Output::Release {
                content: content.id,
            });
        } else {
            let target = ex.target().into();
            self.keep(id, Held::Whole { target, content });
        }
        self.send_description(conn, head, &media, pair);
        self.arm_idle(now, id);
        self.close_if(now, conn, close);
    }

    /// WMSP-53, WMSP-54, BW-03, BW-06: the head and the first `$P` are one write, the second `$P` is
    /// another, and the rest a third.
    fn send_description(&mut self, conn: ConnId, head: Vec<u8>, media: &[u8], pair: bool) {
        let mut first = head;
        if !pair {
            first.extend_from_slice(media);
            return self.send(conn, first);
        }
        let [pair, second, mut third] = packet_pair::packets(first.len(), &mut self.rng);
        first.extend_from_slice(&pair);
        third.extend_from_slice(media);
        self.send(conn, first);
        self.send(conn, second);
        self.send(conn, third);
    }

    /// GetContentInfo and SendEvent: the URL is good (WMSP-31, WMSP-125).
    pub(super) fn informed(&mut self, now: Time, conn: ConnId, mut ex: Box<Exchange>) {
        let Some(content) = ex.content.take() else {
            return;
        };
        self.out.push_back(Output::Release {
            content: content.id,
        });
        if ex.kind == Kind::SendEvent {
            self.report_log(conn, &ex);
            return self.acknowledge(now, conn, &ex, 200, None);
        }
        self.acknowledge(now, conn, &ex, 200, Some(&content));
    }

    /// The content is elsewhere (WMSP-50).
    pub(super) fn redirect(&mut self, now: Time, conn: ConnId, ex: &Exchange, url: &str) {
        let scripted =
            ex.kind == Kind::Describe && ex.client.is_some_and(|c| !c.follows_redirect());
        if scripted {
            return self.script_redirect(now, conn, ex, url);
        }
        // VLC opens a target with http:// as a plain file, not as a stream.
        let location = match url.strip_prefix("http://") {
            Some(rest) if ex.user_agent() == VLC => format!("mmsh://{rest}"),
            _ => url.to_owned(),
        };
        let reply = self.compose(
            ex,
            302,
            &Answering {
                location: Some(&location),
                close: true,
                ..Answering::default()
            },
        );
        self.leave(now, conn, ex, reply);
    }

    /// WMSP-51: players before 7.0 follow a script command in a header made for the purpose.
    fn script_redirect(&mut self, now: Time, conn: ConnId, ex: &Exchange, url: &str) {
        if url.len() > SCRIPT_URL_MAX {
            return self.refuse(
                now,
                conn,
                ex,
                500,
                "target of a redirection too long for this client",
            );
        }
        let mut media = Vec::new();
        put_object(PacketId::Header, 0, &redirect_blob(url), false, &mut media);
        let mut reply = self.compose(
            ex,
            200,
            &Answering {
                content_type: Some(HEADER_TYPE),
                body: ReplyBody::Length(media.len()),
                close: true,
                ..Answering::default()
            },
        );
        reply.extend_from_slice(&media);
        self.leave(now, conn, ex, reply);
    }

    /// Reply for the last time: the session goes, the connection closes.
    fn leave(&mut self, now: Time, conn: ConnId, ex: &Exchange, reply: Vec<u8>) {
        if let Some(id) = ex.session {
            self.delete_session(now, id);
        }
        self.respond(now, conn, reply, true);
    }

    /// Not media but a small document, for any client.
    pub(super) fn document(
        &mut self,
        now: Time,
        conn: ConnId,
        ex: &Exchange,
        media_type: &str,
        body: &[u8],
    ) {
        let close = ex.wants_close();
        let silent = ex.request.head.method == Method::Head
            || matches!(ex.kind, Kind::GetContentInfo | Kind::SendEvent);
        let length = if matches!(ex.kind, Kind::GetContentInfo | Kind::SendEvent) {
            0
        } else {
            body.len()
        };
        let mut reply = self.compose(
            ex,
            200,
            &Answering {
                session: ex.session,
                content_type: (length > 0).then_some(media_type),
                body: ReplyBody::Length(length),
                close,
                ..Answering::default()
            },
        );
        if !silent {
            reply.extend_from_slice(body);
        }
        if ex.kind == Kind::SendEvent {
            self.report_log(conn, ex);
        }
        if let Some(id) = ex.session {
            self.arm_idle(now, id);
        }
        self.respond(now, conn, reply, close);
    }
}

/// True if the packets of what was opened do not fit WMSP's framing.
pub(super) fn is_too_large(ex: &Exchange) -> bool {
    ex.content
        .as_ref()
        .is_some_and(|c| c.packet_size as usize > packet::PAYLOAD_MAX)
}

/// True if this client's path can pipeline: HTTP/1.1 at every hop that we know of, and a connection
/// that stays.
fn can_pipeline(ex: &Exchange) -> bool {
    ex.version() == Version::Http11
        && !ex.wants_close()
        && !ex
            .request
            .head
            .list("Via")
            .any(|hop| hop.starts_with("1.0") || hop.starts_with("HTTP/1.0"))
}

/// `$M` for those who know it, and `$H` right behind it (WMSP-19, WMSP-55).
pub(super) fn media_head(
    content: &Content,
    client: Client,
    incarnation: u8,
    chunked: bool,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.header.len() + 256);
    if client.is_9() {
        let features = features::features(content, client);
        let object = cdl::metadata(
            content.entry,
            content.broadcast_id,
            &features,
            &content.description,
        );
        put_object(PacketId::Metadata, incarnation, &object, chunked, &mut out);
    }
    put_object(
        PacketId::Header,
        incarnation,
        &content.header,
        chunked,
        &mut out,
    );
    out
}

/// All packets of an object, each its own chunk.
fn put_object(id: PacketId, incarnation: u8, object: &[u8], chunked: bool, out: &mut Vec<u8>) {
    for (head, part) in packet::pieces(id, incarnation, object) {
        if chunked {
            let mut whole = head.to_vec();
            whole.extend_from_slice(part);
            Server::put_media(true, &whole, out);
        } else {
            out.extend_from_slice(&head);
            out.extend_from_slice(part);
        }
    }
}
