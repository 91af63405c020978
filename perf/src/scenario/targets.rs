//! The scenarios and their targets. Bounds come from the design's budgets: 1.15 times a bare loop,
//! 10 kB a session, 250 wake-ups a second and core while streaming and 20 when idle, lateness of
//! the cadence and 5 ms. Where the design states none, the bound is a choice made here.

use super::config::Point;
use super::desk::{AUDIO_RATE, Desk, Load, least, live, on_demand, servers};
use crate::pair::{self, Experiment};
use crate::procfs::Process;
use crate::server::Running;
use crate::stats;
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

/// All of them, in the order in which they are run.
pub const ALL: &[Scenario] = &[
    scenario(
        "ready-time",
        "start of the process to /readyz, five times",
        ready_time,
    ),
    scenario("idle", "a server without sessions", idle),
    scenario(
        "packet-pair",
        "estimates at links of 1, 10 and 50 Mbit/s",
        packet_pair,
    ),
    scenario("live-1000", "1,000 sessions of 1 Mbit/s", live_1000),
    scenario("live-4000", "4,000 sessions of 1 Mbit/s", live_4000),
    scenario(
        "live-8000",
        "8,000 or more sessions of 300 kbit/s",
        live_8000,
    ),
    scenario(
        "cadence-57",
        "1,000 sessions of 1 Mbit/s, a packet of 7,125 bytes each 57 ms",
        cadence_57,
    ),
    scenario(
        "audio-138k-230ms",
        "2,000 sessions of 138 kbit/s audio, a packet each 230 ms",
        audio,
    ),
    scenario(
        "two-cores",
        "2,000 sessions of 1 Mbit/s on two cores",
        two_cores,
    ),
    scenario("storm-4000", "4,000 sessions within half a second", storm),
    scenario(
        "slow-100-of-1000",
        "1,000 sessions, 100 of which read at 6 % of the rate",
        slow,
    ),
    scenario("vod-hot-1000", "1,000 sessions all over one file", vod_hot),
    scenario("vod-200-files", "1,000 sessions over 200 files", vod_files),
    Scenario {
        name: "soak",
        what: "1,000 sessions for --seconds (10 min), memory must not grow",
        by_name_only: true,
        run: soak,
    },
];

const FLOOR_RATIO: f64 = 1.15;
const WAKES_STREAMING: f64 = 250.0;
const WAKES_IDLE: f64 = 20.0;

fn ready_time(desk: &mut Desk<'_>) -> Result<(), String> {
    let point = live(desk, 1, 1_000_000, 3200, 100)?.point;
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push(desk.start(&point)?.ready_ms);
    }
    times.sort_unstable_by(f64::total_cmp);
    desk.at_most("start to ready, median", stats::median(&times), 500.0, "ms");
    Ok(())
}

fn idle(desk: &mut Desk<'_>) -> Result<(), String> {
    let mut point = live(desk, 1, 1_000_000, 3200, 100)?.point;
    // A live source that runs for nobody would be work.
    point = Point {
        name: "vod",
        broadcast: false,
        source: point
            .source
            .parent()
            .ok_or("content without a directory")?
            .to_path_buf(),
        ..point
    };
    let server = desk.start(&point)?;
    std::thread::sleep(Duration::from_secs(1));
    let before = Process::read(server.pid())?;
    let window = desk.window(5);
    std::thread::sleep(window);
    let after = Process::read(server.pid())?;
    let seconds = window.as_secs_f64();
    let wakes = (after.voluntary - before.voluntary) as f64 / seconds;
    let cpu = after.cpu_s_since(&before) / seconds * 100.0;
    desk.at_most("resident memory", after.rss as f64 / 1e6, 32.0, "MB");
    desk.at_most("wake-ups per second", wakes, WAKES_IDLE, "");
    desk.at_most("of one core", cpu, 0.5, "%");
    Ok(())
}

/// The shaped link has an error of its own; a control run with the floor sender shows it.
fn packet_pair(desk: &mut Desk<'_>) -> Result<(), String> {
    let point = live(desk, 1, 1_000_000, 3200, 100)?.point;
    let experiment = Experiment {
        rates: vec![1_000_000, 10_000_000, 50_000_000],
        tries: 9,
        path: "/live".into(),
        probe: None,
    };
    let measured = {
        let _server = desk.start(&point)?;
        pair::through_relay(&experiment, desk.context.http)?
    };
    let (_floor, port) = Running::start_floor(&["floor-sender".into()], &desk.placement(1))?;
    let control = pair::through_relay(&experiment, super::local(port))?;
    for (m, c) in measured.iter().zip(&control) {
        let rate = m.link as f64;
        let off = least(
            [rate, c.median]
                .iter()
                .map(|to| (m.median / to - 1.0).abs()),
        ) * 100.0;
        desk.check(
            &format!("estimate at {} Mbit/s", rate / 1e6),
            "10 % from link or control".into(),
            format!(
                "{:.2} Mbit/s, control {:.2}",
                m.median / 1e6,
                c.median / 1e6
            ),
            off <= 10.0,
        );
        desk.at_most("pairs sent as one segment", m.unsegmented as f64, 0.0, "");
    }
    Ok(())
}

/// Checks common to the live loads on one core.
fn hold_live(desk: &mut Desk<'_>, load: &Load) -> Result<(), String> {
    let report = desk.bench(load)?;
    desk.all_served(&servers(&report));
    desk.punctual(&report, load);
    desk.near_the_floor(&report, FLOOR_RATIO);
    desk.small(&report);
    let wakes = least(
        servers(&report)
            .into_iter()
            .filter_map(|m| m.cost.map(|c| c.wakes_per_s)),
    );
    desk.at_most("wake-ups per second", wakes, WAKES_STREAMING, "");
    Ok(())
}

