//! What the tables of live content may say.

use super::{Found, auth, redirect};
use crate::ops::config::Config;
use crate::ops::config::live::{
    ArchiveConfig, MsbdConfig, MulticastConfig, PullConfig, PushConfig,
};
use crate::ops::config::point::{PointConfig, PointKind, PullScheme, Source};
use crate::ops::config::units::{Size, Span};
use crate::pull::{check_url, place_of};
use std::net::{IpAddr, SocketAddr};

/// The largest span that every form of numbering can express (msb-nsc.md 3.2).
const FEC_SPAN_MAX: u8 = 14;
const HOLD_MAX: Span = Span::secs(86_400);

/// Checks one point's tables.
pub(super) fn check(prefix: &str, p: &PointConfig, others: &[PointConfig], found: &mut Found) {
    let key = |name: &str| format!("{prefix}{name}");
    if p.kind == PointKind::OnDemand {
        let tables = [
            ("push", p.push.is_some()),
            ("pull", p.pull.is_some()),
            ("fallback", p.fallback.is_some()),
            ("multicast", p.multicast.is_some()),
            ("msbd", p.msbd.is_some()),
            ("archive", p.archive.is_some()),
        ];
        for (table, _) in tables.iter().filter(|(_, there)| *there) {
            found.add(&key(table), "belongs to broadcast points only".to_owned());
        }
        if let Source::Files(_) = &p.source {
            let what = "a list of files makes a broadcast; on demand, name their directory";
            found.add(&key("source"), what.to_owned());
        } else if p.source.path().is_none() {
            let what = format!("\"{}\" makes a broadcast, not files on demand", p.source);
            found.add(&key("source"), what);
        }
    }
    if !p.repeat && (p.kind == PointKind::OnDemand || !p.source.is_files()) {
        let what = "is for broadcasts of files".to_owned();
        found.add(&key("repeat"), what);
    }
    if p.push.is_some() && p.source != Source::Push {
        let what = "belongs to points whose source is \"push:\"".to_owned();
        found.add(&key("push"), what);
    }
    if p.pull.is_some() && !matches!(p.source, Source::Pull(..)) {
        let what = "belongs to points whose source is a URL".to_owned();
        found.add(&key("pull"), what);
    }
    if p.fallback.is_some() && p.source.is_files() {
        let what = "is for sources that can be silent: \"push:\" or a URL".to_owned();
        found.add(&key("fallback"), what);
    }
    if let Source::Pull(scheme, url) = &p.source
        && let Err(what) = pulled(*scheme, url)
    {
        found.add(&key("source"), what);
    }
    if let Some(push) = &p.push {
        pushed(&key("push"), push, found);
    }
    if let Some(pull) = &p.pull {
        fetched(&key("pull"), pull, found);
    }
    if let Some(fallback) = &p.fallback {
        let after = key("fallback.after");
        found.range(&after, fallback.after, Span::millis(500), Span::secs(600));
    }
    if let Some(multicast) = &p.multicast {
        cast(&key("multicast"), multicast, found);
        let group = multicast.group;
        one_of_a_kind(&key("multicast.group"), group, others, groups_of, found);
    }
    if let Some(m) = &p.msbd {
        msbd(&key("msbd"), m, found);
        if let Some(group) = m.group {
            one_of_a_kind(&key("msbd.group"), group, others, groups_of, found);
            if p.multicast.as_ref().is_some_and(|own| own.group == group) {
                let what =
                    format!("{group} is the group of [point.multicast], which it must not share");
                found.add(&key("msbd.group"), what);
            }
        }
        if m.listen.port() != 0 {
            let listens = |other: &PointConfig| other.msbd.iter().map(|m| m.listen).collect();
            one_of_a_kind(&key("msbd.listen"), m.listen, others, listens, found);
        }
    }
    if let Some(archive) = &p.archive {
        record(&key("archive"), archive, found);
    }
}

fn pulled(scheme: PullScheme, url: &str) -> Result<(), String> {
    if url.len() > 2048 || url.bytes().any(|b| b <= b' ' || b >= 0x7f) {
        return Err("must be a URL of at most 2048 printable ASCII characters".to_owned());
    }
    if url.contains('@') && scheme != PullScheme::Msbd {
        return Err(
            "must not hold a password; see user and password_file of [point.pull]".to_owned(),
        );
    }
    check_url(scheme, url)
}

/// A point that fetches itself from this server's own listeners never gets anything.
pub(super) fn not_from_itself(key: &str, p: &PointConfig, config: &Config, found: &mut Found) {
    let Source::Pull(scheme, url) = &p.source else {
        return;
    };
    let listeners = match scheme {
        PullScheme::Http => &config.listen.http,
        PullScheme::Mms => &config.listen.mms,
        PullScheme::Rtsp => &config.listen.rtsp,
        PullScheme::Msbd => return,
    };
    let Some((host, port, path)) = place_of(*scheme, url) else {
        return;
    };
    let is_own_name = config
        .server
        .name
        .as_ref()
        .is_some_and(|name| *name == host);
    let address = match host.as_str() {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        host => host.parse::<IpAddr>().ok(),
    };
    let is_here = |listener: &SocketAddr| {
        let ip = listener.ip();
        let reaches = |to: IpAddr| to == ip || ip.is_unspecified() && to.is_loopback();
        listener.port() == port && (is_own_name || address.is_some_and(reaches))
    };
    let point = path.split(['/', '?']).next().unwrap_or_default();
    if point.eq_ignore_ascii_case(&p.name) && listeners.iter().any(is_here) {
        found.add(key, "is this point itself".to_owned());
    }
}

