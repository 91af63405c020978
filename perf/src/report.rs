//! Results for people: tables and charts.

use crate::bench::{self, Report};
use crate::environment::Environment;
use crate::measure::{Datagrams, Measurement};
use crate::stats::Percentiles;
use crate::svg::{self, Chart, Series};
use std::fmt::Write as _;

/// One run in words.
pub fn measurement(m: &Measurement) -> String {
    let mut s = String::new();
    let o = &m.outcome;
    let mut row = |name: &str, value: String| {
        let _ = writeln!(s, "  {name:<22}{value}");
    };
    row(
        "sessions",
        format!(
            "{} asked, {} playing, {} failed, {} lost, {} ended, {} silent, settled after {:.1} s",
            m.sessions, o.streaming, o.failed, o.lost, o.ended, o.silent, o.settled_s
        ),
    );
    for (reason, count) in &o.reasons {
        row("", format!("{count} x {reason}"));
    }
    row(
        "delivered",
        format!(
            "{:.3} GB in {:.1} s, {:.0} Mbit/s",
            o.bytes as f64 / 1e9,
            o.window_s,
            m.mbit_per_s
        ),
    );
    if let Some(c) = &m.cost {
        row(
            "CPU s per GB",
            format!(
                "{:.3} process, {:.3} whole core ({:.1} % soft interrupts, {:.1} % stolen)",
                c.process_s_per_gb, c.cores_s_per_gb, c.softirq_percent, c.steal_percent
            ),
        );
        row(
            "of one core",
            format!(
                "{:.1} %, so {:.0} sessions per core",
                c.percent_of_core, c.sessions_per_core
            ),
        );
        row(
            "per second",
            format!(
                "{:.0} wakes, {:.0} preemptions, {:.1} retransmissions",
                c.wakes_per_s, c.preempted_per_s, c.retransmissions_per_s
            ),
        );
    }
    if o.lateness_ms.count > 0 {
        row("lateness", percentiles(&o.lateness_ms));
    }
    row("  own timeline", percentiles(&o.own_lateness_ms));
    if let Some(a) = &o.ages {
        row("age at last viewer", percentiles(&a.last));
        row("age at each viewer", percentiles(&a.each));
        row(
            "",
            format!(
                "{} packets pushed, {} not to everybody, {} of unknown number",
                a.packets, a.incomplete, a.unknown
            ),
        );
    }
    row("first media byte", percentiles(&o.first_media_ms));
    if let Some(mem) = &m.memory {
        row(
            "memory per session",
            format!(
                "{:.0} B resident, {:.0} B kernel (both ends); idle {:.1} MB",
                mem.rss_per_session,
                mem.kernel_per_session_both_ends,
                mem.idle_rss as f64 / 1e6
            ),
        );
    }
    if let Some(q) = &m.slow_queue {
        row(
            "slow sessions",
            format!(
                "{} hold {} B median, {} B most; {} moved forward, {} times by {} packets",
                q.connections,
                q.median,
                q.max,
                o.slow_moved,
                o.slow_checks.gaps,
                o.slow_checks.skipped
            ),
        );
    }
    let c = &o.checks;
    row(
        "packets",
        format!(
            "{} checked, {} faults, {} skips of {} packets, {} restarts",
            c.packets,
            m.server_faults(),
            c.gaps,
            c.skipped,
            c.restarts
        ),
    );
    if m.server_faults() > 0 {
        row("", format!("{c:?}"));
    }
    if let Some(r) = &o.received {
        row(
            "datagrams",
            format!(
                "{} lost, {} late, {} twice; {} sockets of the swarm dropped {}, queues on the way {}, {} of nobody",
                c.lost,
                c.reordered,
                c.duplicates,
                r.sockets,
                r.socket_drops,
                r.queue_drops,
                r.strangers
            ),
        );
    }
    if let Some(d) = &m.datagrams {
        row("  of the server", datagrams(d));
    }
    let per_send = m.bytes_per_send.map_or(String::new(), |b| {
        format!(", per send by its metrics {b:.0}")
    });
    row(
        "bytes",
        format!("{:.0} per receive{per_send}", m.bytes_per_receive),
    );
    let g = &m.given;
    row(
        "sender",
        format!(
            "{} bit/s in packets of {} B, cadence {}, ring depth {}, congestion control {}",
            g.bit_rate,
            g.packet_size,
            g.cadence_ms.map_or("?".into(), |c| format!("{c} ms")),
            g.ring_depth.as_deref().unwrap_or("?"),
            m.congestion.as_deref().unwrap_or("?")
        ),
    );
    let limited = if m.swarm_limited {
        " NEAR ITS LIMIT: lateness may be its own"
    } else {
        ""
    };
    row(
        "swarm",
        format!("{:.1} % of its core{limited}", m.swarm_percent),
    );
    format!("{}, {} sessions\n{s}", m.label, m.sessions)
}

