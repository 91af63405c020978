//! Flows of datagrams: each packet leaves on its own, together with those of other flows.

use super::Shard;
use super::flow::Turning;
use super::history::History;
use super::outlet::{Cursor, Outlet, Scratch, Turn};
use crate::ops::metrics::CoreCounters;
use crate::points::OpenContent;
use crate::ring::PacketStore;
use crate::rt::{self, Path};
use protocols::machine::{Channel, ConnId, Time};
use protocols::media::{Datagrams, FlowId, SLOT_HEAD};
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
pub struct Spray {
    /// Which of the core's sockets.
    pub port: usize,
    /// Where to.
    pub path: Path,
    /// Bytes of one turn, unless the flow is to run faster than real time: what follows a pause of
    /// the server, or stands at one send time, leaves spread out.
    pub turn_bytes_max: usize,
    /// What can be sent again.
    pub history: History,
    /// What is to be sent again as soon as it has been read: sequence and number.
    pub owed: Vec<(u32, u32)>,
}

impl Outlet {
    /// Hand the run to the socket's volley, one datagram for each packet.
    pub(super) fn send_datagrams<S: PacketStore>(
        &mut self,
        store: &mut S,
        cursor: &mut Cursor,
        now: Time,
        scratch: &mut Scratch,
        core: &CoreCounters,
    ) -> Turn {
        while cursor.seq < cursor.released {
            let Some(spray) = self.spray.as_deref_mut() else {
                break;
            };
            if scratch.ports.is_blocked(spray.port) {
                return Turn::Blocked;
            }
            let Some(slot) = store.slot(cursor.seq).copied() else {
                break;
            };
            let rushed = cursor.seq < cursor.rushed;
            let framed = store.bytes_mut(slot.pos, slot.framed_len());
            let (framer, sequence) = (&self.framer, self.sequence);
            let len = scratch.ports.put(spray.port, &spray.path, core, |out| {
                framer.put(sequence, &slot.meta, rushed, &framed[SLOT_HEAD..], out);
            });
            spray.history.note(sequence, slot.meta.number, now);
            cursor.seq += 1;
            self.sent_one();
            self.count_bytes(len, now, core);
        }
        Turn::Done
    }

    /// Send a packet again that a flow of datagrams sent with this sequence.
    pub fn send_again<S: PacketStore>(
        &mut self,
        store: &mut S,
        sequence: u32,
        number: u32,
        scratch: &mut Scratch,
        core: &CoreCounters,
    ) -> bool {
        let slot = store.slot(store.seek(number)).copied();
        let (Some(slot), Some(spray)) = (slot.filter(|s| s.meta.number == number), &self.spray)
        else {
            return false;
        };
        let framed = store.bytes_mut(slot.pos, slot.framed_len());
        let framer = &self.framer;
        scratch.ports.put(spray.port, &spray.path, core, |out| {
            framer.put(sequence, &slot.meta, false, &framed[SLOT_HEAD..], out);
        });
        true
    }
}

impl Shard {
    /// The sending side of a flow of datagrams of a content whose selected streams have `rate` bit/s.
    /// `None` if the front end has no socket for it.
    pub(super) fn spray(
        &self,
        front: u8,
        conn: ConnId,
        datagrams: &Datagrams,
        rate: u32,
        content: &OpenContent,
    ) -> Option<Spray> {
        let (local, fd) = self.conns.borrow().get(conn).map(|c| (c.local, c.fd))?;
        let scratch = self.scratch.borrow();
        let ports = &scratch.ports;
        let (port, path) = ports.find(front, datagrams.channel, local, datagrams.to)?;
        rt::set_user_timeout(fd, DATAGRAM_PEER_TIMEOUT);
        // Twice the rate: enough to catch up, and no flood for whoever cannot take one.
        let turn = u64::from(rate) / 8 * DATAGRAM_CADENCE.as_millis() as u64 / 1000 * 2;
        let few = DATAGRAM_BURST * content.facts.packet_size;
        Some(Spray {
            port,
            path,
            turn_bytes_max: usize::try_from(turn)
                .unwrap_or(usize::MAX)
                .max(few as usize),
            history: History::new(datagrams.resend_window, datagrams.resend_count_max),
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
