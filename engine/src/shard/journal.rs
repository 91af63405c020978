//! What is written down about sessions: counters by point and protocol, and log records.

use super::flow::Flow;
use crate::front::Front;
use crate::ops::config::PointConfig;
use crate::ops::log::{Event, LogHandle, LogRecord, now_ms};
use crate::ops::metrics::{Metrics, PointCounters};
use crossbeam::utils::CachePadded;
use protocols::content::Protocol;
use protocols::machine::{CoreId, Fault, Report, Time};
use protocols::media::FlowId;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// A client's log may come this long after its flow has ended; then the flow gets its own line.
const LOG_PATIENCE: Duration = Duration::from_secs(60);

/// Ended flows that wait for their client's log.
const RECENT_COUNT_MAX: usize = 20_000;

/// Counters shared by all flows of a point and protocol on a core.
pub type FlowCounters = Arc<CachePadded<PointCounters>>;

type FlowKey = (u8, FlowId);

/// See the module.
pub struct Journal {
    log: LogHandle,
    counters: HashMap<(String, Protocol), FlowCounters>,
    recent: HashMap<FlowKey, Recent>,
    order: VecDeque<(Time, FlowKey)>,
}

struct Recent {
    record: LogRecord,
    logged: bool,
}

impl Journal {
    /// Nothing has happened.
    pub fn new(log: LogHandle) -> Journal {
        Journal {
            log,
            counters: HashMap::new(),
            recent: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The counters of a point and protocol on this core.
    pub fn counters(
        &mut self,
        metrics: &Metrics,
        core: CoreId,
        point: &PointConfig,
        protocol: Protocol,
    ) -> FlowCounters {
        // A lookup without making a key would need a borrowed pair; flows start rarely enough.
        let key = (point.name.clone(), protocol);
        let made = self
            .counters
            .entry(key)
            .or_insert_with(|| metrics.point(core, &point.name, protocol));
        Arc::clone(made)
    }

    /// A point is gone; its counters are made anew if one of its name comes again.
    pub fn forget_point(&mut self, name: &str) {
        self.counters.retain(|key, _| key.0 != name);
    }

    /// A flow has ended: its line waits for the client's log.
    pub fn flow_ended(&mut self, record: LogRecord, key: FlowKey, now: Time) {
        if self.order.len() >= RECENT_COUNT_MAX {
            self.expire_one();
        }
        let recent = Recent {
            record,
            logged: false,
        };
        self.order.push_back((now + LOG_PATIENCE, key));
        self.recent.insert(key, recent);
    }

    /// A machine reports something. `running` is the record so far of the flow that a client's log
    /// is about, if it still runs; `point` the one that a log without a flow names.
    pub fn report(
        &mut self,
        number: u8,
        report: Report,
        front: &Front,
        running: Option<LogRecord>,
        point: Option<Arc<str>>,
    ) {
        match report {
            Report::ClientLog {
                session,
                flow,
                peer,
                target,
                user_agent,
                log,
            } => {
                let ended = flow.and_then(|flow| self.recent.get_mut(&(number, flow)));
                let known = match ended {
                    Some(recent) => {
                        recent.logged = true;
                        Some(recent.record.clone())
                    }
                    None => running,
                };
                let event = Event::ClientLog(log);
                let record = match known {
                    Some(record) => LogRecord {
                        unix_ms: now_ms(),
                        event,
                        ..record
                    },
                    None => LogRecord {
                        point,
                        target,
                        user_agent,
                        session,
                        ..LogRecord::new(event, front.protocol, peer, front.local)
                    },
                };
                self.log.push(record);
            }
            Report::Refused {
                peer,
                target,
                user_agent,
                status,
                reason,
            } => {
                let event = Event::Refused { reason };
                let mut record = LogRecord::new(event, front.protocol, peer, front.local);
                record.target = target;
                record.user_agent = user_agent;
                record.status = status;
                self.log.push(record);
            }
        }
    }

    /// A peer broke the protocol.
    pub fn fault(
        &self,
        protocol: Protocol,
        conn: u64,
        peer: SocketAddr,
        local: SocketAddr,
        fault: Fault,
    ) {
        let event = Event::Fault {
            connection: conn,
            offset: fault.offset,
            reason: fault.reason,
        };
        self.log.push(LogRecord::new(event, protocol, peer, local));
    }

    /// Write the lines of flows whose client's log did not come.
    pub fn expire(&mut self, now: Time) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.expire_one();
        }
    }

    /// Write everything that waits.
    pub fn close(&mut self) {
        while !self.order.is_empty() {
            self.expire_one();
        }
    }

    fn expire_one(&mut self) {
        let Some((_, key)) = self.order.pop_front() else {
            return;
        };
        if let Some(Recent { mut record, logged }) = self.recent.remove(&key) {
            record.event = Event::Ended { logged };
            self.log.push(record);
        }
    }
}

/// What is known of a flow so far.
pub fn record_of(flow: &Flow, core: CoreId, local: Option<SocketAddr>, now: Time) -> LogRecord {
    let client = &flow.content.client;
    let point = &flow.content.point.config;
    let local = local.unwrap_or_else(|| unknown(client.peer));
    let event = Event::Ended { logged: false };
    let protocol = match flow.is_beside() {
        true => client.protocol.beside(),
        false => client.protocol,
    };
    let began = client.since.duration_since(UNIX_EPOCH).unwrap_or_default();
    LogRecord {
        point: Some(point.name.as_str().into()),
        // Unique on this server: machines number their flows core by core.
        session: flow.key.1.0 << 8 | u64::from(core.0),
        authority: client.authority.clone(),
        target: client.target.clone(),
        user_agent: client.user_agent.clone(),
        user: client.user.clone(),
        content: flow.content.source_name(),
        started_ms: u64::try_from(began.as_millis()).unwrap_or(u64::MAX),
        sent_ms: u64::try_from(now.since(flow.begun).as_millis()).unwrap_or(u64::MAX),
        sent_bytes: flow.outlet.totals.bytes,
        sent_packets: flow.outlet.totals.packets,
        ..LogRecord::new(event, protocol, client.peer, local)
    }
}

/// The local address of a connection that has already gone.
fn unknown(peer: SocketAddr) -> SocketAddr {
    let any = match peer.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(any, 0)
}
