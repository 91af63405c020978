//! Start and Stop (MS-MMSP 3.2.5.11, 3.2.5.12, 3.2.5.14).

use super::conn::Job;
use super::session::{Change, FILE_ID, Flow, Phase, State};
use super::{Server, Timer};
use crate::content::{Accel, Cue, CueRequest, Question, Recheck, Start};
use crate::machine::{ConnId, Output, Time};
use crate::media::{Datagrams, FlowCommand, FlowId, FlowStart, FlowTotals, Lane, Pace, Resend};
use crate::mmsp::framer::{Incarnation, MmspFramer, sequence_at_start};
use crate::mmsp::hresult;
use crate::mmsp::message::{Position, StartPlaying, ToClient};
use crate::mmsp::wire::{Asks, incarnation};

/// Fastest play rate either way.
const RATE_MAX: f64 = 5.0;
/// From this on frameOffset means "no limit": FFmpeg, VLC and libmms send it (MMSP-74).
const FRAME_OFFSET_NONE: u32 = 0x00FF_FFFF;
/// The bit of frameOffset that makes it relative.
const RELATIVE: u32 = 0x8000_0000;

/// A StartPlaying or StartStriding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    open_file_id: u32,
    position: Position,
    frame_offset: u32,
    play_incarnation: u32,
    accel: Option<(u32, u32)>,
    link_bw: Option<u32>,
    /// `None`: StartPlaying.
    rate: Option<f64>,
    /// Where the position leads.
    start: Start,
}

impl Begin {
    pub fn playing(start: &StartPlaying) -> Begin {
        Begin {
            open_file_id: start.open_file_id,
            position: start.position,
            frame_offset: start.frame_offset,
            play_incarnation: start.play_incarnation,
            accel: start.accel,
            link_bw: start.link_bandwidth,
            rate: None,
            start: Start::Beginning,
        }
    }

    pub fn striding(
        open_file_id: u32,
        position: Position,
        play_incarnation: u32,
        rate: f64,
    ) -> Begin {
        Begin {
            open_file_id,
            position,
            frame_offset: 0,
            play_incarnation,
            accel: None,
            link_bw: None,
            rate: Some(rate),
            start: Start::Beginning,
        }
    }

    fn asks(&self) -> Asks {
        match self.rate {
            None => Asks::StartPlaying,
            Some(_) => Asks::StartStriding,
        }
    }

    /// Thousandths; `None` if it is no rate.
    fn rate_milli(&self) -> Option<i32> {
        let rate = self.rate.unwrap_or(1.0);
        let milli = (rate * 1000.0).round();
        let fits = rate.abs() <= RATE_MAX && milli != 0.0;
        fits.then_some(milli as i32)
    }

    fn report(&self, hr: u32) -> ToClient {
        let play_incarnation = self.play_incarnation;
        match self.rate {
            None => ToClient::ReportStartedPlaying {
                hr,
                play_incarnation,
                tiger_file_id: FILE_ID,
            },
            Some(_) => ToClient::ReportStartStriding {
                hr,
                play_incarnation,
            },
        }
    }

    /// The Send-time span to be sent from `cue` on, ms (MMSP-73, MMSP-74).
    fn span(&self, cue: &Cue, broadcast: bool) -> Result<Option<u32>, u32> {
        let stop = self.frame_offset & !RELATIVE;
        if stop == 0 || stop >= FRAME_OFFSET_NONE || broadcast {
            return Ok(None);
        }
        let from = match self.start {
            Start::Time(ms) => ms,
            _ => cue.send_time,
        };
        let end = match self.frame_offset & RELATIVE {
            0 => stop,
            _ => from.saturating_add(stop),
        };
        match end.checked_sub(cue.send_time) {
            Some(span @ 1..) if end > from => Ok(Some(span)),
            _ => Err(hresult::E_INVALIDARG),
        }
    }
}

