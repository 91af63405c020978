//! How media is put on the wire: the seam between sessions and what players understand.
//!
//! A framer lives in the driver, and its session lives in the machine; on one core and in one
//! thread. What the session must know of a flow that runs (its position, and how its packets were
//! numbered) it reads from a [`Mark`] that both hold.

mod demux;
pub mod plain;
#[cfg(test)]
mod tests;
pub mod wme;

use super::Config;
use super::request::Exchange;
use crate::content::Content;
use crate::media::PacketMeta;
use crate::rtsp::fields::UserAgent;
use crate::wmsp::features::Supported;
use std::cell::Cell;
use std::rc::Rc;

/// How far a flow is.
#[derive(Clone, Debug, Default)]
pub struct Mark(Rc<Cell<Position>>);

/// See [`Mark`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Datagrams, or packets on a connection, that were numbered: the sequence of the next one.
    pub sequence: u32,
    /// Number in the file of the last ASF packet; `None`: none was sent.
    pub packet: Option<u32>,
    /// Its send time, ms.
    pub send_time: u32,
}

impl Mark {
    /// Where the flow is.
    pub fn get(&self) -> Position {
        self.0.get()
    }

    /// The packet was sent, as everything up to `sequence`.
    pub fn advance(&self, sequence: u32, meta: &PacketMeta) {
        self.0.set(Position {
            sequence,
            packet: Some(meta.number),
            send_time: meta.send_time,
        });
    }

    /// The sequence in the flow of the packet that had this number on the wire, if it was sent: of
    /// those that the 16 bits can mean, the last. `first` is the number of the flow's first packet.
    pub fn sequence_of(&self, first: u16, number: u16) -> Option<u32> {
        let next = self.get().sequence;
        let newest = next.checked_sub(1)?;
        let back = first.wrapping_add(newest as u16).wrapping_sub(number);
        newest.checked_sub(u32::from(back))
    }
}

/// True for a client that asks for RTSP-WME by what it says or is, or by `?format=wme` in the URL.
pub(super) fn wants_wme(ex: &Exchange) -> bool {
    match format_of(ex) {
        Some("wme") => true,
        Some("rtp") => false,
        _ => {
            let none = Supported::parse(std::iter::empty());
            Supported::parse(ex.head.list("Supported")) != none
                || UserAgent::parse(ex.user_agent()).is_some()
        }
    }
}

/// The streams of a content as who asks is to get them in payload formats of their own: if they
/// can be had so, and the client does not want RTSP-WME. With `?format=rtp` some streams will do.
pub(super) fn is_plain(
    config: &Config,
    ex: &Exchange,
    content: &Content,
) -> Option<plain::Streams> {
    if !config.plain || wants_wme(ex) {
        return None;
    }
    plain::Streams::of(content, format_of(ex) == Some("rtp"))
}

fn format_of(ex: &Exchange) -> Option<&str> {
    let mut parameters = ex.target.query.split('&');
    parameters.find_map(|p| p.strip_prefix("format="))
}
