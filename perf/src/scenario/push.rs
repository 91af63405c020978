//! Content that an encoder pushes: how soon viewers have it, and what taking it in costs.

use super::config::Point;
use super::desk::{Desk, cpus};
use super::load::{PUSH_SOURCE, pushed};
use super::targets::BIT_RATE;
use crate::content::Recipe;
use crate::encoder::{Content, Destination, Encoder};
use crate::environment::{self, load_average};
use crate::probe;
use crate::procfs::{self, Process};
use crate::server::Running;
use crate::swarm::Protocol;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two sends to a viewer; each has the bound.
const CADENCES_MS: [u64; 2] = [20, 100];
/// Beside the cadence.
const SPARE_MS: f64 = 20.0;
/// One encoder's rate where the price of taking in is asked for, bit/s.
const INGEST_RATE: u32 = 10_000_000;
const INGEST_PERCENT: f64 = 2.0;
/// So many of them at once.
const MANY: usize = 10;
const PACKET_SIZE: u16 = 3200;
/// Before viewers come: something is there to begin with.
const LEAD: Duration = Duration::from_secs(3);
/// For all that is not the window: joining, warming up.
const AROUND_S: u64 = 70;
/// What was pushed must have come in after so long.
const ARRIVAL: Duration = Duration::from_secs(2);

fn recipe(bit_rate: u32, window: Duration) -> Recipe {
    Recipe {
        seconds: u32::try_from(window.as_secs() + AROUND_S).unwrap_or(u32::MAX),
        bit_rate,
        packet_size: PACKET_SIZE,
        audio_only: false,
        even: true,
        seed: 1,
    }
}

fn encoder(desk: &Desk<'_>, point: &str, content: &Arc<Content>) -> Result<Encoder, String> {
    let to = Destination {
        addr: desk.players(Protocol::Wmsp),
        path: format!("/{point}"),
    };
    // It shares a CPU with others, who must not make it late.
    let priority = desk.context.fifo.map(|p| p + 1);
    Encoder::connect(&to, Arc::clone(content), priority)
}

/// From the encoder's write to the last of all viewers, on two cores.
pub fn glass(desk: &mut Desk<'_>) -> Result<(), String> {
    let content = Arc::new(Content::new(&recipe(BIT_RATE, desk.window(20))));
    for cadence_ms in CADENCES_MS {
        let load = pushed(desk, desk.sessions(1000)?, cadence_ms);
        let server = desk.serve(&load)?;
        let encoder = encoder(desk, &load.point.name, &content)?;
        encoder.start();
        std::thread::sleep(LEAD);
        let pushed = encoder.pushed();
        let played = desk.play(&load, &server, Some(Arc::clone(&pushed)));
        // What ended the encoder tells more than what its viewers saw of it.
        encoder.finish()?;
        let (m, _) = played?;
        let ages = m.outcome.ages.ok_or("no ages were measured")?;
        desk.about(&[&m]);
        desk.facts += &format!(
            "; server, swarm and encoder share two cores; the encoder was {:.1} ms behind at worst; \
             load {:.1}",
            pushed.worst_delay_ms(),
            load_average()
        );
        let whole = ages.packets > 0 && ages.incomplete == 0 && ages.unknown == 0;
        desk.check(
            &format!("packets at all {} viewers, {cadence_ms} ms", load.sessions),
            "all".into(),
            format!(
                "{} of {}, {} of unknown number",
                ages.packets - ages.incomplete,
                ages.packets,
                ages.unknown
            ),
            whole,
        );
        desk.under_with(
            &format!("write to last viewer, p99, cadence {cadence_ms} ms"),
            ages.last.p99,
            cadence_ms as f64 + SPARE_MS,
            "ms",
            &format!(" (p50 {:.1}, most {:.1})", ages.last.p50, ages.last.max),
        );
        desk.reported(
            &format!("write to each viewer, cadence {cadence_ms} ms"),
            format!(
                "p50 {:.1}, p99 {:.1}, p99.9 {:.1}, most {:.1} ms",
                ages.each.p50, ages.each.p99, ages.each.p999, ages.each.max
            ),
        );
    }
    Ok(())
}

/// What a server pays for encoders that nobody watches.
pub fn ingest(desk: &mut Desk<'_>) -> Result<(), String> {
    let content = Arc::new(Content::new(&recipe(INGEST_RATE, desk.window(15))));
    let one = take_in(desk, 1, &content)?;
    desk.under_with(
        "share of a core for 10 Mbit/s pushed, no viewer",
        one.percent,
        INGEST_PERCENT,
        "%",
        &one.note,
    );
    let many = take_in(desk, MANY, &content)?;
    desk.reported(
        &format!("share of a core for each 10 of {} Mbit/s", 10 * MANY),
        format!("{:.3} %{}", many.percent, many.note),
    );
    Ok(())
}

