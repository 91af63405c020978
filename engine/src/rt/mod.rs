//! The runtime: executors, timers, sockets, files. The only module that names glommio.
//!
//! Rules that glommio 0.9 needs (a stall of its executor was measured without them): one task
//! queue, the default preemption timer, ring depth 4096, and one periodic timer always alive per
//! executor, which the pacing tick is.

mod alarm;
mod datagram;
mod doorbell;
mod file;
mod group;
pub mod net;
mod prefetch;
mod send;
mod system;

pub use alarm::{Alarm, Woken};
pub use datagram::{BoundDatagrams, Datagrams, Flushed, Path, Volley, send_datagram};
pub use doorbell::{Doorbell, DoorbellHandle};
pub use file::{Block, ReadFile};
pub use group::{GroupOptions, GroupRoute, GroupSocket, route_to_group, try_join};
pub use prefetch::prefetch;
pub use send::{
    Sent, duplicate, queued_bytes, send, set_send_buffer, set_user_timeout, shut_down,
    thread_cpu_time,
};
pub use system::{allowed_cpus, host_name, lowest_priority, open_beneath, random_seed};

use protocols::machine::Time;
use std::future::Future;
use std::io;
use std::task::Poll;
use std::time::Duration;

/// Submission queue entries of each executor's rings. The kernel sizes its cancel hash from it:
/// at the default of 128 every wake-up walks (sessions / 8) entries.
pub const RING_DEPTH: usize = 4096;

/// Registered memory per ring, bytes: the floor. Three rings per executor pin three times this.
const IO_MEMORY: usize = 64 << 10;

/// A core's thread.
pub struct CoreThread {
    handle: glommio::ExecutorJoinHandle<()>,
}

impl CoreThread {
    /// Start an executor pinned to `cpu` and run the future that `make` builds there.
    ///
    /// # Errors
    /// When the thread cannot be started. A failure to set the rings up surfaces from
    /// [`CoreThread::join`]; the start-up check names its usual causes beforehand.
    pub fn start<G, F>(name: &str, cpu: usize, make: G) -> io::Result<CoreThread>
    where
        G: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        glommio::LocalExecutorBuilder::new(glommio::Placement::Fixed(cpu))
            .name(name)
            .ring_depth(RING_DEPTH)
            .io_memory(IO_MEMORY)
            .spawn(make)
            .map(|handle| CoreThread { handle })
            .map_err(io::Error::from)
    }

    /// Wait for the core's future to end.
    ///
    /// # Errors
    /// When the executor could not be made or its thread panicked.
    pub fn join(self) -> io::Result<()> {
        self.handle.join().map_err(io::Error::from)
    }
}

/// Run a future on this core, on its own, after the caller has let go of what it holds: glommio by
/// itself would run it at once, up to its first wait, inside the caller.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    glommio::spawn_local(async move {
        give_way().await;
        future.await;
    })
    .detach();
}

/// Let what else is ready on this core go first.
pub async fn give_way() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Sleep on this core. Not for media: that is the tick's business.
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

/// Run a closure that may block on this core's blocking thread.
pub async fn blocking<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    glommio::executor().spawn_blocking(f).await
}

/// Now, on the monotonic clock that all cores share.
pub fn now() -> Time {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is a valid, writable timespec; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    Time(ts.tv_sec as u64 * 1_000_000 + ts.tv_nsec as u64 / 1000)
}
