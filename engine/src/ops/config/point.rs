//! `[[point]]`: publishing points.

use super::error::ConfigError;
use super::limits::{PointLimits, milli};
use super::live::{
    ArchiveConfig, FallbackConfig, MsbdConfig, MulticastConfig, PullConfig, PushConfig,
};
use super::units::{BitRate, Span};
use super::{locate, validate};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One publishing point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointConfig {
    /// First segment of its URLs; letters, digits, `-`, `_`, `.`, at most 64. Required; the admin
    /// API takes it from the request.
    #[serde(default)]
    pub name: String,
    /// Own timeline per client, or one shared by all.
    pub kind: PointKind,
    /// Where its media comes from.
    pub source: Source,
    /// How often a session is served: whole milliseconds, 5 ms to 1 s (design decision 18).
    #[serde(default = "default_cadence")]
    pub cadence: Span,
    /// Broadcast: how much history the ring keeps; what a joining client can be given at once.
    #[serde(default = "default_buffer")]
    pub buffer: Span,
    /// Treat streams of one type without a mutual exclusion object as alternatives (decision 10).
    #[serde(default = "yes")]
    pub auto_exclude: bool,
    /// Fast Start: most that a client is granted.
    #[serde(default = "default_accel_bps")]
    pub max_accel_bps: BitRate,
    /// Fast Start: longest stretch of content that is accelerated; `"0s"` switches it off.
    #[serde(default = "default_accel_duration")]
    pub max_accel_duration: Span,
    /// Fast Cache: highest speed granted, times real time.
    #[serde(default = "default_speed")]
    pub max_speed: f64,
    /// How long caches may keep the content without asking again; `"0s"`: not at all.
    #[serde(default)]
    pub max_age: Span,
    /// Keep the source running while nobody watches.
    #[serde(default)]
    pub always: bool,
    /// Broadcast of files: over and over. `false`: once, from the first viewer on, who gets all of it.
    #[serde(default = "yes")]
    pub repeat: bool,
    /// Send every client there instead; the path below the point is appended.
    #[serde(default)]
    pub redirect: Option<String>,
    /// `false`: the point exists and refuses clients.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Limits of this point.
    #[serde(default)]
    pub limits: PointLimits,
    /// Encoders that push here; for sources that are `push:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushConfig>,
    /// How a source on another server is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullConfig>,
    /// What is broadcast while the source is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FallbackConfig>,
    /// Sent to a group as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multicast: Option<MulticastConfig>,
    /// Served to other servers as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msbd: Option<MsbdConfig>,
    /// Recorded as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveConfig>,
    /// Clients must prove who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// It came into being because an encoder asked for it.
    #[serde(skip)]
    pub made_by_push: bool,
}

impl PointConfig {
    /// A point with every default.
    pub fn new(
        name: impl Into<String>,
        kind: PointKind,
        source: impl Into<PathBuf>,
    ) -> PointConfig {
        PointConfig {
            name: name.into(),
            kind,
            source: Source::Path(source.into()),
            cadence: default_cadence(),
            buffer: default_buffer(),
            auto_exclude: true,
            max_accel_bps: default_accel_bps(),
            max_accel_duration: default_accel_duration(),
            max_speed: default_speed(),
            max_age: Span::default(),
            always: false,
            repeat: true,
            redirect: None,
            enabled: true,
            limits: PointLimits::default(),
            push: None,
            pull: None,
            fallback: None,
            multicast: None,
            msbd: None,
            archive: None,
            auth: None,
            made_by_push: false,
        }
    }

    /// Make relative paths relative to `base`.
    pub(super) fn anchor(&mut self, base: &Path) {
        self.source.anchor(base);
        let push_auth = self.push.as_mut().and_then(|push| push.auth.as_mut());
        let paths = [
            self.auth.as_mut().map(|auth| &mut auth.users),
            push_auth.map(|auth| &mut auth.users),
            self.pull.as_mut().and_then(|p| p.password_file.as_mut()),
            self.fallback.as_mut().map(|fallback| &mut fallback.source),
            self.archive.as_mut().map(|archive| &mut archive.directory),
        ];
        for path in paths.into_iter().flatten() {
            *path = base.join(&*path);
        }
    }

    /// True if its source runs whether anybody watches or not: because that is asked for, or because
    /// something other than players takes what it sends.
    pub fn runs_always(&self) -> bool {
        self.always || self.multicast.is_some() || self.archive.is_some() || self.msbd_group()
    }

    fn msbd_group(&self) -> bool {
        self.msbd.as_ref().is_some_and(|msbd| msbd.group.is_some())
    }

