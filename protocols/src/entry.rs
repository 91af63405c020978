//! The next entry of a playlist, for clients that do not choose its streams themselves.

use crate::content::{Level, Selection, StreamInfo, StreamKind};

/// Choose streams of the next entry (BW-56, BW-57): the same ones if it has the same, otherwise of
/// audio and of video the best that the link carries, and of the rest everything.
pub(crate) fn predict(
    old: &[StreamInfo],
    selection: Selection,
    new: &[StreamInfo],
    link_bw: u32,
) -> Selection {
    let same = old.len() == new.len()
        && old
            .iter()
            .zip(new)
            .all(|(a, b)| a.number == b.number && a.kind == b.kind);
    if same {
        return selection;
    }
    let rate = |s: &StreamInfo| u64::from(s.average_bit_rate);
    let before: u64 = old
        .iter()
        .filter(|s| selection.on >> s.number & 1 == 1)
        .map(rate)
        .sum();
    // Of an unknown link so much is known: it carried what was selected.
    let mut budget = match (link_bw, before) {
        (0, 0) => u64::MAX,
        (0, before) => before,
        (link, _) => u64::from(link),
    };
    let mut chosen = Selection::of(
        new.iter()
            .filter(|s| !matches!(s.kind, StreamKind::Audio | StreamKind::Video))
            .map(|s| s.number),
    );
    for kind in [StreamKind::Audio, StreamKind::Video] {
        let of_kind = || new.iter().filter(|s| s.kind == kind);
        let has_video =
            kind == StreamKind::Audio && new.iter().any(|s| s.kind == StreamKind::Video);
        let share = if has_video { budget / 3 } else { budget };
        let best = of_kind()
            .filter(|s| rate(s) <= share)
            .max_by_key(|s| rate(s))
            .or(of_kind().min_by_key(|s| rate(s)));
        if let Some(best) = best {
            chosen.set(best.number, Level::Whole);
            budget = budget.saturating_sub(rate(best));
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(number: u8, kind: StreamKind, average_bit_rate: u32) -> StreamInfo {
        StreamInfo {
            number,
            kind,
            average_bit_rate,
            peak_bit_rate: 0,
            all_key: false,
        }
    }

    // BW-56, BW-57
    #[test]
    fn the_next_entry_gets_what_the_link_carries() {
        use StreamKind::{Audio, Command, Video};
        let old = [stream(1, Audio, 64_000), stream(2, Video, 300_000)];
        let both = Selection::of([1, 2]);
        assert_eq!(predict(&old, both, &old, 0), both);
        let new = [
            stream(1, Video, 100_000),
            stream(2, Video, 250_000),
            stream(3, Video, 900_000),
            stream(4, Audio, 32_000),
            stream(5, Audio, 128_000),
            stream(6, Command, 0),
        ];
        assert_eq!(
            predict(&old, both, &new, 2_000_000),
            Selection::of([3, 5, 6])
        );
        assert_eq!(predict(&old, both, &new, 300_000), Selection::of([2, 4, 6]));
        assert_eq!(predict(&old, both, &new, 10_000), Selection::of([1, 4, 6]));
        // LinkBW 0 is unknown: what was selected before, 364 kbit/s, went through.
        assert_eq!(predict(&old, both, &new, 0), Selection::of([2, 4, 6]));
        assert_eq!(
            predict(&[], Selection::NONE, &new, 0),
            Selection::of([3, 5, 6])
        );
    }
}
