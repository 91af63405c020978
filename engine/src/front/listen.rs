//! Accepting connections and reading from them.

use super::driver::feed;
use crate::ops::metrics::RefusedReason;
use crate::points::reason_of;
use crate::rt;
use crate::rt::net::{Bound, Listener, Stream};
use crate::shard::{Adopted, Given, Shard};
use bytes::Bytes;
use protocols::machine::Input;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

/// Connections that are taken from the queue at once, so that media has its turn in between.
const ACCEPT_COUNT_MAX: usize = 64;

/// Pause after accepting failed, usually for want of descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serve a listener on this core. Returns its descriptor, by which it is stopped: shutting the
/// socket down ends the accept task without losing a connection.
pub fn listen(shard: &Rc<Shard>, front: u8, bound: Bound) -> RawFd {
    let listener = Listener::new(bound);
    let fd = listener.fd();
    let shard = Rc::clone(shard);
    rt::spawn(async move {
        let mut streams = Vec::new();
        loop {
            let accepted = listener.accept(ACCEPT_COUNT_MAX, &mut streams).await;
            if shard.is_draining() {
                return;
            }
            for stream in streams.drain(..) {
                admit(&shard, front, stream);
            }
            if let Err(error) = accepted {
                // The listener was shut down; the word about draining is still on its way.
                if error.raw_os_error() == Some(libc::EINVAL) {
                    return;
                }
                tracing::warn!(%error, "a connection could not be accepted");
                rt::sleep(ACCEPT_BACKOFF).await;
            }
        }
    });
    fd
}

fn admit(shard: &Rc<Shard>, front: u8, stream: Stream) {
    shard.counters().accepts.inc();
    let Ok((peer, _)) = stream.addresses() else {
        return;
    };
    match shard.limiter().connect(peer.ip(), rt::now()) {
        Ok(admission) => {
            let unsent = Bytes::new();
            serve(
                shard,
                front,
                stream,
                Given { admission, unsent },
                Bytes::new(),
            );
        }
        Err(by) => {
            let reason: RefusedReason = reason_of(by);
            shard.counters().refuse(reason);
            tracing::debug!(%peer, reason = reason.name(), "connection refused");
            rt::shut_down(stream.fd(), Shutdown::Both);
        }
    }
}

/// Go on with a connection that another core handed over.
pub fn adopt(shard: &Rc<Shard>, adopted: Adopted) {
    let stream = Stream::adopt(adopted.fd);
    serve(shard, adopted.front, stream, adopted.given, adopted.unread);
}

fn serve(shard: &Rc<Shard>, front: u8, mut stream: Stream, given: Given, unread: Bytes) {
    let Ok((peer, local)) = stream.addresses() else {
        return;
    };
    let conn = shard
        .conns()
        .borrow_mut()
        .open(front, stream.fd(), peer, local, given.admission);
    if !given.unsent.is_empty() {
        shard.conns().borrow_mut().write(conn, given.unsent);
        shard.hurry();
    }
    let shard = Rc::clone(shard);
    rt::spawn(async move {
        feed(&shard, front, Input::Opened { conn, peer, local });
        if !unread.is_empty() {
            feed(
                &shard,
                front,
                Input::Data {
                    conn,
                    bytes: &unread,
                },
            );
        }
        drop(unread);
        loop {
            let mut publishes = false;
            let read = stream
                .read(
                    shard.receive_buffer(),
                    |reader| shard.conns().borrow_mut().may_read(conn, reader),
                    |bytes| {
                        shard.counters().bytes_received.add(bytes.len() as u64);
                        if shard.conns().borrow().is_open(conn) {
                            let before = shard.ingested();
                            feed(&shard, front, Input::Data { conn, bytes });
                            publishes = shard.ingested() != before;
                        }
                    },
                )
                .await;
            let n = read.unwrap_or(0);
            if n == 0 || shard.conns().borrow().is_gone(conn) {
                break;
            }
            // What a publisher sends is passed on at ticks, and waking up for each packet costs far more
            // than the packet: it is read when it is wanted. A full buffer had no room for all that came.
            if publishes && n < shard.receive_buffer().borrow().len() {
                shard.next_tick().await;
            }
        }
        shard.drop_flow_of(conn, rt::now());
        let removed = shard.conns().borrow_mut().remove(conn);
        // A connection that broke under us is news to the machine; one that it closed is not.
        if removed.is_some_and(|c| c.machine_holds()) {
            feed(&shard, front, Input::Closed { conn });
        }
    });
}
