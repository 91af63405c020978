//! StreamSwitch: which streams are sent (MS-MMSP 3.2.5.10).

use super::Server;
use super::session::{Change, State};
use crate::content::{Level, Selection, StreamInfo, StreamSwitch};
use crate::machine::{ConnId, Time};
use crate::media::FlowCommand;
use crate::mmsp::hresult;
use crate::mmsp::message::{SwitchEntry, ToClient};

/// "None" as a stream number.
const NONE: u16 = 0xFFFF;
/// The flag of encrypted content in the word that holds a stream's number; MPlayer copies it.
const ENCRYPTED: u16 = 0x8000;

impl Server {
    pub(super) fn stream_switch(&mut self, now: Time, conn: ConnId, entries: &[SwitchEntry]) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let Some(open) = &mut c.open else { return };
        let hr = match switches(entries, &open.content.streams) {
            Ok(switches) => {
                let playing = c.state == State::Streaming
                    && !matches!(open.change, Change::Header | Change::Waiting);
                // MMSP-69: before a start the list is all there is, later it names what changes.
                let before = match playing {
                    true => open.selection,
                    false => Selection::NONE,
                };
                open.selection = changed(before, &switches);
                if playing && !switches.is_empty() && c.live_flow().is_some() {
                    // MMSP-65 is the flow's to keep.
                    self.command(conn, FlowCommand::Select(switches));
                }
                hresult::S_OK
            }
            Err(hr) => hr,
        };
        self.say(now, conn, &ToClient::ReportStreamSwitch { hr });
    }
}

/// The changes that entries ask for (MMSP-66), all or none.
fn switches(entries: &[SwitchEntry], streams: &[StreamInfo]) -> Result<Vec<StreamSwitch>, u32> {
    entries
        .iter()
        .map(|entry| {
            let from = stream(entry.src, streams)?;
            let to = stream(entry.dst, streams)?;
            let level = match (to, entry.thinning) {
                (None, _) | (_, 2) => Level::Off,
                (_, 0) => Level::Whole,
                (_, 1) => Level::KeyOnly,
                _ => return Err(hresult::E_INVALIDARG),
            };
            Ok(StreamSwitch {
                from: from.filter(|_| from != to),
                to,
                level,
            })
        })
        .collect()
}

fn stream(number: u16, streams: &[StreamInfo]) -> Result<Option<u8>, u32> {
    if number == NONE {
        return Ok(None);
    }
    let found = |n: u16| streams.iter().find(|s| u16::from(s.number) == n);
    match found(number).or_else(|| found(number & !ENCRYPTED)) {
        Some(stream) => Ok(Some(stream.number)),
        None => Err(hresult::NS_E_INVALID_STREAM),
    }
}

/// The selection when all changes are carried out.
fn changed(mut selection: Selection, switches: &[StreamSwitch]) -> Selection {
    for switch in switches {
        if let Some(from) = switch.from {
            selection.set(from, Level::Off);
        }
        if let Some(to) = switch.to {
            selection.set(to, switch.level);
        }
    }
    selection
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::StreamKind;

    fn streams() -> Vec<StreamInfo> {
        let stream = |number| StreamInfo {
            number,
            kind: StreamKind::Video,
            average_bit_rate: 0,
            peak_bit_rate: 0,
            all_key: false,
        };
        [1, 2, 3].map(stream).into()
    }

    fn select(entries: &[(u16, u16, u16)]) -> Result<Selection, u32> {
        let entries: Vec<_> = entries
            .iter()
            .map(|&(src, dst, thinning)| SwitchEntry { src, dst, thinning })
            .collect();
        switches(&entries, &streams()).map(|s| changed(Selection::NONE, &s))
    }

    // MMSP-66
    #[test]
    fn entries_of_all_kinds() {
        assert_eq!(
            select(&[(NONE, 1, 0), (NONE, 2, 2)]),
            Ok(Selection::of([1]))
        );
        assert_eq!(
            select(&[(NONE, 1, 0), (NONE, 2, 0), (2, NONE, 0)]),
            Ok(Selection::of([1]))
        );
        let replaced = select(&[(NONE, 1, 0), (1, 2, 1)]).unwrap();
        assert_eq!(replaced.level(1), Level::Off);
        assert_eq!(replaced.level(2), Level::KeyOnly);
        let thinned = select(&[(NONE, 1, 0), (1, 1, 1)]).unwrap();
        assert_eq!(thinned.level(1), Level::KeyOnly);
        assert_eq!(select(&[(NONE, 0x8002, 0)]), Ok(Selection::of([2])));
        assert_eq!(select(&[]), Ok(Selection::NONE));
        assert_eq!(select(&[(NONE, NONE, 0)]), Ok(Selection::NONE));
    }

    #[test]
    fn nonsense_is_refused_whole() {
        let unknown = Err(hresult::NS_E_INVALID_STREAM);
        for bad in [(NONE, 4, 0), (NONE, 0, 0), (0, NONE, 0), (NONE, 300, 0)] {
            assert_eq!(select(&[(NONE, 1, 0), bad]), unknown);
        }
        assert_eq!(select(&[(NONE, 1, 3)]), Err(hresult::E_INVALIDARG));
    }
}
