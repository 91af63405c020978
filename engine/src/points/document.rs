//! Small documents about points: announcements and the overview page.

use super::Point;
use crate::multicast;
use crate::shard::Shard;
use bytes::Bytes;
use protocols::content::{Answer, OpenRequest};
use protocols::nsc;
use protocols::playlist::asx::{self, Announcement};
use std::fmt::Write as _;
use std::sync::Arc;

/// The port that mms:// means when it names none.
const MMS_PORT: u16 = 1755;

/// The same of rtsp://.
const RTSP_PORT: u16 = 554;

/// Files of a directory that its announcement and the overview list.
const LISTED_FILES_MAX: usize = 500;

/// The `.asx` of a point, or of one of its files.
pub fn announce(
    shard: &Shard,
    request: &OpenRequest,
    point: &Arc<Point>,
    file: &[String],
) -> Answer {
    let host = host_of(shard, request);
    let paths = if file.is_empty() {
        paths_of(point, true)
    } else {
        vec![path(point, file)]
    };
    let body = match paths.as_slice() {
        [one] => asx::announcement(&Announcement {
            urls: &urls_of(shard, &host, point, one),
            title: Some(one.rsplit('/').next().unwrap_or(one)),
            ..Announcement::default()
        }),
        many => {
            let entries: Vec<Vec<String>> = many.iter().map(|p| urls(shard, &host, p)).collect();
            let entries: Vec<Announcement<'_>> = entries
                .iter()
                .map(|urls| Announcement {
                    urls,
                    ..Announcement::default()
                })
                .collect();
            asx::announcement_of(&entries)
        }
    };
    Answer::Document {
        content_type: asx::CONTENT_TYPE,
        body: Bytes::from(body),
    }
}

/// The `.nsc` of a point that is sent to a group; `None` as long as it has no header to list.
pub fn station(
    shard: &Shard,
    request: &OpenRequest,
    point: &Point,
) -> Option<Result<Answer, nsc::WriteError>> {
    let station = multicast::station(point, &host_of(shard, request))?;
    let body = multicast::file(&station);
    Some(body.map(|body| Answer::Document {
        content_type: nsc::CONTENT_TYPE,
        body,
    }))
}

/// A page with every point, for people who open the server in a browser.
pub fn overview(shard: &Shard, request: &OpenRequest) -> Answer {
    let host = host_of(shard, request);
    let mut page = String::from(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>Ringcast</title></head>\
         <body><h1>Ringcast</h1><ul>\n",
    );
    for point in shard.points() {
        if !point.config.enabled {
            continue;
        }
        for path in paths_of(&point, point.guard.is_none()) {
            let path = html(&path);
            let host = html(&mms_host(shard, &host));
            let _ = writeln!(
                page,
                "<li>{} <a href=\"{path}.asx\">{path}</a> \
                 <code>mms://{host}{path}</code> <a href=\"{path}\">download or listen</a></li>",
                point.config.kind.name(),
            );
        }
    }
    page.push_str("</ul></body></html>\n");
    Answer::Document {
        content_type: "text/html; charset=utf-8",
        body: Bytes::from(page),
    }
}

/// URLs of a point; the group first if it is sent to one: unicast is for those whom it does not reach.
fn urls_of(shard: &Shard, host: &str, point: &Point, path: &str) -> Vec<String> {
    let mut all = urls(shard, host, path);
    if point.config.multicast.is_some() {
        all.insert(0, format!("http://{host}{path}.nsc"));
    }
    all
}

/// URLs of a content, in the order in which players should try them.
fn urls(shard: &Shard, host: &str, path: &str) -> Vec<String> {
    let mut urls = vec![format!("http://{host}{path}")];
    if let Some(port) = shard.rtsp_port() {
        urls.push(format!("rtsp://{}{path}", with_port(host, port, RTSP_PORT)));
    }
    urls.push(format!("mms://{}{path}", mms_host(shard, host)));
    urls
}

/// Where MMS is served. If it is not, players that open mms:// go on to HTTP by themselves, on the
/// same port.
fn mms_host(shard: &Shard, host: &str) -> String {
    let Some(port) = shard.mms_port() else {
        return host.to_owned();
    };
    with_port(host, port, MMS_PORT)
}

/// A host that came with the port of HTTP, with another port; without one if it is the usual.
fn with_port(host: &str, port: u16, usual: u16) -> String {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|b| b.is_ascii_digit()) => bare,
        _ => host,
    };
    if port == usual {
        bare.to_owned()
    } else {
        format!("{bare}:{port}")
    }
}

fn host_of(shard: &Shard, request: &OpenRequest) -> String {
    let plain = |h: &&str| {
        !h.is_empty()
            && h.len() <= 255
            && h.chars().all(|c| {
                c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_')
            })
    };
    Some(request.authority.as_str())
        .filter(plain)
        .map_or_else(|| shard.host().to_owned(), str::to_owned)
}

fn paths_of(point: &Point, open: bool) -> Vec<String> {
    // What is in a guarded directory is not told to everybody.
    let directory = point.place().filter(|place| place.file.is_none());
    let Some(directory) = directory.filter(|_| open && !point.is_broadcast()) else {
        return vec![format!("/{}", point.config.name)];
    };
    directory
        .root
        .list(LISTED_FILES_MAX)
        .into_iter()
        .map(|file| path(point, &[file]))
        .collect()
}

fn path(point: &Point, file: &[String]) -> String {
    let mut path = format!("/{}", point.config.name);
    for name in file {
        path.push('/');
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~') {
                path.push(char::from(byte));
            } else {
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
