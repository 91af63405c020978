//! A receiver against a sender: what is lost, late, twice or in disorder on the way.

mod msb_support;

use msb_support::air::{Air, Given, enter, header, send, sender};
use msb_support::{CYCLE, P1, P2, P3, PACKET_SIZE, REPAIRED, hex, media, trimmed};
use proptest::prelude::*;
use protocols::asf;
use protocols::machine::Input;
use protocols::msb::fec;

const SPAN: u8 = 10;

/// Where in a cycle a datagram stands, the parity last.
fn place(at: usize) -> (usize, usize) {
    (at / (SPAN as usize + 1), at % (SPAN as usize + 1))
}

/// Four cycles and their packets.
fn four_cycles() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let packets = media(40);
    let sent = send(&mut sender(Some(SPAN)), &packets);
    assert_eq!(sent.len(), 44);
    (packets, sent)
}

/// All that comes of a list of datagrams, time for stragglers included.
fn receive(datagrams: &[Vec<u8>]) -> (Vec<Vec<u8>>, Air) {
    let mut air = Air::usual();
    air.datagrams(datagrams);
    air.sleep_ms(5000);
    (air.packets(), air)
}

// MSB-01, MSB-51, MSB-67
#[test]
fn what_is_sent_is_received() {
    let (packets, sent) = four_cycles();
    let mut air = Air::usual();
    air.datagrams(&sent);
    let given = air.take();
    assert_eq!(given[0], Given::Header(header()));
    for (n, (given, packet)) in given[1..].iter().zip(&packets).enumerate() {
        assert_eq!(*given, Given::Packet(n as u32, packet.clone()));
        assert_eq!(packet[..3], [0x82, 0, 0], "no trace of the group");
    }
    assert_eq!(given.len(), 41);
    let tally = air.receiver.counts().packets;
    assert_eq!(
        (tally.received, tally.parity, tally.lost_before_repair),
        (40, 4, 0)
    );
    assert_eq!(
        tally.bytes,
        packets.iter().map(|p| p.len() as u64).sum::<u64>()
    );
}

// MSB-43, MSB-56
#[test]
fn any_single_loss_of_a_cycle_is_repaired() {
    let (packets, sent) = four_cycles();
    for lost in 0..SPAN as usize {
        // From the second cycle on, whose beginning is known.
        let kept: Vec<_> = (0..sent.len())
            .filter(|at| place(*at).0 == 0 || place(*at).1 != lost)
            .map(|at| sent[at].clone())
            .collect();
        let mut air = Air::usual();
        air.datagrams(&kept);
        assert_eq!(air.packets(), packets, "without number {lost}, and at once");
        let tally = air.receiver.counts().packets;
        assert_eq!(
            (tally.lost_before_repair, tally.repaired, tally.lost),
            (3, 3, 0)
        );
        assert_eq!(tally.lost_in_a_row, 1);
        assert_eq!(air.receiver.transfer().corrected, 3);
    }
}

// MSB-56
#[test]
fn lost_parity_is_not_missed() {
    let (packets, sent) = four_cycles();
    let kept: Vec<_> = (0..44)
        .filter(|at| place(*at).1 != 10)
        .map(|at| sent[at].clone())
        .collect();
    let (received, air) = receive(&kept);
    assert_eq!(received, packets);
    assert_eq!(air.receiver.counts().packets.lost_before_repair, 0);
}

// MSB-56
#[test]
fn the_span_stands_in_for_lost_parity() {
    let (packets, sent) = four_cycles();
    for lost in 0..SPAN as usize {
        // The parity of the third cycle, and a packet of the fourth.
        let gone = [(2, 10), (3, lost)];
        let kept: Vec<_> = (0..44)
            .filter(|at| !gone.contains(&place(*at)))
            .map(|at| sent[at].clone())
            .collect();
        assert_eq!(receive(&kept).0, packets, "without {gone:?}");
    }
}