    /// How long viewers wait for a source that was lost.
    pub fn hold(&self) -> Duration {
        match self.source {
            Source::Push => self.push.clone().unwrap_or_default().hold.get(),
            Source::Pull(..) => self.pull.clone().unwrap_or_default().hold.get(),
            Source::Path(_) | Source::Files(_) => Duration::ZERO,
        }
    }

    /// How much of a broadcast's files counts as played when they begin: those who come first find a
    /// past to be given.
    pub fn head_start(&self) -> Duration {
        match self.repeat {
            true => self.buffer.get(),
            false => Duration::ZERO,
        }
    }

    /// True if what it broadcasts may be followed by something with another header.
    pub fn has_entries(&self) -> bool {
        self.kind == PointKind::Broadcast && !matches!(self.source, Source::Path(_))
    }

    /// `max_speed` in thousandths of real time.
    pub fn max_speed_milli(&self) -> u32 {
        milli(self.max_speed)
    }
}

/// `[point.auth]`: who may have what the point offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Schemes that are offered, the preferred one first; none twice.
    #[serde(default = "every_method")]
    pub methods: Vec<AuthMethod>,
    /// The users file.
    pub users: PathBuf,
    /// Shown to whoever is asked, and part of Digest's hashes: 1 to 128 printable ASCII characters
    /// without quotes and backslashes.
    #[serde(default = "default_realm")]
    pub realm: String,
}

/// An authentication scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMethod {
    /// Name and password, readable on the way.
    Basic,
    /// MD5 over a nonce.
    Digest,
    /// NTLMv2.
    Ntlm,
}

impl AuthMethod {
    /// As written in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            AuthMethod::Basic => "basic",
            AuthMethod::Digest => "digest",
            AuthMethod::Ntlm => "ntlm",
        }
    }
}

/// Realm of a point that names none, and of `ringcast passwd` without `--realm`.
pub const REALM: &str = "ringcast";

fn default_realm() -> String {
    REALM.to_owned()
}

/// The safest first, as far as players agree.
fn every_method() -> Vec<AuthMethod> {
    vec![AuthMethod::Ntlm, AuthMethod::Digest, AuthMethod::Basic]
}

/// Type of a publishing point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointKind {
    /// Every client has its own timeline, from the start.
    OnDemand,
    /// All clients share one timeline.
    Broadcast,
}

impl PointKind {
    /// As written in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            PointKind::OnDemand => "on-demand",
            PointKind::Broadcast => "broadcast",
        }
    }
}

/// Where a point's media comes from. Written as one string, or as a list of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, or a directory of files.
    Path(PathBuf),
    /// Files that are played one after the other; at least two.
    Files(Vec<PathBuf>),
    /// An encoder that pushes.
    Push,
    /// Another server or an encoder that is asked.
    Pull(PullScheme, String),
}

/// The protocol by which a source is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullScheme {
    /// WMSP.
    Http,
    /// MMS over TCP.
    Mms,
    /// RTSP, media over TCP.
    Rtsp,
    /// MSBD.
    Msbd,
}

impl PullScheme {
    const ALL: [(&str, PullScheme); 7] = [
        ("http", PullScheme::Http),
        ("mms", PullScheme::Mms),
        ("mmst", PullScheme::Mms),
        ("rtsp", PullScheme::Rtsp),
        ("rtspt", PullScheme::Rtsp),
        ("msbd", PullScheme::Msbd),
        ("mmsh", PullScheme::Http),
    ];
}

impl Source {
    /// The file or directory.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Source::Path(path) => Some(path),
            Source::Files(_) | Source::Push | Source::Pull(..) => None,
        }
    }

    /// All files or directories that it names.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Source::Path(path) => std::slice::from_ref(path),
            Source::Files(paths) => paths,
            Source::Push | Source::Pull(..) => &[],
        }
    }

    /// True if it names files.
    pub fn is_files(&self) -> bool {
        !self.paths().is_empty()
    }

    /// Of a list of files; a list of one is that file.
    ///
    /// # Errors
    /// In words, if there is none, or one that is no file.
    pub fn list(names: Vec<String>) -> Result<Source, String> {
        let mut paths = Vec::with_capacity(names.len());
        for name in names {
            match name.parse() {
                Ok(Source::Path(path)) => paths.push(path),
                Ok(_) => return Err(format!("holds \"{name}\"; a list is of files only")),
                Err(what) => return Err(format!("holds \"{name}\", which {what}")),
            }
        }
        if paths.len() > SOURCE_FILES_MAX {
            return Err(format!("holds more than {SOURCE_FILES_MAX} files"));
        }
        match paths.len() {
            0 => Err("is an empty list; expected files".to_owned()),
            1 => Ok(Source::Path(paths.remove(0))),
            _ => Ok(Source::Files(paths)),
        }
    }

    pub(super) fn anchor(&mut self, base: &Path) {
        let paths = match self {
            Source::Path(path) => std::slice::from_mut(path),
            Source::Files(paths) => paths,
            Source::Push | Source::Pull(..) => return,
        };
        for path in paths {
            *path = base.join(&*path);
        }
    }
}

