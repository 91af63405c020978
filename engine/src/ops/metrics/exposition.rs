//! The text format of Prometheus: `# HELP`, `# TYPE`, samples; one family after the other.

use super::{
    ArchiveTotals, CastCounters, CoreCounters, Counter, LATENESS_MS, Lateness, Metrics,
    PointCounters, RefusedReason, cast, lock, process,
};
use crate::points::{Airing, SourceFacts};
use std::collections::BTreeMap;
use std::fmt::Write;

/// All families.
pub(super) fn write(metrics: &Metrics) -> String {
    let mut out = String::with_capacity(16 * 1024);
    write_process(metrics, &mut out);
    write_cores(metrics, &mut out);
    write_points(metrics, &mut out);
    write_sources(metrics, &mut out);
    write_casts(metrics, &mut out);
    write_log(metrics, &mut out);
    write_archives(metrics, &mut out);
    out
}

fn write_process(metrics: &Metrics, out: &mut String) {
    family(
        out,
        "ringcast_build_info",
        "gauge",
        "Version of the program.",
    );
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(out, "ringcast_build_info{{version=\"{version}\"}} 1");
    let facts = lock(&metrics.facts).clone();
    family(
        out,
        "ringcast_ring_depth",
        "gauge",
        "Entries of each core's io_uring.",
    );
    let _ = writeln!(out, "ringcast_ring_depth {}", facts.ring_depth);
    family(
        out,
        "ringcast_listener_info",
        "gauge",
        "Listeners, with the TCP congestion control in effect.",
    );
    for (address, congestion) in &facts.congestion {
        let (address, congestion) = (escape(address), escape(congestion));
        let _ = writeln!(
            out,
            "ringcast_listener_info{{address=\"{address}\",congestion=\"{congestion}\"}} 1"
        );
    }
    let uptime = metrics.origin.elapsed().as_secs_f64();
    family(
        out,
        "ringcast_uptime_seconds",
        "gauge",
        "Time since the start.",
    );
    let _ = writeln!(out, "ringcast_uptime_seconds {uptime:.3}");
    if let Some(cpu) = process::cpu_seconds() {
        family(
            out,
            "process_cpu_seconds_total",
            "counter",
            "CPU time of all threads.",
        );
        let _ = writeln!(out, "process_cpu_seconds_total {cpu:.2}");
    }
    if let Some(bytes) = process::resident_bytes() {
        family(
            out,
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory.",
        );
        let _ = writeln!(out, "process_resident_memory_bytes {bytes}");
    }
    if let Some((open, limit)) = process::descriptors() {
        family(out, "process_open_fds", "gauge", "Open file descriptors.");
        let _ = writeln!(out, "process_open_fds {open}");
        family(
            out,
            "process_max_fds",
            "gauge",
            "Most file descriptors that may be open.",
        );
        let _ = writeln!(out, "process_max_fds {limit}");
    }
}

type CoreValue = fn(&CoreCounters) -> u64;

