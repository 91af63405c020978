//! The flows of a core: starting, commanding and pumping them, and when each has its turn.

use super::flow::{CATCHING_UP, Flow, Pumped, Turning};
use super::journal::FlowCounters;
use super::outlet::Outlet;
use super::spray::DATAGRAM_CADENCE;
use super::wheel::{Seat, TICK, Wheel};
use super::{Shard, journal};
use crate::ops::log::LogRecord;
use crate::points::{ContentSupply, OpenContent};
use crate::rt;
use protocols::asf::Filter;
use protocols::content::{Level, Protocol, Selection, StreamKind};
use protocols::machine::{ConnId, Time};
use protocols::media::{
    FlowCommand, FlowEnd, FlowEvent, FlowId, FlowStart, FlowTotals, Framer, Pace, PacketMeta,
    SLOT_HEAD,
};
use protocols::rate::pacer::Pacer;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// How often a session that is ahead of real time is served.
const EAGER_CADENCE: Duration = Duration::from_millis(20);

/// Smallest send buffer of a connection that carries media, bytes of payload.
const SEND_BUFFER_MIN: u32 = 64 << 10;

/// Send buffer of a download, bytes of payload.
const SEND_BUFFER_COPY: u32 = 512 << 10;

/// A send that is later than the cadence and this is counted as late.
const LATE_SLACK: Duration = Duration::from_millis(50);

/// Turns ahead of which a flow, and then what it points to, is prefetched.
const FAR: usize = 3;
const NEAR: usize = 1;

type FlowKey = (u8, FlowId);

/// The flow table of a core.
pub struct Flows {
    slots: Vec<Option<Box<Flow>>>,
    free: Vec<u32>,
    by_key: HashMap<FlowKey, u32>,
    wheels: Vec<Wheel>,
    count: usize,
}

impl Flows {
    /// No flows.
    pub fn new() -> Flows {
        Flows {
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            wheels: Vec::new(),
            count: 0,
        }
    }

    /// Flows now.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Prefetch the flow that has its turn `ahead` turns later.
    fn prefetch(&self, slice: &[u32], place: usize, ahead: usize, near: bool) {
        let index = place.checked_sub(ahead).and_then(|p| slice.get(p));
        if let Some(flow) = index.and_then(|i| self.slots.get(*i as usize)?.as_deref()) {
            flow.prefetch(near);
        }
    }

    fn insert(&mut self, flow: Flow, cadence: Duration, now: Time) -> u32 {
        let index = self.free.pop().unwrap_or(self.slots.len() as u32);
        if index as usize == self.slots.len() {
            self.slots.push(None);
        }
        self.by_key.insert(flow.key, index);
        self.slots[index as usize] = Some(Box::new(flow));
        self.count += 1;
        self.sit(index, cadence, now);
        index
    }

    fn remove(&mut self, index: u32) -> Option<Box<Flow>> {
        let flow = self.slots.get_mut(index as usize)?.take()?;
        self.stand_up(flow.seat);
        self.by_key.remove(&flow.key);
        self.free.push(index);
        self.count -= 1;
        Some(flow)
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Flow> {
        self.slots.get_mut(index as usize)?.as_deref_mut()
    }

    fn sit(&mut self, index: u32, cadence: Duration, now: Time) {
        let wheel = match self.wheels.iter().position(|w| w.cadence == cadence) {
            Some(wheel) => wheel,
            None => {
                self.wheels.push(Wheel::new(cadence, now));
                self.wheels.len() - 1
            }
        };
        let seat = self.wheels[wheel].add(wheel as u16, index);
        if let Some(flow) = self.get_mut(index) {
            flow.seat = seat;
        }
    }

    fn stand_up(&mut self, seat: Seat) {
        let Some(wheel) = self.wheels.get_mut(usize::from(seat.wheel)) else {
            return;
        };
        if let Some(moved) = wheel.remove(seat)
            && let Some(flow) = self.get_mut(moved)
        {
            flow.seat = seat;
        }
    }

    /// Move a flow to the wheel that fits what it does now.
    fn reseat(&mut self, index: u32, now: Time) {
        let Some(flow) = self.get_mut(index) else {
            return;
        };
        let (seat, cadence) = (flow.seat, cadence_of(flow));
        if self.wheels[usize::from(seat.wheel)].cadence != cadence {
            self.stand_up(seat);
            self.sit(index, cadence, now);
        }
    }
}

fn cadence_of(flow: &Flow) -> Duration {
    let own = flow.content.point.config.cadence.get();
    if flow.is_copy() {
        TICK
    } else if flow.is_eager() {
        EAGER_CADENCE.min(own)
    } else if flow.is_beside() {
        DATAGRAM_CADENCE.min(own)
    } else {
        own
    }
}

impl Shard {
    /// True if a flow needs the fast tick.
    pub(super) fn has_flows(&self) -> bool {
        self.flows.borrow().count() > 0
    }

