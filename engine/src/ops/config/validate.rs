//! What TOML's types cannot say: ranges, names that must be unique, keys that exclude each other.

mod live;

use super::limits::Limits;
use super::point::{AuthConfig, PointConfig, PointKind};
use super::units::{BitRate, Size, Span};
use super::{Config, Listen, Server};
use std::fmt::Display;

/// A wrong value at a dotted key.
pub(super) struct Complaint {
    pub(super) key: String,
    pub(super) what: String,
}

/// Most cores that one process runs: session ids carry the core in 8 bits.
const CORE_COUNT_MAX: usize = 255;
/// Most listeners of one kind.
const LISTENER_COUNT_MAX: usize = 64;
/// Most publishing points; metric labels are bounded by this.
pub const POINT_COUNT_MAX: usize = 4096;
/// Longest name of a publishing point, bytes.
const POINT_NAME_BYTES_MAX: usize = 64;
/// Longest path of the log sink, bytes.
const SINK_BYTES_MAX: usize = 128;
/// Longest realm, bytes.
const REALM_BYTES_MAX: usize = 128;
/// The shortest cadence: the base tick of the wheels.
const CADENCE_MIN: Span = Span::millis(5);

/// Checks everything.
pub(super) fn config(config: &Config) -> Vec<Complaint> {
    let mut found = Found::default();
    server(&config.server, &mut found);
    if let Some(root) = &config.server.root
        && config.point(root).is_none()
    {
        found.add("server.root", format!("\"{root}\" is the name of no point"));
    }
    listen(&config.listen, &mut found);
    limits(&config.limits, &mut found);
    log(config, &mut found);
    if config.points.len() > POINT_COUNT_MAX {
        let n = config.points.len();
        found.add(
            "point",
            format!("{n} publishing points; at most {POINT_COUNT_MAX} are allowed"),
        );
    }
    for (i, p) in config.points.iter().enumerate() {
        found.0.extend(point_at(
            &format!("point[{}].", i + 1),
            p,
            &config.points[..i],
        ));
        let key = format!("point[{}].source", i + 1);
        live::not_from_itself(&key, p, config, &mut found);
    }
    found.0
}

/// Checks one point, `others` being the ones that already have their names.
pub(super) fn point(point: &PointConfig, others: &[PointConfig]) -> Vec<Complaint> {
    point_at("", point, others)
}

fn server(server: &Server, found: &mut Found) {
    if let Some(cores) = server.cores {
        found.range("server.cores", cores, 1, CORE_COUNT_MAX);
    }
    if let Some(cpus) = &server.cpus {
        if cpus.is_empty() || cpus.len() > CORE_COUNT_MAX {
            found.add(
                "server.cpus",
                format!("must name 1 to {CORE_COUNT_MAX} CPUs"),
            );
        }
        for (i, cpu) in cpus.iter().enumerate() {
            if cpus[..i].contains(cpu) {
                found.add(
                    &format!("server.cpus[{}]", i + 1),
                    format!("CPU {cpu} is named twice"),
                );
            }
        }
        if let Some(cores) = server.cores.filter(|&n| n != cpus.len()) {
            let n = cpus.len();
            found.add(
                "server.cores",
                format!("is {cores}, but server.cpus names {n} CPUs; leave one out"),
            );
        }
    }
    if let Some(name) = &server.name {
        let fine = !name.is_empty()
            && name.len() <= 253
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b));
        if !fine {
            found.add(
                "server.name",
                "must be a host name or an address".to_owned(),
            );
        }
    }
    found.range(
        "server.drain_timeout",
        server.drain_timeout,
        Span::millis(0),
        Span::secs(3600),
    );
}

fn listen(listen: &Listen, found: &mut Found) {
    for (key, list) in [
        ("http", &listen.http),
        ("mms", &listen.mms),
        ("rtsp", &listen.rtsp),
    ] {
        if list.len() > LISTENER_COUNT_MAX {
            found.add(
                &format!("listen.{key}"),
                format!("at most {LISTENER_COUNT_MAX} addresses are allowed"),
            );
        }
    }
    let all = [
        ("http", &listen.http),
        ("mms", &listen.mms),
        ("rtsp", &listen.rtsp),
    ];
    let mut seen = Vec::new();
    for (key, list) in all {
        for (i, address) in list.iter().enumerate() {
            if address.port() != 0 && seen.contains(address) {
                found.add(
                    &format!("listen.{key}[{}]", i + 1),
                    format!("{address} is listened on twice"),
                );
            }
            seen.push(*address);
        }
    }
    if listen
        .admin
        .is_some_and(|a| a.port() != 0 && seen.contains(&a))
    {
        found.add(
            "listen.admin",
            "is also listened on for players; give it a port of its own".to_owned(),
        );
    }
    let congestion = &listen.congestion;
    let known_shape = (1..=15).contains(&congestion.len())
        && congestion
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !known_shape {
        found.add(
            "listen.congestion",
            "must be the name of a TCP congestion control such as \"cubic\", at most 15 letters"
                .to_owned(),
        );
    }
    found.range("listen.backlog", listen.backlog, 1, 65_535);
    if let Some(sndbuf) = listen.sndbuf {
        found.range("listen.sndbuf", sndbuf, Size::kib(4), Size::mib(64));
    }
}

