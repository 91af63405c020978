//! From records to lines in files.

use super::file::{LogFile, Naming, Written};
use super::{Event, LogIdentity, LogRecord};
use crate::ops::config;
use crate::ops::metrics::Metrics;
use protocols::content::Protocol;
use protocols::wmlog::{self, Entry, file as format};
use serde::Serialize;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Directory of what belongs to no point, named as Windows Media Services did.
const GLOBAL: &str = "[Global]";
/// W3C files that are open at a time; at one more, all are closed once.
const OPEN_FILE_COUNT_MAX: usize = 256;
/// Faults of peers that are told to the journal per second; all of them are in the JSON file.
const FAULTS_TOLD_PER_SECOND: u32 = 20;
/// A disk that fails is told about once in this time.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(5);
/// How often free space and load are looked at, ms.
const SAMPLE_MS: u64 = 5000;

/// The files.
pub(super) struct Sink {
    config: config::Log,
    identity: LogIdentity,
    metrics: Arc<Metrics>,
    json: Option<LogFile>,
    w3c: HashMap<Option<Arc<str>>, LogFile>,
    written: Written,
    sample: Sample,
    told: (u64, u32),
    complained: Option<Instant>,
    line: String,
    pub(super) free_space: fn(&Path) -> Option<u64>,
}

/// Figures that are not worth a system call per line.
#[derive(Default)]
struct Sample {
    at_ms: u64,
    cpu_seconds: f64,
    load_percent: u8,
    clients: u32,
    no_room: bool,
}

impl Sink {
    /// Makes the directory and proves that it can be written.
    pub(super) fn new(
        config: &config::Log,
        identity: LogIdentity,
        metrics: Arc<Metrics>,
    ) -> io::Result<Sink> {
        if let Some(directory) = &config.directory {
            std::fs::create_dir_all(directory)?;
            let probe = directory.join(".ringcast-probe");
            std::fs::write(&probe, b"")?;
            std::fs::remove_file(&probe)?;
        }
        let json = config
            .directory
            .as_ref()
            .filter(|_| config.json)
            .map(|directory| {
                LogFile::new(
                    directory.clone(),
                    "ringcast.json",
                    Naming::Current,
                    config.rotate,
                    config.max_size.bytes(),
                )
            });
        Ok(Sink {
            config: config.clone(),
            identity,
            metrics,
            json,
            w3c: HashMap::new(),
            written: Written::default(),
            sample: Sample::default(),
            told: (0, 0),
            complained: None,
            line: String::new(),
            free_space: crate::ops::sys::free_space,
        })
    }

    /// Gathers a record's lines.
    pub(super) fn write(&mut self, record: &LogRecord, now_ms: u64) {
        self.tell(record, now_ms);
        let Some(directory) = self.config.directory.clone() else {
            return;
        };
        self.take_sample(&directory, now_ms);
        if self.sample.no_room {
            self.written.lost += 1;
            return;
        }
        let entry = match &record.event {
            Event::ClientLog(log) => match wmlog::parse(log) {
                Ok(entry) => Some(entry),
                Err(e) => Some(Entry::invalid(&e.to_string())),
            },
            _ => None,
        };
        self.write_json(record, entry.as_ref(), now_ms);
        self.write_w3c(&directory, record, entry.as_ref(), now_ms);
    }

    /// Writes everything that is gathered, and counts.
    pub(super) fn flush(&mut self) {
        for file in self.json.iter_mut().chain(self.w3c.values_mut()) {
            file.flush(&mut self.written);
        }
        let done = std::mem::take(&mut self.written);
        self.metrics.log.lines.add(done.lines);
        self.metrics.log.bytes.add(done.bytes);
        self.metrics.log.lost.add(done.lost);
        let now = Instant::now();
        if let Some(fault) = done.fault
            && self
                .complained
                .is_none_or(|then| now - then >= COMPLAINT_INTERVAL)
        {
            self.complained = Some(now);
            let lost = self.metrics.log.lost.get();
            tracing::warn!(lost, "log lines are lost: {fault}");
        }
    }

    /// Closes every file.
    pub(super) fn close(&mut self) {
        for file in self.json.iter_mut().chain(self.w3c.values_mut()) {
            file.close(&mut self.written);
        }
        self.w3c.clear();
        self.flush();
    }

