//! `ringcast top`: a running server, once or again and again, from its /metrics.

mod live;

use crate::http;
use crate::output::{Answer, Output, bit_rate, bytes};
use live::Live;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How long one scrape may take.
const SCRAPE_LIMIT: Duration = Duration::from_secs(5);

/// Arguments of `top`.
#[derive(clap::Args)]
pub struct Args {
    /// The server's admin address
    #[arg(default_value = "127.0.0.1:9090", value_name = "ADDR")]
    address: String,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    interval: f64,
    /// Look this many times, then end; 0: until interrupted
    #[arg(long, default_value_t = 0)]
    count: u64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text
        .parse()
        .map_err(|_| "is no number of seconds".to_owned())?;
    if (0.1..=3600.0).contains(&value) {
        Ok(value)
    } else {
        Err("allowed are 0.1 to 3600".to_owned())
    }
}

/// One look: rates are those since the look before, or since the start at the first.
#[derive(Debug, PartialEq, Serialize)]
struct View {
    state: String,
    uptime_seconds: f64,
    sessions: f64,
    connections: f64,
    accepts_per_second: f64,
    sent_bit_rate: f64,
    refused_per_second: f64,
    late_ticks_per_second: f64,
    memory_bytes: f64,
    /// Share of one CPU, all threads.
    cpu: f64,
    cores: Vec<Core>,
    points: Vec<Point>,
    #[serde(flatten)]
    live: Live,
}

#[derive(Debug, PartialEq, Serialize)]
struct Core {
    core: String,
    sessions: f64,
    busy: f64,
    silent_seconds: f64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Point {
    point: String,
    protocol: String,
    sessions: f64,
    bit_rate: f64,
    packets_per_second: f64,
    late_sends_per_second: f64,
    skips_per_second: f64,
    refused: f64,
}

/// Exit 0 after `--count` looks, 1 if the server was not ready at the last one, 2 if it could not
/// be asked.
pub fn run(args: &Args, output: Output) -> Answer {
    let clear = !output.json && args.count != 1 && std::io::stdout().is_terminal();
    let mut before: Option<(Instant, Samples)> = None;
    let mut looks = 0;
    loop {
        let now = Instant::now();
        let samples = Samples::parse(&scrape(&args.address, "/metrics")?.1);
        let (ready, state) = scrape(&args.address, "/readyz")?;
        let (elapsed, earlier) = match &before {
            Some((then, earlier)) => ((now - *then).as_secs_f64(), earlier),
            None => (
                samples.total("ringcast_uptime_seconds"),
                &Samples::default(),
            ),
        };
        let view = View::of(state.trim(), &samples, earlier, elapsed.max(0.001));
        output.print_line(&view, |view| view.text(&args.address, clear));
        looks += 1;
        if looks == args.count {
            return Ok(ready == 200);
        }
        before = Some((now, samples));
        std::thread::sleep(Duration::from_secs_f64(args.interval));
    }
}

fn scrape(address: &str, path: &str) -> Result<(u16, String), String> {
    let answer = http::get(address, path, "ringcast-top", SCRAPE_LIMIT)?;
    if path == "/metrics" && answer.status != 200 {
        return Err(format!("http://{address}{path}: status {}", answer.status));
    }
    Ok((
        answer.status,
        String::from_utf8_lossy(&answer.body).into_owned(),
    ))
}

/// Samples by name and then by labels.
#[derive(Default)]
struct Samples(BTreeMap<String, BTreeMap<String, f64>>);

impl Samples {
    fn parse(text: &str) -> Samples {
        let mut samples = Samples::default();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap_or(labels);
            if let Ok(value) = value.parse() {
                samples
                    .0
                    .entry(name.to_owned())
                    .or_default()
                    .insert(labels.to_owned(), value);
            }
        }
        samples
    }

    fn get(&self, name: &str, labels: &str) -> f64 {
        self.0
            .get(name)
            .and_then(|f| f.get(labels))
            .copied()
            .unwrap_or(0.0)
    }

    /// By how much a counter has grown since before, a second.
    fn rate(&self, before: &Samples, elapsed: f64, name: &str, labels: &str) -> f64 {
        (self.get(name, labels) - before.get(name, labels)).max(0.0) / elapsed
    }

    fn total(&self, name: &str) -> f64 {
        self.0.get(name).map_or(0.0, |f| f.values().sum())
    }

    fn labels(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .get(name)
            .into_iter()
            .flat_map(|f| f.keys().map(String::as_str))
    }
}

fn label(labels: &str, name: &str) -> String {
    let start = labels
        .find(&format!("{name}=\""))
        .map(|at| at + name.len() + 2);
    let rest = start.and_then(|at| labels.get(at..)).unwrap_or_default();
    rest.split('"').next().unwrap_or_default().to_owned()
}

