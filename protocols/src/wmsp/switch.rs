//! Stream selection on the wire: `stream-switch-entry` (MS-WMSP 2.2.1.4.27).

use crate::content::{Level, Selection, StreamInfo, StreamSwitch};
use std::fmt;

/// A stream number as written. The specification wants hexadecimal; FFmpeg, VLC and libmms write
/// decimal, which differs from 10 on, so both readings are kept until the content's streams are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRef {
    hex: u16,
    decimal: Option<u16>,
}

/// The flag of encrypted content in the word that holds a stream's number.
const ENCRYPTED: u16 = 0x8000;

impl StreamRef {
    /// A stream by its number.
    pub const fn new(number: u8) -> StreamRef {
        StreamRef {
            hex: number as u16,
            decimal: None,
        }
    }

    fn parse(text: &str) -> Option<StreamRef> {
        if text.is_empty() || text.len() > 4 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        Some(StreamRef {
            hex: u16::from_str_radix(text, 16).ok()?,
            decimal: text.parse().ok(),
        })
    }

    /// The number that it names among `streams`: the hexadecimal reading if the content has it,
    /// else the decimal one, else the hexadecimal one without the high bit: MPlayer copies the
    /// whole flags word of an encrypted stream, `8002` for 2 (WMSP-123).
    pub fn among(self, streams: &[StreamInfo]) -> Option<u8> {
        let found = |n: u16| {
            let n = u8::try_from(n).ok()?;
            streams.iter().any(|s| s.number == n).then_some(n)
        };
        found(self.hex)
            .or_else(|| self.decimal.and_then(found))
            .or_else(|| found(self.hex & !ENCRYPTED))
    }
}

/// One entry: `src:dst:level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchEntry {
    /// The stream that is replaced; `None` for `ffff`.
    pub from: Option<StreamRef>,
    /// The stream that is set; `None` for `ffff`.
    pub to: Option<StreamRef>,
    /// Its level (WMSP-74).
    pub level: Level,
}

impl SwitchEntry {
    /// Read entries parted by white space; unreadable ones are skipped.
    pub fn parse_list(text: &str) -> impl Iterator<Item = SwitchEntry> {
        text.split_ascii_whitespace().filter_map(SwitchEntry::parse)
    }

    fn parse(text: &str) -> Option<SwitchEntry> {
        // A comma may follow when the entry is not alone on its line. ffserver's own form `:n:m`
        // has no source.
        let mut parts = text.trim_end_matches(',').splitn(3, ':');
        let from = parts.next()?;
        let to = parts.next()?;
        let level = match parts.next()?.as_bytes() {
            [b'0', ..] => Level::Whole,
            [b'1', ..] => Level::KeyOnly,
            [b'2', ..] => Level::Off,
            _ => return None,
        };
        Some(SwitchEntry {
            from: if from.is_empty() {
                None
            } else {
                some_stream(StreamRef::parse(from)?)
            },
            to: some_stream(StreamRef::parse(to)?),
            level,
        })
    }

    /// The change that it asks of a running flow; `None` if it names no stream of the content.
    pub fn switch(self, streams: &[StreamInfo]) -> Option<StreamSwitch> {
        let from = self.from.and_then(|s| s.among(streams));
        let to = self.to.and_then(|s| s.among(streams));
        (from.is_some() || to.is_some()).then_some(StreamSwitch {
            from,
            to,
            level: self.level,
        })
    }
}

impl fmt::Display for SwitchEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |s: Option<StreamRef>| s.map_or(0xFFFF, |s| s.hex);
        let level = match self.level {
            Level::Whole => 0,
            Level::KeyOnly => 1,
            Level::Off => 2,
        };
        write!(f, "{:x}:{:x}:{level}", hex(self.from), hex(self.to))
    }
}

fn some_stream(stream: StreamRef) -> Option<StreamRef> {
    (stream.hex != 0xFFFF).then_some(stream)
}

