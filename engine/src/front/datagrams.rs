//! Receiving datagrams on a front end's UDP sockets.

use super::driver::feed;
use crate::rt;
use crate::rt::{BoundDatagrams, Datagrams};
use crate::shard::Shard;
use protocols::machine::{Channel, Input};
use std::rc::Rc;
use std::time::Duration;

/// Longest datagram that any machine expects from a peer, bytes.
const LENGTH_MAX: usize = 2048;

/// Datagrams that are taken one after another before others have their turn.
const RUN_MAX: u32 = 64;

/// Pause after receiving failed.
const BACKOFF: Duration = Duration::from_millis(100);

/// Serve a UDP socket on this core: what arrives goes to the front end's machine, and what the front
/// end's flows send may leave here.
pub fn receive(shard: &Rc<Shard>, front: u8, channel: Channel, bound: BoundDatagrams) {
    let local = bound.local;
    let socket = Datagrams::new(bound);
    shard.add_port(front, channel, local, socket.fd());
    let shard = Rc::clone(shard);
    rt::spawn(async move {
        let mut buffer = vec![0; LENGTH_MAX];
        let mut run = 0;
        loop {
            match socket.receive(&mut buffer).await {
                Ok((len, peer)) => {
                    shard.counters().bytes_received.add(len as u64);
                    let bytes = &buffer[..len.min(LENGTH_MAX)];
                    feed(
                        &shard,
                        front,
                        Input::Datagram {
                            channel,
                            peer,
                            bytes,
                        },
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, %local, "a datagram could not be received");
                    rt::sleep(BACKOFF).await;
                }
            }
            run += 1;
            if run == RUN_MAX {
                run = 0;
                rt::give_way().await;
            }
        }
    });
}