fn limits(l: &Limits, found: &mut Found) {
    let rate_max = BitRate(10_000_000_000_000);
    found.range(
        "limits.player_connections",
        l.player_connections,
        1,
        10_000_000,
    );
    found.range(
        "limits.outgoing_distribution_connections",
        l.outgoing_distribution_connections,
        0,
        1_000_000,
    );
    for (key, rate) in [
        ("aggregate_player_bandwidth", l.aggregate_player_bandwidth),
        (
            "aggregate_outgoing_distribution_bandwidth",
            l.aggregate_outgoing_distribution_bandwidth,
        ),
        (
            "bandwidth_per_player_connection",
            l.bandwidth_per_player_connection,
        ),
        (
            "bandwidth_per_outgoing_distribution_connection",
            l.bandwidth_per_outgoing_distribution_connection,
        ),
        (
            "fast_start_bandwidth_per_player_connection",
            l.fast_start_bandwidth_per_player_connection,
        ),
    ] {
        if let Some(rate) = rate {
            found.range(&format!("limits.{key}"), rate, BitRate(1000), rate_max);
        }
    }
    found.range("limits.connection_rate", l.connection_rate, 1, 1_000_000);
    found.range(
        "limits.player_inactivity_timeout",
        l.player_inactivity_timeout,
        Span::secs(1),
        Span::secs(30 * 86_400),
    );
    found.range(
        "limits.connection_acknowledgement_timeout",
        l.connection_acknowledgement_timeout,
        Span::secs(1),
        Span::secs(3600),
    );
    speed(
        "limits.fast_cache_content_delivery_rate",
        l.fast_cache_content_delivery_rate,
        found,
    );
    found.range(
        "limits.connections_per_address",
        l.connections_per_address,
        1,
        10_000_000,
    );
    found.range(
        "limits.connection_rate_per_address",
        l.connection_rate_per_address,
        1,
        1_000_000,
    );
    found.range(
        "limits.header_timeout",
        l.header_timeout,
        Span::millis(100),
        Span::secs(600),
    );
    found.range(
        "limits.idle_timeout",
        l.idle_timeout,
        Span::secs(1),
        Span::secs(86_400),
    );
    // WMHTTP-55
    found.range(
        "limits.push_idle_timeout",
        l.push_idle_timeout,
        Span::secs(10),
        Span::millis(u64::from(u32::MAX)),
    );
    found.range(
        "limits.push_inactivity_timeout",
        l.push_inactivity_timeout,
        Span::secs(1),
        Span::secs(86_400),
    );
    found.range("limits.max_head", l.max_head, Size::kib(1), Size::mib(1));
    found.range("limits.max_body", l.max_body, Size::kib(1), Size::mib(16));
    found.range("limits.memory", l.memory, Size::mib(16), Size(1 << 44));
}

fn log(config: &Config, found: &mut Found) {
    found.range(
        "log.max_size",
        config.log.max_size,
        Size::kib(64),
        Size(1 << 40),
    );
    found.range(
        "log.free_space_floor",
        config.log.free_space_floor,
        Size(0),
        Size(1 << 44),
    );
    sink(config, found);
}