// MSB-56
#[test]
fn more_is_lost_than_can_be_repaired() {
    let (mut packets, sent) = four_cycles();
    let gone = [(1, 3), (1, 4), (2, 7)];
    let kept: Vec<_> = (0..44)
        .filter(|at| !gone.contains(&place(*at)))
        .map(|at| sent[at].clone())
        .collect();
    let (received, air) = receive(&kept);
    packets.drain(13..15);
    assert_eq!(received, packets);
    let tally = air.receiver.counts().packets;
    assert_eq!(
        (tally.lost_before_repair, tally.repaired, tally.lost),
        (3, 1, 2)
    );
    assert_eq!(tally.lost_in_a_row, 2);
}

// MSB-56
#[test]
fn where_a_cycle_begins_must_be_known() {
    let (mut packets, sent) = four_cycles();
    // Joined in the middle of the first cycle, of which another one is lost then.
    let kept: Vec<_> = (4..44)
        .filter(|at| *at != 6)
        .map(|at| sent[at].clone())
        .collect();
    let (received, air) = receive(&kept);
    packets.remove(6);
    assert_eq!(received, packets[4..]);
    assert_eq!(air.receiver.counts().packets.lost, 1);
}

// MSB-70, MSB-71
#[test]
fn the_repair_of_the_example_is_reproduced() {
    let cycle = CYCLE.map(hex);
    let mut sum = cycle[3][11..].to_vec();
    fec::xor(&mut sum, &cycle[0][11..]);
    fec::xor(&mut sum, &cycle[2][11..]);
    assert_eq!(sum, hex(REPAIRED));
    // The end of the cycle before tells where this one begins.
    let before = hex("FF FF FF FF DE 00 0C 00 92 12 FF 00");
    let mut air = Air::usual();
    air.datagram(&before);
    for n in [0, 2, 3] {
        air.datagram(&cycle[n]);
    }
    let expected = [P1, P2, P3].map(|p| {
        // Bare as they are, they gain a length.
        let whole = trimmed(&hex(p));
        let packet = asf::Packet::parse(&whole, PACKET_SIZE).expect("a packet");
        assert_eq!(packet.explicit_length(), Some(whole.len() as u32));
        whole
    });
    assert_eq!(air.packets(), expected);
    assert_eq!(air.receiver.counts().packets.repaired, 1);
}

// MSB-56
#[test]
fn a_piece_of_an_object_ends_where_the_next_begins() {
    let piece = |offset: u8, data: &[u8]| {
        let mut p = hex("82 00 00 08 5D 00 00 00 00 00 64 00 81 05");
        p.extend_from_slice(&[offset, 0, 0, 0, 8, 30, 0, 0, 0, 0, 0, 0, 0]);
        [&p, data].concat()
    };
    // Twelve bytes and eighteen, of which the first are lost; bare, as some senders cut them.
    let packets = [piece(0, &[7; 12]), piece(12, &[8; 18])];
    let mut sender = sender(Some(2));
    let first = send(&mut sender, &[hex(P1), hex(P2)]);
    let second = send(&mut sender, &packets);
    let mut air = Air::usual();
    air.datagrams(&first);
    air.datagrams(&second[1..]);
    let expected: Vec<_> = packets.iter().map(|p| trimmed(p)).collect();
    assert_eq!(air.packets()[2..], expected);
}

// MSB-56
#[test]
fn what_does_not_fit_is_not_taken_for_a_repair() {
    let (mut packets, mut sent) = four_cycles();
    // The parity of the second cycle is damaged where there must be zeros, and one packet is lost.
    let last = sent[21].len() - 1;
    sent[21][last] ^= 0x55;
    sent.remove(11);
    let (received, air) = receive(&sent);
    packets.remove(10);
    assert_eq!(received, packets);
    assert_eq!(air.receiver.counts().packets.lost, 1);
}

#[test]
fn packets_in_disorder_are_put_in_order() {
    let (packets, sent) = four_cycles();
    for step in 2..6 {
        let mut mixed = sent.clone();
        mixed.chunks_mut(step).for_each(<[Vec<u8>]>::reverse);
        // What comes before the first is of no use: let that one be the first.
        mixed.insert(0, sent[0].clone());
        let (received, air) = receive(&mixed);
        assert_eq!(received, packets, "in groups of {step}");
        // Parity may overtake the last packet of its cycle, which then was rebuilt when it comes.
        let tally = air.receiver.counts().packets;
        assert_eq!(tally.duplicates, 1 + tally.repaired);
    }
}

