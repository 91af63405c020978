//! `Cache-Control` of replies (MS-WMSP 2.2.1.1, wmsp.md 4.4).

use crate::content::Content;
use std::fmt::Write as _;

/// What every reply says, whatever it is about: plain HTTP caches keep out (WMSP-44).
pub const NO_CACHE: &str = "no-cache";

/// The value for a reply that is about a content.
///
/// `no-cache` fends off plain HTTP caches; caches that know WMSP go by the directives after it, and
/// only `user-public` and `proxy-public` let them keep anything. `remote_log` asks caches and players
/// to send rendering logs (WMLOG-27).
pub fn of(content: &Content, remote_log: bool) -> String {
    let mut text = NO_CACHE.to_owned();
    let allowed = content.caching.allowed;
    if let Some(size) = content.file_size.filter(|_| allowed && !content.broadcast) {
        let _ = write!(text, ", x-wms-content-size={size}");
    }
    if allowed {
        let age = if content.broadcast {
            0
        } else {
            content.caching.max_age
        };
        let _ = write!(text, ", max-age={age}");
    }
    match (content.broadcast, content.playlist) {
        (true, true) => text.push_str(", x-wms-stream-type=\"broadcast,playlist\""),
        (true, false) => text.push_str(", x-wms-stream-type=\"broadcast\""),
        (false, true) => text.push_str(", x-wms-stream-type=\"playlist\""),
        (false, false) => {}
    }
    match (allowed, content.broadcast) {
        (true, true) => text.push_str(", user-public, must-revalidate, x-wms-proxy-split"),
        (true, false) => {
            text.push_str(", user-public, must-revalidate, proxy-public, proxy-revalidate");
        }
        (false, _) => {}
    }
    if remote_log {
        text.push_str(", x-wms-event-subscription=\"remote-log\"");
    }
    text
}
