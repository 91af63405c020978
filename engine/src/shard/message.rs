//! What cores tell each other.

use super::conns::Given;
use crate::points::{Batch, LiveHead, Point};
use bytes::Bytes;
use protocols::machine::{Channel, CoreId};
use protocols::media::IngestEvent;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A message on a lane.
pub enum Message {
    /// Live packets of a point's entry that have just become due.
    Batch(u32, u32, Arc<Batch>),
    /// A core joins a live stream: all its home still has.
    Past(u32, Arc<LiveHead>, Vec<Arc<Batch>>),
    /// A live stream has ended or cannot be had.
    Gone(u32),
    /// To a point's home: send me its packets.
    Subscribe(Arc<Point>, CoreId),
    /// To a point's home: no longer.
    Unsubscribe(u32, CoreId),
    /// To a point's home: the program that runs the server is its source, and gives it this.
    Fed(u32, IngestEvent),
    /// A connection whose session lives on the receiving core.
    Adopt(Box<Adopted>),
    /// A datagram whose session lives on the receiving core.
    Datagram {
        /// Which front end.
        front: u8,
        /// On which of its sockets it arrived.
        channel: Channel,
        /// Its sender.
        peer: SocketAddr,
        /// Payload.
        bytes: Bytes,
    },
    /// The points that exist from now on.
    Points(Arc<Vec<Arc<Point>>>),
    /// Take no new sessions.
    Drain,
    /// End every session in order.
    Finish,
    /// Stop.
    Stop,
}

/// See [`Message::Adopt`].
pub struct Adopted {
    /// Which front end.
    pub front: u8,
    /// The connection.
    pub fd: OwnedFd,
    /// Bytes that were read and not consumed.
    pub unread: Bytes,
    /// What belongs to it.
    pub given: Given,
}