impl View {
    fn of(state: &str, now: &Samples, before: &Samples, elapsed: f64) -> View {
        let rate = |name: &str| (now.total(name) - before.total(name)).max(0.0) / elapsed;
        View {
            state: state.to_owned(),
            uptime_seconds: now.total("ringcast_uptime_seconds"),
            sessions: now.total("ringcast_sessions"),
            connections: now.total("ringcast_connections"),
            accepts_per_second: rate("ringcast_accepts_total"),
            sent_bit_rate: rate("ringcast_sent_bytes_total") * 8.0,
            refused_per_second: rate("ringcast_refused_total"),
            late_ticks_per_second: rate("ringcast_late_ticks_total"),
            memory_bytes: now.total("process_resident_memory_bytes"),
            cpu: rate("process_cpu_seconds_total"),
            cores: now
                .labels("ringcast_sessions")
                .map(|l| Core::of(l, now, before, elapsed))
                .collect(),
            points: now
                .labels("ringcast_point_sessions")
                .map(|l| Point::of(l, now, before, elapsed))
                .collect(),
            live: Live::of(now, before, elapsed),
        }
    }

    fn text(&self, address: &str, clear: bool) -> String {
        let mut text = if clear {
            "\x1b[H\x1b[2J".to_owned()
        } else {
            String::new()
        };
        text += &format!(
            "{address}  {}, up {}  {} sessions, {} connections, {:.1} accepts/s\n\
             sent {}  cpu {:.0} %  memory {}  refused {:.1}/s  late ticks {:.1}/s\n",
            self.state,
            uptime(self.uptime_seconds),
            self.sessions,
            self.connections,
            self.accepts_per_second,
            bit_rate(self.sent_bit_rate),
            self.cpu * 100.0,
            bytes(self.memory_bytes),
            self.refused_per_second,
            self.late_ticks_per_second,
        );
        text += "\ncore  sessions   busy  silent\n";
        for c in &self.cores {
            let busy = c.busy * 100.0;
            text += &format!(
                "{:>4}  {:>8}  {busy:>3.0} %  {:>5.2} s\n",
                c.core, c.sessions, c.silent_seconds
            );
        }
        text += "\npoint                 protocol  sessions         sent   packets/s   late/s  skips/s  refused\n";
        for p in &self.points {
            text += &format!(
                "{:<20}  {:<8}  {:>8}  {:>11}  {:>10.1}  {:>7.1}  {:>7.1}  {:>7}\n",
                p.point,
                p.protocol,
                p.sessions,
                bit_rate(p.bit_rate),
                p.packets_per_second,
                p.late_sends_per_second,
                p.skips_per_second,
                p.refused
            );
        }
        text + &self.live.text()
    }
}

impl Core {
    fn of(labels: &str, now: &Samples, before: &Samples, elapsed: f64) -> Core {
        let busy = |s: &Samples| s.get("ringcast_core_cpu_seconds_total", labels);
        Core {
            core: label(labels, "core"),
            sessions: now.get("ringcast_sessions", labels),
            busy: (busy(now) - busy(before)).max(0.0) / elapsed,
            silent_seconds: now.get("ringcast_core_silent_seconds", labels),
        }
    }
}

impl Point {
    fn of(labels: &str, now: &Samples, before: &Samples, elapsed: f64) -> Point {
        let rate = |name: &str| now.rate(before, elapsed, name, labels);
        Point {
            point: label(labels, "point"),
            protocol: label(labels, "protocol"),
            sessions: now.get("ringcast_point_sessions", labels),
            bit_rate: rate("ringcast_point_bytes_total") * 8.0,
            packets_per_second: rate("ringcast_point_packets_total"),
            late_sends_per_second: rate("ringcast_point_late_sends_total"),
            skips_per_second: rate("ringcast_point_skips_total"),
            refused: now.get("ringcast_point_refused_total", labels),
        }
    }
}

fn uptime(seconds: f64) -> String {
    let s = seconds as u64;
    match s {
        0..=59 => format!("{s} s"),
        60..=3599 => format!("{} min", s / 60),
        _ => format!("{} h {} min", s / 3600, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ops::metrics::Metrics;
    use protocols::content::Protocol;
    use protocols::machine::CoreId;

    #[test]
    fn rates_are_differences_of_what_the_server_tells() {
        let metrics = Metrics::new();
        let core = metrics.core(CoreId(0));
        core.sessions.set(3);
        let point = metrics.point(CoreId(0), "live", Protocol::Wmsp);
        point.bytes.add(1000);
        let before = Samples::parse(&metrics.exposition());
        point.bytes.add(500);
        point.packets.add(20);
        core.bytes_sent.add(600);
        let now = Samples::parse(&metrics.exposition());
        let view = View::of("ready", &now, &before, 2.0);
        assert_eq!(view.sessions, 3.0);
        assert_eq!(view.sent_bit_rate, 2400.0);
        assert_eq!(view.cores.len(), 1);
        assert_eq!(view.points[0].point, "live");
        assert_eq!(view.points[0].protocol, "wmsp");
        assert_eq!(view.points[0].bit_rate, 2000.0);
        assert_eq!(view.points[0].packets_per_second, 10.0);
        let text = view.text("a:1", false);
        assert!(
            text.contains("live ") && text.contains("2.00 kbit/s"),
            "{text}"
        );
        assert!(
            !text.contains("source") && !text.contains("group"),
            "{text}"
        );
    }
}