/// What a sink is called, and that it hides no point.
fn sink(config: &Config, found: &mut Found) {
    let sink = &config.log.sink;
    if sink.is_empty() {
        return;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let named = |part: &str| !part.is_empty() && !part.starts_with('.');
    let fine = sink.len() <= SINK_BYTES_MAX
        && sink.chars().all(plain)
        && sink
            .strip_prefix('/')
            .is_some_and(|p| p.split('/').all(named));
    if !fine {
        let what = format!(
            "must be a path such as \"/wmsiislog.dll\" of at most {SINK_BYTES_MAX} letters, digits, \
             \"-\", \"_\" and \".\", or empty for none"
        );
        return found.add("log.sink", what);
    }
    let first = sink.split('/').nth(1).unwrap_or_default();
    let hides = |name: &str| {
        [
            name.to_owned(),
            format!("{name}.asx"),
            format!("{name}.nsc"),
        ]
        .iter()
        .any(|url| url.eq_ignore_ascii_case(first))
    };
    if let Some(point) = config.points.iter().find(|p| hides(&p.name)) {
        let what = format!("\"{sink}\" is a URL of the point \"{}\"", point.name);
        found.add("log.sink", what);
    }
}

fn point_at(prefix: &str, p: &PointConfig, others: &[PointConfig]) -> Vec<Complaint> {
    let mut found = Found::default();
    let key = |name: &str| format!("{prefix}{name}");
    if let Err(what) = point_name(&p.name) {
        found.add(&key("name"), what);
    } else if let Some(other) = others.iter().find(|o| o.name.eq_ignore_ascii_case(&p.name)) {
        let what = if other.name == p.name {
            format!(
                "\"{}\" is the name of an earlier point; names must be unique",
                p.name
            )
        } else {
            format!(
                "\"{}\" differs from the point \"{}\" only in case",
                p.name, other.name
            )
        };
        found.add(&key("name"), what);
    }
    found.range(&key("cadence"), p.cadence, CADENCE_MIN, Span::secs(1));
    found.range(&key("buffer"), p.buffer, Span::secs(1), Span::secs(60));
    if p.max_accel_duration > Span::default() {
        found.range(
            &key("max_accel_bps"),
            p.max_accel_bps,
            BitRate(1000),
            BitRate(u64::from(u32::MAX)),
        );
    }
    found.range(
        &key("max_accel_duration"),
        p.max_accel_duration,
        Span::default(),
        Span::secs(300),
    );
    speed(&key("max_speed"), p.max_speed, &mut found);
    found.range(
        &key("max_age"),
        p.max_age,
        Span::default(),
        Span::secs(365 * 86_400),
    );
    if p.always && p.kind == PointKind::OnDemand {
        found.add(
            &key("always"),
            "only broadcast points have a source that runs".to_owned(),
        );
    }
    if let Some(a) = &p.auth {
        auth(&key("auth"), a, &mut found);
    }
    live::check(prefix, p, others, &mut found);
    if let Some(url) = &p.redirect
        && let Err(what) = redirect(url)
    {
        found.add(&key("redirect"), what);
    }
    if let Some(n) = p.limits.player_connections {
        found.range(&key("limits.player_connections"), n, 0, 10_000_000);
    }
    for (name, rate) in [
        (
            "limits.aggregate_player_bandwidth",
            p.limits.aggregate_player_bandwidth,
        ),
        (
            "limits.bandwidth_per_player_connection",
            p.limits.bandwidth_per_player_connection,
        ),
    ] {
        if let Some(rate) = rate {
            found.range(&key(name), rate, BitRate(1000), BitRate(10_000_000_000_000));
        }
    }
    found.0
}

fn auth(key: &str, auth: &AuthConfig, found: &mut Found) {
    if auth.methods.is_empty() {
        found.add(
            &format!("{key}.methods"),
            "is empty; leave [point.auth] out to let everybody in".to_owned(),
        );
    }
    for (i, method) in auth.methods.iter().enumerate() {
        if auth.methods[..i].contains(method) {
            found.add(
                &format!("{key}.methods[{}]", i + 1),
                format!("\"{}\" is named twice", method.name()),
            );
        }
    }
    if auth.users.as_os_str().is_empty() {
        found.add(
            &format!("{key}.users"),
            "is empty; expected a file".to_owned(),
        );
    }
    let fine = |b: u8| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\';
    if !(1..=REALM_BYTES_MAX).contains(&auth.realm.len()) || !auth.realm.bytes().all(fine) {
        found.add(
            &format!("{key}.realm"),
            format!(
                "must have 1 to {REALM_BYTES_MAX} printable ASCII characters without quotes and backslashes"
            ),
        );
    }
}

/// Checks the name of a point.
///
/// # Errors
/// Says what is wrong with it.
pub fn point_name(name: &str) -> Result<(), String> {
    let allowed = "letters, digits, \"-\", \"_\" and \".\"";
    if name.is_empty() {
        return Err(format!(
            "is missing; 1 to {POINT_NAME_BYTES_MAX} characters: {allowed}"
        ));
    }
    if name.len() > POINT_NAME_BYTES_MAX {
        return Err(format!(
            "must have 1 to {POINT_NAME_BYTES_MAX} characters: {allowed}"
        ));
    }
    if let Some(c) = name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"-_.".contains(*c))
    {
        return Err(format!("contains {c:?}; allowed are {allowed}"));
    }
    if name.starts_with('.') {
        return Err("must not start with a dot".to_owned());
    }
    if let Some(ext) = [".asx", ".nsc"]
        .iter()
        .find(|e| name.to_ascii_lowercase().ends_with(**e))
    {
        return Err(format!(
            "must not end in \"{ext}\": that is the URL of a point's announcement"
        ));
    }
    Ok(())
}

fn redirect(url: &str) -> Result<(), String> {
    let schemes = ["http://", "https://", "mms://", "rtsp://"];
    let known = schemes
        .iter()
        .any(|s| url.len() > s.len() && url.starts_with(s));
    if !known || url.len() > 2048 || url.bytes().any(|b| b <= b' ' || b >= 0x7f) {
        return Err(
            "must be a URL that starts with http://, https://, mms:// or rtsp://".to_owned(),
        );
    }
    Ok(())
}

fn speed(key: &str, value: f64, found: &mut Found) {
    if !(1.0..=100.0).contains(&value) {
        found.add(
            key,
            format!("is {value}; allowed are 1.0 (real time) to 100.0"),
        );
    }
}

#[derive(Default)]
struct Found(Vec<Complaint>);

impl Found {
    fn add(&mut self, key: &str, what: String) {
        self.0.push(Complaint {
            key: key.to_owned(),
            what,
        });
    }

    fn range<T: PartialOrd + Display>(&mut self, key: &str, value: T, min: T, max: T) {
        if value < min || value > max {
            self.add(key, format!("is {value}; allowed are {min} to {max}"));
        }
    }
}