/// Name, kind, help, value.
const CORE_FAMILIES: &[(&str, &str, &str, CoreValue)] = &[
    ("sessions", "gauge", "Sessions that exist.", |c| {
        c.sessions.get()
    }),
    ("connections", "gauge", "Connections that are open.", |c| {
        c.connections.get()
    }),
    ("accepts_total", "counter", "Connections accepted.", |c| {
        c.accepts.get()
    }),
    (
        "sent_bytes_total",
        "counter",
        "Bytes given to transports.",
        |c| c.bytes_sent.get(),
    ),
    ("received_bytes_total", "counter", "Bytes received.", |c| {
        c.bytes_received.get()
    }),
    (
        "sends_total",
        "counter",
        "Writes that carried media.",
        |c| c.sends.get(),
    ),
    (
        "datagrams_sent_total",
        "counter",
        "Datagrams given to transports.",
        |c| c.datagrams_sent.get(),
    ),
    (
        "datagram_sends_total",
        "counter",
        "System calls that sent datagrams.",
        |c| c.datagram_sends.get(),
    ),
    (
        "datagrams_dropped_total",
        "counter",
        "Datagrams that the kernel refused.",
        |c| c.datagrams_dropped.get(),
    ),
    (
        "resends_sent_total",
        "counter",
        "Lost datagrams that were sent again.",
        |c| c.resends_sent.get(),
    ),
    (
        "resends_missed_total",
        "counter",
        "Lost datagrams that could not be sent again.",
        |c| c.resends_missed.get(),
    ),
    (
        "ticks_total",
        "counter",
        "Ticks of the pacing clock.",
        |c| c.ticks.get(),
    ),
    (
        "late_ticks_total",
        "counter",
        "Ticks that began more than one base tick late.",
        |c| c.late_ticks.get(),
    ),
    (
        "ring_overruns_total",
        "counter",
        "Sessions whose place in the ring was overwritten.",
        |c| c.ring_overruns.get(),
    ),
    (
        "slow_client_skips_total",
        "counter",
        "Jumps of slow clients to a newer key frame.",
        |c| c.slow_client_skips.get(),
    ),
    (
        "lane_overruns_total",
        "counter",
        "Batches lost between cores.",
        |c| c.lane_overruns.get(),
    ),
    (
        "peer_faults_total",
        "counter",
        "Peers that broke the protocol.",
        |c| c.peer_faults.get(),
    ),
    (
        "log_records_dropped_total",
        "counter",
        "Log records pushed out of a full queue.",
        |c| c.log_records_dropped.get(),
    ),
    ("ring_bytes", "gauge", "Memory of live rings.", |c| {
        c.ring_bytes.get()
    }),
    (
        "cache_bytes",
        "gauge",
        "Memory of cached chunks of files.",
        |c| c.cache_bytes.get(),
    ),
    (
        "cache_hits_total",
        "counter",
        "Chunks found in the cache.",
        |c| c.cache_hits.get(),
    ),
    (
        "cache_misses_total",
        "counter",
        "Chunks read from a file.",
        |c| c.cache_misses.get(),
    ),
];

fn write_cores(metrics: &Metrics, out: &mut String) {
    let cores = lock(&metrics.cores);
    for (name, kind, help, value) in CORE_FAMILIES {
        family(out, &format!("ringcast_{name}"), kind, help);
        for (core, counters) in &*cores {
            let _ = writeln!(
                out,
                "ringcast_{name}{{core=\"{core}\"}} {}",
                value(counters)
            );
        }
    }
    family(
        out,
        "ringcast_busy_seconds_total",
        "counter",
        "Time spent in ticks.",
    );
    for (core, counters) in &*cores {
        let seconds = counters.busy_micros.get() as f64 / 1e6;
        let _ = writeln!(
            out,
            "ringcast_busy_seconds_total{{core=\"{core}\"}} {seconds:.6}"
        );
    }
    family(
        out,
        "ringcast_core_cpu_seconds_total",
        "counter",
        "CPU time of the core's thread.",
    );
    for (core, counters) in &*cores {
        let thread = counters.thread.load(std::sync::atomic::Ordering::Relaxed);
        if let Some(cpu) = (thread != 0)
            .then(|| process::thread_cpu_seconds(thread))
            .flatten()
        {
            let _ = writeln!(
                out,
                "ringcast_core_cpu_seconds_total{{core=\"{core}\"}} {cpu:.6}"
            );
        }
    }
    family(
        out,
        "ringcast_core_silent_seconds",
        "gauge",
        "Time since the core's last tick; the watchdog's measure.",
    );
    for (core, counters) in &*cores {
        let silent = counters.silent_for().as_secs_f64();
        let _ = writeln!(
            out,
            "ringcast_core_silent_seconds{{core=\"{core}\"}} {silent:.3}"
        );
    }
    family(
        out,
        "ringcast_refused_total",
        "counter",
        "Clients refused, by reason.",
    );
    for reason in RefusedReason::ALL {
        for (core, counters) in &*cores {
            let (name, n) = (reason.name(), counters.refused[reason as usize].get());
            let _ = writeln!(
                out,
                "ringcast_refused_total{{core=\"{core}\",reason=\"{name}\"}} {n}"
            );
        }
    }
}

type PointValue = fn(&PointCounters) -> u64;

