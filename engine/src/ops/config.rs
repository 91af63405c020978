//! The configuration file: one TOML document, unknown keys are errors, every key documented once
//! in `deploy/ringcast.toml`.
//!
//! [`Config::parse`] reads text and never looks at the machine; what only the machine can tell
//! (directories, ports, kernel features) is asked by [`crate::ops::startup`].

mod error;
mod limits;
mod live;
mod locate;
mod point;
mod units;
mod validate;

pub use error::{ConfigError, Problem};
pub use limits::{Limits, PointLimits};
pub use live::{
    ArchiveConfig, FallbackConfig, MsbdConfig, MulticastConfig, PullConfig, PushConfig,
};
pub use point::{AuthConfig, AuthMethod, PointConfig, PointKind, PullScheme, REALM, Source};
pub use units::{BitRate, Size, Span};
pub use validate::{POINT_COUNT_MAX, point_name};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A whole configuration, validated, with every path absolute or relative to the working
/// directory of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[listen]`
    pub listen: Listen,
    /// `[[point]]`, in the order of the file; names are unique.
    #[serde(rename = "point")]
    pub points: Vec<PointConfig>,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
    /// The file that this came from; relative paths are relative to its directory.
    #[serde(skip)]
    pub origin: PathBuf,
}

/// `[server]`: the process as a whole. Changes need a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Number of cores; `None`: all that the process may use.
    pub cores: Option<usize>,
    /// The CPUs that the cores are pinned to, one each; `None`: the first ones allowed.
    pub cpus: Option<Vec<usize>>,
    /// The Windows Media Services version that is announced.
    pub version: ServerVersion,
    /// Host name for URLs that the server writes and for its logs; `None`: what the client named,
    /// or the system's host name.
    pub name: Option<String>,
    /// Where indexes of files are kept; `None`: beside the content, if that is writable.
    pub cache_dir: Option<PathBuf>,
    /// How long running sessions may go on after a stop was asked for.
    pub drain_timeout: Span,
    /// The point that the root path names, as in `http://host/`; `None`: a page that lists the points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Call itself an encoder that is pulled, over HTTP. For programs that are one.
    #[serde(skip)]
    pub encoder: bool,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            cores: None,
            cpus: None,
            version: ServerVersion::default(),
            name: None,
            cache_dir: None,
            drain_timeout: Span::secs(10),
            root: None,
            encoder: false,
        }
    }
}

/// The version announced to clients: `"9.1"`, or all four numbers as they go on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    parts: [u16; 4],
}

impl ServerVersion {
    /// Windows Media Services 9.1, whose name old and open clients know (design decision 2).
    pub const V9_1: ServerVersion = ServerVersion {
        parts: [9, 1, 1, 3841],
    };

    /// MMSP's ServerVersionInfo, e.g. `9.01.01.3841`.
    pub fn announced(&self) -> String {
        let [major, minor, build, revision] = self.parts;
        format!("{major}.{minor:02}.{build:02}.{revision}")
    }

    /// Value of the HTTP `Server` header, e.g. `Cougar/9.01.01.3841`.
    pub fn cougar(&self) -> String {
        format!("Cougar/{}", self.announced())
    }

    /// Product token of the RTSP `Server` header, e.g. `WMServer/9.1.1.3841`.
    pub fn wm_server(&self) -> String {
        let [major, minor, build, revision] = self.parts;
        format!("WMServer/{major}.{minor}.{build}.{revision}")
    }

    /// major, minor, build, revision.
    pub const fn parts(&self) -> [u16; 4] {
        self.parts
    }
}

impl Default for ServerVersion {
    fn default() -> ServerVersion {
        ServerVersion::V9_1
    }
}

impl FromStr for ServerVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerVersion, String> {
        if text == "9.1" {
            return Ok(ServerVersion::V9_1);
        }
        let wrong = || {
            format!(
                "\"{text}\" is not a version: \"9.1\", or four numbers such as \"9.01.01.3841\""
            )
        };
        let numbers: Vec<u16> = text
            .split('.')
            .map(|part| part.parse().map_err(|_| wrong()))
            .collect::<Result<_, _>>()?;
        let parts: [u16; 4] = numbers.try_into().map_err(|_| wrong())?;
        if parts[0] != 9 {
            return Err(format!(
                "version {text}: only servers of the 9 series are spoken for"
            ));
        }
        Ok(ServerVersion { parts })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, build, revision] = self.parts;
        write!(f, "{major}.{minor:02}.{build:02}.{revision}")
    }
}

