//! One connection of a client: requests out, replies in their order.

use super::request::Kind;
use crate::http::replies::Reader;
use crate::machine::{ConnId, Time};
use bytes::Bytes;
use std::collections::VecDeque;

/// A request in writing.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub kind: Kind,
    pub bytes: Bytes,
    /// It was already lost once with a connection that the server closed meanwhile.
    pub retried: bool,
}

/// A connection and what goes on there.
#[derive(Debug)]
pub(super) struct Link {
    pub conn: ConnId,
    pub opened: bool,
    /// The peer closed it; it must not be named again.
    pub gone: bool,
    pub reader: Reader,
    /// Not yet written.
    pub waiting: VecDeque<Request>,
    /// Written, without a complete reply.
    pub due: VecDeque<Request>,
    /// Replies completed.
    pub served: u32,
    /// A reply's body is being read; it began at this stream offset.
    pub body: Option<u64>,
    /// The reply that is being read is an interim one, or says that the connection ends with it.
    pub interim: bool,
    pub last: bool,
    /// Last sign of progress.
    pub since: Time,
}

impl Link {
    pub fn new(conn: ConnId, now: Time) -> Link {
        Link {
            conn,
            opened: false,
            gone: false,
            reader: Reader::default(),
            waiting: VecDeque::new(),
            due: VecDeque::new(),
            served: 0,
            body: None,
            interim: false,
            last: false,
            since: now,
        }
    }

    /// Put the requests that were written and not replied to back in front of those that wait.
    pub fn ask_again(&mut self) {
        while let Some(mut request) = self.due.pop_back() {
            request.retried = true;
            self.waiting.push_front(request);
        }
    }

    /// The next request to be written, if one may be: one at a time, unless pipelining is agreed on
    /// or the request is part of its test.
    pub fn next_request(&mut self, pipelined: bool) -> Option<Bytes> {
        let first = self.waiting.front()?;
        let free = pipelined || self.due.is_empty() || first.kind == Kind::Pipeline2;
        if !self.opened || self.gone || !free {
            return None;
        }
        let request = self.waiting.pop_front()?;
        let bytes = request.bytes.clone();
        self.due.push_back(request);
        Some(bytes)
    }

    /// True if the peer owes something that a well-behaved one gives at once: the connection, or a
    /// reply other than the body of a stream.
    pub fn is_owed(&self) -> bool {
        let streaming = |r: &Request| r.kind.streams() && self.body.is_some();
        !self.opened || self.due.front().is_some_and(|r| !streaming(r))
    }

    /// True if a request of this kind is not yet replied to.
    pub fn has(&self, kind: Kind) -> bool {
        self.due.iter().chain(&self.waiting).any(|r| r.kind == kind)
    }
}
