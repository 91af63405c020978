//! Counters of what is sent to groups.

use super::{Counter, Lateness};

/// Counters of one point and group protocol. Only the core that sends may write them.
#[derive(Debug)]
pub struct CastCounters {
    /// Which point.
    pub(super) point: Box<str>,
    /// `msb` or `msbd`.
    pub(super) protocol: &'static str,
    /// Datagrams given to the network, of any kind.
    pub datagrams: Counter,
    /// Bytes of these datagrams.
    pub bytes: Counter,
    /// Media packets.
    pub packets: Counter,
    /// Parity packets.
    pub parity: Counter,
    /// Signs of life.
    pub beacons: Counter,
    /// Announcements of the session.
    pub announcements: Counter,
    /// Entries that were begun.
    pub entries: Counter,
    /// Datagrams that the kernel did not take.
    pub errors: Counter,
    /// Packets that were left out: past or far ahead, damaged, too large.
    pub dropped: Counter,
    /// Packets that left later than they should have by more than receivers' buffers may be asked for.
    pub late: Counter,
    /// How late packets left.
    pub lateness: Lateness,
}

impl CastCounters {
    pub(super) fn new(point: &str, protocol: &'static str) -> CastCounters {
        CastCounters {
            point: point.into(),
            protocol,
            datagrams: Counter::default(),
            bytes: Counter::default(),
            packets: Counter::default(),
            parity: Counter::default(),
            beacons: Counter::default(),
            announcements: Counter::default(),
            entries: Counter::default(),
            errors: Counter::default(),
            dropped: Counter::default(),
            late: Counter::default(),
            lateness: Lateness::default(),
        }
    }
}

type CastValue = fn(&CastCounters) -> u64;

/// Name, help, value of the counters.
#[rustfmt::skip]
pub(super) const FAMILIES: &[(&str, &str, CastValue)] = &[
    ("datagrams_total", "Datagrams sent to the group.", |c| c.datagrams.get()),
    ("bytes_total", "Bytes of these datagrams.", |c| c.bytes.get()),
    ("packets_total", "Media packets sent to the group.", |c| c.packets.get()),
    ("parity_total", "Parity packets sent to the group.", |c| c.parity.get()),
    ("beacons_total", "Signs of life sent while there was nothing else to send.", |c| c.beacons.get()),
    ("announcements_total", "SAP announcements of the group.", |c| c.announcements.get()),
    ("entries_total", "Entries begun.", |c| c.entries.get()),
    ("errors_total", "Datagrams that the kernel did not take.", |c| c.errors.get()),
    ("dropped_total", "Packets left out: past, far ahead, damaged or too large.", |c| c.dropped.get()),
    ("late_total", "Packets that left more than 20 ms late.", |c| c.late.get()),
];
