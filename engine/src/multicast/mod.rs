//! Live streams to multicast groups: one sender for each group, on the home core of its point.
//!
//! A [`Cast`] takes the packets that the home makes, schedules them by their send times and lets a
//! protocol's [`protocols::media::Caster`] make datagrams of them. Nothing of it waits for the network: what
//! the kernel does not take is counted, and receivers repair what they can.

mod announcer;
mod cast;
mod line;
mod schedule;
mod station;

pub use cast::{Cast, casts_of};
pub use schedule::{Item, LEAD, Schedule, Waiting};
pub use station::{Listed, StationSlot, file, station};