    /// Faults go to the journal, one line each, but no flood of them.
    fn tell(&mut self, record: &LogRecord, now_ms: u64) {
        let Event::Fault {
            connection,
            offset,
            reason,
        } = &record.event
        else {
            return;
        };
        let second = now_ms / 1000;
        if self.told.0 != second {
            if self.told.1 > FAULTS_TOLD_PER_SECOND {
                tracing::warn!(
                    more = self.told.1 - FAULTS_TOLD_PER_SECOND,
                    "faults of peers not told"
                );
            }
            self.told = (second, 0);
        }
        self.told.1 = self.told.1.saturating_add(1);
        if self.told.1 <= FAULTS_TOLD_PER_SECOND {
            tracing::warn!(
                connection,
                offset,
                reason = %reason.escape_debug(),
                peer = %record.peer,
                protocol = record.protocol.name(),
                "fault of a peer"
            );
        }
    }

    fn write_json(&mut self, record: &LogRecord, entry: Option<&Entry>, now_ms: u64) {
        let Some(file) = &mut self.json else {
            return;
        };
        self.line.clear();
        if json_line(record, entry, &mut self.line).is_err() {
            self.written.lost += 1;
            return;
        }
        match file.prepare(self.line.len(), now_ms, &mut self.written) {
            Ok(begun) => {
                if begun {
                    self.metrics.log.files.inc();
                }
                file.append(&self.line, true, &mut self.written);
            }
            Err(e) => self.written.lose(1, Path::new("ringcast.json.log"), &e),
        }
    }

    fn write_w3c(
        &mut self,
        directory: &Path,
        record: &LogRecord,
        entry: Option<&Entry>,
        now_ms: u64,
    ) {
        let has_line = match &record.event {
            Event::ClientLog(_) | Event::Refused { .. } => true,
            Event::Ended { logged } => !logged,
            Event::Fault { .. } => false,
        };
        if !self.config.w3c || !has_line {
            return;
        }
        if !self.w3c.contains_key(&record.point) && self.w3c.len() >= OPEN_FILE_COUNT_MAX {
            for (_, mut file) in self.w3c.drain() {
                file.close(&mut self.written);
            }
        }
        let config = &self.config;
        let file = self.w3c.entry(record.point.clone()).or_insert_with(|| {
            LogFile::new(
                directory.join(directory_name(record.point.as_deref())),
                "WMS",
                Naming::Dated,
                config.rotate,
                config.max_size.bytes(),
            )
        });
        let url = url_of(record, self.identity.host.as_deref());
        let facts = facts_of(record, &self.identity, &self.sample, &url);
        self.line.clear();
        format::write_w3c(entry, &facts, &mut self.line);
        match file.prepare(self.line.len(), now_ms, &mut self.written) {
            Ok(begun) => {
                if begun {
                    // WMLOG-46: every file starts with the names of its columns.
                    let host = self.identity.host.as_deref().unwrap_or("-");
                    let header = format::header(now_ms / 1000, host, record.local.ip());
                    file.append(&header, false, &mut self.written);
                    self.metrics.log.files.inc();
                }
                file.append(&self.line, true, &mut self.written);
            }
            Err(e) => {
                let place = directory_name(record.point.as_deref());
                self.written.lose(1, &place, &e);
            }
        }
    }

    fn take_sample(&mut self, directory: &Path, now_ms: u64) {
        let elapsed = now_ms.saturating_sub(self.sample.at_ms);
        if self.sample.at_ms != 0 && elapsed < SAMPLE_MS {
            return;
        }
        let totals = self.metrics.totals();
        let cpu_seconds = crate::ops::metrics::process_cpu_seconds().unwrap_or(0.0);
        let cores = self.identity.cores.max(1) as f64;
        let share = (cpu_seconds - self.sample.cpu_seconds) / (elapsed as f64 / 1e3) / cores;
        let floor = self.config.free_space_floor.bytes();
        let no_room = (self.free_space)(directory).is_some_and(|free| free < floor);
        if no_room != self.sample.no_room {
            self.metrics.log.stopped.set(u64::from(no_room));
            if no_room {
                tracing::error!(
                    floor,
                    "logging stops: the disk has less than log.free_space_floor left"
                );
            } else {
                tracing::info!("logging goes on");
            }
        }
        self.sample = Sample {
            at_ms: now_ms,
            cpu_seconds,
            load_percent: (share.clamp(0.0, 1.0) * 100.0).round() as u8,
            clients: u32::try_from(totals.sessions).unwrap_or(u32::MAX),
            no_room,
        };
    }
}

/// Names of points are safe in paths; this holds even if one was not.
fn directory_name(point: Option<&str>) -> PathBuf {
    match point {
        Some(name) if !name.is_empty() && !name.starts_with('.') && !name.contains('/') => {
            name.into()
        }
        _ => GLOBAL.into(),
    }
}

