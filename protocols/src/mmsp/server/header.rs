//! ReadBlock: the ASF header in Data packets (MS-MMSP 3.2.5.8, 3.2.5.9).

use super::conn::Conn;
use super::session::{Change, FILE_ID, HeaderOut, State, bit_rate};
use super::{Server, Timer};
use crate::machine::{ConnId, Output, Time};
use crate::mmsp::hresult;
use crate::mmsp::message::{DataHead, ToClient};
use crate::mmsp::names::Funnel;
use crate::mmsp::wire::{self, Asks, DATA_PAYLOAD_MAX_UDP};
use bytes::Bytes;
use rand_chacha::rand_core::RngCore;
use std::net::SocketAddr;
use std::time::Duration;

/// Random bytes of each datagram of a packet pair (MMSP-61, BW-20).
const PAIR_PAYLOAD: usize = 1464;
/// bit/s at which headers are sent of contents whose rate is not known.
const RATE_UNKNOWN: u32 = 256_000;
/// How long a client may take to start an entry that follows another (MMSP-90).
pub(super) const ENTRY_WAIT: Duration = Duration::from_secs(2);

impl Conn {
    /// Where datagrams go: never anywhere but to the connection's other end (MMSP-32).
    pub(super) fn datagrams_to(&self) -> Option<SocketAddr> {
        match self.funnel {
            Funnel::Tcp => None,
            Funnel::Udp(port) => Some(SocketAddr::new(self.peer.ip(), port)),
        }
    }
}

impl Server {
    pub(super) fn read_block(
        &mut self,
        now: Time,
        conn: ConnId,
        open_file_id: u32,
        play_incarnation: u32,
    ) {
        if open_file_id != FILE_ID {
            // MMSP-55
            let hr = hresult::NS_E_INVALID_REQUEST;
            return self.refuse(now, conn, Asks::ReadBlock, hr, play_incarnation);
        }
        // MMSP-56
        self.send_pair(conn);
        let report = ToClient::ReportReadBlock {
            hr: hresult::S_OK,
            play_incarnation,
        };
        self.say(now, conn, &report);
        self.send_header(now, conn, play_incarnation as u8);
    }

    fn send_pair(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        if !c.udp_pair || c.datagrams_to().is_none() {
            return;
        }
        for index in 0..2 {
            let mut bytes = DataHead::of_pair(index, PAIR_PAYLOAD).bytes().to_vec();
            bytes.resize(DataHead::LEN + PAIR_PAYLOAD, 0);
            if let Some(random) = bytes.get_mut(DataHead::LEN..) {
                self.rng.fill_bytes(random);
            }
            self.send_data(conn, bytes);
        }
    }

    /// Send one Data packet, where media goes (MMSP-96).
    fn send_data(&mut self, conn: ConnId, bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        let to = self.conns.get(&conn).and_then(|c| c.datagrams_to());
        self.out.push_back(match to {
            Some(peer) => Output::SendTo {
                conn,
                channel: self.config.channel,
                peer,
                bytes,
            },
            None => Output::Send { conn, bytes },
        });
    }

    /// Begin the header anew, with its first fragment at once (MMSP-57, MMSP-62).
    pub(super) fn send_header(&mut self, now: Time, conn: ConnId, play_incarnation: u8) {
        let Some(open) = self.conns.get_mut(&conn).and_then(|c| c.open.as_mut()) else {
            return;
        };
        let content = &open.content;
        let rate = match bit_rate(&content.streams) {
            0 => RATE_UNKNOWN,
            rate => rate,
        };
        open.header = Some(HeaderOut {
            header: content.header.clone(),
            // MMSP-59
            payload_max: (content.packet_size as usize).min(DATA_PAYLOAD_MAX_UDP),
            play_incarnation: play_incarnation.max(1),
            next: 0,
            rate,
        });
        self.next_fragment(now, conn);
    }

    /// Send the next fragment; the one after it waits its time (MMSP-60).
    pub(super) fn next_fragment(&mut self, now: Time, conn: ConnId) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if !c.may_write() {
            // A flow on the connection was started meanwhile: nobody waits for this header any more.
            return self.cancel_read_block(conn);
        }
        let Some(out) = c.open.as_mut().and_then(|o| o.header.as_mut()) else {
            return;
        };
        let mut fragments = wire::fragments(&out.header, out.payload_max, out.play_incarnation);
        let fragment = fragments.nth(out.next as usize);
        let is_last = fragments.next().is_none();
        let bytes = fragment.map(|(head, payload)| [&head.bytes()[..], payload].concat());
        out.next += 1;
        let rate = u64::from(out.rate.max(1));
        let bits = bytes.as_ref().map_or(0, |b| b.len() as u64 * 8);
        if let Some(bytes) = bytes {
            self.send_data(conn, bytes);
        }
        if is_last {
            return self.header_is_out(now, conn);
        }
        let pause = Duration::from_micros((bits * 1_000_000).div_ceil(rate));
        self.timers.arm(Timer::Header(conn), now + pause);
    }

    fn header_is_out(&mut self, now: Time, conn: ConnId) {
        self.timers.disarm(Timer::Header(conn));
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if let Some(open) = &mut c.open {
            open.header = None;
            if open.change == Change::Header {
                open.change = Change::Waiting;
                self.timers.arm(Timer::Entry(conn), now + ENTRY_WAIT);
            }
        }
        if c.state == State::Opened {
            c.state = State::Ready;
        }
        self.unpark(now, conn);
    }

    /// MMSP-62
    pub(super) fn cancel_read_block(&mut self, conn: ConnId) {
        self.timers.disarm(Timer::Header(conn));
        if let Some(open) = self.conns.get_mut(&conn).and_then(|c| c.open.as_mut()) {
            open.header = None;
        }
    }
}