fn pushed(key: &str, push: &PushConfig, found: &mut Found) {
    if let Some(a) = &push.auth {
        auth(&format!("{key}.auth"), a, found);
    }
    found.range(&format!("{key}.hold"), push.hold, Span::default(), HOLD_MAX);
}

fn fetched(key: &str, pull: &PullConfig, found: &mut Found) {
    if pull.user.is_some() != pull.password_file.is_some() {
        let what = "user and password_file belong together".to_owned();
        found.add(&format!("{key}.user"), what);
    }
    let of = |name: &str| format!("{key}.{name}");
    found.range(
        &of("silence"),
        pull.silence,
        Span::secs(1),
        Span::secs(3600),
    );
    found.range(
        &of("retry_max"),
        pull.retry_max,
        Span::secs(1),
        Span::secs(3600),
    );
    found.range(&of("hold"), pull.hold, Span::default(), HOLD_MAX);
}

fn cast(key: &str, multicast: &MulticastConfig, found: &mut Found) {
    let of = |name: &str| format!("{key}.{name}");
    group(&of("group"), multicast.group, multicast.interface, found);
    found.range(&of("fec_span"), multicast.fec_span, 0, FEC_SPAN_MAX);
    // MSB-36
    found.range(
        &of("beacon"),
        multicast.beacon,
        Span::secs(1),
        Span::secs(10),
    );
    let buffer = multicast.network_buffer;
    found.range(
        &of("network_buffer"),
        buffer,
        Span::default(),
        Span::secs(60),
    );
    // NSC-23
    if let Some(url) = &multicast.log_url
        && !(url.starts_with("http://") && redirect(url).is_ok())
    {
        found.add(
            &of("log_url"),
            "must be a URL that starts with http://".to_owned(),
        );
    }
    if let Some(url) = &multicast.unicast_url
        && let Err(what) = redirect(url)
    {
        found.add(&of("unicast_url"), what);
    }
}

fn group(key: &str, group: SocketAddr, interface: Option<IpAddr>, found: &mut Found) {
    if !group.ip().is_multicast() {
        let what = format!("{} is not a multicast address", group.ip());
        found.add(key, what);
    }
    if group.port() == 0 {
        found.add(key, "needs a port".to_owned());
    }
    if interface.is_some_and(|i| i.is_ipv4() != group.is_ipv4()) {
        let what = "and interface must both be IPv4 or both IPv6".to_owned();
        found.add(key, what);
    }
}

fn msbd(key: &str, msbd: &MsbdConfig, found: &mut Found) {
    // MSBD-02
    if !msbd.listen.is_ipv4() {
        let what = "must be an IPv4 address: the protocol knows no other".to_owned();
        found.add(&format!("{key}.listen"), what);
    }
    if let Some(address) = msbd.group {
        let key = format!("{key}.group");
        group(&key, address, msbd.interface, found);
        if !address.is_ipv4() {
            let what = "must be an IPv4 group: the protocol knows no other".to_owned();
            found.add(&key, what);
        }
    }
}

fn record(key: &str, archive: &ArchiveConfig, found: &mut Found) {
    let of = |name: &str| format!("{key}.{name}");
    found.range(
        &of("max_size"),
        archive.max_size,
        Size::mib(1),
        Size(1 << 44),
    );
    let span = archive.max_duration;
    found.range(
        &of("max_duration"),
        span,
        Span::secs(10),
        Span::secs(30 * 86_400),
    );
    found.range(
        &of("free_space_floor"),
        archive.free_space_floor,
        Size(0),
        Size(1 << 44),
    );
    if archive.directory.as_os_str().is_empty() {
        found.add(
            &of("directory"),
            "is empty; expected a directory".to_owned(),
        );
    }
}

fn groups_of(other: &PointConfig) -> Vec<SocketAddr> {
    let multicast = other.multicast.iter().map(|m| m.group);
    let msbd = other.msbd.iter().filter_map(|m| m.group);
    multicast.chain(msbd).collect()
}

fn one_of_a_kind(
    key: &str,
    address: SocketAddr,
    others: &[PointConfig],
    theirs: impl Fn(&PointConfig) -> Vec<SocketAddr>,
    found: &mut Found,
) {
    if let Some(other) = others.iter().find(|o| theirs(o).contains(&address)) {
        let what = format!("{address} is already used by the point \"{}\"", other.name);
        found.add(key, what);
    }
}