const POINT_FAMILIES: &[(&str, &str, &str, PointValue)] = &[
    ("sessions", "gauge", "Sessions of the point.", |c| {
        c.sessions.get()
    }),
    ("connects_total", "counter", "Sessions begun.", |c| {
        c.connects.get()
    }),
    (
        "bytes_total",
        "counter",
        "Bytes of media with its framing.",
        |c| c.bytes.get(),
    ),
    ("packets_total", "counter", "Media packets.", |c| {
        c.packets.get()
    }),
    (
        "late_sends_total",
        "counter",
        "Sends later than the cadence allows for.",
        |c| c.late_sends.get(),
    ),
    (
        "skips_total",
        "counter",
        "Jumps to a newer key frame.",
        |c| c.skips.get(),
    ),
    (
        "overruns_total",
        "counter",
        "Places in the ring that were overwritten.",
        |c| c.overruns.get(),
    ),
    ("refused_total", "counter", "Clients refused.", |c| {
        c.refused.get()
    }),
];

fn write_points(metrics: &Metrics, out: &mut String) {
    let points = lock(&metrics.points);
    let labels = |point: &str, protocol: &str| {
        format!("point=\"{}\",protocol=\"{protocol}\"", escape(point))
    };
    for (name, kind, help, value) in POINT_FAMILIES {
        family(out, &format!("ringcast_point_{name}"), kind, help);
        for ((point, protocol), cores) in &*points {
            let sum: u64 = cores.values().map(|c| value(c)).sum();
            let labels = labels(point, protocol);
            let _ = writeln!(out, "ringcast_point_{name}{{{labels}}} {sum}");
        }
    }
    let name = "ringcast_point_lateness_seconds";
    family(
        out,
        name,
        "histogram",
        "Time of a send minus the due time of its first packet.",
    );
    for ((point, protocol), cores) in &*points {
        let each: Vec<&Lateness> = cores.values().map(|c| &c.lateness).collect();
        histogram(out, name, &labels(point, protocol), &each);
    }
}

type SourceValue = fn(&SourceFacts) -> u64;

const SOURCE_FAMILIES: &[(&str, &str, SourceValue)] = &[
    (
        "packets_total",
        "Packets that came from a broadcast's source.",
        SourceFacts::packets,
    ),
    ("bytes_total", "Bytes of these packets.", SourceFacts::bytes),
    (
        "damaged_total",
        "Packets that were left out because they cannot be read.",
        SourceFacts::damaged,
    ),
    ("entries_total", "Entries that were begun.", |f| {
        u64::from(f.entries())
    }),
    (
        "losses_total",
        "Times that the source was lost without having ended.",
        SourceFacts::losses,
    ),
    (
        "attempts_total",
        "Times that a source on another server was asked.",
        SourceFacts::attempts,
    ),
    (
        "skipped_total",
        "Files of a list that were skipped because they cannot be played.",
        SourceFacts::skipped,
    ),
];

fn write_sources(metrics: &Metrics, out: &mut String) {
    let sources = lock(&metrics.sources);
    family(
        out,
        "ringcast_source_state",
        "gauge",
        "1 for what a broadcast's source does, 0 for what it does not.",
    );
    for (point, facts) in &*sources {
        for state in Airing::ALL {
            let (point, name) = (escape(point), state.name());
            let value = u8::from(facts.airing() == state);
            let _ = writeln!(
                out,
                "ringcast_source_state{{point=\"{point}\",state=\"{name}\"}} {value}"
            );
        }
    }
    for (name, help, value) in SOURCE_FAMILIES {
        family(out, &format!("ringcast_source_{name}"), "counter", help);
        for (point, facts) in &*sources {
            let (point, value) = (escape(point), value(facts));
            let _ = writeln!(out, "ringcast_source_{name}{{point=\"{point}\"}} {value}");
        }
    }
}

fn write_casts(metrics: &Metrics, out: &mut String) {
    let senders = metrics.casts();
    // While a point is replaced, the old one's sender may still be there beside the new one's.
    let mut casts: BTreeMap<String, Vec<&CastCounters>> = BTreeMap::new();
    for c in &senders {
        let labels = format!("point=\"{}\",protocol=\"{}\"", escape(&c.point), c.protocol);
        casts.entry(labels).or_default().push(c);
    }
    for (name, help, value) in cast::FAMILIES {
        let name = format!("ringcast_multicast_{name}");
        family(out, &name, "counter", help);
        for (labels, each) in &casts {
            let sum: u64 = each.iter().map(|c| value(c)).sum();
            let _ = writeln!(out, "{name}{{{labels}}} {sum}");
        }
    }
    let name = "ringcast_multicast_lateness_seconds";
    let help = "Time of a packet's send to the group minus its due time.";
    family(out, name, "histogram", help);
    for (labels, each) in &casts {
        let each: Vec<&Lateness> = each.iter().map(|c| &c.lateness).collect();
        histogram(out, name, labels, &each);
    }
}