/// CPU s per GB in the cheaper round so far.
fn price(desk: &mut Desk<'_>, stated: f64) {
    let bound = desk.cpu_bound(stated);
    let best = least(
        desk.runs
            .iter()
            .filter(|m| m.label == crate::bench::SERVER)
            .filter_map(|m| m.cost.map(|c| c.process_s_per_gb)),
    );
    desk.at_most("CPU s per GB", best, bound, "s");
}

fn live_1000(desk: &mut Desk<'_>) -> Result<(), String> {
    let load = live(desk, 1000, 1_000_000, 3200, 100)?;
    hold_live(desk, &load)
}

fn live_4000(desk: &mut Desk<'_>) -> Result<(), String> {
    let load = live(desk, 4000, 1_000_000, 3200, 100)?;
    hold_live(desk, &load)?;
    price(desk, 0.35);
    Ok(())
}

fn live_8000(desk: &mut Desk<'_>) -> Result<(), String> {
    // Towards 10,000 as far as descriptors allow.
    let load = live(desk, 10_000, 300_000, 3200, 100)?;
    hold_live(desk, &load)?;
    let best = least(
        desk.runs
            .iter()
            .filter(|m| m.label == crate::bench::SERVER)
            .filter_map(|m| m.cost.map(|c| c.percent_of_core)),
    );
    let bound = desk.cpu_bound(30.0) * load.sessions as f64 / 8000.0;
    desk.at_most("of one core", best, bound, "%");
    Ok(())
}

fn cadence_57(desk: &mut Desk<'_>) -> Result<(), String> {
    // 7,125 bytes are 57 ms of 1 Mbit/s; a cadence goes in steps of 5 ms.
    let load = live(desk, 1000, 1_000_000, 7125, 55)?;
    hold_live(desk, &load)
}

fn audio(desk: &mut Desk<'_>) -> Result<(), String> {
    let load = live(desk, 2000, AUDIO_RATE, 3968, 230)?;
    hold_live(desk, &load)
}

fn two_cores(desk: &mut Desk<'_>) -> Result<(), String> {
    // The swarm shares one of the cores: no statement about lateness or price.
    let mut load = live(desk, 2000, 1_000_000, 3200, 100)?;
    load.cores = 2;
    let (m, threads) = desk.single(&load)?;
    desk.all_served(&[&m]);
    let spent = |i: usize| threads.get(i).copied().unwrap_or(0.0);
    let balance = spent(1) / spent(0).max(1e-9);
    desk.check(
        "CPU of the second core against the first",
        "at least 0.5 x".into(),
        format!("{balance:.2} x"),
        balance >= 0.5,
    );
    Ok(())
}

fn storm(desk: &mut Desk<'_>) -> Result<(), String> {
    let mut load = live(desk, 4000, 1_000_000, 3200, 100)?;
    load.ramp = Duration::from_millis(500);
    load.floor = false;
    let report = desk.bench(&load)?;
    desk.all_served(&servers(&report));
    desk.punctual(&report, &load);
    let first = least(
        servers(&report)
            .into_iter()
            .map(|m| m.outcome.first_media_ms.p99),
    );
    desk.at_most("connect to first media, p99", first, 2000.0, "ms");
    Ok(())
}

fn slow(desk: &mut Desk<'_>) -> Result<(), String> {
    let mut load = live(desk, 1000, 1_000_000, 3200, 100)?;
    load.slow = load.sessions / 10;
    load.floor = false;
    let report = desk.bench(&load)?;
    let others_lost: usize = servers(&report)
        .iter()
        .map(|m| {
            let slow: usize = m
                .outcome
                .reasons
                .iter()
                .filter(|(why, _)| why.starts_with("slow session"))
                .map(|(_, n)| n)
                .sum();
            (m.outcome.failed + m.outcome.lost).saturating_sub(slow)
        })
        .sum();
    desk.at_most("others failed or lost", others_lost as f64, 0.0, "");
    desk.punctual(&report, &load);
    let queue = servers(&report)
        .iter()
        .filter_map(|m| m.slow_queue.map(|q| q.max))
        .max()
        .unwrap_or(0);
    // SO_SNDBUF is 2 s of the rate; the kernel doubles it for its own bookkeeping.
    desk.at_most("send queue of a slow session", queue as f64, 500_000.0, "B");
    Ok(())
}

fn hold_on_demand(desk: &mut Desk<'_>, load: &Load, ratio: f64) -> Result<(), String> {
    let report = desk.bench(load)?;
    desk.all_served(&servers(&report));
    desk.punctual(&report, load);
    desk.near_the_floor(&report, ratio);
    Ok(())
}

fn vod_hot(desk: &mut Desk<'_>) -> Result<(), String> {
    let load = on_demand(desk, 1000, 1, 1_000_000)?;
    hold_on_demand(desk, &load, 1.5)
}

fn vod_files(desk: &mut Desk<'_>) -> Result<(), String> {
    let load = on_demand(desk, 1000, 200, 500_000)?;
    hold_on_demand(desk, &load, 2.0)
}

fn soak(desk: &mut Desk<'_>) -> Result<(), String> {
    let mut load = live(desk, 1000, 1_000_000, 3200, 100)?;
    load.window = desk.window(600);
    let (m, _) = desk.single(&load)?;
    desk.all_served(&[&m]);
    let grown = m
        .memory
        .map_or(0, |mem| mem.rss.saturating_sub(mem.window_rss));
    desk.at_most("growth in the window", grown as f64 / 1e6, 2.0, "MB");
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
