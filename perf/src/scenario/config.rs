//! The server's configuration for a scenario.

use std::fmt::Write as _;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;

/// A publishing point.
#[derive(Clone, Debug)]
pub struct Point {
    /// First segment of its URLs.
    pub name: String,
    /// Live, or on demand.
    pub broadcast: bool,
    /// File or directory, or `push:`.
    pub source: PathBuf,
    /// Time between two sends to a session.
    pub cadence_ms: u64,
    /// Sent to a group as well.
    pub multicast: Option<Multicast>,
}

/// A group on loopback.
#[derive(Clone, Copy, Debug)]
pub struct Multicast {
    /// Address and UDP port.
    pub group: SocketAddrV4,
    /// Packets to one of parity.
    pub fec_span: u8,
}

impl Point {
    fn text(&self) -> String {
        let kind = if self.broadcast {
            "broadcast"
        } else {
            "on-demand"
        };
        let mut s = format!(
            "[[point]]\nname = \"{}\"\nkind = \"{kind}\"\nsource = {:?}\ncadence = \"{}ms\"\n",
            self.name,
            self.source.display().to_string(),
            self.cadence_ms,
        );
        if self.broadcast {
            s += "always = true\n";
        }
        if let Some(m) = &self.multicast {
            let _ = write!(
                s,
                "[point.multicast]\ngroup = \"{}\"\ninterface = \"127.0.0.1\"\n\
                 loopback = true\nfec_span = {}\n",
                m.group, m.fec_span
            );
        }
        s
    }
}

/// What a scenario sets.
#[derive(Clone, Debug)]
pub struct Config {
    /// Port of players over HTTP.
    pub http: SocketAddr,
    /// Port of players over MMS, if that is spoken.
    pub mms: Option<SocketAddr>,
    /// Port of players over RTSP, if that is spoken.
    pub rtsp: Option<SocketAddr>,
    /// Admin port.
    pub admin: SocketAddr,
    /// One core on each.
    pub cpus: Vec<usize>,
    /// For indexes.
    pub cache_dir: PathBuf,
    /// All points.
    pub points: Vec<Point>,
}

impl Config {
    /// As TOML. The limits are out of the way: all sessions come from few addresses, at once.
    pub fn text(&self) -> String {
        let mms = self
            .mms
            .map_or(String::new(), |at| format!("mms = [\"{at}\"]\n"));
        // The first free pair of UDP ports from there on is taken.
        let rtsp = self.rtsp.map_or(String::new(), |at| {
            format!("rtsp = [\"{at}\"]\nrtsp_udp_port = {}\n", at.port())
        });
        let mut s = format!(
            "[server]\ncores = {}\ncpus = {:?}\ncache_dir = {:?}\n\n\
             [listen]\nhttp = [\"{}\"]\n{mms}{rtsp}admin = \"{}\"\ncongestion = \"cubic\"\n\n",
            self.cpus.len(),
            self.cpus,
            self.cache_dir.display().to_string(),
            self.http,
            self.admin,
        );
        s.extend(self.points.iter().map(Point::text));
        let _ = write!(
            s,
            "\n[limits]\nplayer_connections = 1000000\nconnection_rate = 1000000\n\
             connections_per_address = 1000000\nconnection_rate_per_address = 1000000\n\
             memory = \"2GiB\"\n"
        );
        s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_point() {
        let text = Config {
            http: "127.0.0.1:18080".parse().unwrap(),
            mms: Some("127.0.0.1:11755".parse().unwrap()),
            rtsp: Some("127.0.0.1:10554".parse().unwrap()),
            admin: "127.0.0.1:19090".parse().unwrap(),
            cpus: vec![0, 1],
            cache_dir: PathBuf::from("/tmp/c"),
            points: vec![Point {
                name: "live".into(),
                broadcast: true,
                source: PathBuf::from("/tmp/a \"b\".wmv"),
                cadence_ms: 230,
                multicast: None,
            }],
        }
        .text();
        assert!(text.starts_with(
            "[server]\ncores = 2\ncpus = [0, 1]\ncache_dir = \"/tmp/c\"\n\n[listen]\n"
        ));
        assert!(
            text.contains(
                "source = \"/tmp/a \\\"b\\\".wmv\"\ncadence = \"230ms\"\nalways = true\n"
            )
        );
        assert!(text.contains("kind = \"broadcast\""));
        assert!(text.contains("]\nmms = [\"127.0.0.1:11755\"]\nrtsp = "));
        assert!(text.contains("]\nrtsp = [\"127.0.0.1:10554\"]\nrtsp_udp_port = 10554\nadmin = "));
    }

    #[test]
    fn points_that_are_pushed_and_sent_to_groups() {
        let point = Point {
            name: "in0".into(),
            broadcast: true,
            source: PathBuf::from("push:"),
            cadence_ms: 20,
            multicast: None,
        };
        assert_eq!(
            point.text(),
            "[[point]]\nname = \"in0\"\nkind = \"broadcast\"\nsource = \"push:\"\n\
             cadence = \"20ms\"\nalways = true\n"
        );
        let sent = Point {
            multicast: Some(Multicast {
                group: "239.1.2.3:5000".parse().unwrap(),
                fec_span: 10,
            }),
            ..point.clone()
        };
        assert_eq!(
            sent.text(),
            point.text()
                + "[point.multicast]\ngroup = \"239.1.2.3:5000\"\ninterface = \"127.0.0.1\"\n\
                   loopback = true\nfec_span = 10\n"
        );
    }
}
