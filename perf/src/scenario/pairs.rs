//! Packet pairs, over links of known rates.

use super::desk::Desk;
use super::load::{AUDIO_RATE, live};
use super::targets::CADENCE_MS;
use crate::environment;
use crate::pair::{self, Estimate, Experiment, Shaper};
use crate::swarm::Protocol;
use std::net::Ipv4Addr;
use std::slice::from_ref;

const RATES: [u64; 3] = [1_000_000, 10_000_000, 50_000_000];
const TRIES: usize = 15;
/// An estimate may be off by this share of the link's rate (BW-22).
const TOLERANCE: f64 = 0.1;

/// What `ringcast probe` takes its link for.
pub fn over_wmsp(desk: &mut Desk<'_>) -> Result<(), String> {
    let probe = desk.context.server.to_string_lossy().into_owned();
    for (estimate, ring_depth) in estimates(desk, Protocol::Wmsp, Some(probe))? {
        about(desk, Protocol::Wmsp, &estimate, ring_depth);
        let rate = estimate.link as f64 / 1e6;
        let target = format!("probe's estimate at {rate} Mbit/s");
        match &estimate.probe {
            Some(p) => hold(desk, &target, &estimate, p.median, p.runs, p.range),
            None => desk.not_measured(&target, &bound(rate), "the probe was not asked".into()),
        }
    }
    Ok(())
}

/// What a client of MMSP takes its link for.
pub fn over_mms(desk: &mut Desk<'_>) -> Result<(), String> {
    for protocol in [Protocol::Mmst, Protocol::Mmsu] {
        let name = protocol.name();
        let found = estimates(desk, protocol, None)?;
        for rate in RATES {
            let shown = rate as f64 / 1e6;
            let target = format!("{name}: estimate at {shown} Mbit/s");
            let Some((e, ring_depth)) = found.iter().find(|(e, _)| e.link == rate) else {
                let why = "no link that a plain pair proves right".into();
                desk.not_measured(&target, &bound(shown), why);
                continue;
            };
            about(desk, protocol, e, ring_depth.clone());
            if e.estimates == 0 {
                let why = format!("{} as one, {} unusable", e.unsegmented, e.unusable);
                desk.check(&target, bound(shown), why, e.unsegmented == 0);
                continue;
            }
            hold(desk, &target, e, e.median, e.estimates, e.range);
        }
    }
    Ok(())
}

/// With the server's ring depth.
type Found = Vec<(Estimate, Option<String>)>;

/// Between two namespaces: by the kernel's shaper where a plain pair shows that it is right, else by
/// the wire in user space. The relay where there can be no namespaces, which carries no datagrams.
fn estimates(
    desk: &mut Desk<'_>,
    protocol: Protocol,
    probe: Option<String>,
) -> Result<Found, String> {
    let point = live(desk, 1, AUDIO_RATE, CADENCE_MS)?.point;
    let experiment = Experiment {
        rates: RATES.to_vec(),
        tries: TRIES,
        protocol,
        path: "/live".into(),
        probe,
        placement: desk.placement(1),
    };
    let words = desk.configure(from_ref(&point), 1, protocol, Ipv4Addr::UNSPECIFIED)?;
    let log = desk.log();
    let server = pair::Subjects {
        words: &words,
        port: desk.players(protocol).port(),
        log: Some(&log),
    };
    let mut left = experiment.rates.clone();
    let mut found = Vec::new();
    for how in [Shaper::Tbf, Shaper::Wire] {
        let experiment = Experiment {
            rates: left.clone(),
            ..experiment.clone()
        };
        match pair::between(&experiment, &server, how) {
            Ok((estimates, wrong)) => {
                found.extend(estimates);
                left = wrong.iter().map(|(rate, _)| *rate).collect();
                for (rate, why) in wrong {
                    eprintln!("{}: no {how:?} link of {rate} bit/s: {why}", desk.name);
                }
            }
            Err(why) => eprintln!("{}: no {how:?} link: {why}", desk.name),
        }
        if left.is_empty() {
            break;
        }
    }
    let server = desk.start(from_ref(&point), protocol)?;
    let ring_depth = environment::ring_depth(desk.context.admin);
    if !left.is_empty() && !protocol.over_udp() {
        let experiment = Experiment {
            rates: left,
            ..experiment
        };
        let players = desk.players(protocol);
        found.extend(pair::through_relay(&experiment, players)?);
    }
    drop(server);
    found.sort_by_key(|e| e.link);
    Ok(found.into_iter().map(|e| (e, ring_depth.clone())).collect())
}

fn about(desk: &mut Desk<'_>, protocol: Protocol, e: &Estimate, ring_depth: Option<String>) {
    desk.about_silence(ring_depth, CADENCE_MS);
    let link = match e.shaper {
        Shaper::Tbf => format!(
            "tbf with a bucket of {} B between two namespaces",
            pair::tbf_frame(protocol)
        ),
        Shaper::Wire => "wire in user space between two namespaces, MTU 1500".into(),
        Shaper::Relay => "relay in user space on loopback".into(),
    };
    let bytes = match protocol {
        Protocol::Wmsp | Protocol::Mmst | Protocol::Rtspt => 512,
        Protocol::Mmsu | Protocol::Rtspu => 1472,
    };
    desk.facts = format!("{link}; {bytes} B per send of the pair; {}", desk.facts);
}

fn hold(
    desk: &mut Desk<'_>,
    target: &str,
    e: &Estimate,
    median: f64,
    count: usize,
    range: (f64, f64),
) {
    let mbit = |v: f64| format!("{:.3}", v / 1e6);
    let (from, to) = range;
    let measured = format!(
        "{} ({count} runs, {} to {})",
        mbit(median),
        mbit(from),
        mbit(to)
    );
    let off = (median / e.link as f64 - 1.0).abs();
    let bound = bound(e.link as f64 / 1e6);
    desk.check(target, bound, measured, off <= TOLERANCE);
}

fn bound(rate: f64) -> String {
    let (least, most) = (rate * (1.0 - TOLERANCE), rate * (1.0 + TOLERANCE));
    format!("{least:.3} to {most:.3} Mbit/s")
}
