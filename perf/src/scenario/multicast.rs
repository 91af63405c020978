//! A broadcast sent to a group: how evenly, how completely, at what price.

use super::config::{Multicast, Point};
use super::desk::{Desk, cpus};
use crate::content::Recipe;
use crate::environment::{self, load_average};
use crate::group::{Member, Reception};
use crate::procfs::{self, Process};
use crate::server::Running;
use crate::swarm::Protocol;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::slice::from_ref;
use std::time::Duration;

/// bit/s of the content; each has the bounds.
const RATES: [u32; 2] = [1_000_000, 10_000_000];
const JITTER_MS: f64 = 5.0;
const FEC_SPAN: u8 = 10;
/// A datagram of this packet fits an Ethernet frame whole.
const PACKET_SIZE: u16 = 1400;
/// Of the addresses that stay within an organization (RFC 2365).
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 80, 1);
/// The server begins when it starts: there is no viewer to wait for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Past the beginning of the entry, in which sources give what they have.
const WARM_UP: Duration = Duration::from_secs(5);
/// For all that is not the window, so that the file does not come round in it.
const AROUND_S: u64 = 40;

/// Of a looped file, on loopback.
pub fn to_group(desk: &mut Desk<'_>) -> Result<(), String> {
    for rate in RATES {
        let window = desk.window(20);
        let recipe = Recipe {
            seconds: u32::try_from(window.as_secs() + AROUND_S).unwrap_or(u32::MAX),
            bit_rate: rate,
            packet_size: PACKET_SIZE,
            audio_only: false,
            even: true,
            seed: 1,
        };
        let point = Point {
            name: "cast".into(),
            broadcast: true,
            source: desk.content(&recipe, 1)?.join("f0.wmv"),
            cadence_ms: 100,
            multicast: Some(Multicast {
                // Nobody speaks MMS here, so the port that was found free for it is.
                group: SocketAddrV4::new(GROUP, desk.context.mms.port()),
                fec_span: FEC_SPAN,
            }),
        };
        let (reception, cpu_s) = receive(desk, &point, window)?;
        desk.about_silence(environment::ring_depth(desk.context.admin), 100);
        desk.facts = format!(
            "packets of {PACKET_SIZE} B, span {FEC_SPAN}, group on loopback, whose reception the sender's \
             core pays for; load {:.1}",
            load_average()
        );
        hold(desk, rate, &reception);
        let gb = reception.bytes as f64 / 1e9;
        desk.reported(
            &format!("CPU to a group at {} Mbit/s", rate / 1_000_000),
            format!(
                "{:.3} s/GB, {:.2} % of a core, reading the file included",
                cpu_s / gb,
                cpu_s / window.as_secs_f64() * 100.0
            ),
        );
    }
    Ok(())
}

/// What came in a window, and the server's CPU time in it, s.
fn receive(desk: &Desk<'_>, point: &Point, window: Duration) -> Result<(Reception, f64), String> {
    let group = point.multicast.ok_or("a point without a group")?.group;
    let fault = |e: std::io::Error| format!("group {group}: {e}");
    let mut member = Member::join(group, Ipv4Addr::LOCALHOST).map_err(fault)?;
    let server = desk.start(from_ref(point), Protocol::Wmsp)?;
    let waited = member.wait(PATIENCE);
    waited.map_err(|e| format!("group {group}: {e}; see {}", desk.log().display()))?;
    member.listen(WARM_UP, false).map_err(fault)?;
    let before = spent(desk, &server)?;
    member.listen(window, true).map_err(fault)?;
    let after = spent(desk, &server)?;
    let cpu_s = after.0.cpu_s_since(&before.0) + after.1 - before.1;
    Ok((member.reception().map_err(fault)?, cpu_s))
}

fn spent(desk: &Desk<'_>, server: &Running) -> Result<(Process, f64), String> {
    let soft = procfs::ksoftirqd_s(&cpus(1, desk.context));
    Ok((Process::read(server.pid())?, soft))
}

fn hold(desk: &mut Desk<'_>, rate: u32, r: &Reception) {
    let at = format!("{} Mbit/s", rate / 1_000_000);
    let target = format!("multicast at {at}: packets lost or faulty");
    let expected = f64::from(rate) / 8.0 / f64::from(PACKET_SIZE);
    let note = format!(
        " of {} ({} of parity, {:.0} expected each s)",
        r.data, r.parity, expected
    );
    if r.socket_drops > 0 && r.socket_drops >= r.lost {
        let why = format!("the own socket dropped {}", r.socket_drops);
        desk.not_measured(&target, "at most 0", why);
    } else {
        desk.at_most_with(&target, (r.lost + r.faults) as f64, 0.0, "", &note);
    }
    let target = format!("multicast at {at}: jitter against send times, p99");
    let l = &r.lateness_ms;
    if l.count == 0 || r.unstamped > 0 || r.timelines != 1 {
        let why = format!(
            "{} packets, {} datagrams without time stamps, {} timelines",
            l.count, r.unstamped, r.timelines
        );
        desk.not_measured(&target, &format!("under {JITTER_MS} ms"), why);
        return;
    }
    let note = format!(
        " (p50 {:.2}, p99.9 {:.2}, most {:.2}; largest burst {})",
        l.p50, l.p999, l.max, r.largest_burst
    );
    desk.under_with(&target, l.p99, JITTER_MS, "ms", &note);
}
