//! What comes into broadcasts, and where else it goes: sources, multicast groups, recordings.

use super::{Samples, label};
use crate::output::{bit_rate, bytes};
use serde::Serialize;

/// Empty for servers that only have files.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Live {
    sources: Vec<Source>,
    groups: Vec<Group>,
    archives: Vec<Archive>,
}

/// Of a broadcast.
#[derive(Debug, PartialEq, Serialize)]
struct Source {
    point: String,
    state: String,
    bit_rate: f64,
    packets_per_second: f64,
    /// Since the server's start, as all that follow.
    packets: f64,
    entries: f64,
    losses: f64,
    attempts: f64,
    damaged: f64,
    skipped: f64,
}

/// A multicast group that a point is sent to.
#[derive(Debug, PartialEq, Serialize)]
struct Group {
    point: String,
    protocol: String,
    bit_rate: f64,
    datagrams_per_second: f64,
    late_per_second: f64,
    /// Since the server's start, as what follows.
    dropped: f64,
    errors: f64,
}

/// What is recorded of a point.
#[derive(Debug, PartialEq, Serialize)]
struct Archive {
    point: String,
    recording: bool,
    bit_rate: f64,
    file_bytes: f64,
    /// Since the server's start, as all that follow.
    files: f64,
    dropped: f64,
    errors: f64,
}

impl Live {
    pub(super) fn of(now: &Samples, before: &Samples, elapsed: f64) -> Live {
        Live {
            sources: now
                .labels("ringcast_source_packets_total")
                .map(|l| Source::of(l, now, before, elapsed))
                .collect(),
            groups: now
                .labels("ringcast_multicast_datagrams_total")
                .map(|l| Group::of(l, now, before, elapsed))
                .collect(),
            archives: now
                .labels("ringcast_archive_recording")
                .map(|l| Archive::of(l, now, before, elapsed))
                .collect(),
        }
    }

    /// What there is of sources, groups and recordings.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if !self.sources.is_empty() {
            text += "\nsource                state              in   packets/s  entries  losses  attempts  damaged  skipped\n";
        }
        for s in &self.sources {
            text += &format!(
                "{:<20}  {:<8}  {:>11}  {:>10.1}  {:>7}  {:>6}  {:>8}  {:>7}  {:>7}\n",
                s.point,
                s.state,
                s.coming_in(),
                s.packets_per_second,
                s.entries,
                s.losses,
                s.attempts,
                s.damaged,
                s.skipped
            );
        }
        if !self.groups.is_empty() {
            text += "\ngroup                 protocol         sent  datagrams/s   late/s  dropped   errors\n";
        }
        for g in &self.groups {
            text += &format!(
                "{:<20}  {:<8}  {:>11}  {:>11.1}  {:>7.1}  {:>7}  {:>7}\n",
                g.point,
                g.protocol,
                bit_rate(g.bit_rate),
                g.datagrams_per_second,
                g.late_per_second,
                g.dropped,
                g.errors
            );
        }
        if !self.archives.is_empty() {
            text += "\narchive               state          written         file    files  dropped   errors\n";
        }
        for a in &self.archives {
            text += &format!(
                "{:<20}  {:<9}  {:>10}  {:>11}  {:>7}  {:>7}  {:>7}\n",
                a.point,
                if a.recording { "recording" } else { "waiting" },
                bit_rate(a.bit_rate),
                bytes(a.file_bytes),
                a.files,
                a.dropped,
                a.errors
            );
        }
        text
    }
}

impl Source {
    fn of(labels: &str, now: &Samples, before: &Samples, elapsed: f64) -> Source {
        let of = |name: &str| now.get(&format!("ringcast_source_{name}"), labels);
        let rate =
            |name: &str| now.rate(before, elapsed, &format!("ringcast_source_{name}"), labels);
        Source {
            point: label(labels, "point"),
            state: state_of(labels, now),
            bit_rate: rate("bytes_total") * 8.0,
            packets_per_second: rate("packets_total"),
            packets: of("packets_total"),
            entries: of("entries_total"),
            losses: of("losses_total"),
            attempts: of("attempts_total"),
            damaged: of("damaged_total"),
            skipped: of("skipped_total"),
        }
    }
}

impl Source {
    /// Files are read by the server itself: nothing comes in.
    fn coming_in(&self) -> String {
        match self.packets {
            0.0 => "-".to_owned(),
            _ => bit_rate(self.bit_rate),
        }
    }
}

/// The one of the states of this source that has a 1.
fn state_of(labels: &str, now: &Samples) -> String {
    let states = now.0.get("ringcast_source_state").into_iter().flatten();
    states
        .filter(|(_, value)| **value == 1.0)
        .find_map(|(l, _)| l.strip_prefix(labels)?.strip_prefix(",state="))
        .map_or("?", |state| state.trim_matches('"'))
        .to_owned()
}

