//! Who is served when: the flows of one cadence, spread evenly over slices of about one tick.

use protocols::machine::Time;
use std::time::Duration;

/// The base tick.
pub const TICK: Duration = Duration::from_millis(5);

/// Slices that are run at most in one call; a core that fell further behind skips whole turns.
const CATCH_UP_TURNS_MAX: u64 = 1;

/// Flows that share a cadence.
pub struct Wheel {
    /// How often each flow is served.
    pub cadence: Duration,
    slices: Vec<Vec<u32>>,
    /// Next slice to run, counted from the start.
    next: u64,
    origin: Time,
}

/// Where a flow sits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// Which wheel.
    pub wheel: u16,
    /// Which slice.
    pub slice: u16,
    /// Which place in the slice.
    pub place: u32,
}

impl Wheel {
    /// An empty wheel. Slices are as near to the base tick as divides the cadence evenly.
    pub fn new(cadence: Duration, now: Time) -> Wheel {
        let slices = (cadence.as_micros() / TICK.as_micros()).max(1) as usize;
        Wheel {
            cadence,
            slices: (0..slices).map(|_| Vec::new()).collect(),
            next: 0,
            origin: now,
        }
    }

    /// Flows in it.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.slices.iter().map(Vec::len).sum()
    }

    /// Add a flow to the emptiest slice.
    pub fn add(&mut self, wheel: u16, flow: u32) -> Seat {
        let slice = self
            .slices
            .iter()
            .enumerate()
            .min_by_key(|(_, s)| s.len())
            .map_or(0, |(i, _)| i);
        self.slices[slice].push(flow);
        Seat {
            wheel,
            slice: slice as u16,
            place: self.slices[slice].len() as u32 - 1,
        }
    }

    /// Take a flow out; returns the flow that now sits in its place, if another was moved there.
    pub fn remove(&mut self, seat: Seat) -> Option<u32> {
        let slice = &mut self.slices[usize::from(seat.slice)];
        slice.swap_remove(seat.place as usize);
        slice.get(seat.place as usize).copied()
    }

    /// The next slice whose time has come.
    pub fn due(&mut self, now: Time) -> Option<usize> {
        let count = self.slices.len() as u64;
        let elapsed = now.since(self.origin).as_micros() as u64;
        let turn = self.cadence.as_micros() as u64;
        // Slice n is due at n * turn / count, without rounding drift.
        let reached = elapsed * count / turn + 1;
        if self.next >= reached {
            return None;
        }
        let oldest = reached.saturating_sub(count * CATCH_UP_TURNS_MAX);
        self.next = self.next.max(oldest);
        let slice = (self.next % count) as usize;
        self.next += 1;
        Some(slice)
    }

    /// The flows of a slice.
    pub fn slice(&self, slice: usize) -> &[u32] {
        &self.slices[slice]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flow_is_served_once_a_turn_and_slices_are_even() {
        for cadence_ms in [5u64, 55, 57, 100, 230, 1000] {
            let mut wheel = Wheel::new(Duration::from_millis(cadence_ms), Time(0));
            for flow in 0..1000 {
                wheel.add(0, flow);
            }
            let sizes: Vec<usize> = wheel.slices.iter().map(Vec::len).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            let mut served = vec![0; 1000];
            let turns = 10;
            // One microsecond before the end of the last turn.
            for ms in 0..cadence_ms * turns {
                while let Some(slice) = wheel.due(Time(ms * 1000)) {
                    for flow in wheel.slice(slice) {
                        served[*flow as usize] += 1;
                    }
                }
            }
            assert!(
                served.iter().all(|n| *n == turns as usize),
                "cadence {cadence_ms}: {:?}",
                (served.iter().min(), served.iter().max())
            );
        }
    }

    #[test]
    fn a_stalled_core_catches_up_by_one_turn_only() {
        let mut wheel = Wheel::new(Duration::from_millis(100), Time(0));
        wheel.add(0, 1);
        let mut runs = 0;
        while wheel.due(Time(60_000_000)).is_some() {
            runs += 1;
        }
        assert_eq!(runs, 20);
    }

    #[test]
    fn seats_stay_true_when_others_leave() {
        let mut wheel = Wheel::new(Duration::from_millis(10), Time(0));
        let mut seats: Vec<Seat> = (0..7).map(|f| wheel.add(0, f)).collect();
        for leaver in [0u32, 3, 6, 1] {
            let seat = seats[leaver as usize];
            if let Some(moved) = wheel.remove(seat) {
                seats[moved as usize].place = seat.place;
            }
        }
        assert_eq!(wheel.count(), 3);
        for stayer in [2u32, 4, 5] {
            let seat = seats[stayer as usize];
            assert_eq!(
                wheel.slice(usize::from(seat.slice))[seat.place as usize],
                stayer
            );
        }
    }
}
