//! Push-ids, and who guesses them (MS-WMHTTP 3.2.3, 5.1).

use crate::machine::{CoreId, Time};
use rand_chacha::rand_core::RngCore;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Least id: ten digits, the first not zero. An encoder was seen to copy digits alone, at most ten.
const LEAST: u64 = 1_000_000_000;
/// How many ids there are.
const COUNT: u64 = 9_000_000_000;

/// Unknown ids that one address may name within [`WINDOW`].
pub(super) const STRIKES_MAX: u8 = 20;
/// How long an address's strikes count together, from the first one on.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond that the oldest are forgotten.
const ADDRESS_COUNT_MAX: usize = 4096;

const _: () = assert!(COUNT / 256 > 1 << 24, "a core's ids are hard to guess");

/// The ids of one core: those that leave its number when divided by the number of cores (WMHTTP-108).
#[derive(Clone, Copy, Debug)]
pub(super) struct PushIds {
    core: u8,
    cores: u8,
}

impl PushIds {
    /// Those of `core` among `cores`.
    pub fn new(core: CoreId, cores: u8) -> PushIds {
        PushIds {
            core: core.0,
            cores: cores.max(1),
        }
    }

    /// Read one; `None`: no core has made it.
    pub fn parse(text: &str) -> Option<u64> {
        let digits = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit());
        let id = digits.then(|| text.parse().ok()).flatten()?;
        (id >= LEAST).then_some(id)
    }

    /// The core that made it.
    pub fn core_of(self, id: u64) -> CoreId {
        let core = id.saturating_sub(LEAST) % u64::from(self.cores);
        CoreId(u8::try_from(core).unwrap_or(self.core))
    }

    /// Where to look for the session of a request that names these ids, none of which is known here:
    /// the cores that made them, one after the other. `None`: nowhere else.
    pub fn next_core(self, ids: &[u64]) -> Option<CoreId> {
        let here = CoreId(self.core);
        let been = ids.iter().rposition(|id| self.core_of(*id) == here);
        let rest = ids.get(been.map_or(0, |n| n + 1)..).unwrap_or(&[]);
        rest.first().map(|id| self.core_of(*id))
    }

    /// A random one that is not taken (WMHTTP-57, WMHTTP-58, WMHTTP-59).
    pub fn draw(self, rng: &mut impl RngCore, taken: impl Fn(u64) -> bool) -> u64 {
        let cores = u64::from(self.cores);
        loop {
            // The remainder favours no id by more than one part in 2^30.
            let n = rng.next_u64() % (COUNT / cores);
            let id = LEAST + n * cores + u64::from(self.core);
            if !taken(id) {
                return id;
            }
        }
    }
}

/// Addresses that named ids which nobody gave them.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    of: BTreeMap<IpAddr, u8>,
    /// In the order in which their windows end; each address once.
    order: VecDeque<(Time, IpAddr)>,
}

impl Strikes {
    /// True if the address must wait.
    pub fn is_out(&mut self, now: Time, address: IpAddr) -> bool {
        self.forget(now);
        let count = self.of.get(&network(address)).copied();
        count.unwrap_or(0) >= STRIKES_MAX
    }

    /// The address named an id that is not its own.
    pub fn strike(&mut self, now: Time, address: IpAddr) {
        self.forget(now);
        let address = network(address);
        if let Some(count) = self.of.get_mut(&address) {
            *count = count.saturating_add(1);
            return;
        }
        if self.of.len() >= ADDRESS_COUNT_MAX {
            self.pop();
        }
        self.of.insert(address, 1);
        self.order.push_back((now + WINDOW, address));
    }

    fn forget(&mut self, now: Time) {
        while self.order.front().is_some_and(|(end, _)| *end <= now) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, address)) = self.order.pop_front() {
            self.of.remove(&address);
        }
    }
}