#[test]
fn packets_that_come_twice_are_given_once() {
    let (packets, sent) = four_cycles();
    let twice: Vec<_> = sent.iter().flat_map(|d| [d.clone(), d.clone()]).collect();
    let (received, air) = receive(&twice);
    assert_eq!(received, packets);
    let tally = air.receiver.counts().packets;
    assert_eq!(
        (tally.received, tally.duplicates, tally.repaired),
        (40, 40, 0)
    );
    // A packet that was rebuilt and comes after all is one too many.
    let mut late: Vec<_> = sent.clone();
    let straggler = late.remove(15);
    late.insert(25, straggler);
    let (received, air) = receive(&late);
    assert_eq!(received, packets);
    assert_eq!(air.receiver.counts().packets.duplicates, 1);
}

#[test]
fn a_gap_holds_what_follows_only_for_so_long() {
    // Without error correction: as long as packets may overtake each other.
    let packets = media(10);
    let sent = send(&mut sender(None), &packets);
    let mut air = Air::usual();
    air.datagrams(&sent[..3]);
    assert_eq!(air.packets().len(), 3);
    air.datagrams(&sent[4..]);
    assert_eq!(air.packets(), Vec::<Vec<u8>>::new());
    air.sleep_ms(100);
    assert_eq!(air.packets(), packets[4..]);
    // With it: until the cycle is over, or nobody sends on.
    let (packets, sent) = four_cycles();
    let mut air = Air::usual();
    air.datagrams(&sent[..11]);
    air.datagrams(&sent[12..15]);
    assert_eq!(air.packets(), packets[..10]);
    air.sleep_ms(2900);
    assert_eq!(air.packets(), Vec::<Vec<u8>>::new());
    air.sleep_ms(200);
    assert_eq!(air.packets(), packets[11..14]);
}

// MSB-65
#[test]
fn no_more_is_kept_than_a_window() {
    let packets = media(200);
    let sent = send(&mut sender(Some(14)), &packets);
    let mut air = Air::usual();
    air.datagrams(&sent[..20]);
    // The third packet and all parity are lost, and time stands still.
    let rest: Vec<_> = sent[21..]
        .iter()
        .filter(|d| d[8] & 0x10 == 0)
        .cloned()
        .collect();
    air.datagrams(&rest);
    assert_eq!(air.packets().len(), packets.len() - 1);
}

// MSB-09, MSB-40
#[test]
fn entries_follow_each_other() {
    let packets = media(15);
    let mut sender = sender(Some(SPAN));
    let mut sent = send(&mut sender, &packets[..7]);
    sent.extend(enter(&mut sender, 2));
    sent.extend(send(&mut sender, &packets[7..]));
    // The last of the first entry is lost, and the first of the next overtakes the parity.
    sent.remove(6);
    sent.swap(6, 7);
    let mut air = Air::usual();
    air.datagrams(&sent);
    air.sleep_ms(1000);
    let given = air.take();
    let at = given
        .iter()
        .position(|g| *g == Given::EntryEnd)
        .expect("a change");
    assert_eq!(given[at + 1], Given::Header(header()));
    let numbers = |given: &[Given]| -> Vec<u32> {
        let number = |g: &Given| match g {
            Given::Packet(number, _) => Some(*number),
            _ => None,
        };
        given.iter().filter_map(number).collect()
    };
    assert_eq!(numbers(&given[..at]), (0..6).collect::<Vec<_>>());
    assert_eq!(numbers(&given[at..]), (7..15).collect::<Vec<_>>());
    assert_eq!(air.receiver.counts().entries, 2);
}

