//! `Cache-Control` of descriptions and content information (MS-RTSP 2.2.6.2; rtsp-wme.md 5.3).

use super::text::{number, pair, split, unquoted};
use crate::content::Content;
use std::fmt;

/// The directives. None of them set means that no policy is known, which is written as `no-cache`
/// alone (RTSP-89).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// Seconds for which a copy is fresh.
    pub max_age: Option<u32>,
    /// Clients ask again before they play.
    pub must_revalidate: bool,
    /// Proxies ask again before they stream.
    pub proxy_revalidate: bool,
    /// Nobody keeps it.
    pub no_cache: bool,
    /// Not on disk.
    pub no_store: bool,
    /// Clients do not keep it.
    pub no_user_cache: bool,
    /// Not shared.
    pub private: bool,
    /// May be shared.
    pub public: bool,
    /// About how many bytes; never of a broadcast (RTSP-63).
    pub content_size: Option<u64>,
    /// Which events the server wants to hear of.
    pub events: Events,
    /// A proxy may share one live stream among its clients.
    pub proxy_split: bool,
    /// It is a broadcast.
    pub broadcast: bool,
    /// It is a playlist.
    pub playlist: bool,
}

/// `x-wms-event-subscription`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// remote-open.
    pub open: bool,
    /// remote-close.
    pub close: bool,
    /// remote-log.
    pub log: bool,
}

impl CacheControl {
    /// What a server says of a content. `remote_log` asks caches and players for rendering logs
    /// (WMLOG-27).
    pub fn of(content: &Content, remote_log: bool) -> CacheControl {
        if !content.caching.allowed {
            // RTSP-89
            return CacheControl::default();
        }
        let live = content.broadcast;
        CacheControl {
            max_age: Some(if live { 0 } else { content.caching.max_age }),
            must_revalidate: true,
            proxy_revalidate: true,
            // RTSP-63; and not of playlists, as Windows Media Services have it.
            content_size: content.file_size.filter(|_| !live && !content.playlist),
            events: Events {
                log: remote_log,
                ..Events::default()
            },
            proxy_split: live,
            broadcast: live,
            playlist: content.playlist,
            ..CacheControl::default()
        }
    }

    /// Read a value (RTSP-62). Unknown directives and unreadable numbers are passed over (RTSP-61).
    pub fn parse(value: &str) -> CacheControl {
        let mut all = CacheControl::default();
        for (_, part) in split(value, b',') {
            let (name, value) = pair(part);
            let value = unquoted(value.unwrap_or(""));
            match name.to_ascii_lowercase().as_str() {
                "max-age" => all.max_age = number(value, "max-age").ok(),
                "must-revalidate" => all.must_revalidate = true,
                "proxy-revalidate" => all.proxy_revalidate = true,
                "no-cache" => all.no_cache = true,
                "no-store" => all.no_store = true,
                "no-user-cache" => all.no_user_cache = true,
                "private" => all.private = true,
                "public" => all.public = true,
                "x-wms-content-size" => {
                    all.content_size = number(value, "x-wms-content-size").ok();
                }
                "x-wms-event-subscription" => {
                    for event in value.split(',').map(str::trim) {
                        all.events.open |= event.eq_ignore_ascii_case("remote-open");
                        all.events.close |= event.eq_ignore_ascii_case("remote-close");
                        all.events.log |= event.eq_ignore_ascii_case("remote-log");
                    }
                }
                "x-wms-proxy-split" => all.proxy_split = true,
                "x-wms-stream-type" => {
                    for kind in value.split(',').map(str::trim) {
                        all.broadcast |= kind.eq_ignore_ascii_case("broadcast");
                        all.playlist |= kind.eq_ignore_ascii_case("playlist");
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// True if anybody may keep it at all (RTSP-134).
    fn is_released(&self) -> bool {
        self.must_revalidate || self.public || self.proxy_revalidate
    }

    /// True if a player may keep it for itself.
    pub fn client_may_keep(&self) -> bool {
        self.is_released() && !self.no_cache && !self.no_user_cache
    }

    /// True if a proxy may keep it for its clients.
    pub fn proxy_may_keep(&self) -> bool {
        self.is_released() && !self.no_cache && !self.private
    }
}

impl fmt::Display for CacheControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let mut put = |f: &mut fmt::Formatter<'_>, set: bool, text: fmt::Arguments<'_>| {
            if !set {
                return Ok(());
            }
            let before = std::mem::replace(&mut comma, ", ");
            write!(f, "{before}{text}")
        };
        let none = *self == CacheControl::default();
        put(f, self.no_cache || none, format_args!("no-cache"))?;
        if let Some(age) = self.max_age {
            put(f, true, format_args!("max-age={age}"))?;
        }
        put(f, self.no_store, format_args!("no-store"))?;
        put(f, self.no_user_cache, format_args!("no-user-cache"))?;
        put(f, self.private, format_args!("private"))?;
        put(f, self.public, format_args!("public"))?;
        put(f, self.must_revalidate, format_args!("must-revalidate"))?;
        put(f, self.proxy_revalidate, format_args!("proxy-revalidate"))?;
        if let Some(size) = self.content_size.filter(|_| !self.broadcast) {
            put(f, true, format_args!("x-wms-content-size={size}"))?;
        }
        let Events { open, close, log } = self.events;
        let events = [
            (open, "remote-open"),
            (close, "remote-close"),
            (log, "remote-log"),
        ];
        let events = said(&events);
        let kinds = said(&[(self.broadcast, "broadcast"), (self.playlist, "playlist")]);
        put(
            f,
            !events.is_empty(),
            format_args!("x-wms-event-subscription=\"{events}\""),
        )?;
        put(f, self.proxy_split, format_args!("x-wms-proxy-split"))?;
        put(
            f,
            !kinds.is_empty(),
            format_args!("x-wms-stream-type=\"{kinds}\""),
        )
    }
}

fn said(words: &[(bool, &str)]) -> String {
    let said: Vec<&str> = words.iter().filter(|w| w.0).map(|w| w.1).collect();
    said.join(",")
}