/// What one host has: of IPv6 the network, since it can choose the rest at will.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mask = u128::MAX << 64;
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use std::cell::Cell;

    // WMHTTP-57, WMHTTP-58, WMHTTP-59, WMHTTP-96, WMHTTP-108
    #[test]
    fn ids_are_ten_digits_and_lead_home() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        for cores in [1, 2, 3, 200, 255] {
            for core in 0..cores.min(5) {
                let mine = PushIds::new(CoreId(core), cores);
                let drawn: Vec<u64> = (0..50).map(|_| mine.draw(&mut rng, |_| false)).collect();
                for id in &drawn {
                    let text = id.to_string();
                    assert_eq!(PushIds::parse(&text), Some(*id));
                    assert_eq!(PushIds::new(CoreId(0), cores).core_of(*id), CoreId(core));
                }
                let mut distinct = drawn.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), drawn.len());
            }
        }
        let drawn = Cell::new(0);
        PushIds::new(CoreId(0), 1).draw(&mut rng, |_| {
            drawn.set(drawn.get() + 1);
            drawn.get() < 3
        });
        assert_eq!(drawn.get(), 3, "a number that is taken is drawn again");
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "0",
            "123456789",
            "0123456789",
            "12345678901",
            "+123456789",
            "123456789a",
        ] {
            assert_eq!(PushIds::parse(text), None, "{text}");
        }
        assert_eq!(PushIds::parse("3735928559"), Some(3_735_928_559));
    }

    // WMHTTP-100, WMHTTP-108: whichever ids a request names, it visits each core at most once for each.
    #[test]
    fn the_search_for_a_session_ends() {
        let at = |core| PushIds::new(CoreId(core), 3);
        let ids = [1u64, 0, 1, 2, 1].map(|core| LEAST + 30 + core);
        assert_eq!(at(2).next_core(&ids[..1]), Some(CoreId(1)));
        assert_eq!(at(1).next_core(&ids[..1]), None);
        assert_eq!(at(0).next_core(&[]), None);
        let mut visited = vec![2];
        let mut core = CoreId(2);
        // From core 2, which is in the list, only what stands behind it is left.
        while let Some(next) = at(core.0).next_core(&ids) {
            visited.push(next.0);
            core = next;
        }
        assert_eq!(visited, [2, 1]);
        assert_eq!(at(0).next_core(&ids[1..4]), Some(CoreId(1)));
        assert_eq!(at(1).next_core(&ids[1..4]), Some(CoreId(2)));
        assert_eq!(at(2).next_core(&ids[1..4]), None);
    }

    #[test]
    fn guessers_are_locked_out_for_a_while() {
        let mut strikes = Strikes::default();
        let a: IpAddr = "192.0.2.7".parse().unwrap();
        let b: IpAddr = "192.0.2.8".parse().unwrap();
        let second = |s| Time(s * 1_000_000);
        for n in 0..STRIKES_MAX {
            assert!(!strikes.is_out(second(u64::from(n)), a));
            strikes.strike(second(u64::from(n)), a);
        }
        assert!(strikes.is_out(second(59), a));
        assert!(strikes.is_out(second(59), "::ffff:192.0.2.7".parse().unwrap()));
        assert!(!strikes.is_out(second(59), b));
        assert!(!strikes.is_out(second(60), a));
        assert!(strikes.of.is_empty() && strikes.order.is_empty());
        let near: IpAddr = "2001:db8::1".parse().unwrap();
        for _ in 0..STRIKES_MAX {
            strikes.strike(second(61), near);
        }
        assert!(strikes.is_out(second(61), "2001:db8::ffff:1".parse().unwrap()));
        assert!(!strikes.is_out(second(61), "2001:db8:0:1::1".parse().unwrap()));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut strikes = Strikes::default();
        for n in 0..10_000u32 {
            strikes.strike(Time::ZERO, IpAddr::from(n.to_be_bytes()));
        }
        assert_eq!(strikes.of.len(), ADDRESS_COUNT_MAX);
        assert_eq!(strikes.order.len(), ADDRESS_COUNT_MAX);
    }
}