struct Price {
    /// Of a core, for each 10 Mbit/s that were pushed.
    percent: f64,
    note: String,
}

/// Each encoder pushes to a point of its own. The price is what the server needs in a window more
/// than in one in which the same encoders are connected, have sent their headers and are silent.
fn take_in(desk: &mut Desk<'_>, encoders: usize, content: &Arc<Content>) -> Result<Price, String> {
    let points: Vec<Point> = (0..encoders)
        .map(|i| Point {
            name: format!("in{i}"),
            broadcast: true,
            source: PUSH_SOURCE.into(),
            cadence_ms: 100,
            multicast: None,
        })
        .collect();
    let server = desk.start(&points, Protocol::Wmsp)?;
    let encoders: Vec<Encoder> = points
        .iter()
        .map(|p| encoder(desk, &p.name, content))
        .collect::<Result<_, _>>()?;
    std::thread::sleep(Duration::from_secs(1));
    let silent = spend(desk, &server, &[])?;
    for encoder in &encoders {
        encoder.start();
        // Encoders have nothing to do with each other: their packets do not come together.
        std::thread::sleep(Duration::from_micros(1300));
    }
    std::thread::sleep(LEAD);
    let busy = spend(desk, &server, &encoders)?;
    let delay = encoders
        .iter()
        .map(|e| e.pushed().worst_delay_ms())
        .fold(0.0, f64::max);

    desk.about_silence(environment::ring_depth(desk.context.admin), 100);
    desk.facts += &format!(
        "; packets of {PACKET_SIZE} B, encoders on the other CPU, {delay:.1} ms behind at worst; \
         less {:.2} % while they are connected and silent; load {:.1}",
        silent.cpu_s / silent.seconds * 100.0,
        load_average()
    );
    everything_came_in(desk, encoders)?;
    let share = busy.cpu_s / busy.seconds - silent.cpu_s / silent.seconds;
    let mbit_per_s = busy.bytes as f64 * 8e-6 / busy.seconds;
    Ok(Price {
        percent: share * 100.0 / (mbit_per_s / 10.0),
        note: format!(
            " ({mbit_per_s:.1} Mbit/s; {:.2} % in all, {:.0} wakes/s)",
            busy.cpu_s / busy.seconds * 100.0,
            busy.wakes as f64 / busy.seconds
        ),
    })
}

/// Of one window.
struct Spent {
    cpu_s: f64,
    wakes: u64,
    bytes: u64,
    seconds: f64,
}

fn spend(desk: &Desk<'_>, server: &Running, encoders: &[Encoder]) -> Result<Spent, String> {
    let cpus = cpus(1, desk.context);
    let bytes = || encoders.iter().map(|e| e.pushed().bytes()).sum::<u64>();
    let soft = procfs::ksoftirqd_s(&cpus);
    let (before, pushed, begun) = (Process::read(server.pid())?, bytes(), Instant::now());
    std::thread::sleep(desk.window(15));
    let (after, seconds) = (Process::read(server.pid())?, begun.elapsed().as_secs_f64());
    Ok(Spent {
        cpu_s: after.cpu_s_since(&before) + procfs::ksoftirqd_s(&cpus) - soft,
        wakes: after.voluntary - before.voluntary,
        bytes: bytes() - pushed,
        seconds,
    })
}

/// A server that leaves packets out is cheap.
fn everything_came_in(desk: &mut Desk<'_>, encoders: Vec<Encoder>) -> Result<(), String> {
    let books: Vec<_> = encoders.iter().map(Encoder::pushed).collect();
    for encoder in encoders {
        encoder.finish()?;
    }
    let sent: u64 = books.iter().map(|b| b.count()).sum();
    let end = Instant::now() + ARRIVAL;
    let came = loop {
        let (_, text) = probe::get(desk.context.admin, "/metrics")?;
        let came = probe::metric(&text, "ringcast_source_packets_total")
            .ok_or("the metrics do not count what comes in")?;
        if came >= sent as f64 || Instant::now() >= end {
            break came;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    desk.check(
        &format!("packets of {} encoders that came in", books.len()),
        "all".into(),
        format!("{came} of {sent}"),
        came == sent as f64,
    );
    Ok(())
}
