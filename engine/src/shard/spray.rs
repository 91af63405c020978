//! Flows of datagrams: each packet leaves on its own, together with those of other flows.

use super::Shard;
use super::flow::Turning;
use super::history::History;
use super::outlet::{Cursor, Outlet, Scratch, Turn};
use super::ports::Ports;
use crate::ops::metrics::CoreCounters;
use crate::points::OpenContent;
use crate::ring::PacketStore;
use crate::rt::{self, Path};
use protocols::machine::{Channel, ConnId, Time};
use protocols::media::{Datagrams, FlowId, SLOT_HEAD, Spray};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

/// How often a flow of datagrams is served at least: what one turn sends arrives as a burst.
pub const DATAGRAM_CADENCE: Duration = Duration::from_millis(20);

/// Packets that one turn of a flow of datagrams may send whatever its rate.
const DATAGRAM_BURST: u32 = 4;

/// A client that leaves what is sent on its control connection unacknowledged for so long is gone.
const DATAGRAM_PEER_TIMEOUT: Duration = Duration::from_secs(90);

/// How a flow of datagrams sends.
pub struct Beside {
    /// For each lane, which of the core's sockets and where to.
    pub lanes: Vec<(usize, Path)>,
    /// By which of them lost datagrams are sent again.
    pub again_lane: usize,
    /// Bytes of one turn, unless the flow is to run faster than real time: what follows a pause of
    /// the server, or stands at one send time, leaves spread out.
    pub turn_bytes_max: usize,
    /// What can be sent again.
    pub history: History,
    /// What is to be sent again as soon as it has been read.
    pub owed: Vec<Owed>,
}

/// A datagram that is to be sent again.
#[derive(Clone, Copy, Debug)]
pub struct Owed {
    /// Its sequence.
    pub sequence: u32,
    /// Of which packet.
    pub number: u32,
    /// Which of that packet's datagrams.
    pub piece: u32,
}

impl Beside {
    /// True while a socket takes no more.
    pub fn is_blocked(&self, ports: &Ports) -> bool {
        self.lanes.iter().any(|(port, _)| ports.is_blocked(*port))
    }

    /// A sink for one packet's datagrams, of which the first on lane 0 has `sequence`. If `kept` they
    /// are remembered whole.
    pub fn sink<'a>(
        &'a mut self,
        sequence: u32,
        kept: bool,
        now: Time,
        ports: &'a mut Ports,
        core: &'a CoreCounters,
    ) -> Sink<'a> {
        Sink {
            beside: self,
            sequence,
            kept,
            now,
            ports,
            core,
            pieces: 0,
            bytes: 0,
        }
    }
}

/// Takes the datagrams of one packet.
pub struct Sink<'a> {
    beside: &'a mut Beside,
    sequence: u32,
    kept: bool,
    now: Time,
    ports: &'a mut Ports,
    core: &'a CoreCounters,
    /// Datagrams on lane 0.
    pub pieces: u32,
    /// Bytes on all lanes.
    pub bytes: usize,
}

impl Spray for Sink<'_> {
    fn datagram(&mut self, lane: usize, write: &mut dyn FnMut(&mut Vec<u8>)) {
        let Some((port, path)) = self.beside.lanes.get(lane) else {
            return;
        };
        let history = &mut self.beside.history;
        let sequence = self.sequence.wrapping_add(self.pieces);
        let (kept, now) = (self.kept && lane == 0, self.now);
        self.bytes += self.ports.put(*port, path, self.core, |out| {
            let start = out.len();
            write(out);
            if kept {
                history.keep(sequence, &out[start..], now);
            }
        });
        self.pieces += u32::from(lane == 0);
    }
}

impl Outlet {
    /// Hand the run to the sockets' volleys.
    pub(super) fn send_datagrams<S: PacketStore>(
        &mut self,
        store: &mut S,
        cursor: &mut Cursor,
        now: Time,
        scratch: &mut Scratch,
        core: &CoreCounters,
    ) -> Turn {
        while cursor.seq < cursor.released {
            let Some(beside) = self.beside.as_deref_mut() else {
                break;
            };
            if beside.is_blocked(&scratch.ports) {
                return Turn::Blocked;
            }
            let Some(slot) = store.slot(cursor.seq).copied() else {
                break;
            };
            let rushed = cursor.seq < cursor.rushed;
            let framed = store.bytes_mut(slot.pos, slot.framed_len());
            let packet = &framed[SLOT_HEAD..];
            let sequence = self.sequence;
            let mut sink = beside.sink(sequence, false, now, &mut scratch.ports, core);
            self.framer
                .spray(sequence, &slot.meta, rushed, packet, &mut sink);
            let Sink { pieces, bytes, .. } = sink;
            let history = &mut beside.history;
            history.note(sequence, slot.meta.number, pieces, now);
            cursor.seq += 1;
            self.sent_one(pieces);
            self.count_bytes(bytes, now, core);
        }
        Turn::Done
    }

