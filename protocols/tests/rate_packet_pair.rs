//! The packet-pair experiment over TCP.

use protocols::machine::Time;
use protocols::rate::packet_pair::{Estimate, TOTAL, UNLIMITED, packets, random_len, wire_len};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::HashSet;

fn sizes(head: usize) -> [usize; 3] {
    packets(head, &mut ChaCha8Rng::seed_from_u64(1)).map(|p| p.len())
}

// E6, BW-04, BW-07, WMSP-22
#[test]
fn sizes_follow_the_head() {
    assert_eq!(sizes(380), [132, 512, 1436]);
    assert_eq!([0, 1, 2].map(|i| random_len(i, 380)), [124, 504, 1428]);
    assert_eq!(380 + sizes(380)[0], 512);
    assert_eq!(sizes(700), [8, 512, 1560]);
    assert_eq!([0, 1, 2].map(|i| random_len(i, 504)), [0, 504, 1552]);
    assert_eq!(sizes(300), [212, 512, 1356]);
    for head in 0..2000 {
        assert_eq!(sizes(head).iter().sum::<usize>(), TOTAL, "{head}");
    }
}

// E7, WMSP-22
#[test]
fn heads_are_as_specified() {
    let [a, b, c] = packets(380, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!(a[..8], [0x24, 0x50, 0xF8, 0x01, 0x7C, 0x01, 0, 0]);
    assert_eq!(b[..8], a[..8]);
    assert_eq!(c[..8], [0x24, 0x50, 0x18, 0x04, 0x7C, 0x01, 0, 0]);
    let [a, ..] = packets(700, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!(a, [0x24, 0x50, 0xF8, 0x01, 0xF8, 0x01, 0, 0]);
}

// BW-05, BW-17, WMSP-23
#[test]
fn random_bytes_are_random_and_differ() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let all: Vec<u8> = packets(300, &mut rng)
        .iter()
        .flat_map(|p| p[8..].to_vec())
        .collect();
    let eights: HashSet<&[u8]> = all.windows(8).collect();
    assert_eq!(eights.len(), all.len() - 7, "no eight bytes repeat");
    let mut counts = [0u32; 256];
    all.iter().for_each(|&b| counts[usize::from(b)] += 1);
    let n = all.len() as f64;
    let entropy: f64 = counts
        .iter()
        .filter(|&&c| c > 0)
        .map(|&c| -(f64::from(c) / n) * (f64::from(c) / n).log2())
        .sum();
    assert!(entropy > 7.8, "{entropy} bits a byte");
    assert_ne!(packets(300, &mut rng)[1], packets(300, &mut rng)[1]);
}

// BW-08
#[test]
fn a_reason_out_of_range_is_bounded() {
    assert_eq!([0, 1, 2].map(|i| wire_len(i, u32::MAX)), [8, 512, 1560]);
    assert_eq!(random_len(3, 380), 0);
}

fn estimate(arrivals: [u64; 3]) -> Option<u64> {
    let mut e = Estimate::default();
    for (i, at) in arrivals.into_iter().enumerate() {
        assert_eq!(e.bits_per_second(), None);
        e.arrived(wire_len(i, 380), Time(at));
    }
    assert_eq!(e.packets(), 3);
    e.arrived(1, Time(u64::MAX));
    e.bits_per_second()
}

// E9, BW-22
#[test]
fn estimates_the_link() {
    // 512 bytes in 4.096 ms, then 1436 bytes at the same rate.
    assert_eq!(estimate([1000, 5096, 5096 + 11_488]), Some(1_000_000));
    // A delay between the second and the third does not spoil it.
    assert_eq!(estimate([0, 4096, 900_000]), Some(1_000_000));
    // Nor one between the first and the second.
    assert_eq!(estimate([0, 900_000, 911_488]), Some(1_000_000));
    // All in one read: nothing to measure.
    assert_eq!(estimate([5, 5, 5]), Some(UNLIMITED));
}