/// Which of the three fields counts (MMSP-71, MMSP-72): VLC sends a packet number beside 0.0 seconds.
fn start_of(position: Position) -> Start {
    let used = |field: u32| field != 0 && field != u32::MAX;
    if used(position.location_id) {
        Start::Packet(position.location_id)
    } else if used(position.asf_offset) {
        Start::Byte(u64::from(position.asf_offset))
    } else if position.seconds.is_finite() && position.seconds > 0.0 && position.seconds < f64::MAX
    {
        // Saturates.
        Start::Time((position.seconds * 1000.0).round() as u32)
    } else {
        Start::Beginning
    }
}

impl Server {
    /// No flow runs now: none is there, or it is held.
    pub(super) fn start(&mut self, now: Time, conn: ConnId, mut begin: Begin) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(open) = &mut c.open else { return };
        let content = &open.content;
        // MMSP-70
        if begin.open_file_id != FILE_ID {
            let hr = hresult::NS_E_INVALID_REQUEST;
            return self.refuse_start(now, conn, &begin, hr);
        }
        // MMSP-85
        let Some(rate_milli) = begin.rate_milli() else {
            return self.refuse_start(now, conn, &begin, hresult::E_INVALIDARG);
        };
        if rate_milli != 1000 && !content.stridable {
            let hr = hresult::NS_E_STRIDE_REFUSED;
            return self.refuse_start(now, conn, &begin, hr);
        }
        if let Some(link) = begin.link_bw {
            open.link_bw = link;
        }
        // MMSP-75: media goes on, or begins, where it is.
        let changed = open.change != Change::None;
        let flows = open.flow.as_ref().is_some_and(|f| f.phase == Phase::Held);
        let in_place = changed || content.broadcast || !content.seekable;
        if flows && in_place && rate_milli == open.rate_milli {
            return self.go_on_as(now, conn, &begin);
        }
        begin.start = match changed || content.broadcast {
            true => Start::Beginning,
            false => start_of(begin.position),
        };
        self.timers.disarm(Timer::Entry(conn));
        if !content.guarded || changed {
            return self.cue(now, conn, Box::new(begin));
        }
        let recheck = Recheck {
            content: content.id,
            credentials: c.access.known(),
        };
        let ticket = self.ask(conn, Question::Recheck(recheck));
        if let Some(c) = self.conns.get_mut(&conn) {
            c.job = Some(Job::Recheck(ticket, Box::new(begin)));
        }
    }

    /// The flow that is held goes on with another incarnation.
    fn go_on_as(&mut self, now: Time, conn: ConnId, begin: &Begin) {
        let Some(open) = self.conns.get_mut(&conn).and_then(|c| c.open.as_mut()) else {
            return;
        };
        open.change = Change::None;
        open.play_incarnation = begin.play_incarnation;
        if let Some(flow) = &open.flow {
            let from = flow.totals.packets as u32;
            flow.incarnation.turn(from, begin.play_incarnation as u8);
        }
        self.say(now, conn, &begin.report(hresult::S_OK));
    }

    /// Ask where to start.
    pub(super) fn cue(&mut self, _now: Time, conn: ConnId, begin: Box<Begin>) {
        let Some(open) = self.conns.get(&conn).and_then(|c| c.open.as_ref()) else {
            return;
        };
        let rate_milli = begin.rate_milli().unwrap_or(1000);
        // MMSP-77, BW-28, BW-34
        let accel = match begin.accel {
            Some((bits_per_second @ 1.., duration_ms @ 1..)) if rate_milli == 1000 => Some(Accel {
                bits_per_second,
                duration_ms,
            }),
            _ => None,
        };
        let request = CueRequest {
            content: open.content.id,
            start: begin.start,
            selection: open.selection,
            accel,
            speed_milli: None,
            profile: false,
            rate_milli,
        };
        let ticket = self.ask(conn, Question::Cue(request));
        if let Some(c) = self.conns.get_mut(&conn) {
            c.job = Some(Job::Cue(ticket, begin));
        }
    }

    /// The session stays as it was.
    pub(super) fn refuse_start(&mut self, now: Time, conn: ConnId, begin: &Begin, hr: u32) {
        self.refuse(now, conn, begin.asks(), hr, begin.play_incarnation);
        let waits = |c: &super::conn::Conn| {
            c.state == State::Streaming
                && c.open.as_ref().is_some_and(|o| o.change == Change::Waiting)
        };
        if self.conns.get(&conn).is_some_and(|c| waits(c)) {
            let at = now + super::header::ENTRY_WAIT;
            self.timers.arm(Timer::Entry(conn), at);
        }
    }

    /// The cue of a Start has come.
    pub(super) fn begin(&mut self, now: Time, conn: ConnId, begin: &Begin, cue: &Cue) {
        let Some(open) = self.conns.get_mut(&conn).and_then(|c| c.open.as_mut()) else {
            return;
        };
        let span = match begin.span(cue, open.content.broadcast) {
            Ok(span) => span,
            Err(hr) => return self.refuse_start(now, conn, begin, hr),
        };
        open.play_incarnation = begin.play_incarnation;
        open.rate_milli = begin.rate_milli().unwrap_or(1000);
        open.limited = span.is_some();
        open.change = Change::None;
        // VLC goes on after a pause with the packet that it had not read yet: without this it would
        // see nothing until the next key frame.
        let by_packet = begin.rate.is_none() && matches!(begin.start, Start::Packet(_));
        let resumes = open.stopped && by_packet;
        self.drop_flow(conn);
        self.say(now, conn, &begin.report(hresult::S_OK));
        self.start_flow(conn, begin.play_incarnation as u8, cue, span, resumes);
        self.arm_idle(now, conn);
    }

    /// The client did not start the entry in time (MMSP-89, MMSP-90).
    pub(super) fn begin_entry(&mut self, now: Time, conn: ConnId, cue: &Cue) {
        let Some(open) = self.conns.get_mut(&conn).and_then(|c| c.open.as_mut()) else {
            return;
        };
        open.change = Change::Begun;
        open.rate_milli = 1000;
        open.limited = false;
        self.start_flow(conn, incarnation::ENTRY, cue, None, false);
        self.arm_idle(now, conn);
    }

    /// The old flow, held or ended, goes; the next one counts on from it.
    pub(super) fn drop_flow(&mut self, conn: ConnId) {
        let Some(open) = self.conns.get_mut(&conn).and_then(|c| c.open.as_mut()) else {
            return;
        };
        if let Some(flow) = &open.flow {
            let totals = flow.totals;
            open.account(totals);
            self.command(conn, FlowCommand::Drop);
        }
    }

    fn start_flow(
        &mut self,
        conn: ConnId,
        play_incarnation: u8,
        cue: &Cue,
        span: Option<u32>,
        resumes: bool,
    ) {
        let id = FlowId(self.count());
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let to = c.datagrams_to();
        let keeps_padding = c.client.is_old_server;
        c.state = State::Streaming;
        let Some(open) = &mut c.open else { return };
        open.ended = None;
        open.stopped = false;
        open.tail = None;
        open.sequence = sequence_at_start(open.sequence);
        let incarnation = Incarnation::new(play_incarnation);
        let framer = MmspFramer {
            first_sequence: open.sequence,
            incarnation: incarnation.clone(),
            packet_size: open.content.packet_size,
            on_connection: to.is_none(),
            keeps_padding,
        };
        open.flow = Some(Flow {
            id,
            phase: Phase::Running,
            on_connection: to.is_none(),
            first_sequence: open.sequence,
            incarnation,
            totals: FlowTotals::default(),
        });
        open.last_flow = Some(id);
        let start = FlowStart {
            conn,
            datagrams: to.map(|to| Datagrams {
                lanes: vec![Lane {
                    to,
                    channel: self.config.channel,
                }],
                resend: Some(Resend {
                    window: self.config.resend_window,
                    count_max: self.config.resend_count_max,
                    lane: 0,
                }),
            }),
            content: open.content.id,
            packet: cue.packet,
            send_time: cue.send_time,
            selection: open.selection,
            resumes,
            pace: Pace::Media {
                accel: cue.accel,
                speed_milli: cue.speed_milli.unwrap_or(1000),
            },
            rate_milli: open.rate_milli,
            max_duration: span,
            whole: false,
            framer: Box::new(framer),
        };
        self.flows.insert(id, conn);
        self.out.push_back(Output::Flow {
            flow: id,
            command: FlowCommand::Start(Box::new(start)),
        });
        if to.is_none() {
            self.timers.disarm(Timer::KeepAlive(conn));
        }
    }

    /// No flow runs now (MMSP-86, MMSP-87).
    pub(super) fn stop(&mut self, now: Time, conn: ConnId, play_incarnation: u32) {
        self.timers.disarm(Timer::Entry(conn));
        if let Some(open) = self.conns.get_mut(&conn).and_then(|c| c.open.as_mut()) {
            open.stopped |= open.flow.is_some();
        }
        self.drop_flow(conn);
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.state = State::Ready;
        if let Some(open) = &mut c.open {
            open.ended = None;
            open.tail = None;
            open.change = Change::None;
        }
        let end = ToClient::ReportEndOfStream {
            hr: hresult::S_OK,
            play_incarnation,
        };
        self.say(now, conn, &end);
        self.arm_idle(now, conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Position = Position {
        seconds: f64::MAX,
        asf_offset: u32::MAX,
        location_id: u32::MAX,
    };

    // MMSP-71, MMSP-72
    #[test]
    fn what_says_where_to_start() {
        let at = |position: Position| start_of(position);
        assert_eq!(at(NOTHING), Start::Beginning);
        let seconds = |seconds| at(Position { seconds, ..NOTHING });
        assert_eq!(seconds(30.0), Start::Time(30_000));
        assert_eq!(seconds(0.0), Start::Beginning);
        assert_eq!(seconds(1e12), Start::Time(u32::MAX));
        for odd in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(seconds(odd), Start::Beginning);
        }
        let vlc = Position {
            seconds: 0.0,
            location_id: 97,
            ..NOTHING
        };
        assert_eq!(at(vlc), Start::Packet(97));
        let both = Position {
            seconds: 3.0,
            asf_offset: 5000,
            location_id: 0,
        };
        assert_eq!(at(both), Start::Byte(5000));
    }

    fn span(frame_offset: u32, start: Start, send_time: u32) -> Result<Option<u32>, u32> {
        let begin = Begin {
            frame_offset,
            start,
            ..Begin::striding(1, NOTHING, 4, 1.0)
        };
        let cue = Cue {
            packet: 0,
            send_time,
            accel: None,
            speed_milli: None,
            profile: None,
        };
        begin.span(&cue, false)
    }

    // MMSP-73, MMSP-74
    #[test]
    fn where_to_stop() {
        for none in [0, RELATIVE, 0x00FF_FFFF, 0x7FFF_FFFF, u32::MAX] {
            assert_eq!(span(none, Start::Beginning, 0), Ok(None), "{none:08X}");
        }
        // Absolute, with a key frame a little before the point asked for.
        assert_eq!(span(12_000, Start::Time(10_000), 9_500), Ok(Some(2_500)));
        assert_eq!(span(12_000, Start::Packet(9), 9_500), Ok(Some(2_500)));
        // Relative.
        let two_seconds = RELATIVE | 2000;
        assert_eq!(
            span(two_seconds, Start::Time(10_000), 9_500),
            Ok(Some(2_500))
        );
        assert_eq!(span(two_seconds, Start::Packet(9), 9_500), Ok(Some(2_000)));
        let bad = Err(hresult::E_INVALIDARG);
        assert_eq!(span(10_000, Start::Time(10_000), 9_500), bad);
        assert_eq!(span(9_000, Start::Packet(9), 9_500), bad);
    }

    // MMSP-85
    #[test]
    fn rates() {
        let milli = |rate| Begin::striding(1, NOTHING, 4, rate).rate_milli();
        assert_eq!(milli(5.0), Some(5000));
        assert_eq!(milli(-5.0), Some(-5000));
        assert_eq!(milli(1.0), Some(1000));
        for bad in [0.0, 0.0001, 5.1, -5.001, f64::NAN, f64::INFINITY] {
            assert_eq!(milli(bad), None, "{bad}");
        }
    }
}