    /// Send a datagram of a packet again.
    pub fn send_again<S: PacketStore>(
        &mut self,
        store: &mut S,
        owed: Owed,
        scratch: &mut Scratch,
        core: &CoreCounters,
    ) -> bool {
        let slot = store.slot(store.seek(owed.number)).copied();
        let slot = slot.filter(|s| s.meta.number == owed.number);
        let beside = self.beside.as_deref();
        let lane = beside.and_then(|b| b.lanes.get(b.again_lane));
        let (Some(slot), Some((port, path))) = (slot, lane) else {
            return false;
        };
        let framed = store.bytes_mut(slot.pos, slot.framed_len());
        let packet = &framed[SLOT_HEAD..];
        let Owed {
            sequence, piece, ..
        } = owed;
        scratch.ports.put(*port, path, core, |out| {
            self.framer.again(sequence, piece, &slot.meta, packet, out);
        });
        true
    }
}

impl Shard {
    /// The sending side of a flow of datagrams of a content whose selected streams have `rate` bit/s.
    /// `None` if the front end has no socket for it.
    pub(super) fn beside(
        &self,
        front: u8,
        conn: ConnId,
        datagrams: &Datagrams,
        rate: u32,
        content: &OpenContent,
    ) -> Option<Beside> {
        let (local, fd) = self.conns.borrow().get(conn).map(|c| (c.local, c.fd))?;
        let scratch = self.scratch.borrow();
        let ports = &scratch.ports;
        let lanes = datagrams.lanes.iter();
        let lanes = lanes.map(|lane| ports.find(front, lane.channel, local, lane.to));
        let lanes = lanes.collect::<Option<Vec<_>>>()?;
        let (window, count_max, again_lane) = datagrams
            .resend
            .map_or((Duration::ZERO, 0, 0), |r| (r.window, r.count_max, r.lane));
        rt::set_user_timeout(fd, DATAGRAM_PEER_TIMEOUT);
        // Twice the rate: enough to catch up, and no flood for whoever cannot take one.
        let turn = u64::from(rate) / 8 * DATAGRAM_CADENCE.as_millis() as u64 / 1000 * 2;
        let few = DATAGRAM_BURST * content.facts.packet_size;
        Some(Beside {
            lanes,
            again_lane,
            turn_bytes_max: usize::try_from(turn)
                .unwrap_or(usize::MAX)
                .max(few as usize),
            history: History::new(window, count_max),
            owed: Vec::new(),
        })
    }

    /// Send packets of a flow again.
    pub(super) fn resend(&self, key: (u8, FlowId), sequences: &[u32], now: Time) {
        let scratch = &mut *self.scratch.borrow_mut();
        self.with_flow(key, |flow| {
            let core = &self.counters;
            flow.resend(sequences, &mut Turning { now, scratch, core });
            scratch.ports.flush(core);
        });
    }

    /// Send the datagrams that turns have left to leave together.
    pub(super) fn flush_datagrams(&self) {
        self.scratch.borrow_mut().ports.flush(&self.counters);
    }

    /// Send one datagram of a front end, now and alone.
    pub fn send_datagram(
        &self,
        front: u8,
        conn: ConnId,
        channel: Channel,
        to: SocketAddr,
        bytes: &[u8],
    ) {
        let Some(local) = self.conns.borrow().get(conn).map(|c| c.local) else {
            return;
        };
        let ports = &self.scratch.borrow().ports;
        if let Some((port, path)) = ports.find(front, channel, local, to) {
            ports.send_now(port, &path, bytes, &self.counters);
        }
    }

    /// Add a UDP socket of a front end; it must stay open as long as the core runs.
    pub fn add_port(&self, front: u8, channel: Channel, local: SocketAddr, fd: RawFd) {
        let ports = &mut self.scratch.borrow_mut().ports;
        ports.add(front, channel, local, fd);
    }
}
