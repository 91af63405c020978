//! One connection of a push session.

use crate::http::replies::{Reader, ReplyHead};
use crate::machine::{ConnId, Time};

/// A connection and what goes on there.
#[derive(Debug)]
pub struct Link {
    pub conn: ConnId,
    pub opened: bool,
    pub reader: Reader,
    /// A request was written that has no complete reply.
    pub due: bool,
    /// Head of the reply whose body is being read.
    pub head: Option<ReplyHead>,
    /// Bytes of that body.
    pub body_len: usize,
    /// Replies completed.
    pub served: u32,
    /// The peer does not take another request here.
    pub last: bool,
    /// The PushStart whose body is being sent has been answered already.
    pub answered: bool,
    /// When what is waited for was begun.
    pub since: Time,
}

impl Link {
    pub fn new(conn: ConnId, now: Time) -> Link {
        Link {
            conn,
            opened: false,
            reader: Reader::default(),
            due: false,
            head: None,
            body_len: 0,
            served: 0,
            last: false,
            answered: false,
            since: now,
        }
    }
}
