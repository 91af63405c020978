//! What the machine waits for.

use crate::machine::ConnId;

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A head, or the body of a PushSetup, must be complete.
    Request(ConnId),
    /// A connection without a session has been quiet for long.
    Quiet(ConnId),
    /// Idle-Timeout: no media came in a PushStart, or nobody came back.
    Idle(u64),
    /// Inactivity-Timeout: no request came.
    Inactivity(u64),
}

/// All deadlines of the machine.
pub(super) type Timers = crate::timers::Timers<Timer>;
