//! Multicast groups: whether there is a way to them, and what fits through it.

use super::Finding;
use crate::ops::config::{Config, PointConfig};
use crate::rt::{GroupOptions, route_to_group, try_join};
use protocols::asf;
use protocols::asf::header::FIXED_HEAD;
use protocols::msb::packet::unfragmented_len_max;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Every group of every enabled point. A point without its group does not keep the others from starting:
/// an interface may still come.
pub(super) fn groups(config: &Config) -> Vec<Finding> {
    let enabled = config.points.iter().filter(|p| p.enabled);
    enabled.flat_map(of_point).collect()
}

fn of_point(point: &PointConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(multicast) = &point.multicast {
        let options = GroupOptions {
            group: multicast.group,
            ttl: multicast.ttl,
            interface: multicast.interface,
            loopback: multicast.loopback,
        };
        findings.extend(way(point, "multicast", &options));
        findings.extend(size(point, &options));
    }
    if let Some(msbd) = &point.msbd
        && let Some(group) = msbd.group
    {
        let options = GroupOptions {
            group,
            ttl: msbd.ttl,
            interface: msbd.interface,
            loopback: msbd.loopback,
        };
        findings.extend(way(point, "msbd", &options));
    }
    findings
}

/// Whether the group can be sent to and joined from here.
fn way(point: &PointConfig, table: &str, options: &GroupOptions) -> Option<Finding> {
    let error = route_to_group(options)
        .map(|_| ())
        .and_then(|()| try_join(options))
        .err()?;
    let (name, group) = (&point.name, options.group);
    Some(match (error.raw_os_error(), options.interface) {
        (Some(libc::EADDRNOTAVAIL | libc::ENODEV), Some(interface)) => Finding::warning(
            format!(
                "point \"{name}\": {table}.interface {interface} is no address of this machine that can do multicast"
            ),
            "use one that `ip address` lists, on an interface with the flag MULTICAST",
        ),
        (Some(libc::ENETUNREACH | libc::ENODEV | libc::EADDRNOTAVAIL), _) => Finding::warning(
            format!("point \"{name}\": no route leads to {table}.group {group}"),
            format!("set {table}.interface, or add a route for {}", group.ip()),
        ),
        _ => Finding::warning(
            format!("point \"{name}\": {table}.group {group} cannot be sent to: {error}"),
            "check the address and the interface",
        ),
    })
}

/// Whether the packets of the point's files leave in one piece.
fn size(point: &PointConfig, options: &GroupOptions) -> Option<Finding> {
    let mtu = route_to_group(options).ok()?.mtu;
    let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
    let max = unfragmented_len_max(mtu, options.group.is_ipv6());
    let fallback = point.fallback.as_ref().map(|f| f.source.as_path());
    let files = point.source.path().into_iter().chain(fallback);
    let (file, packet) = files
        .filter_map(|file| Some((file, packet_size(file).ok()?)))
        .find(|(_, packet)| *packet as usize > max)?;
    let (name, file) = (&point.name, file.display());
    Some(Finding::warning(
        format!(
            "point \"{name}\": {file} has packets of {packet} bytes, and the interface to {} takes \
             {max} in one piece",
            options.group
        ),
        "encode it with smaller packets: a receiver that misses one piece of a packet loses it all",
    ))
}

/// The size of an ASF file's packets.
fn packet_size(file: &Path) -> io::Result<u32> {
    let bad = |error: asf::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let mut file = File::open(file)?;
    let mut header = vec![0; FIXED_HEAD];
    file.read_exact(&mut header)?;
    let len = asf::header_len(&header).map_err(bad)?;
    file.take(len.saturating_sub(FIXED_HEAD as u64))
        .read_to_end(&mut header)?;
    asf::Header::parse(&header)
        .map(|header| header.packet_size())
        .map_err(bad)
}
