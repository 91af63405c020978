//! What an HTTP port's machine waits for.

use crate::machine::ConnId;

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A request must be complete.
    Request(ConnId),
    /// A connection has been without a request for long.
    Quiet(ConnId),
    /// The pipeline test is over.
    Test(ConnId),
    /// The session has been without a request for long.
    Idle(u32),
    /// The next entry may begin.
    Change(u32),
}

/// All deadlines of the machine.
pub(super) type Timers = crate::timers::Timers<Timer>;