impl<'de> Deserialize<'de> for ServerVersion {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<ServerVersion, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for ServerVersion {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// `[listen]`: where the server can be reached. Changes need a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// WMSP, announcements, client log POSTs.
    pub http: Vec<SocketAddr>,
    /// Encoders may go on with a push session from another address.
    pub push_roam: bool,
    /// MMSP, TCP and UDP.
    pub mms: Vec<SocketAddr>,
    /// Media over UDP is offered to MMS players; without, they get it over TCP.
    pub mms_udp: bool,
    /// RTSP.
    pub rtsp: Vec<SocketAddr>,
    /// Media over UDP is offered to RTSP players; without, they get it over TCP.
    pub rtsp_udp: bool,
    /// Where the UDP ports of RTSP's media begin: each core takes the first free pair from here on.
    pub rtsp_udp_port: u16,
    /// Metrics, health, API. `None`: no admin port.
    pub admin: Option<SocketAddr>,
    /// TCP congestion control, set on the listeners (design decision 19).
    pub congestion: String,
    /// Connections that the kernel may queue before they are accepted.
    pub backlog: u32,
    /// Upper bound of each connection's send buffer; `None`: from the content's rate, 2 s of it,
    /// at least 64 KiB.
    pub sndbuf: Option<Size>,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen {
            http: Vec::new(),
            push_roam: false,
            mms: Vec::new(),
            mms_udp: true,
            rtsp: Vec::new(),
            rtsp_udp: true,
            rtsp_udp_port: 5004,
            admin: None,
            congestion: "cubic".to_owned(),
            backlog: 4096,
            sndbuf: None,
        }
    }
}

/// `[log]`: client logs and access logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Where; `None`: no log files.
    pub directory: Option<PathBuf>,
    /// When a new file is begun.
    pub rotate: Rotate,
    /// Largest size of one file; also the boundary of `rotate = "size"`.
    pub max_size: Size,
    /// Write JSON lines (`ringcast.json.log` and its rotated parts).
    pub json: bool,
    /// Write W3C files as Windows Media Services did, a directory per publishing point.
    pub w3c: bool,
    /// Logging, not streaming, stops while the file system has less than this left.
    pub free_space_floor: Size,
    /// Path of the HTTP front end to which viewers of multicasts post their logs; empty: none.
    pub sink: String,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            directory: None,
            rotate: Rotate::Day,
            max_size: Size::mib(256),
            json: true,
            w3c: true,
            free_space_floor: Size::mib(256),
            sink: "/wmsiislog.dll".to_owned(),
        }
    }
}

/// When log files are rotated. Boundaries are UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotate {
    /// At midnight.
    #[default]
    Day,
    /// At each full hour.
    Hour,
    /// Only when `max_size` is reached.
    Size,
}

impl Config {
    /// Reads and validates a configuration. `origin` names the file in messages, and its
    /// directory is what relative paths are relative to; it is not opened.
    ///
    /// # Errors
    /// Every problem found, each with line, column, key, what is wrong and what is allowed. Text
    /// that is no TOML, or a value of the wrong type, ends the search at the first.
    pub fn parse(text: &str, origin: &Path) -> Result<Config, ConfigError> {
        let spots = locate::Spots::parse(text, origin)?;
        let mut config: Config = toml::from_str(text).map_err(|e| spots.syntax(&e))?;
        config.origin = origin.to_path_buf();
        let problems = validate::config(&config);
        if !problems.is_empty() {
            return Err(spots.place(problems));
        }
        let base = config.base();
        config.anchor(&base);
        Ok(config)
    }

    /// Reads the file and parses it.
    ///
    /// # Errors
    /// As [`Config::parse`], and if the file cannot be read.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::unreadable(path, &e))?;
        Config::parse(&text, path)
    }

    /// The point of that name.
    pub fn point(&self, name: &str) -> Option<&PointConfig> {
        self.points.iter().find(|p| p.name == name)
    }

    /// The directory that relative paths are relative to.
    pub fn base(&self) -> PathBuf {
        self.origin
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default()
    }

    fn anchor(&mut self, base: &Path) {
        for path in [&mut self.server.cache_dir, &mut self.log.directory]
            .into_iter()
            .flatten()
        {
            *path = base.join(&*path);
        }
        for point in &mut self.points {
            point.anchor(base);
        }
    }
}

/// Reads one publishing point's table, as the admin API receives it: TOML, or JSON if the text
/// starts with `{`. The name may be absent from the table; if present it must be `name`. `base` is
/// the directory that relative paths are relative to.
///
/// # Errors
/// As [`Config::parse`].
pub fn parse_point(name: &str, text: &str, base: &Path) -> Result<PointConfig, ConfigError> {
    point::parse_single(name, text, base)
}

#[cfg(test)]
mod tests;