fn histogram(out: &mut String, name: &str, labels: &str, each: &[&Lateness]) {
    let bucket = |i: usize| -> u64 { each.iter().map(|l| Counter::get(&l.buckets[i])).sum() };
    let mut so_far = 0;
    for (i, bound) in LATENESS_MS.iter().enumerate() {
        so_far += bucket(i);
        let bound = f64::from(*bound) / 1e3;
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {so_far}");
    }
    so_far += bucket(LATENESS_MS.len());
    let sum: u64 = each.iter().map(|l| l.sum_ms.get()).sum();
    let sum = sum as f64 / 1e3;
    let _ = writeln!(
        out,
        "{name}_bucket{{{labels},le=\"+Inf\"}} {so_far}\n\
         {name}_sum{{{labels}}} {sum}\n\
         {name}_count{{{labels}}} {so_far}"
    );
}

fn write_log(metrics: &Metrics, out: &mut String) {
    let log = &metrics.log;
    for (name, kind, help, value) in [
        (
            "lines_total",
            "counter",
            "Log lines written.",
            log.lines.get(),
        ),
        (
            "bytes_total",
            "counter",
            "Log bytes written.",
            log.bytes.get(),
        ),
        (
            "lost_total",
            "counter",
            "Log lines lost to the disk.",
            log.lost.get(),
        ),
        (
            "files_total",
            "counter",
            "Log files begun.",
            log.files.get(),
        ),
        (
            "stopped",
            "gauge",
            "1 while the free-space floor stops logging.",
            log.stopped.get(),
        ),
    ] {
        family(out, &format!("ringcast_log_{name}"), kind, help);
        let _ = writeln!(out, "ringcast_log_{name} {value}");
    }
}

type ArchiveValue = fn(&ArchiveTotals) -> u64;

const ARCHIVE_FAMILIES: &[(&str, &str, &str, ArchiveValue)] = &[
    (
        "bytes_total",
        "counter",
        "Bytes of media and indexes written to recordings.",
        |t| t.bytes,
    ),
    ("files_total", "counter", "Recordings begun.", |t| t.files),
    (
        "dropped_packets_total",
        "counter",
        "Packets that were not recorded: the disk was too slow, or failed.",
        |t| t.dropped,
    ),
    (
        "errors_total",
        "counter",
        "Failures to write a recording.",
        |t| t.errors,
    ),
    ("recording", "gauge", "1 while a file is written.", |t| {
        u64::from(t.file.is_some())
    }),
    (
        "file_bytes",
        "gauge",
        "Size of the file that is written, or was written last.",
        |t| t.file_bytes,
    ),
];

