//! The way of one sender to its group: a socket, what was sent through it, and what went wrong.

use crate::ops::metrics::CastCounters;
use crate::rt::{GroupOptions, GroupSocket};
use crossbeam::utils::CachePadded;
use protocols::machine::Time;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long after a failure to open the socket it is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// How often a failure is written down, if it stays.
const COMPLAINT: Duration = Duration::from_secs(60);

/// See the module.
pub struct Line {
    /// For messages.
    point: String,
    options: GroupOptions,
    counters: Arc<CachePadded<CastCounters>>,
    socket: Option<GroupSocket>,
    retry_at: Time,
    complained: Option<Time>,
    failing: bool,
}

impl Line {
    /// Open the socket. If that fails it is tried again when there is something to send: an interface may
    /// come later than the server.
    pub fn open(
        point: &str,
        options: GroupOptions,
        counters: Arc<CachePadded<CastCounters>>,
        now: Time,
    ) -> Line {
        let mut line = Line {
            point: point.to_owned(),
            options,
            counters,
            socket: None,
            retry_at: now,
            complained: None,
            failing: false,
        };
        line.try_open(now);
        line
    }

    /// Send one datagram. One that the kernel does not take is lost.
    pub fn send(&mut self, bytes: &[u8], now: Time) {
        if self.socket.is_none() && now >= self.retry_at {
            self.try_open(now);
        }
        let Some(socket) = &self.socket else {
            self.counters.errors.inc();
            return;
        };
        match socket.send(bytes) {
            Ok(()) => {
                self.counters.datagrams.inc();
                self.counters.bytes.add(bytes.len() as u64);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(point = self.point, group = %self.options.group, "sends again");
                }
            }
            Err(error) => {
                self.counters.errors.inc();
                self.complain(&error, now);
            }
        }
    }

    fn try_open(&mut self, now: Time) {
        match GroupSocket::open(&self.options) {
            Ok(socket) => self.socket = Some(socket),
            Err(error) => {
                self.retry_at = now + RETRY;
                self.complain(&error, now);
            }
        }
    }

    fn complain(&mut self, error: &io::Error, now: Time) {
        self.failing = true;
        if self.complained.is_some_and(|at| now.since(at) < COMPLAINT) {
            return;
        }
        self.complained = Some(now);
        let (point, group) = (&self.point, self.options.group);
        tracing::warn!(point, %group, %error, "cannot be sent to its group");
    }
}
