//! What comes in the body of a PushStart (MS-WMHTTP 2.2.2.2, 3.2.5.3 to 3.2.5.7).

use super::Server;
use super::answer::Saying;
use super::body::{Frame, Step};
use super::conn::Phase;
use super::session::{End, Session};
use crate::asf::{Header, Packet, trim};
use crate::machine::{CloseHow, ConnId, Fault, Time};
use crate::media::IngestEvent;
use crate::wmhttp::frame::{CHANGED_HEADER_MAX, HEADER_MAX, Kind};
use bytes::Bytes;

/// `$E`: another entry follows (WMHTTP-19).
const S_FALSE: u32 = 1;

/// What a frame means for the session.
enum Taken {
    /// Nothing to tell.
    Nothing,
    /// Media: Idle-Timeout starts anew.
    Media(IngestEvent),
    /// This entry has ended.
    EntryEnd,
    /// Everything has, for this reason.
    End(u32),
}

impl Server {
    /// Bytes of a body.
    pub(super) fn receive(&mut self, now: Time, conn: ConnId, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            let Some(c) = self.conns.get_mut(&conn) else {
                return;
            };
            let Phase::Receiving(r) = &mut c.phase else {
                return;
            };
            match r.body.next(&mut rest) {
                Ok(Step::Wait) => return,
                Ok(Step::End) => return self.complete(now, conn, rest),
                Ok(Step::Frame(frame)) => {
                    let number = r.session;
                    self.on_frame(now, conn, number, frame);
                }
                Err(reason) => return self.fail_body(now, conn, 400, reason),
            }
        }
    }

    fn on_frame(&mut self, now: Time, conn: ConnId, number: u64, frame: Frame) {
        let Some(s) = self.sessions.get_mut(&number) else {
            return self.fail_body(now, conn, 503, "the session is gone");
        };
        match take(s, &mut self.counts, frame) {
            Ok(Taken::Nothing) => {}
            Ok(Taken::Media(event)) => {
                // WMHTTP-85, WMHTTP-86, WMHTTP-90
                s.heard = now;
                self.ingest(number, event);
            }
            Ok(Taken::EntryEnd) => self.ingest(number, IngestEvent::EntryEnd),
            Ok(Taken::End(reason)) => {
                // WMHTTP-87
                self.end_session(number, End::Said(reason));
                self.finish(now, conn);
            }
            Err(reason) => self.fail_body(now, conn, 400, &reason),
        }
    }

    /// A body goes no further: the session ends, the encoder is told at once (WMHTTP-92, WMHTTP-110).
    pub(super) fn fail_body(&mut self, now: Time, conn: ConnId, status: u16, reason: &str) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let Phase::Receiving(r) = &c.phase else {
            return;
        };
        let fault = Fault {
            offset: c.reader.offset() + r.body.frame_at(),
            reason: reason.to_owned(),
        };
        let number = r.session;
        let id = self.sessions.get(&number).map(|s| s.id);
        self.end_session(number, End::Failed(fault.clone()));
        self.refuse_body(now, conn, status, reason, Some((fault, id)));
    }

    /// Answer a PushStart before its body is complete, and close. What still comes is the driver's to read
    /// past, so that the answer is not lost.
    pub(super) fn refuse_body(
        &mut self,
        now: Time,
        conn: ConnId,
        status: u16,
        reason: &str,
        fault: Option<(Fault, Option<u64>)>,
    ) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Phase::Receiving(r) = std::mem::replace(&mut c.phase, Phase::Heads) else {
            return;
        };
        self.report(conn, &r.head, status, reason.to_owned());
        let (fault, id) = fault.unzip();
        let say = Saying {
            id: id.flatten().filter(|_| status == 408),
            ..Saying::refusal(status)
        };
        let bytes = self.compose(now, r.head.version, &say);
        self.send(conn, bytes);
        self.close(now, conn, CloseHow::Flush, fault);
    }
}

/// Check a frame and its place (wmhttp.md 5.2).
fn take(s: &mut Session, counts: &mut super::Counts, frame: Frame) -> Result<Taken, String> {
    let Some(packet_size) = s.packet_size else {
        // WMHTTP-80
        return match frame.kind {
            Kind::Header => take_header(s, HEADER_MAX, &frame.payload),
            _ => Err("first frame is not $H".to_owned()),
        };
    };
    match frame.kind {
        Kind::Header | Kind::Change => {
            let (expected, max) = match frame.kind {
                Kind::Header => (s.resumed, HEADER_MAX),
                _ => (s.between_entries, CHANGED_HEADER_MAX),
            };
            if !expected {
                counts.unexpected_headers += 1;
            }
            take_header(s, max, &frame.payload)
        }
        Kind::Data if s.between_entries => Err("$D between $E and $C".to_owned()),
        Kind::Data => take_packet(s, counts, packet_size, frame.payload),
        Kind::End if frame.reason != S_FALSE => Ok(Taken::End(frame.reason)),
        Kind::End if s.between_entries => Ok(Taken::Nothing),
        Kind::End => {
            s.between_entries = true;
            Ok(Taken::EntryEnd)
        }
        Kind::Filler => Ok(Taken::Nothing),
        Kind::Unknown(_) => {
            counts.unknown_frames += 1;
            Ok(Taken::Nothing)
        }
    }
}

/// A header, of `max` bytes at most (WMHTTP-15, WMHTTP-23).
fn take_header(s: &mut Session, max: usize, payload: &Bytes) -> Result<Taken, String> {
    let header = Header::parse(payload).map_err(|e| format!("ASF header: {e}"))?;
    let len = usize::try_from(header.blob_len()).unwrap_or(payload.len());
    // ASF-22: what players get could not hold a longer one either.
    if len > max {
        return Err(format!("ASF header: {len} bytes where {max} are most"));
    }
    s.packet_size = Some(header.packet_size());
    s.between_entries = false;
    s.resumed = false;
    let blob = payload.slice(..len.min(payload.len()));
    Ok(Taken::Media(IngestEvent::Header(blob)))
}

/// A damaged packet is left out; one longer than its header allows means that the two do not belong
/// together.
fn take_packet(
    s: &mut Session,
    counts: &mut super::Counts,
    packet_size: u32,
    payload: Bytes,
) -> Result<Taken, String> {
    if payload.len() as u64 > u64::from(packet_size) {
        let len = payload.len();
        return Err(format!(
            "packet of {len} bytes where {packet_size} are most"
        ));
    }
    let Some(bytes) = with_length(packet_size, payload) else {
        counts.damaged_packets += 1;
        return Ok(Taken::Nothing);
    };
    let number = s.packet;
    s.packet = s.packet.wrapping_add(1);
    Ok(Taken::Media(IngestEvent::Packet { number, bytes }))
}

/// The packet, unless it is damaged. One with a single payload that came short and without a length of its
/// own gets one: players fill such a packet up and take the zeros for media (WMHTTP-111).
fn with_length(packet_size: u32, payload: Bytes) -> Option<Bytes> {
    let packet = Packet::parse(&payload, packet_size).ok()?;
    let short = (payload.len() as u64) < u64::from(packet_size);
    if !short || packet.is_multiple() || packet.explicit_length().is_some() {
        return Some(payload);
    }
    let mut out = Vec::with_capacity(payload.len() + 2);
    trim::trim(&payload, packet_size, &mut out).ok()?;
    Some(Bytes::from(out))
}