fn write_archives(metrics: &Metrics, out: &mut String) {
    let archives: Vec<_> = lock(&metrics.archives)
        .iter()
        .filter_map(|(point, counters)| Some((escape(point), counters.upgrade()?.totals())))
        .collect();
    for (name, kind, help, value) in ARCHIVE_FAMILIES {
        family(out, &format!("ringcast_archive_{name}"), kind, help);
        for (point, totals) in &archives {
            let n = value(totals);
            let _ = writeln!(out, "ringcast_archive_{name}{{point=\"{point}\"}} {n}");
        }
    }
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use std::collections::HashSet;

    fn filled() -> Arc<Metrics> {
        let metrics = Metrics::new();
        for core in 0..2 {
            let counters = metrics.core(CoreId(core));
            counters.bind_thread();
            counters.sessions.inc();
            counters.refuse(RefusedReason::Memory);
            counters.beat();
        }
        let point = metrics.point(CoreId(0), "li\"ve", Protocol::Wmsp);
        point.lateness.record(3);
        point.lateness.record(9000);
        metrics
            .point(CoreId(1), "li\"ve", Protocol::Wmsp)
            .lateness
            .record(1);
        let source: Arc<SourceFacts> = Arc::default();
        source.count_attempt();
        source.count_skipped();
        let sources = [("li\"ve".to_owned(), source)];
        metrics.set_sources(sources.into_iter().collect());
        metrics.set_facts(Facts {
            ring_depth: 4096,
            congestion: vec![("0.0.0.0:80".into(), "cubic".into())],
        });
        metrics
    }

    #[test]
    fn senders_to_groups_are_told_while_they_are_there() {
        let metrics = filled();
        let (old, new) = (metrics.cast("a", "msb"), metrics.cast("a", "msb"));
        old.datagrams.add(2);
        old.lateness.record(7);
        new.datagrams.inc();
        let text = metrics.exposition();
        let labels = "{point=\"a\",protocol=\"msb\"}";
        for line in [
            format!("ringcast_multicast_datagrams_total{labels} 3"),
            format!("ringcast_multicast_lateness_seconds_count{labels} 1"),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing");
        }
        drop(old);
        let text = metrics.exposition();
        assert!(text.contains(&format!("ringcast_multicast_datagrams_total{labels} 1\n")));
        drop(new);
        assert!(!metrics.exposition().contains("point=\"a\""));
    }

    /// Name, labels, value of each sample; panics where a line is none.
    fn samples(text: &str) -> Vec<(String, String, f64)> {
        text.lines()
            .filter(|l| !l.starts_with('#'))
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let labels = labels.strip_suffix('}').expect("labels end");
                (
                    name.to_owned(),
                    labels.to_owned(),
                    value.parse().expect("a number"),
                )
            })
            .collect()
    }

    #[test]
    fn every_sample_has_a_family_and_no_family_comes_twice() {
        let text = filled().exposition();
        let mut families = HashSet::new();
        for line in text.lines().filter_map(|l| l.strip_prefix("# TYPE ")) {
            assert!(families.insert(line.split(' ').next()), "{line} twice");
        }
        let mut series = HashSet::new();
        for (name, labels, _) in samples(&text) {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|s| name.strip_suffix(s))
                .find(|b| families.contains(&Some(*b)))
                .unwrap_or(&name)
                .to_owned();
            assert!(
                families.contains(&Some(base.as_str())),
                "{name} has no type"
            );
            assert!(
                series.insert((name.clone(), labels.clone())),
                "{name} {labels} twice"
            );
        }
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn the_histogram_is_cumulative_and_summed_over_cores() {
        let text = filled().exposition();
        let buckets: Vec<f64> = samples(&text)
            .into_iter()
            .filter(|s| s.0 == "ringcast_point_lateness_seconds_bucket")
            .map(|s| s.2)
            .collect();
        assert_eq!(buckets.len(), LATENESS_MS.len() + 1);
        assert_eq!((buckets[0], buckets[1], buckets[2]), (1.0, 1.0, 2.0));
        assert_eq!((buckets[13], buckets[14]), (2.0, 3.0));
        assert!(text.contains(
            "ringcast_point_lateness_seconds_sum{point=\"li\\\"ve\",protocol=\"wmsp\"} 9.004\n"
        ));
    }

    #[test]
    fn facts_and_cores_are_told() {
        let text = filled().exposition();
        for line in [
            "ringcast_ring_depth 4096",
            "ringcast_listener_info{address=\"0.0.0.0:80\",congestion=\"cubic\"} 1",
            "ringcast_sessions{core=\"1\"} 1",
            "ringcast_refused_total{core=\"0\",reason=\"memory\"} 1",
            "ringcast_ticks_total{core=\"0\"} 1",
            "ringcast_source_state{point=\"li\\\"ve\",state=\"idle\"} 1",
            "ringcast_source_state{point=\"li\\\"ve\",state=\"live\"} 0",
            "ringcast_source_attempts_total{point=\"li\\\"ve\"} 1",
            "ringcast_source_packets_total{point=\"li\\\"ve\"} 0",
            "ringcast_source_skipped_total{point=\"li\\\"ve\"} 1",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in\n{text}"
            );
        }
        assert!(text.contains("ringcast_core_cpu_seconds_total{core=\"0\"} "));
        assert!(text.contains("process_resident_memory_bytes "));
    }
}