fn scheme(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Wmsp | Protocol::Http | Protocol::Push => "http",
        Protocol::Mmst | Protocol::Mmsu => "mms",
        Protocol::Rtspt | Protocol::Rtspu => "rtsp",
        Protocol::Msbd => "msbd",
    }
}

fn transport(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Mmsu | Protocol::Rtspu => "UDP",
        _ => "TCP",
    }
}

fn url_of(record: &LogRecord, host: Option<&str>) -> String {
    let scheme = scheme(record.protocol);
    match (record.authority.as_str(), host) {
        ("", Some(host)) => format!("{scheme}://{host}{}", record.target),
        ("", None) => format!("{scheme}://{}{}", record.local, record.target),
        (authority, _) => format!("{scheme}://{authority}{}", record.target),
    }
}

fn facts_of<'a>(
    record: &'a LogRecord,
    identity: &'a LogIdentity,
    sample: &Sample,
    url: &'a str,
) -> format::ServerFacts<'a> {
    format::ServerFacts {
        unix_seconds: record.started_ms / 1000,
        peer: record.peer.ip(),
        local: record.local.ip(),
        host: identity.host.as_deref(),
        url,
        user_agent: &record.user_agent,
        protocol: scheme(record.protocol),
        transport: transport(record.protocol),
        status: record.status,
        sent_ms: record.sent_ms,
        sent_bytes: record.sent_bytes,
        sent_packets: record.sent_packets,
        clients: sample.clients,
        cpu: sample.load_percent,
        user: record.user.as_deref(),
        session: record.session,
        content_path: &record.content,
        granted_bps: record.granted_bps,
    }
}

/// One line; keys never change their meaning, new ones may come.
#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    point: Option<&'a str>,
    protocol: &'static str,
    session: u64,
    peer: String,
    local: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    authority: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    target: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    content: &'a str,
    status: u16,
    started: String,
    sent_ms: u64,
    sent_bytes: u64,
    sent_packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted_bps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_log: Option<ClientLogJson<'a>>,
}

#[derive(Serialize)]
struct ClientLogJson<'a> {
    kind: &'static str,
    fields: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<[&'a str; 3]>,
    bad_values: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
}

fn json_line(
    record: &LogRecord,
    entry: Option<&Entry>,
    out: &mut String,
) -> serde_json::Result<()> {
    let (event, reason, place) = match &record.event {
        Event::ClientLog(_) => ("client_log", None, None),
        Event::Ended { .. } => ("ended", None, None),
        Event::Refused { reason } => ("refused", Some(reason.as_str()), None),
        Event::Fault {
            connection,
            offset,
            reason,
        } => ("fault", Some(reason.as_str()), Some((*connection, *offset))),
    };
    let line = JsonLine {
        time: rfc3339(record.unix_ms),
        event,
        point: record.point.as_deref(),
        protocol: record.protocol.name(),
        session: record.session,
        peer: record.peer.to_string(),
        local: record.local.to_string(),
        authority: &record.authority,
        target: &record.target,
        user_agent: &record.user_agent,
        user: record.user.as_deref(),
        content: &record.content,
        status: record.status,
        started: rfc3339(record.started_ms),
        sent_ms: record.sent_ms,
        sent_bytes: record.sent_bytes,
        sent_packets: record.sent_packets,
        granted_bps: record.granted_bps,
        reason,
        connection: place.map(|p| p.0),
        offset: place.map(|p| p.1),
        client_log: entry.map(client_log_json),
    };
    out.push_str(&serde_json::to_string(&line)?);
    out.push('\n');
    Ok(())
}

fn client_log_json(entry: &Entry) -> ClientLogJson<'_> {
    let fields = wmlog::Field::ALL.iter().filter_map(|&field| {
        let value = entry.get(field)?;
        Some((field.name().to_owned(), value.into()))
    });
    ClientLogJson {
        kind: entry.kind.name(),
        fields: fields.collect(),
        extensions: entry
            .extensions
            .iter()
            .map(|e| [e.namespace.as_str(), e.name.as_str(), e.value.as_str()])
            .collect(),
        bad_values: entry.defects.values,
        raw: entry.raw.as_deref(),
    }
}

fn rfc3339(unix_ms: u64) -> String {
    let (date, time) = format::utc(unix_ms / 1000);
    format!("{date}T{time}.{:03}Z", unix_ms % 1000)
}