impl Group {
    fn of(labels: &str, now: &Samples, before: &Samples, elapsed: f64) -> Group {
        let of = |name: &str| now.get(&format!("ringcast_multicast_{name}"), labels);
        let rate = |name: &str| {
            now.rate(
                before,
                elapsed,
                &format!("ringcast_multicast_{name}"),
                labels,
            )
        };
        Group {
            point: label(labels, "point"),
            protocol: label(labels, "protocol"),
            bit_rate: rate("bytes_total") * 8.0,
            datagrams_per_second: rate("datagrams_total"),
            late_per_second: rate("late_total"),
            dropped: of("dropped_total"),
            errors: of("errors_total"),
        }
    }
}

impl Archive {
    fn of(labels: &str, now: &Samples, before: &Samples, elapsed: f64) -> Archive {
        let of = |name: &str| now.get(&format!("ringcast_archive_{name}"), labels);
        let written = now.rate(before, elapsed, "ringcast_archive_bytes_total", labels);
        Archive {
            point: label(labels, "point"),
            recording: of("recording") == 1.0,
            bit_rate: written * 8.0,
            file_bytes: of("file_bytes"),
            files: of("files_total"),
            dropped: of("dropped_packets_total"),
            errors: of("errors_total"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ops::metrics::Metrics;
    use engine::points::SourceFacts;
    use std::sync::Arc;

    /// As the server writes them, one look and the next, two seconds later.
    fn live_looks() -> (Samples, Samples) {
        let look = |bytes: u64, late: u64| {
            let airing = ["idle", "waiting", "live", "lost", "fallback", "over"].map(|state| {
                let value = u8::from(state == "lost");
                format!("ringcast_source_state{{point=\"studio\",state=\"{state}\"}} {value}\n")
            });
            Samples::parse(&format!(
                "{}ringcast_source_state{{point=\"studio2\",state=\"live\"}} 1\n\
                 ringcast_source_packets_total{{point=\"studio\"}} 7\n\
                 ringcast_source_bytes_total{{point=\"studio\"}} {bytes}\n\
                 ringcast_source_losses_total{{point=\"studio\"}} 3\n\
                 ringcast_source_skipped_total{{point=\"studio\"}} 4\n\
                 ringcast_multicast_datagrams_total{{point=\"studio\",protocol=\"msb\"}} 9\n\
                 ringcast_multicast_bytes_total{{point=\"studio\",protocol=\"msb\"}} {bytes}\n\
                 ringcast_multicast_late_total{{point=\"studio\",protocol=\"msb\"}} {late}\n\
                 ringcast_multicast_errors_total{{point=\"studio\",protocol=\"msb\"}} 5\n\
                 ringcast_archive_recording{{point=\"studio\"}} 1\n\
                 ringcast_archive_bytes_total{{point=\"studio\"}} {bytes}\n\
                 ringcast_archive_file_bytes{{point=\"studio\"}} 2048\n\
                 ringcast_archive_errors_total{{point=\"studio\"}} 6\n",
                airing.concat()
            ))
        };
        (look(1000, 0), look(2000, 4))
    }

    #[test]
    fn sources_groups_and_recordings_are_shown() {
        let (before, now) = live_looks();
        let live = Live::of(&now, &before, 2.0);
        let source = &live.sources[0];
        assert_eq!((&*source.point, &*source.state), ("studio", "lost"));
        assert_eq!((source.bit_rate, source.losses), (4000.0, 3.0));
        assert_eq!(source.skipped, 4.0);
        let group = &live.groups[0];
        assert_eq!((&*group.point, &*group.protocol), ("studio", "msb"));
        assert_eq!((group.bit_rate, group.late_per_second), (4000.0, 2.0));
        assert_eq!(group.errors, 5.0);
        let archive = &live.archives[0];
        assert!(archive.recording);
        assert_eq!((archive.bit_rate, archive.errors), (4000.0, 6.0));
        let text = live.text();
        for part in ["lost      4.00 kbit/s", "msb", "recording", "2.00 KiB"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn the_names_are_those_that_the_server_tells() {
        let metrics = Metrics::new();
        let facts = Arc::<SourceFacts>::default();
        facts.count_skipped();
        metrics.set_sources([("studio".to_owned(), facts)].into_iter().collect());
        let group = metrics.cast("studio", "msb");
        group.datagrams.add(7);
        group.errors.add(2);
        let archive = metrics.archive("studio");
        archive.files.inc();
        let now = Samples::parse(&metrics.exposition());
        let live = Live::of(&now, &Samples::default(), 1.0);
        assert_eq!(live.sources.len(), 1);
        assert_eq!(live.sources[0].state, "idle");
        assert_eq!(live.sources[0].skipped, 1.0);
        let group = &live.groups[0];
        assert_eq!((group.datagrams_per_second, group.errors), (7.0, 2.0));
        assert_eq!(live.archives[0].files, 1.0);
        assert!(!live.archives[0].recording);
    }
}