// MSB-72
#[test]
fn a_new_stream_may_begin_with_any_id() {
    let mut first = sender(Some(SPAN));
    let sent = send(&mut first, &media(10));
    let jump = |datagrams: &[Vec<u8>], toggle: u8| -> Vec<Vec<u8>> {
        let jump = |d: &Vec<u8>| {
            let mut d = d.clone();
            d[3] = 0x90;
            d[5] ^= toggle;
            d
        };
        datagrams.iter().map(jump).collect()
    };
    let mut air = Air::usual();
    air.datagrams(&sent);
    air.datagrams(&jump(&sent, 0x80));
    assert_eq!(air.packets().len(), 20);
    assert_eq!(air.receiver.counts().packets.lost, 0);
    // The same stream elsewhere needs two in a row.
    air.datagrams(&jump(&jump(&sent, 0), 0x80)[..1]);
    let mut air = Air::usual();
    air.datagrams(&sent);
    air.datagrams(&jump(&sent[..1], 0));
    assert_eq!(air.packets().len(), 10);
    air.datagrams(&jump(&sent[1..], 0));
    assert_eq!(air.packets().len(), 9);
}

// MSB-68
#[test]
fn packets_can_be_padded_again() {
    let wholes: Vec<_> = (0..12)
        .map(|n| msb_support::whole(n, (n + 20) as u8))
        .collect();
    let cut: Vec<_> = wholes.iter().map(|w| trimmed(w)).collect();
    assert!(cut.iter().all(|p| p.len() < 64));
    let sent = send(&mut sender(Some(SPAN)), &cut);
    let mut air = Air::usual();
    air.datagrams(&sent);
    let padded = air.packets().into_iter().map(|packet| {
        let mut out = Vec::new();
        asf::trim::pad(&packet, PACKET_SIZE, &mut out).expect("a packet");
        out
    });
    assert_eq!(padded.collect::<Vec<_>>(), wholes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // MSB-56
    #[test]
    fn whatever_happens_on_the_way(
        fates in proptest::collection::vec((0u8..100, 0u64..40), 66),
        span in 1u8..15,
    ) {
        let packets = media(60);
        let sent = send(&mut sender(Some(span)), &packets);
        let mut on_the_way: Vec<(u64, &Vec<u8>)> = Vec::new();
        let mut lost = 0;
        for (n, datagram) in sent.iter().enumerate() {
            let (fate, delay) = fates[n % fates.len()];
            let at = n as u64 * 10;
            match fate {
                0..8 => lost += 1,
                8..16 => on_the_way.extend([(at, datagram), (at + delay, datagram)]),
                16..30 => on_the_way.push((at + delay, datagram)),
                _ => on_the_way.push((at, datagram)),
            }
        }
        on_the_way.sort_by_key(|(at, _)| *at);
        let mut air = Air::usual();
        for (at, datagram) in on_the_way {
            air.sleep_ms(at.saturating_sub(air.now.millis()));
            air.datagram(datagram);
        }
        air.sleep_ms(5000);
        let mut last = None;
        let mut count = 0;
        for given in air.take() {
            if let Given::Packet(number, bytes) = given {
                prop_assert!(last.is_none_or(|last| last < number), "in order");
                prop_assert_eq!(&bytes, &packets[number as usize]);
                last = Some(number);
                count += 1;
            }
        }
        let tally = air.receiver.counts().packets;
        prop_assert_eq!(tally.received + tally.repaired, count);
        prop_assert_eq!(tally.lost_before_repair, tally.lost + tally.repaired);
        prop_assert!(tally.lost <= lost);
    }

    // MSB-65
    #[test]
    fn anything_may_come(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        protocols::msb::fuzz::receiver(&bytes);
    }

    // MSB-65
    #[test]
    fn damaged_datagrams_may_come(at in proptest::collection::vec((0usize..44, 0usize..60, any::<u8>()), 0..20)) {
        let (_, mut sent) = four_cycles();
        for (which, place, value) in at {
            let place = place % sent[which].len();
            sent[which][place] = value;
        }
        let mut air = Air::usual();
        air.datagrams(&sent);
        air.sleep_ms(5000);
        for packet in air.packets() {
            let mut padded = Vec::new();
            prop_assert_eq!(asf::trim::pad(&packet, PACKET_SIZE, &mut padded), Ok(()));
        }
        air.input(Input::Drain);
    }
}