    /// Flows now.
    pub fn flow_count(&self) -> usize {
        self.flows.borrow().count()
    }

    /// Carry out a machine's command.
    pub fn command_flow(&self, front: u8, id: FlowId, command: FlowCommand, now: Time) {
        match command {
            FlowCommand::Start(start) => self.start_flow((front, id), *start, now),
            FlowCommand::StartFile {
                conn,
                content,
                offset,
                len,
            } => {
                let Some(content) = self.content(content) else {
                    return self.tell(front, id, lost());
                };
                let ContentSupply::File(file) = content.supply() else {
                    return self.tell(front, id, lost());
                };
                let file = Rc::clone(file);
                let Some(outlet) =
                    self.outlet(conn, &content, Box::new(Plain), Pace::Unpaced, 0, 0, now)
                else {
                    return;
                };
                rt::set_send_buffer(outlet.fd, SEND_BUFFER_COPY);
                let range = offset..offset.saturating_add(len);
                let flow = Flow::copy((front, id), conn, content, file, range, outlet);
                self.begin_flow(flow, now);
            }
            FlowCommand::Select(changes) => {
                self.with_flow((front, id), |flow| flow.select(&changes));
            }
            FlowCommand::Resend(sequences) => self.resend((front, id), &sequences, now),
            FlowCommand::Hold => {
                self.with_flow((front, id), Flow::hold);
                self.pump_key((front, id), now);
                self.flush_datagrams();
            }
            FlowCommand::Go => {
                self.with_flow((front, id), Flow::go);
                self.pump_key((front, id), now);
                self.flush_datagrams();
            }
            FlowCommand::Drop => {
                let index = self.flows.borrow().by_key.get(&(front, id)).copied();
                if let Some(index) = index {
                    self.end_flow(index, now);
                }
            }
        }
    }

