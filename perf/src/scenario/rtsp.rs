//! Sessions over RTSP: what TCP costs beside WMSP, and what UDP loses and costs.

use super::desk::Desk;
use super::mms::{against_wmsp, as_datagrams};
use crate::swarm::Protocol;

/// The price of a session over TCP may be so many times that over WMSP.
const TCP_RATIO: f64 = 1.2;
/// System calls for a datagram at most: half of what one call for each would be.
const SENDS_EACH: f64 = 0.5;

/// As over MMS.
pub fn over_tcp(desk: &mut Desk<'_>) -> Result<(), String> {
    against_wmsp(desk, Protocol::Rtspt, "RTSP", TCP_RATIO)
}

/// As over MMS; and datagrams must leave with fewer calls than one for each.
pub fn over_udp(desk: &mut Desk<'_>) -> Result<(), String> {
    let runs = as_datagrams(desk, Protocol::Rtspu)?;
    let target = "system calls for each datagram, worst round";
    let each: Option<Vec<f64>> = runs
        .iter()
        .map(|m| m.datagrams.as_ref()?.sends_each())
        .collect();
    match each.and_then(|e| e.into_iter().reduce(f64::max)) {
        Some(worst) => desk.at_most(target, worst, SENDS_EACH, ""),
        None => {
            let why = "its metrics do not count them, or it sent none".into();
            desk.not_measured(target, &format!("at most {SENDS_EACH}"), why);
        }
    }
    Ok(())
}
