//! The scenarios and their targets, with the bounds of the milestone and no others.

use super::config::Point;
use super::desk::{Desk, cheapest, least, servers};
use super::load::{AUDIO_RATE, live, live_recipe, on_demand};
use super::{mms, multicast, pairs, push, rtsp};
use crate::environment;
use crate::measure::Measurement;
use crate::procfs::Process;
use crate::stats::Percentiles;
use crate::swarm::Protocol;
use std::slice::from_ref;
use std::time::Duration;

/// A named scenario.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// In a few words.
    pub what: &'static str,
    /// Not part of a run of all.
    pub by_name_only: bool,
    /// Does it.
    pub run: fn(&mut Desk<'_>) -> Result<(), String>,
}

const fn scenario(
    name: &'static str,
    what: &'static str,
    run: fn(&mut Desk<'_>) -> Result<(), String>,
) -> Scenario {
    Scenario {
        name,
        what,
        by_name_only: false,
        run,
    }
}

/// All of them, in the order in which they are run. Memory comes before the large ones: the kernel
/// keeps some of what sessions that ended had, and a later one would seem to cost less.
pub const ALL: &[Scenario] = &[
    scenario(
        "ready",
        "start of the process to /readyz, five times",
        ready,
    ),
    scenario("idle", "a server without sessions", idle),
    scenario("memory", "memory of 4,000 sessions of 1 Mbit/s", memory),
    scenario(
        "live-1000",
        "1,000 sessions of 1 Mbit/s against the floor",
        live_1000,
    ),
    scenario(
        "live-4000",
        "4,000 sessions of 1 Mbit/s against the floor, and their price",
        live_4000,
    ),
    scenario(
        "cadence-57",
        "4,000 sessions of 1 Mbit/s each 57 ms",
        cadence_57,
    ),
    scenario("audio", "4,000 sessions of 138 kbit/s each 230 ms", audio),
    scenario(
        "live-8000",
        "8,000 sessions of 1 Mbit/s on one core, then towards 10,000",
        live_8000,
    ),
    scenario(
        "two-cores",
        "4,000 sessions of one live point on one core and on two",
        two_cores,
    ),
    scenario("storm", "4,000 joins within half a second", storm),
    scenario(
        "slow",
        "900 sessions alone, and with 100 that read at 6 % of the rate",
        slow,
    ),
    scenario("vod-hot", "1,000 sessions of one file", vod_hot),
    scenario("vod-files", "1,000 sessions of 200 files", vod_files),
    scenario(
        "packet-pair",
        "ringcast probe at links of 1, 10 and 50 Mbit/s",
        pairs::over_wmsp,
    ),
    scenario(
        "mmst",
        "4,000 sessions of 1 Mbit/s over MMS and TCP against as many over WMSP",
        mms::over_tcp,
    ),
    scenario(
        "mmsu",
        "2,000 sessions of 1 Mbit/s over MMS and UDP: loss, lateness, system calls, floors",
        mms::over_udp,
    ),
    scenario(
        "mms-pair",
        "packet pairs over MMS, TCP and UDP, at links of 1, 10 and 50 Mbit/s",
        pairs::over_mms,
    ),
    scenario(
        "rtspt",
        "4,000 sessions of 1 Mbit/s over RTSP and TCP against as many over WMSP",
        rtsp::over_tcp,
    ),
    scenario(
        "rtspu",
        "2,000 sessions of 1 Mbit/s over RTSP and UDP: loss, lateness, system calls, floors",
        rtsp::over_udp,
    ),
    scenario(
        "glass",
        "an encoder's packets at the last of 1,000 viewers on two cores, 20 and 100 ms",
        push::glass,
    ),
    scenario(
        "ingest",
        "one encoder of 10 Mbit/s that nobody watches, and ten",
        push::ingest,
    ),
    scenario(
        "multicast",
        "a broadcast of 1 and of 10 Mbit/s to a group: jitter, loss, price",
        multicast::to_group,
    ),
    Scenario {
        name: "soak",
        what: "1,000 sessions for --seconds (10 min), growth of the process",
        by_name_only: true,
        run: soak,
    },
];

pub const BIT_RATE: u32 = 1_000_000;
pub const CADENCE_MS: u64 = 100;
const FLOOR_RATIO: f64 = 1.15;
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

fn ready(desk: &mut Desk<'_>) -> Result<(), String> {
    let point = live(desk, 1, BIT_RATE, CADENCE_MS)?.point;
    let mut slowest: f64 = 0.0;
    let mut ring_depth = None;
    for _ in 0..5 {
        let server = desk.start(from_ref(&point), Protocol::Wmsp)?;
        slowest = slowest.max(server.ready_ms);
        ring_depth = environment::ring_depth(desk.context.admin);
    }
    desk.about_silence(ring_depth, CADENCE_MS);
    desk.at_most("start to ready, slowest of five", slowest, 300.0, "ms");
    Ok(())
}

fn idle(desk: &mut Desk<'_>) -> Result<(), String> {
    let live = live(desk, 1, BIT_RATE, CADENCE_MS)?.point;
    // A live source that is always on would be work.
    let directory = live.source.parent().ok_or("content without a directory")?;
    let point = Point {
        name: "vod".into(),
        broadcast: false,
        source: directory.to_path_buf(),
        ..live
    };
    let server = desk.start(from_ref(&point), Protocol::Wmsp)?;
    let ring_depth = environment::ring_depth(desk.context.admin);
    std::thread::sleep(Duration::from_secs(1));
    let before = Process::read(server.pid())?;
    let window = desk.window(5);
    std::thread::sleep(window);
    let after = Process::read(server.pid())?;
    let wakes = (after.voluntary - before.voluntary) as f64 / window.as_secs_f64();
    desk.about_silence(ring_depth, CADENCE_MS);
    desk.under("resident memory, idle", after.rss as f64 / MIB, 30.0, "MiB");
    desk.at_most("wake-ups a second and core, all threads", wakes, 20.0, "");
    Ok(())
}

fn memory(desk: &mut Desk<'_>) -> Result<(), String> {
    let mut load = live(desk, desk.sessions(4000)?, BIT_RATE, CADENCE_MS)?;
    load.window = desk.window(5);
    let (m, _) = desk.single(&load)?;
    let memory = m.memory.ok_or("no memory was measured")?;
    desk.about(&[&m]);
    let kernel = memory.kernel_per_session_both_ends / 2.0;
    desk.at_most_with(
        "memory a session, kernel's part included",
        memory.rss_per_session + kernel,
        10_000.0,
        "B",
        &format!(" ({kernel:.0} of it the kernel's)"),
    );
    desk.at_most(
        "resident memory a session",
        memory.rss_per_session,
        5.0 * KIB,
        "B",
    );
    Ok(())
}

fn live_1000(desk: &mut Desk<'_>) -> Result<(), String> {
    against_the_floor(desk, 1000)
}

fn live_4000(desk: &mut Desk<'_>) -> Result<(), String> {
    against_the_floor(desk, 4000)?;
    let runs = desk.runs.clone();
    let of_server: Vec<_> = runs
        .iter()
        .filter(|m| m.label == crate::bench::SERVER)
        .collect();
    desk.price("CPU, live, 100 ms, N = 4,000", &of_server, 0.45);
    Ok(())
}

fn against_the_floor(desk: &mut Desk<'_>, sessions: usize) -> Result<(), String> {
    let mut load = live(desk, desk.sessions(sessions)?, BIT_RATE, CADENCE_MS)?;
    load.floor = true;
    let report = desk.bench(&load)?;
    // The floor must have served everybody as well, else it was not the same work.
    let mut runs = servers(&report);
    runs.extend(
        report
            .runs
            .iter()
            .filter(|m| m.label == crate::bench::FLOOR),
    );
    desk.about(&runs);
    desk.near_the_floor(&report, FLOOR_RATIO);
    Ok(())
}

fn cadence_57(desk: &mut Desk<'_>) -> Result<(), String> {
    let load = live(desk, desk.sessions(4000)?, BIT_RATE, 57)?;
    let report = desk.bench(&load)?;
    desk.about(&servers(&report));
    desk.price("CPU, live, 57 ms, N = 4,000", &servers(&report), 0.65);
    Ok(())
}

fn audio(desk: &mut Desk<'_>) -> Result<(), String> {
    let load = live(desk, desk.sessions(4000)?, AUDIO_RATE, 230)?;
    let report = desk.bench(&load)?;
    desk.about(&servers(&report));
    let target = "CPU, audio of 138 kbit/s, 230 ms, N = 4,000";
    desk.price(target, &servers(&report), 1.3);
    Ok(())
}

fn live_8000(desk: &mut Desk<'_>) -> Result<(), String> {
    let load = live(desk, desk.sessions(8000)?, BIT_RATE, CADENCE_MS)?;
    let (m, _) = desk.single(&load)?;
    desk.about(&[&m]);
    let o = &m.outcome;
    let lost = (o.failed + o.lost + o.ended) as f64;
    desk.at_most("sessions failed or lost of 8,000", lost, 0.0, "");
    desk.at_most_with(
        "packets not delivered",
        o.checks.skipped as f64,
        0.0,
        "",
        &format!(
            "({:.0} Mbit/s, swarm {:.0} % of its core)",
            m.mbit_per_s, m.swarm_percent
        ),
    );
    let bound = CADENCE_MS as f64 + 50.0;
    desk.at_most("lateness p99.9", o.lateness_ms.p999, bound, "ms");

    let most = desk.sessions_up_to(10_000);
    if most > load.sessions {
        let load = live(desk, most, BIT_RATE, CADENCE_MS)?;
        let (m, _) = desk.single(&load)?;
        desk.about(&[&m]);
        let o = &m.outcome;
        desk.reported(
            "towards 10,000 sessions on one core",
            format!(
                "{most}: {} lost, {} packets missing, p99.9 {:.1} ms, server {:.0} %, swarm {:.0} %",
                o.failed + o.lost + o.ended,
                o.checks.skipped,
                o.lateness_ms.p999,
                m.cost.map_or(0.0, |c| c.percent_of_core),
                m.swarm_percent
            ),
        );
    }
    Ok(())
}

/// Share of the busiest thread below which the second one counts as taking part.
const SECOND_CORE_SHARE_MIN: f64 = 0.2;

fn two_cores(desk: &mut Desk<'_>) -> Result<(), String> {
    // The swarm shares one of the cores: no statement about lateness.
    let mut load = live(desk, desk.sessions(4000)?, BIT_RATE, CADENCE_MS)?;
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let mut share = f64::MAX;
    for _ in 0..desk.context.rounds {
        load.cores = 1;
        one.push(desk.single(&load)?.0);
        load.cores = 2;
        let (m, threads) = desk.single(&load)?;
        let spent = |i: usize| threads.get(i).copied().unwrap_or(0.0);
        share = share.min(spent(1) / spent(0).max(1e-9));
        two.push(m);
    }
    let (one, two): (Vec<_>, Vec<_>) = (one.iter().collect(), two.iter().collect());
    desk.about(&[two.clone(), one.clone()].concat());
    let target = "CPU per GB on both cores against one";
    if share < SECOND_CORE_SHARE_MIN {
        let why = format!("the second core did {share:.2} of the first one's work");
        desk.not_measured(target, "at most 1.1 x", why);
        return Ok(());
    }
    let (of_one, of_two) = (cheapest(&one), cheapest(&two));
    desk.at_most_with(
        target,
        of_two / of_one,
        1.1,
        "x",
        &format!(" ({of_two:.3} against {of_one:.3} s/GB)"),
    );
    Ok(())
}

fn storm(desk: &mut Desk<'_>) -> Result<(), String> {
    let mut load = live(desk, desk.sessions(4000)?, BIT_RATE, CADENCE_MS)?;
    load.ramp = Duration::from_millis(500);
    load.warm_up = Duration::from_secs(2);
    load.window = desk.window(2);
    let (m, _) = desk.single(&load)?;
    desk.about(&[&m]);
    let first = m.outcome.first_media_ms.p99;
    desk.under("connect to first media byte, p99", first, 300.0, "ms");
    Ok(())
}

/// Two runs without any difference between them still differ by the phase of the server's slices.
const SLICE_MS: f64 = 5.0;

fn slow(desk: &mut Desk<'_>) -> Result<(), String> {
    let all = desk.sessions(1000)?;
    let slow = (all / 10).max(1);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..desk.context.rounds {
        let load = live(desk, all - slow, BIT_RATE, CADENCE_MS)?;
        alone.push(desk.single(&load)?.0);
        let mut load = live(desk, all, BIT_RATE, CADENCE_MS)?;
        load.slow = slow;
        beside.push(desk.single(&load)?.0);
    }
    let beside: Vec<_> = beside.iter().collect();
    let alone: Vec<_> = alone.iter().collect();
    desk.about(&[beside.clone(), alone.clone()].concat());
    let (without, with) = (best_lateness(&alone), best_lateness(&beside));
    let pairs = without.into_iter().zip(with);
    let difference = pairs.clone().map(|(a, b)| b - a).fold(f64::MIN, f64::max);
    let shown: Vec<String> = pairs.map(|(a, b)| format!("{a:.1} to {b:.1}")).collect();
    desk.at_most_with(
        "lateness of the others: p50, p99, p99.9 rise by",
        difference,
        SLICE_MS,
        "ms",
        &format!(" ({})", shown.join(", ")),
    );
    let of_slow =
        |pick: fn(&Measurement) -> f64| beside.iter().map(|m| pick(m)).fold(0.0, f64::max);
    let seen = least(
        beside
            .iter()
            .map(|m| m.slow_queue.map_or(0.0, |q| q.connections as f64)),
    );
    if seen < slow as f64 {
        let why = format!("`ss` shows {seen} of {slow} slow sessions");
        desk.not_measured("kernel memory of a slow session", "at most 524288 B", why);
    } else {
        let most = of_slow(|m| m.slow_queue.map_or(f64::MAX, |q| q.max as f64));
        desk.at_most("kernel memory of a slow session", most, 512.0 * KIB, "B");
    }
    moved_and_counted(desk, &beside, slow);
    Ok(())
}

/// p50, p99 and p99.9 of the sessions that read normally, each in its better round.
fn best_lateness(runs: &[&Measurement]) -> [f64; 3] {
    let picks: [fn(&Percentiles) -> f64; 3] = [|p| p.p50, |p| p.p99, |p| p.p999];
    picks.map(|pick| least(runs.iter().map(|m| pick(&m.outcome.lateness_ms))))
}

fn moved_and_counted(desk: &mut Desk<'_>, runs: &[&Measurement], slow: usize) {
    let moved = runs.iter().map(|m| m.outcome.slow_moved).min().unwrap_or(0);
    desk.check(
        "slow sessions that are moved forward",
        format!("all {slow}"),
        format!("{moved}"),
        moved == slow,
    );
    // The source is not older than the file is long: packets have the file's numbers.
    let keys = live_recipe(BIT_RATE).key_packets();
    let landings: Vec<u32> = runs
        .iter()
        .flat_map(|m| m.outcome.landings.iter().copied())
        .collect();
    let on_keys = landings
        .iter()
        .filter(|n| keys.binary_search(n).is_ok())
        .count();
    desk.check(
        "moves that end at a key frame",
        "all".into(),
        format!("{on_keys} of {}", landings.len()),
        !landings.is_empty() && on_keys == landings.len(),
    );
    let seen: u64 = runs.iter().map(|m| m.outcome.slow_checks.gaps).sum();
    let counted: f64 = runs.iter().filter_map(|m| m.skips_by_metrics).sum();
    desk.check(
        "moves that the server's metrics count",
        "at least those seen".into(),
        format!("{counted}, seen {seen}"),
        seen > 0 && counted >= seen as f64,
    );
}

fn vod_hot(desk: &mut Desk<'_>) -> Result<(), String> {
    on_demand_price(desk, 1, "CPU, on demand, one hot file", 0.6)
}

fn vod_files(desk: &mut Desk<'_>) -> Result<(), String> {
    on_demand_price(desk, 200, "CPU, on demand, 200 files", 0.8)
}

fn on_demand_price(
    desk: &mut Desk<'_>,
    files: usize,
    target: &str,
    bound: f64,
) -> Result<(), String> {
    let load = on_demand(desk, 1000, files, BIT_RATE)?;
    let report = desk.bench(&load)?;
    desk.about(&servers(&report));
    desk.price(target, &servers(&report), bound);
    Ok(())
}

fn soak(desk: &mut Desk<'_>) -> Result<(), String> {
    let mut load = live(desk, desk.sessions(1000)?, BIT_RATE, CADENCE_MS)?;
    load.window = desk.window(600);
    let (m, _) = desk.single(&load)?;
    desk.about(&[&m]);
    let memory = m.memory.ok_or("no memory was measured")?;
    let grown = memory.rss.saturating_sub(memory.window_rss) as f64 / MIB;
    desk.reported(
        "growth of the process in the window",
        format!("{grown:.2} MiB"),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_the_soak_does_not_run_by_itself() {
        let mut names: Vec<_> = ALL.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        let alone: Vec<_> = ALL
            .iter()
            .filter(|s| s.by_name_only)
            .map(|s| s.name)
            .collect();
        assert_eq!(alone, ["soak"]);
    }
}