/// What the server counts of its datagrams.
pub fn datagrams(d: &Datagrams) -> String {
    let each = d.sends_each().map_or("?".into(), |n| format!("{n:.4}"));
    format!(
        "{each} system calls each ({:.0} for {:.0}), {:.0} not taken, {:.0} sent again",
        d.sends, d.sent, d.dropped, d.resends
    )
}

/// What a result must be read with, in one line.
pub fn facts(m: &Measurement, e: &Environment) -> String {
    let g = &m.given;
    format!(
        "cadence {}, {} B per send, ring depth {}, {}, MTU {}, {}",
        g.cadence_ms.map_or("?".into(), |c| format!("{c} ms")),
        m.bytes_per_send.map_or("?".into(), |b| format!("{b:.0}")),
        g.ring_depth.as_deref().unwrap_or("?"),
        m.congestion.as_deref().unwrap_or("?"),
        e.lo_mtu,
        e.steering()
    )
}

fn percentiles(p: &Percentiles) -> String {
    format!(
        "p50 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1} ms",
        p.p50, p.p99, p.p999, p.max
    )
}

/// The comparison at the end.
pub fn summaries(report: &Report) -> String {
    let show = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.3}"));
    let mut s = String::from("sessions   server s/GB   floor s/GB   ratio   ratio of cores\n");
    for line in &report.summaries {
        let _ = writeln!(
            s,
            "{:>8}   {:>11}   {:>10}   {:>5}   {:>14}",
            line.sessions,
            show(line.server_s_per_gb),
            show(line.floor_s_per_gb),
            show(line.ratio),
            show(line.ratio_of_cores)
        );
    }
    s
}

/// Lateness and CPU against the number of sessions.
pub fn plot(report: &Report) -> String {
    let mut charts = Vec::new();
    for label in [bench::SERVER, bench::FLOOR] {
        let runs: Vec<_> = report.runs.iter().filter(|m| m.label == label).collect();
        if runs.is_empty() {
            continue;
        }
        let line = |name: &str, pick: fn(&Percentiles) -> f64| Series {
            name: name.into(),
            points: runs
                .iter()
                .map(|m| {
                    let o = &m.outcome;
                    let p = if o.lateness_ms.count > 0 {
                        &o.lateness_ms
                    } else {
                        &o.own_lateness_ms
                    };
                    (m.sessions as f64, pick(p))
                })
                .collect(),
        };
        charts.push(Chart {
            title: format!("Lateness, {label}"),
            x: "sessions".into(),
            y: "ms".into(),
            series: vec![
                line("p50", |p| p.p50),
                line("p99", |p| p.p99),
                line("p99.9", |p| p.p999),
                line("max", |p| p.max),
            ],
        });
    }
    let price = |name: &str, pick: fn(&bench::Summary) -> Option<f64>| Series {
        name: name.into(),
        points: report
            .summaries
            .iter()
            .filter_map(|s| Some((s.sessions as f64, pick(s)?)))
            .collect(),
    };
    charts.push(Chart {
        title: "CPU of the process".into(),
        x: "sessions".into(),
        y: "s per GB".into(),
        series: [
            price("server", |s| s.server_s_per_gb),
            price("floor", |s| s.floor_s_per_gb),
        ]
        .into_iter()
        .filter(|l| !l.points.is_empty())
        .collect(),
    });
    svg::document(&charts)
}

/// Write a value as JSON.
pub fn write_json(path: &std::path::Path, value: &impl serde::Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|e| e.to_string())?;
    std::fs::write(path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))
}
