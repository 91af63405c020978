//! Listeners: ports, rights, congestion control, backlog.

use super::Finding;
use crate::ops::config::Config;
use socket2::{Domain, Protocol, Socket, Type};
use std::fs;
use std::io;
use std::net::SocketAddr;

/// Everything about `[listen]`.
pub(super) fn listeners(config: &Config, ports: bool) -> Vec<Finding> {
    let listen = &config.listen;
    let mut findings = Vec::new();
    if listen.http.is_empty() && listen.mms.is_empty() && listen.rtsp.is_empty() {
        findings.push(Finding::warning(
            "listen.http is empty: no player can reach the server",
            "name an address, such as http = [\"0.0.0.0:80\"]",
        ));
    }
    if ports {
        let named = listen.http.iter().map(|a| ("listen.http", *a));
        let named = named.chain(listen.mms.iter().map(|a| ("listen.mms", *a)));
        let named = named.chain(listen.rtsp.iter().map(|a| ("listen.rtsp", *a)));
        let named = named.chain(listen.admin.map(|a| ("listen.admin", a)));
        let points = config.points.iter().filter_map(|p| p.msbd.as_ref());
        let named = named.chain(points.map(|msbd| ("point.msbd.listen", msbd.listen)));
        findings.extend(named.filter_map(|(key, address)| port(key, address)));
    }
    findings.extend(congestion(&listen.congestion));
    findings.extend(backlog(listen.backlog));
    findings
}

/// Whether the address can be had. Without SO_REUSEPORT, so that another instance of this server
/// on the same port is noticed and not shared with.
fn port(key: &str, address: SocketAddr) -> Option<Finding> {
    let error = try_bind(address).err()?;
    Some(match error.raw_os_error() {
        Some(libc::EADDRINUSE) => Finding::fatal(
            format!("{key}: {address} is taken{}", holder(address.port())),
            "stop what listens there, or choose another port",
        ),
        Some(libc::EACCES) => Finding::fatal(
            format!("{key}: {address} may not be opened: ports below 1024 need a privilege"),
            "give it (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE; file: setcap \
             cap_net_bind_service=+ep ringcast), or choose a port above 1023",
        ),
        Some(libc::EADDRNOTAVAIL) => Finding::fatal(
            format!("{key}: {} is no address of this machine", address.ip()),
            "use one that `ip address` lists, or 0.0.0.0 for all",
        ),
        _ => Finding::fatal(
            format!("{key}: {address} cannot be opened: {error}"),
            "check the address",
        ),
    })
}

fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(1)
}

/// " by nginx (pid 7)", or nothing if that cannot be seen.
fn holder(port: u16) -> String {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, port).map(str::to_owned));
    let Some(inode) = inode else {
        return String::new();
    };
    let link = format!("socket:[{inode}]");
    let Ok(processes) = fs::read_dir("/proc") else {
        return String::new();
    };
    for process in processes.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let mut links = descriptors
            .flatten()
            .filter_map(|d| fs::read_link(d.path()).ok());
        if links.any(|l| l.as_os_str() == link.as_str()) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return format!(" by {} (pid {pid})", name.trim());
        }
    }
    String::new()
}

/// Inode of the socket that listens on a port, from the text of /proc/net/tcp.
pub(super) fn listening_inode(table: &str, port: u16) -> Option<&str> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (_, local) = fields.nth(1)?.rsplit_once(':')?;
        let listens = u16::from_str_radix(local, 16) == Ok(port) && fields.nth(1)? == "0A";
        if listens { fields.nth(5) } else { None }
    })
}

fn congestion(name: &str) -> Option<Finding> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).ok()?;
    let error = socket.set_tcp_congestion(name.as_bytes()).err()?;
    let available = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control");
    let available = available.unwrap_or_default();
    Some(if error.raw_os_error() == Some(libc::EPERM) {
        Finding::fatal(
            format!("listen.congestion: \"{name}\" may not be used by this process"),
            format!(
                "add it to net.ipv4.tcp_allowed_congestion_control, or use one of: {}",
                available.trim()
            ),
        )
    } else {
        Finding::fatal(
            format!("listen.congestion: this kernel does not have \"{name}\""),
            format!(
                "load it (modprobe tcp_{name}), or use one of: {}",
                available.trim()
            ),
        )
    })
}

fn backlog(wanted: u32) -> Option<Finding> {
    let most: u32 = fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()?
        .trim()
        .parse()
        .ok()?;
    (most < wanted).then(|| {
        Finding::warning(
            format!("listen.backlog is {wanted}, but the kernel allows {most}"),
            format!("run `sysctl net.core.somaxconn={wanted}` (deploy/sysctl.d/ringcast.conf)"),
        )
    })
}
