//! Logs that players post without having had a session: which point they are about.

use super::Shard;
use crate::points::Point;
use protocols::machine::{ClientLog, Report};
use protocols::wmlog::{self, Field};
use std::net::SocketAddr;
use std::sync::Arc;

impl Shard {
    /// The point that a log names that belongs to no session.
    pub(super) fn point_of_log(&self, report: &Report) -> Option<Arc<str>> {
        let Report::ClientLog {
            session: 0,
            flow: None,
            log: ClientLog::W3c(line),
            ..
        } = report
        else {
            return None;
        };
        let entry = wmlog::w3c::parse(line);
        let urls = [Field::CsUriStem, Field::CChannelUrl];
        let mut urls = urls.into_iter().filter_map(|field| entry.get(field));
        urls.find_map(|url| self.point_at(url))
    }

    fn point_at(&self, url: &str) -> Option<Arc<str>> {
        let points = self.points.borrow();
        let point = match named_by(url)? {
            Named::Group(group) => points.iter().find(|p| sends_to(p, group)),
            Named::Point(name) => points.iter().find(|p| {
                let own = &p.config.name;
                own.eq_ignore_ascii_case(name)
                    || without(name, ".nsc").is_some_and(|n| own.eq_ignore_ascii_case(n))
            }),
        };
        point.map(|p| p.config.name.as_str().into())
    }
}

fn sends_to(point: &Point, group: SocketAddr) -> bool {
    let multicast = point.config.multicast.as_ref();
    multicast.is_some_and(|m| m.group == group)
}

#[derive(Debug, PartialEq)]
enum Named<'a> {
    Group(SocketAddr),
    /// The first segment of a path.
    Point(&'a str),
}

fn named_by(url: &str) -> Option<Named<'_>> {
    let path = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("asfm") => {
            let group = rest.split(['/', '?']).next()?;
            return group.parse().ok().map(Named::Group);
        }
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.strip_prefix('/')?,
    };
    let name = path.split(['/', '?', '#']).next()?;
    (!name.is_empty()).then_some(Named::Point(name))
}

fn without<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(ending.len())?;
    let (stem, end) = name.split_at_checked(at)?;
    end.eq_ignore_ascii_case(ending).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_points_and_groups() {
        let group = "239.192.1.1:5555".parse().map(Named::Group).ok();
        assert_eq!(named_by("asfm://239.192.1.1:5555"), group);
        assert_eq!(named_by("ASFM://239.192.1.1:5555/x?y"), group);
        for url in [
            "http://host/studio.nsc",
            "http://host:8080/studio.nsc?a=b",
            "/studio.nsc",
        ] {
            assert_eq!(named_by(url), Some(Named::Point("studio.nsc")), "{url}");
        }
        for url in [
            "asfm://host",
            "http://host",
            "http://host/",
            "studio",
            "/",
            "",
        ] {
            assert_eq!(named_by(url), None, "{url}");
        }
        assert_eq!(without("studio.NSC", ".nsc"), Some("studio"));
        assert_eq!(without("nsc", ".nsc"), None);
        assert_eq!(without("h\u{e9}.ns", ".nsc"), None);
    }
}
