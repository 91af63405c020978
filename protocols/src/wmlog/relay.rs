//! What a proxy makes of its clients' logs before it hands them on (wmlog.md 10).

use super::{Entry, Field, Kind};
use std::net::IpAddr;

/// The proxy, as it writes itself into forwarded logs.
#[derive(Clone, Copy, Debug)]
pub struct Proxy<'a> {
    /// Its own address.
    pub address: IpAddr,
    /// Its host name, if known.
    pub host: Option<&'a str>,
    /// Product and version, such as `WMCacheProxy/9.00.00.1234`.
    pub product: &'a str,
    /// Clients it serves now.
    pub clients: u32,
    /// Load, per cent.
    pub cpu: u8,
    /// Address of the client whose log this is.
    pub client: IpAddr,
}

/// What goes upstream for a client's log: rendering data only (WMLOG-43). A Legacy log is turned into
/// a Rendering log; others stay here.
pub fn upstream(log: &Entry, proxy: &Proxy<'_>) -> Option<Entry> {
    let mut entry = match log.kind {
        Kind::Rendering => log.clone(),
        Kind::Legacy => rendering(log),
        Kind::Streaming | Kind::Connect => return None,
    };
    stamp(&mut entry, proxy);
    Some(entry)
}

/// A Legacy log as the Rendering log it contains.
pub fn rendering(legacy: &Entry) -> Entry {
    let mut entry = legacy.clone();
    entry.kind = Kind::Rendering;
    strip_transfer(&mut entry);
    if entry.get(Field::CsUrl).is_none() {
        let stem = entry.get(Field::CsUriStem).unwrap_or_default().to_owned();
        entry.set(Field::CsUrl, &stem);
    }
    if entry.get(Field::SProxied).is_none() {
        entry.set(Field::SProxied, "0");
    }
    entry
}

/// Remove what a Rendering log does not tell (wmlog.md 4): how the data was transferred.
pub(super) fn strip_transfer(entry: &mut Entry) {
    for field in [
        Field::Avgbandwidth,
        Field::Transport,
        Field::CPktsReceived,
        Field::CPktsLostClient,
        Field::CPktsLostNet,
        Field::CPktsLostContNet,
        Field::CResendreqs,
        Field::CPktsRecoveredEcc,
        Field::CPktsRecoveredResent,
        Field::CBuffercount,
        Field::CTotalbuffertime,
    ] {
        entry.clear(field);
    }
    entry.set(Field::Protocol, "Cache");
    entry.set(Field::CQuality, "100");
}

/// Write the proxy into the log (WMLOG-42). A chain of proxies replaces, it never appends.
pub fn stamp(entry: &mut Entry, proxy: &Proxy<'_>) {
    entry.set(Field::CIp, &proxy.client.to_string());
    entry.set(
        Field::CsUserAgent,
        &format!("_via_HTTP/1.0_{}", proxy.product),
    );
    entry.set(Field::SIp, &proxy.address.to_string());
    entry.set(Field::SDns, proxy.host.unwrap_or("-"));
    entry.set(Field::STotalclients, &proxy.clients.to_string());
    entry.set(Field::SCpuUtil, &proxy.cpu.min(100).to_string());
    entry.set(Field::SProxied, "1");
}