    fn start_flow(&self, key: FlowKey, start: FlowStart, now: Time) {
        let Some(content) = self.content(start.content) else {
            return self.tell(key.0, key.1, lost());
        };
        let mut selection = start.selection.within(content.streams());
        let mut pace = start.pace;
        let backward = start.rate_milli < 0;
        if start.rate_milli != 1000 {
            // Other rates than normal: key frames of the video only, and nothing else.
            selection = key_frames_of(selection, &content);
            pace = Pace::Media {
                accel: None,
                speed_milli: start.rate_milli.unsigned_abs(),
            };
        }
        if content.facts.broadcast && matches!(pace, Pace::Media { accel: None, .. }) {
            pace = CATCHING_UP;
        }
        let send_time = self.send_time_of(&content, start.packet);
        let Some(mut outlet) = self.outlet(
            start.conn,
            &content,
            start.framer,
            pace,
            start.packet,
            send_time.unwrap_or(start.send_time),
            now,
        ) else {
            return;
        };
        let first = send_time.unwrap_or(start.send_time);
        if backward {
            outlet.pacer = Pacer::new(now, Pacer::rewound(first), pace);
        }
        outlet.stop_at = start.max_duration.map(|span| first.wrapping_add(span));
        let rate = crate::source::average_bit_rate(content.streams(), selection, 0);
        if let Some(datagrams) = &start.datagrams {
            let Some(beside) = self.beside(key.0, start.conn, datagrams, rate, &content) else {
                tracing::error!("a flow of datagrams on a front end without sockets for them");
                return self.tell(key.0, key.1, lost());
            };
            outlet.beside = Some(Box::new(beside));
            let protocol = content.client.protocol.beside();
            outlet.counters = self.counters_of(&content, protocol);
        } else {
            self.bound_send_buffer(&outlet, rate);
        }
        let filter = match start.resumes {
            true => Filter::steady(selection, content.streams()),
            false => Filter::start(selection, content.streams()),
        };
        let flow = Flow::media(
            key,
            start.conn,
            content,
            &self.cache,
            filter,
            backward,
            start.whole,
            outlet,
        );
        self.begin_flow(flow, now);
    }

    fn bound_send_buffer(&self, outlet: &Outlet, rate: u32) {
        // The kernel doubles it for its bookkeeping and may exceed that by a buffer of 64 KiB: this
        // keeps what a slow client holds under two seconds of the rate, doubled.
        let nearly_two_seconds = u32::try_from(u64::from(rate) * 7 / 32).unwrap_or(u32::MAX);
        let buffer = self
            .parts
            .send_buffer
            .unwrap_or_else(|| nearly_two_seconds.max(SEND_BUFFER_MIN));
        rt::set_send_buffer(outlet.fd, buffer);
    }