/// Most files of one list.
const SOURCE_FILES_MAX: usize = 10_000;

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => path.display().fmt(f),
            Source::Files(paths) => {
                for (n, path) in paths.iter().enumerate() {
                    let before = if n == 0 { "" } else { ", " };
                    write!(f, "{before}{}", path.display())?;
                }
                Ok(())
            }
            Source::Push => f.write_str("push:"),
            Source::Pull(_, url) => f.write_str(url),
        }
    }
}

impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Source, String> {
        const EXPECTED: &str =
            "a file, a directory, \"push:\", or a URL with http, mms, rtsp or msbd";
        if text.is_empty() {
            return Err(format!("is empty; expected {EXPECTED}"));
        }
        let (scheme, rest) = match text.split_once(':') {
            // A scheme, unless it could be the start of a file name with a directory in front.
            Some((scheme, rest)) if !scheme.is_empty() && !scheme.contains(['/', '.']) => {
                (scheme.to_ascii_lowercase(), rest)
            }
            _ => return Ok(Source::Path(text.into())),
        };
        let pulled = PullScheme::ALL.iter().find(|(name, _)| *name == scheme);
        match (scheme.as_str(), rest, pulled) {
            ("file", _, _) => Ok(Source::Path(rest.strip_prefix("//").unwrap_or(rest).into())),
            // As Windows Media Services wrote it, too.
            ("push", "" | "*", _) => Ok(Source::Push),
            (_, rest, Some((_, scheme))) if rest.len() > 2 && rest.starts_with("//") => {
                Ok(Source::Pull(*scheme, text.to_owned()))
            }
            _ => Err(format!(
                "is not a source that this server knows; expected {EXPECTED} \
                 (write \"./{text}\" if that is a file name)"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Source, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected a source in quotes, or a list of files: [\"a.wmv\", \"b.wmv\"]"
        )]
        enum Written {
            One(String),
            List(Vec<String>),
        }
        let source = match Written::deserialize(d)? {
            Written::One(text) => text.parse(),
            Written::List(names) => Source::list(names),
        };
        source.map_err(serde::de::Error::custom)
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Source::Files(paths) => s.collect_seq(paths.iter().map(|p| p.display().to_string())),
            _ => s.collect_str(self),
        }
    }
}

fn default_cadence() -> Span {
    Span::millis(100)
}

fn default_buffer() -> Span {
    Span::secs(10)
}

fn default_accel_bps() -> BitRate {
    BitRate(3_500_000)
}

fn default_accel_duration() -> Span {
    Span::secs(20)
}

fn default_speed() -> f64 {
    5.0
}

fn yes() -> bool {
    true
}

/// See [`super::parse_point`].
pub(super) fn parse_single(
    name: &str,
    text: &str,
    base: &Path,
) -> Result<PointConfig, ConfigError> {
    let origin = Path::new("point");
    if !text.trim_start().starts_with('{') {
        return parse_table(name, text, base, origin);
    }
    let table: toml::Table =
        serde_json::from_str(text).map_err(|e| ConfigError::plain(origin, &e.to_string()))?;
    // Lines of the TOML made here mean nothing to whoever sent JSON.
    parse_table(name, &table.to_string(), base, origin).map_err(ConfigError::without_lines)
}

fn parse_table(
    name: &str,
    text: &str,
    base: &Path,
    origin: &Path,
) -> Result<PointConfig, ConfigError> {
    let spots = locate::Spots::parse(text, origin)?;
    let mut point: PointConfig = toml::from_str(text).map_err(|e| spots.syntax(&e))?;
    if point.name.is_empty() {
        point.name = name.to_owned();
    } else if point.name != name {
        let what = format!(
            "is \"{}\", but the point is addressed as \"{name}\"",
            point.name
        );
        return Err(spots.place(vec![validate::Complaint {
            key: "name".to_owned(),
            what,
        }]));
    }
    let problems = validate::point(&point, &[]);
    if !problems.is_empty() {
        return Err(spots.place(problems));
    }
    point.anchor(base);
    Ok(point)
}
