//! One player's dialogue and what it checks in the packets it gets.

use super::{Checks, Plan};
use crate::stats::{Durations, Timelines};
use crate::wmsp::{self, DataHead, Deframer, Packet, ResponseHead};
use socket2::Socket;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Connecting,
    DescribeHead,
    DescribeBody,
    PlayHead,
    Media,
    Over,
}

/// One player.
pub(super) struct Session {
    pub socket: Option<Socket>,
    pub state: State,
    pub slow: bool,
    pub started_ns: u64,
    // Only during the dialogue.
    pub head: Vec<u8>,
    pub body_left: u64,
    pub client_id: Option<u32>,
    // Media.
    pub deframer: Deframer,
    pub played: bool,
    pub ended: bool,
    pub next_sequence: u8,
    pub last: Option<(u32, u32)>,
    pub timeline: usize,
    pub own_zero_us: i64,
    pub allowance: f64,
    pub moved: bool,
}

impl Session {
    pub fn new(slow: bool) -> Session {
        Session {
            socket: None,
            state: State::Waiting,
            slow,
            started_ns: 0,
            head: Vec::new(),
            body_left: 0,
            client_id: None,
            deframer: Deframer::default(),
            played: false,
            ended: false,
            next_sequence: 0,
            last: None,
            timeline: 0,
            own_zero_us: i64::MAX,
            allowance: 0.0,
            moved: false,
        }
    }

    pub fn fd(&self) -> Option<i32> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }
}

/// Counters that sessions write to; apart from the sessions so that both can be borrowed.
pub(super) struct Ledger {
    pub live: bool,
    pub packet_size: u32,
    pub record: bool,
    pub bytes: u64,
    pub packets: u64,
    pub receives: u64,
    pub timelines: Timelines,
    pub own: Durations,
    pub slow: Durations,
    pub first_media: Durations,
    pub response: Durations,
    pub checks: Checks,
    pub slow_checks: Checks,
    pub slow_moved: usize,
    pub landings: Vec<u32>,
    pub reasons: BTreeMap<String, usize>,
    pub playing: usize,
    pub failed: usize,
    pub lost: usize,
    pub ended: usize,
}

/// What a session needs after a piece of input.
pub(super) enum Step {
    Go,
    Play,
    Slow,
}

/// Response heads and Describe bodies.
pub(super) fn dialogue(
    session: &mut Session,
    ledger: &mut Ledger,
    data: &[u8],
    now: u64,
) -> Result<Step, String> {
    if session.state == State::DescribeBody {
        return body(session, data.len());
    }
    session.head.extend_from_slice(data);
    let Some(head) = wmsp::response_head(&session.head)? else {
        return Ok(Step::Go);
    };
    accept(&head)?;
    session.client_id = head.client_id.or(session.client_id);
    let rest = std::mem::take(&mut session.head).split_off(head.len);
    if session.state == State::DescribeHead {
        session.state = State::DescribeBody;
        session.body_left = head
            .content_length
            .ok_or("Describe reply without Content-Length")?;
        return body(session, rest.len());
    }
    ledger.response.record((now - session.started_ns) / 1000);
    session.state = State::Media;
    if !rest.is_empty() {
        media(session, ledger, &rest, now)?;
    }
    Ok(if session.slow { Step::Slow } else { Step::Go })
}

fn accept(head: &ResponseHead) -> Result<(), String> {
    if head.status != 200 {
        return Err(format!("status {}", head.status));
    }
    if head.chunked {
        // wmsp.md 1: never toward a client that did not ask for pipelining.
        return Err("chunked reply to a non-pipelined request".into());
    }
    Ok(())
}

fn body(session: &mut Session, n: usize) -> Result<Step, String> {
    session.body_left = session
        .body_left
        .checked_sub(n as u64)
        .ok_or("more bytes than Content-Length")?;
    Ok(if session.body_left == 0 {
        Step::Play
    } else {
        Step::Go
    })
}

/// Bytes of the media stream.
pub(super) fn media(
    session: &mut Session,
    ledger: &mut Ledger,
    data: &[u8],
    now: u64,
) -> Result<Step, String> {
    // Taken out so that the closure may have the rest of the session.
    let mut deframer = std::mem::take(&mut session.deframer);
    let result = deframer.feed(data, |packet| match packet {
        Packet::Data(head) => on_data(session, ledger, &head, now),
        Packet::StreamChange => {
            ledger.checks_of(session.slow).stream_changes += 1;
            session.last = None;
        }
        Packet::End(reason) => on_end(session, ledger, reason),
        Packet::Header(_) | Packet::Test => {}
    });
    session.deframer = deframer;
    result.map(|()| Step::Go)
}

fn on_end(session: &mut Session, ledger: &mut Ledger, reason: u32) {
    // $E(1): more entries follow.
    if reason == 1 || session.ended {
        return;
    }
    session.ended = true;
    ledger.ended += 1;
    if session.played {
        ledger.playing -= 1;
    }
    if reason != 0 {
        *ledger
            .reasons
            .entry(format!("$E with {reason:#010x}"))
            .or_default() += 1;
    }
}

