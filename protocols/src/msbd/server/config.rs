//! What the server is told about itself.

use ipnet::IpNet;
use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

/// A listening port: one publishing point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// TCP port.
    pub port: u16,
    /// Path of the publishing point, such as `/point`.
    pub path: String,
    /// Who may connect; nobody else may (MSBD-68).
    pub allow: Vec<IpNet>,
    /// Where the point's packets go as datagrams of MSBD, if they do.
    pub group: Option<SocketAddrV4>,
    /// A station file has the stream's header, too (MSBD-31).
    pub announced: bool,
    /// Between two entries IND_EOS is sent, if [`Config::switch_eos`] is set as well.
    pub switch_eos: bool,
}

impl Port {
    /// Whatever the list says, the protocol runs over IPv4 (MSBD-02).
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() && self.allow.iter().any(|net| net.contains(&address))
    }
}

/// How the machine behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it listens to, each port once.
    pub ports: Vec<Port>,
    /// A client is pinged this long after it connected, or answered (MSBD-11, MSBD-55).
    pub ping_interval: Duration,
    /// And must answer in this time.
    pub ping_timeout: Duration,
    /// REQ_CONNECT must have come this long after the connection.
    pub connect_timeout: Duration,
    /// While there is no stream the application is asked so often.
    pub retry_interval: Duration,
    /// Between two entries IND_EOS is sent (msbd.md 3.4); after the last one it always is.
    pub switch_eos: bool,
    /// Most sessions of this core.
    pub session_count_max: usize,
}

impl Config {
    /// The defaults, with these ports.
    pub fn new(ports: Vec<Port>) -> Config {
        Config {
            ports,
            ping_interval: Duration::from_secs(120),
            ping_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(10),
            retry_interval: Duration::from_secs(2),
            switch_eos: true,
            session_count_max: 4096,
        }
    }
}
