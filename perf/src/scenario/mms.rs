//! Sessions over MMS: what TCP costs beside WMSP, and what UDP loses and costs.

use super::desk::{Desk, cheapest, servers};
use super::load::live;
use super::targets::{BIT_RATE, CADENCE_MS};
use crate::bench::FLOOR;
use crate::floor::Sending;
use crate::measure::Measurement;
use crate::report;
use crate::swarm::Protocol;

/// The price of a session over TCP may be so many times that over WMSP.
const TCP_RATIO: f64 = 1.15;
/// Between two sends to a session over UDP. Lateness is the cadence where everything else is
/// right, and its bound is half of what TCP's cadence would give.
const UDP_CADENCE_MS: u64 = 40;
const UDP_LATENESS_MS: f64 = 50.0;
/// A datagram of this packet fits an Ethernet frame whole.
const UDP_PACKET_SIZE: u16 = 1400;

/// Both in turn, so that the drift of the machine falls on both alike; the cheapest of each counts.
pub fn over_tcp(desk: &mut Desk<'_>) -> Result<(), String> {
    against_wmsp(desk, Protocol::Mmst, "MMS", TCP_RATIO)
}

/// The same work over another protocol on a connection. `name`: of the family.
pub fn against_wmsp(
    desk: &mut Desk<'_>,
    protocol: Protocol,
    name: &str,
    ratio: f64,
) -> Result<(), String> {
    let mut load = live(desk, desk.sessions(4000)?, BIT_RATE, CADENCE_MS)?;
    let (mut wmsp, mut other) = (Vec::new(), Vec::new());
    for _ in 0..desk.context.rounds {
        load.protocol = Protocol::Wmsp;
        wmsp.push(desk.single(&load)?.0);
        load.protocol = protocol;
        other.push(desk.single(&load)?.0);
    }
    let (wmsp, other): (Vec<_>, Vec<_>) = (wmsp.iter().collect(), other.iter().collect());
    desk.about(&[other.clone(), wmsp.clone()].concat());
    let (of_wmsp, of_other) = (cheapest(&wmsp), cheapest(&other));
    let target = format!(
        "CPU over {name} and TCP against WMSP, N = {}",
        load.sessions
    );
    desk.at_most_with(
        &target,
        of_other / of_wmsp,
        ratio,
        "x",
        &format!(" ({of_other:.3} against {of_wmsp:.3} s/GB)"),
    );
    Ok(())
}

/// Against the floor that sends each datagram by itself; then the floors that send many at once.
pub fn over_udp(desk: &mut Desk<'_>) -> Result<(), String> {
    as_datagrams(desk, Protocol::Mmsu).map(drop)
}

/// The same for each protocol with datagrams: loss and lateness are held, the price is reported.
/// Gives the runs of the server back.
pub fn as_datagrams(desk: &mut Desk<'_>, protocol: Protocol) -> Result<Vec<Measurement>, String> {
    let mut load = live(desk, desk.sessions(2000)?, BIT_RATE, UDP_CADENCE_MS)?;
    load.point.source = desk.live_file(BIT_RATE, UDP_PACKET_SIZE)?;
    load.protocol = protocol;
    load.floor = true;
    let report = desk.bench(&load)?;
    let of_server = servers(&report);
    desk.about(&of_server);
    for m in &of_server {
        hold_loss(desk, m, protocol);
    }
    let p99 = of_server.iter().map(|m| m.outcome.lateness_ms.p99);
    let target = format!("lateness p99 over UDP, cadence {UDP_CADENCE_MS} ms");
    desk.under(&target, p99.fold(0.0, f64::max), UDP_LATENESS_MS, "ms");
    for m in &of_server {
        match &m.datagrams {
            Some(d) => desk.reported("datagrams of the server", report::datagrams(d)),
            None => desk.not_measured(
                "datagrams of the server",
                "-",
                "its metrics do not count them".into(),
            ),
        }
    }
    let price = cheapest(&of_server);
    let floors = report.runs.iter().filter(|m| m.label == FLOOR);
    let mut prices = vec![(Sending::Sendto, cheapest(&floors.collect::<Vec<_>>()))];
    for sending in [Sending::Sendmmsg, Sending::Gso] {
        load.sending = sending;
        let report = desk.floor(&load, BIT_RATE, UDP_PACKET_SIZE)?;
        prices.push((sending, cheapest(&report.runs.iter().collect::<Vec<_>>())));
    }
    for (sending, floor) in prices {
        desk.reported(
            &format!("CPU over UDP against floor of {}", sending.name()),
            format!(
                "{:.3} x ({price:.3} against {floor:.3} s/GB)",
                price / floor
            ),
        );
    }
    Ok(of_server.into_iter().cloned().collect())
}

/// What the swarm or the kernel on the way lost says nothing about the server.
fn hold_loss(desk: &mut Desk<'_>, m: &Measurement, protocol: Protocol) {
    let target = "datagrams lost, from the first session on";
    let (lost, of) = (m.outcome.checks.lost, m.outcome.checks.packets);
    let received = m.outcome.received.unwrap_or_default();
    let here = received.socket_drops + received.queue_drops;
    let not_taken = m.datagrams.map_or(0.0, |d| d.dropped);
    if lost > 0 && here >= lost {
        let why = format!("{lost} lost, but full queues of swarm and kernel dropped {here}");
        desk.not_measured(target, "at most 0", why);
        return;
    }
    let note = format!("of {of} ({here} dropped on this side, {not_taken:.0} by the server)");
    desk.at_most_with(target, lost as f64, 0.0, "", &note);
    let target = "packets left out by the server";
    let skipped = m.outcome.checks.skipped as f64;
    match (protocol.is_rtsp(), m.skips_by_metrics) {
        (false, _) => desk.at_most(target, skipped, 0.0, ""),
        // Without LocationIds only the server knows.
        (true, Some(moves)) => {
            desk.at_most_with(target, moves, 0.0, "", "moves forward, by its metrics");
        }
        (true, None) => {
            desk.not_measured(target, "at most 0", "its metrics do not count them".into());
        }
    }
}