fn on_data(session: &mut Session, ledger: &mut Ledger, head: &DataHead, now: u64) {
    let packet_size = ledger.packet_size;
    let first = !session.played;
    if first {
        session.played = true;
        ledger.playing += 1;
        ledger.first_media.record((now - session.started_ns) / 1000);
    }
    let checks = ledger.checks_of(session.slow);
    let gaps = checks.gaps;
    let restarted = check_packet(session, first, checks, head, packet_size);
    if session.slow && ledger.slow_checks.gaps > gaps {
        ledger.landings.push(head.location);
        ledger.slow_moved += usize::from(!session.moved);
        session.moved = true;
    }
    let Some(send_time) = head.send_time else {
        return;
    };
    session.last = Some((head.location, send_time));
    ledger.packets += u64::from(ledger.record);

    let delta = (now / 1000) as i64 - i64::from(send_time) * 1000;
    if first || restarted {
        session.own_zero_us = delta;
    } else {
        session.own_zero_us = session.own_zero_us.min(delta);
    }
    let own = (delta - session.own_zero_us) as u64;
    if session.slow {
        if ledger.record {
            ledger.slow.record(own);
        }
        return;
    }
    if ledger.record {
        ledger.own.record(own);
    }
    if ledger.live {
        if first {
            session.timeline = ledger.timelines.join(delta);
        } else if restarted {
            session.timeline = ledger.timelines.restart(delta);
        }
        ledger
            .timelines
            .note(session.timeline, delta, ledger.record);
    }
}

/// Count what is wrong with a packet; true if the timeline began anew.
fn check_packet(
    session: &mut Session,
    first: bool,
    checks: &mut Checks,
    head: &DataHead,
    packet_size: u32,
) -> bool {
    checks.packets += 1;
    if first {
        checks.sequence_starts += u64::from(head.sequence != 0);
    } else {
        checks.sequence_breaks += u64::from(head.sequence != session.next_sequence);
    }
    session.next_sequence = head.sequence.wrapping_add(1);
    checks.size_mismatches += u64::from(head.frame_len != head.size_field);
    checks.oversize += u64::from(packet_size > 0 && u32::from(head.frame_len) > packet_size + 8);
    checks.damaged += u64::from(head.send_time.is_none());
    let Some((location, send_time)) = session.last else {
        return false;
    };
    let back = head
        .send_time
        .is_some_and(|t| send_time.saturating_sub(t) > 1000);
    checks.restarts += u64::from(back);
    if head.location > location {
        let step = u64::from(head.location - location);
        checks.gaps += u64::from(step > 1);
        checks.skipped += step - 1;
    } else if !back {
        checks.backward += 1;
    }
    back
}

impl Ledger {
    pub fn new(plan: &Plan) -> Ledger {
        Ledger {
            live: plan.live,
            packet_size: plan.packet_size,
            record: false,
            bytes: 0,
            packets: 0,
            receives: 0,
            timelines: Timelines::default(),
            own: Durations::default(),
            slow: Durations::default(),
            first_media: Durations::default(),
            response: Durations::default(),
            checks: Checks::default(),
            slow_checks: Checks::default(),
            slow_moved: 0,
            landings: Vec::new(),
            reasons: BTreeMap::new(),
            playing: 0,
            failed: 0,
            lost: 0,
            ended: 0,
        }
    }

    fn checks_of(&mut self, slow: bool) -> &mut Checks {
        if slow {
            &mut self.slow_checks
        } else {
            &mut self.checks
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(location: u32, sequence: u8, send_time: u32) -> DataHead {
        DataHead {
            location,
            sequence,
            frame_len: 108,
            size_field: 108,
            send_time: Some(send_time),
        }
    }

    fn feed(heads: &[DataHead]) -> Checks {
        let mut session = Session::new(false);
        let mut checks = Checks::default();
        for (i, h) in heads.iter().enumerate() {
            check_packet(&mut session, i == 0, &mut checks, h, 100);
            session.last = h.send_time.map(|t| (h.location, t));
        }
        checks
    }

    #[test]
    fn a_clean_session_has_no_faults_across_the_wrap() {
        let heads: Vec<_> = (0..600u32).map(|i| head(9 + i, i as u8, i * 20)).collect();
        let c = feed(&heads);
        assert_eq!((c.packets, c.faults(), c.gaps), (600, 0, 0));
    }

    #[test]
    fn faults_and_events_are_told_apart() {
        let mut wrong_size = head(8, 4, 60);
        wrong_size.size_field = 100;
        let mut large = head(9, 5, 60);
        (large.frame_len, large.size_field) = (200, 200);
        let c = feed(&[
            head(1, 1, 0),  // starts at 1
            head(2, 2, 20), // fine
            head(7, 3, 40), // a skip of four
            wrong_size,
            large,
            head(10, 9, 60),  // sequence break
            head(10, 10, 60), // does not advance
            head(0, 11, 0),   // 60 ms back: backward
        ]);
        assert_eq!((c.sequence_starts, c.sequence_breaks), (1, 1));
        assert_eq!((c.gaps, c.skipped), (1, 4));
        assert_eq!((c.size_mismatches, c.oversize, c.backward), (1, 1, 2));
        assert_eq!(c.faults(), 6);
    }

    #[test]
    fn a_loop_is_an_event_not_a_fault() {
        let c = feed(&[head(500, 0, 60_000), head(0, 1, 0), head(1, 2, 20)]);
        assert_eq!((c.restarts, c.faults()), (1, 0));
    }
}
