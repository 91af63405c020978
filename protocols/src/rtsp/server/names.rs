//! What control URLs name.

use super::media::wme::FEC_CONTROL;
use crate::content::StreamInfo;
use crate::rtsp::sdp::{self, RTX_CONTROL};

/// What a control URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// These streams.
    Streams(u128),
    /// Error correction for these.
    Fec(u128),
    /// Retransmission.
    Rtx,
}

/// What a relative control URL names among the streams of a content; as generous as can be without
/// doubt: `video=5`, `stream=5` and `audio` where there is one.
pub(super) fn named(control: &str, streams: &[StreamInfo], one: bool) -> Option<Named> {
    let control = control.strip_suffix('/').unwrap_or(control);
    if control == RTX_CONTROL {
        return Some(Named::Rtx);
    }
    if let Some(source) = control.strip_suffix(FEC_CONTROL) {
        return match named(source.strip_suffix('/')?, streams, one)? {
            Named::Streams(streams) => Some(Named::Fec(streams)),
            _ => None,
        };
    }
    let names = sdp::controls(streams, one);
    let mut all = 0;
    for (stream, name) in streams.iter().zip(&names) {
        if name == control {
            all |= 1u128 << (stream.number & 127);
        }
    }
    if all != 0 {
        return Some(Named::Streams(all));
    }
    let number = number_of(control)?;
    streams
        .iter()
        .any(|s| s.number == number)
        .then_some(Named::Streams(1 << (number & 127)))
}

fn number_of(control: &str) -> Option<u8> {
    let (kind, number) = control.split_once('=')?;
    matches!(kind, "stream" | "audio" | "video" | "track")
        .then(|| number.parse().ok())
        .flatten()
}

/// The presentation whose stream a path names by its last part, if that can name one.
pub(super) fn presentation_of(path: &str) -> Option<String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let path = path
        .strip_suffix(FEC_CONTROL)
        .and_then(|p| p.strip_suffix('/'))
        .unwrap_or(path);
    let (presentation, last) = path.rsplit_once('/')?;
    let known = matches!(last, "audio" | "video" | RTX_CONTROL) || number_of(last).is_some();
    (known && !presentation.is_empty()).then(|| presentation.to_owned())
}
