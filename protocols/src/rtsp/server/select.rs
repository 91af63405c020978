//! SelectStream by SET_PARAMETER, and by TEARDOWN of a stream (MS-RTSP 2.2.7.10, 3.2.5.6).

use super::Server;
use super::names::{Named, named};
use super::request::{Exchange, Kind};
use super::session::Leg;
use crate::content::{Level, StreamInfo, StreamSwitch};
use crate::machine::{ConnId, Time};
use crate::rtsp::body::StreamSwitch as SwitchEntry;

impl Server {
    /// Entries of a body (RTSP-96).
    pub(super) fn select(&mut self, now: Time, conn: ConnId, ex: &Exchange) {
        debug_assert_eq!(ex.kind, Kind::Select);
        let Some(id) = ex.session else { return };
        let entries = match SwitchEntry::parse(&ex.body) {
            Ok(entries) => entries,
            Err(fault) => return self.refuse(now, conn, ex, 400, &fault.to_string()),
        };
        let Some(s) = self.sessions.get_mut(&id) else {
            return;
        };
        if s.is_plain() {
            return self.refuse(now, conn, ex, 451, "SelectStream of single codecs");
        }
        // All or nothing: what cannot be understood changes nothing.
        let changes: Option<Vec<StreamSwitch>> = entries
            .iter()
            .map(|entry| change(entry, &s.content.streams))
            .collect();
        let Some(changes) = changes else {
            return self.refuse(now, conn, ex, 400, "SSEntry of a stream that is not there");
        };
        let first = s.legs.iter().find(|l| l.fec.is_none()).cloned();
        for change in &changes {
            apply(&mut s.legs, *change, first.as_ref(), &ex.target.uri);
        }
        let flow = s.flow.as_ref().map(|f| f.id);
        self.switch_flow(flow, changes);
        self.acknowledge(now, conn, ex);
    }

    /// TEARDOWN of the URL that a stream was set up with; false if it is none's.
    pub(super) fn remove_stream(&mut self, now: Time, conn: ConnId, ex: &Exchange) -> bool {
        let Some(id) = ex.session else { return false };
        let Some(s) = self.sessions.get_mut(&id) else {
            return false;
        };
        let control = ex.target.below(&s.path).unwrap_or("");
        if control.is_empty() {
            return false;
        }
        let same = |leg: &Leg| leg.url == ex.target.uri;
        if let Some(at) = s.legs.iter().position(same) {
            let leg = s.legs.remove(at);
            if leg.fec.is_some() {
                // The flow that runs keeps its own; the next one goes without.
                if !s.legs.iter().any(|l| l.fec.is_some()) {
                    s.fec = None;
                }
            } else {
                if let Some(plain) = &mut s.plain {
                    plain.remove(leg.streams);
                }
                self.tell_flow(id, leg.streams, Level::Off);
            }
        } else if named(control, &s.content.streams, s.one_control) == Some(Named::Rtx) {
            if let Some(rtx) = s.rtx.take() {
                self.resends.remove(&rtx.ssrc);
            }
        } else {
            // RTSP-100
            self.refuse(
                now,
                conn,
                ex,
                400,
                "TEARDOWN of a stream that is not set up",
            );
            return true;
        }
        self.acknowledge(now, conn, ex);
        true
    }
}

/// What an entry asks for, if the content has the streams that it names.
fn change(entry: &SwitchEntry, streams: &[StreamInfo]) -> Option<StreamSwitch> {
    let find = |side: &Option<(u32, String)>| match side {
        None => Some(None),
        Some((number, _)) => {
            let number = u8::try_from(*number).ok()?;
            streams
                .iter()
                .any(|s| s.number == number)
                .then_some(Some(number))
        }
    };
    let (old, new) = (find(&entry.old)?, find(&entry.new)?);
    Some(match (old, new) {
        (None, None) => return None,
        // Removal, however its level is said.
        (Some(old), None) => StreamSwitch {
            from: None,
            to: Some(old),
            level: Level::Off,
        },
        (None, Some(new)) => StreamSwitch {
            from: None,
            to: Some(new),
            level: entry.thin,
        },
        (Some(old), Some(new)) => StreamSwitch {
            from: (old != new).then_some(old),
            to: Some(new),
            level: entry.thin,
        },
    })
}

/// Keep account of a change. What replaces a stream goes on under its URL (RTSP-97); what was not set up
/// goes the way of the first stream.
fn apply(legs: &mut Vec<Leg>, change: StreamSwitch, first: Option<&Leg>, url: &str) {
    let bit = |n: u8| 1u128 << (n & 127);
    let Some(to) = change.to else { return };
    let old = change.from.unwrap_or(to);
    let has = |leg: &Leg, n: u8| leg.fec.is_none() && leg.streams & bit(n) != 0;
    let at = legs
        .iter()
        .position(|l| has(l, old))
        .or(legs.iter().position(|l| has(l, to)));
    match at {
        Some(at) => {
            let Some(leg) = legs.get_mut(at) else { return };
            leg.streams = leg.streams & !bit(old) | bit(to);
            match change.level {
                Level::Off => {
                    leg.streams &= !bit(to);
                    if leg.streams == 0 {
                        legs.remove(at);
                    }
                }
                level => leg.level = level,
            }
        }
        None if change.level == Level::Off => {}
        None => {
            let Some(first) = first else { return };
            legs.push(Leg {
                url: url.to_owned(),
                streams: bit(to),
                level: change.level,
                ..first.clone()
            });
        }
    }
}