    /// For live content: the packet's send time as the feed has it.
    fn send_time_of(&self, content: &OpenContent, packet: u32) -> Option<u32> {
        match content.supply() {
            ContentSupply::Live(feed) => feed.with_packet(packet, |p, _| p.send_time),
            ContentSupply::File(_) => None,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller per kind of flow")]
    fn outlet(
        &self,
        conn: ConnId,
        content: &OpenContent,
        framer: Box<dyn Framer>,
        pace: Pace,
        packet: u32,
        send_time: u32,
        now: Time,
    ) -> Option<Outlet> {
        let conns = self.conns.borrow();
        let fd = conns.get(conn).filter(|_| conns.is_open(conn))?.fd;
        let counters = self.counters_of(content, content.client.protocol);
        let late_max = content.point.config.cadence.get() + LATE_SLACK;
        Some(Outlet::new(
            fd,
            Pacer::new(now, send_time, pace),
            framer,
            packet,
            now,
            u32::try_from(late_max.as_millis()).unwrap_or(u32::MAX),
            counters,
        ))
    }

    fn counters_of(&self, content: &OpenContent, protocol: Protocol) -> FlowCounters {
        let parts = &self.parts;
        let mut journal = self.journal.borrow_mut();
        journal.counters(&parts.metrics, parts.id, &content.point.config, protocol)
    }

    fn begin_flow(&self, flow: Flow, now: Time) {
        let (conn, cadence) = (flow.conn, cadence_of(&flow));
        flow.outlet.counters.sessions.inc();
        flow.outlet.counters.connects.inc();
        self.counters.sessions.inc();
        let was_idle = !self.has_flows();
        let index = self.flows.borrow_mut().insert(flow, cadence, now);
        self.conns.borrow_mut().set_flow(conn, Some(index));
        if was_idle {
            self.hurry();
        }
        // The first packets leave at once: time to first byte is not a matter of slices.
        self.pump_flow(index, now);
        self.flush_datagrams();
    }

    /// Take a flow away and note what it did.
    pub(super) fn end_flow(&self, index: u32, now: Time) {
        let Some(flow) = self.flows.borrow_mut().remove(index) else {
            return;
        };
        self.conns.borrow_mut().clear_flow(flow.conn, index);
        if !flow.is_over() {
            self.note_end(&flow, now);
        }
    }

    /// The media of a flow is over. Flows of datagrams stay for a while.
    fn finish_flow(&self, index: u32, now: Time) {
        let mut flows = self.flows.borrow_mut();
        match flows.get_mut(index).filter(|flow| flow.is_beside()) {
            Some(flow) => {
                self.note_end(flow, now);
                flow.end(now);
            }
            None => {
                drop(flows);
                self.end_flow(index, now);
            }
        }
    }

    fn note_end(&self, flow: &Flow, now: Time) {
        flow.outlet.counters.sessions.dec();
        self.counters.sessions.dec();
        let record = self.record_of(flow, now);
        self.journal.borrow_mut().flow_ended(record, flow.key, now);
    }

    fn record_of(&self, flow: &Flow, now: Time) -> LogRecord {
        let local = self.conns.borrow().get(flow.conn).map(|c| c.local);
        journal::record_of(flow, self.parts.id, local, now)
    }

    /// What is known of a running flow.
    pub(super) fn running_record(&self, key: FlowKey) -> Option<LogRecord> {
        let flows = self.flows.borrow();
        let index = *flows.by_key.get(&key)?;
        let flow = flows.slots.get(index as usize)?.as_deref()?;
        // What is over has been written down already.
        if flow.is_over() {
            return None;
        }
        Some(self.record_of(flow, rt::now()))
    }

    /// The flow on a connection goes with it.
    pub fn drop_flow_of(&self, conn: ConnId, now: Time) {
        let flow = self.conns.borrow().get(conn).and_then(|c| c.flow);
        if let Some(index) = flow {
            self.end_flow(index, now);
        }
    }

    pub(super) fn with_flow(&self, key: FlowKey, f: impl FnOnce(&mut Flow)) {
        let mut flows = self.flows.borrow_mut();
        let index = flows.by_key.get(&key).copied();
        if let Some(flow) = index.and_then(|i| flows.get_mut(i)) {
            f(flow);
        }
    }

    fn pump_key(&self, key: FlowKey, now: Time) {
        let index = self.flows.borrow().by_key.get(&key).copied();
        if let Some(index) = index {
            self.pump_flow(index, now);
        }
    }

    /// Run the slices whose time has come.
    pub(super) fn run_wheels(&self, now: Time) {
        let wheels = self.flows.borrow().wheels.len();
        for wheel in 0..wheels {
            loop {
                let slice = self.flows.borrow_mut().wheels[wheel].due(now);
                let Some(slice) = slice else { break };
                // Backward, because a flow that leaves is replaced by the last one.
                let mut place = self.flows.borrow().wheels[wheel].slice(slice).len();
                while place > 0 {
                    place -= 1;
                    let flow = {
                        let flows = self.flows.borrow();
                        let slice = flows.wheels[wheel].slice(slice);
                        flows.prefetch(slice, place, FAR, false);
                        flows.prefetch(slice, place, NEAR, true);
                        slice.get(place).copied()
                    };
                    if let Some(index) = flow {
                        self.pump_flow(index, now);
                    }
                }
            }
        }
        self.flush_datagrams();
    }

    /// One turn of one flow.
    fn pump_flow(&self, index: u32, now: Time) {
        let pumped = {
            let mut flows = self.flows.borrow_mut();
            let Some(flow) = flows.get_mut(index) else {
                return;
            };
            if !flow.clear {
                flow.clear = flow.is_beside() || self.conns.borrow().is_clear(flow.conn);
                if !flow.clear {
                    return;
                }
            }
            let was_eager = flow.is_eager();
            let pumped = flow.pump(&mut Turning {
                now,
                scratch: &mut self.scratch.borrow_mut(),
                core: &self.counters,
            });
            let (key, conn, totals) = (flow.key, flow.conn, flow.outlet.totals);
            if was_eager != flow.is_eager() {
                flows.reseat(index, now);
            }
            (pumped, key, conn, totals)
        };
        let (pumped, (front, id), conn, totals) = pumped;
        match pumped {
            Pumped::Alive => {}
            Pumped::Forgotten => self.end_flow(index, now),
            Pumped::Held => self.tell(front, id, FlowEvent::Held(totals)),
            Pumped::Ended(end) => {
                self.finish_flow(index, now);
                self.tell(front, id, FlowEvent::Ended(end, totals));
            }
            Pumped::Dead => {
                tracing::debug!(
                    conn = conn.0,
                    packets = totals.packets,
                    "the connection is gone"
                );
                self.end_flow(index, now);
                // The reading task sees the end and tells the machine.
                self.conns.borrow_mut().break_off(conn);
            }
        }
    }

    /// The core stops: every flow is over, and written down.
    pub(super) fn drop_flows(&self, now: Time) {
        let indices: Vec<u32> = self.flows.borrow().by_key.values().copied().collect();
        for index in indices {
            self.end_flow(index, now);
        }
    }

    /// End the flows of some contents at their next packet boundary.
    pub(super) fn finish_flows(&self, now: Time, of: impl Fn(&OpenContent) -> bool) {
        let indices: Vec<u32> = {
            let mut flows = self.flows.borrow_mut();
            let slots = flows.slots.iter_mut().enumerate();
            slots
                .filter_map(|(index, slot)| {
                    let flow = slot.as_mut().filter(|flow| of(&flow.content))?;
                    flow.finish();
                    Some(index as u32)
                })
                .collect()
        };
        for index in indices {
            self.pump_flow(index, now);
        }
    }

    fn tell(&self, front: u8, flow: FlowId, event: FlowEvent) {
        self.events.borrow_mut().push_back((front, flow, event));
    }

    /// Break the connections of flows whose client has taken nothing for the idle time although
    /// there was something to take.
    pub(super) fn reap_stalled(&self, now: Time) {
        let idle = self.parts.limiter.limits().idle_timeout.get();
        let stalled: Vec<ConnId> = {
            let flows = self.flows.borrow();
            flows
                .slots
                .iter()
                .flatten()
                .filter(|flow| {
                    !flow.is_beside()
                        && now.since(flow.outlet.progress) > idle
                        && rt::queued_bytes(flow.outlet.fd) > 0
                })
                .map(|flow| flow.conn)
                .collect()
        };
        for conn in stalled {
            tracing::info!(conn = conn.0, "closed: took no byte for {idle:?}");
            self.conns.borrow_mut().break_off(conn);
        }
    }
}

fn lost() -> FlowEvent {
    FlowEvent::Ended(FlowEnd::SourceLost, FlowTotals::default())
}

/// The selected video streams, thinned.
fn key_frames_of(selection: Selection, content: &OpenContent) -> Selection {
    let mut thinned = Selection::NONE;
    for stream in content.streams() {
        if stream.kind == StreamKind::Video && selection.level(stream.number) != Level::Off {
            thinned.set(stream.number, Level::KeyOnly);
        }
    }
    thinned
}

/// Framing of a file's own bytes: none.
#[derive(Debug)]
struct Plain;

impl Framer for Plain {
    fn in_place(&self) -> bool {
        false
    }
    fn stamp(&self, _: u32, _: &PacketMeta, _: bool, _: &mut [u8; SLOT_HEAD]) {}
    fn begin(&self, _: &mut Vec<u8>) {}
    fn put(&self, _: u32, _: &PacketMeta, _: bool, packet: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(packet);
    }
    fn finish(&self, _: usize, _: &mut Vec<u8>) {}
    fn overhead(&self) -> u32 {
        0
    }
    fn keeps_padding(&self) -> bool {
        true
    }
}
