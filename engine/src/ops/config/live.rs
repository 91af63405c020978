//! `[point.push]`, `[point.pull]`, `[point.fallback]`, `[point.multicast]`, `[point.msbd]` and
//! `[point.archive]`: how live content comes in, and how else it goes out.

use super::point::AuthConfig;
use super::units::{Size, Span};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// `[point.push]`: who may be the source of a point whose source is `push:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushConfig {
    /// Addresses that may push. Empty: any if `auth` is there, else this machine only.
    pub allow: Vec<IpNet>,
    /// Encoders must prove who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// A second encoder takes the point over, instead of being refused while the first one sends.
    pub takeover: bool,
    /// How long viewers wait for an encoder that was lost without having ended its stream.
    pub hold: Span,
    /// Encoders that may push here may make points of other names with these settings.
    pub template: bool,
    /// A session may go on from another address.
    pub roam: bool,
}

impl Default for PushConfig {
    fn default() -> PushConfig {
        PushConfig {
            allow: Vec::new(),
            auth: None,
            takeover: false,
            hold: Span::secs(60),
            template: false,
            roam: false,
        }
    }
}

impl PushConfig {
    /// May this address push, as far as addresses go?
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self.allow.is_empty() {
            return self.auth.is_some() || address.is_loopback();
        }
        self.allow.iter().any(|net| net.contains(&address))
    }
}

/// `[point.pull]`: how a source on another server is fetched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PullConfig {
    /// Name that is given if the source asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File whose first line is the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// A source that sends nothing for so long is given up and asked for again.
    pub silence: Span,
    /// Longest pause between two attempts; the first is a second, and they double.
    pub retry_max: Span,
    /// How long viewers wait for a source that was lost.
    pub hold: Span,
}

impl Default for PullConfig {
    fn default() -> PullConfig {
        PullConfig {
            user: None,
            password_file: None,
            silence: Span::secs(15),
            retry_max: Span::secs(30),
            hold: Span::secs(60),
        }
    }
}

/// `[point.fallback]`: what is broadcast while the source sends nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FallbackConfig {
    /// A file, played in real time, over and over.
    pub source: PathBuf,
    /// How long the source may be silent first.
    #[serde(default = "default_fallback_after")]
    pub after: Span,
}

fn default_fallback_after() -> Span {
    Span::secs(5)
}

/// `[point.multicast]`: MSB to a group, and the `.nsc` that leads there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MulticastConfig {
    /// Group and UDP port, IPv4 or IPv6.
    pub group: SocketAddr,
    /// Hops that datagrams may go.
    #[serde(default = "default_ttl")]
    pub ttl: u8,
    /// Address of the interface to send from; default: the system's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<IpAddr>,
    /// Receivers on this machine get it too.
    #[serde(default = "yes")]
    pub loopback: bool,
    /// Packets to one parity packet; 0: no error correction.
    #[serde(default = "default_fec_span")]
    pub fec_span: u8,
    /// Packets of a span all carry number 1 instead of their place.
    #[serde(default)]
    pub fec_constant_number: bool,
    /// How often to say that the sender is alive while there is nothing to send.
    #[serde(default = "default_beacon")]
    pub beacon: Span,
    /// Where players post their logs; default: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_url: Option<String>,
    /// Where players go that hear nothing; default: this point over unicast, on the host that they had the
    /// station file from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unicast_url: Option<String>,
    /// The address to be sent from is published, so that players can filter.
    #[serde(default)]
    pub publish_interface: bool,
    /// Format ids stay the same when an encoder comes back with the same profile.
    #[serde(default = "yes")]
    pub stable_format_ids: bool,
    /// Jitter buffer that players are told to use.
    #[serde(default = "default_network_buffer")]
    pub network_buffer: Span,
    /// Announce it by SAP (RFC 2974).
    #[serde(default)]
    pub sap: bool,
}

/// `[point.msbd]`: serving other servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MsbdConfig {
    /// Where servers connect, over IPv4; the port stands for the point.
    pub listen: SocketAddr,
    /// Addresses that may. Empty: this machine only; there is no other protection.
    #[serde(default)]
    pub allow: Vec<IpNet>,
    /// Group and port for servers that ask for multicast; default: they are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<SocketAddr>,
    /// Hops that its datagrams may go.
    #[serde(default = "default_ttl")]
    pub ttl: u8,
    /// Address of the interface to send from; default: the system's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<IpAddr>,
    /// Receivers on this machine get it too.
    #[serde(default = "yes")]
    pub loopback: bool,
    /// The end of an entry is told before the next one begins.
    #[serde(default = "yes")]
    pub switch_eos: bool,
}

/// `[point.archive]`: recording what is broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveConfig {
    /// Where the ASF files go, named after the point and the time in UTC.
    pub directory: PathBuf,
    /// A new file is begun at this size.
    #[serde(default = "default_archive_size")]
    pub max_size: Size,
    /// A new file is begun after this time.
    #[serde(default = "default_archive_span")]
    pub max_duration: Span,
    /// Files that are kept, the oldest go first; 0: all.
    #[serde(default)]
    pub keep: u32,
    /// Recording (never streaming) stops while the file system has less than this left.
    #[serde(default = "default_archive_floor")]
    pub free_space_floor: Size,
}

fn default_archive_size() -> Size {
    Size::gib(1)
}

fn default_archive_span() -> Span {
    Span::secs(3600)
}

fn default_archive_floor() -> Size {
    Size::mib(256)
}

fn default_ttl() -> u8 {
    32
}

fn default_fec_span() -> u8 {
    10
}

fn default_beacon() -> Span {
    Span::secs(5)
}

fn default_network_buffer() -> Span {
    Span::millis(500)
}

fn yes() -> bool {
    true
}