/// The selection that entries make out of nothing, for a Play: streams that are not named are off.
pub fn selection(entries: &[SwitchEntry], streams: &[StreamInfo]) -> Selection {
    let mut selection = Selection::NONE;
    for entry in entries {
        if let Some(to) = entry.to.and_then(|s| s.among(streams)) {
            selection.set(to, entry.level);
        }
    }
    selection
}

/// The selection after `entries` changed `selection`, as it stands when all of them are carried out.
pub fn changed(selection: Selection, switches: &[StreamSwitch]) -> Selection {
    selection.changed(switches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::StreamKind;

    fn streams(numbers: &[u8]) -> Vec<StreamInfo> {
        numbers
            .iter()
            .map(|&number| StreamInfo {
                number,
                kind: StreamKind::Video,
                average_bit_rate: 0,
                peak_bit_rate: 0,
                all_key: false,
            })
            .collect()
    }

    fn select(text: &str, numbers: &[u8]) -> Selection {
        let entries: Vec<_> = SwitchEntry::parse_list(text).collect();
        selection(&entries, &streams(numbers))
    }

    // WMSP-74
    #[test]
    fn levels() {
        let s = select("ffff:1:0 ffff:2:1 ffff:3:2", &[1, 2, 3, 4]);
        assert_eq!(s.level(1), Level::Whole);
        assert_eq!(s.level(2), Level::KeyOnly);
        assert_eq!(s.level(3), Level::Off);
        assert_eq!(s.level(4), Level::Off);
    }

    // WMSP-123: FFmpeg, VLC and libmms write decimal, MPlayer hexadecimal; FFmpeg ends with a space.
    #[test]
    fn decimal_is_taken_when_hexadecimal_names_nothing() {
        assert_eq!(select("ffff:10:0 ", &[1, 10]), Selection::of([10]));
        assert_eq!(select("ffff:10:0 ", &[1, 16]), Selection::of([16]));
        assert_eq!(select("ffff:10:0", &[10, 16]), Selection::of([16]));
        assert_eq!(
            select("ffff:a:0 ffff:b:0", &[10, 11]),
            Selection::of([10, 11])
        );
        assert_eq!(select("ffff:99:0", &[1]), Selection::NONE);
    }

    // WMSP-123: MPlayer names encrypted streams with their flag.
    #[test]
    fn the_flag_of_encrypted_streams_is_no_part_of_their_number() {
        assert_eq!(
            select("ffff:8002:0 ffff:8001:0 ", &[1, 2]),
            Selection::of([1, 2])
        );
        assert_eq!(select("ffff:8011:0", &[11, 17]), Selection::of([17]));
        assert_eq!(select("ffff:8003:0", &[1, 2]), Selection::NONE);
    }

    #[test]
    fn nonsense_is_skipped() {
        let text = "ffff ffff:1 ffff:1:9 ffff::0 ffff:12345:0 x:1:0 ffff:-1:0 ffff:1:0,";
        assert_eq!(select(text, &[1]), Selection::of([1]));
        assert_eq!(select(":2:0", &[2]), Selection::of([2]));
    }

    #[test]
    fn a_replacement_turns_the_old_stream_off() {
        let have = streams(&[1, 2, 3]);
        let switches: Vec<_> = SwitchEntry::parse_list("1:2:0 3:3:1")
            .filter_map(|e| e.switch(&have))
            .collect();
        let s = changed(Selection::of([1, 3]), &switches);
        assert_eq!(s.level(1), Level::Off);
        assert_eq!(s.level(2), Level::Whole);
        assert_eq!(s.level(3), Level::KeyOnly);
    }

    #[test]
    fn written_as_hexadecimal() {
        let entry = SwitchEntry {
            from: None,
            to: Some(StreamRef::new(17)),
            level: Level::Off,
        };
        assert_eq!(entry.to_string(), "ffff:11:2");
    }
}
