//! Choosing streams for a client that did not choose (asf.md 4.2 - 4.5).

use super::header::Header;
use super::objects::{Exclusion, ExclusionKind, Format, Stream};
use crate::content::{Selection, StreamInfo, StreamKind};

/// What is known of the client that streams are chosen for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What its link carries, bit/s; `None`: enough.
    pub link_bits_per_second: Option<u32>,
    /// Languages by preference, as RFC 1766 tags; the first letters decide if no tag fits wholly.
    pub languages: &'a [&'a str],
    /// Treat streams of one type and language as alternatives where the file says nothing.
    pub auto_exclude: bool,
}

impl Header {
    /// Groups of streams of which at most one is to be sent. With `auto_exclude` also the assumed
    /// ones: video (or audio) streams of one language, if the file has no exclusion between any
    /// two streams of that type.
    // ASF-15, ASF-17
    pub fn exclusions(&self, auto_exclude: bool) -> Vec<Exclusion> {
        let mut all = self.exclusions.clone();
        if auto_exclude {
            for kind in [StreamKind::Audio, StreamKind::Video] {
                all.extend(self.assumed_exclusions(kind));
            }
        }
        all
    }

    /// Streams for a client about which nothing but its link is known. See [`Header::select`].
    pub fn auto_select(&self, link_bits_per_second: Option<u32>, auto_exclude: bool) -> Selection {
        let wish = Wish {
            link_bits_per_second,
            languages: &[],
            auto_exclude,
        };
        self.select(&self.streams(), &wish)
    }

    /// Streams for a client. `streams` are those of the header, perhaps with measured rates.
    ///
    /// Of each language group the best fitting language is taken, of each bit-rate group the
    /// highest rate that fits the link beside the lowest of the others; then streams are left out
    /// from the end of the priority list until the sum fits. Mandatory streams always stay, and
    /// something always does. Where the file ranks nothing, audio outlives video.
    // ASF-16, ASF-17
    pub fn select(&self, streams: &[StreamInfo], wish: &Wish<'_>) -> Selection {
        let mut choice = Choice {
            header: self,
            streams,
            budget: wish.link_bits_per_second.map_or(u64::MAX, u64::from),
            on: Selection::of(self.streams.iter().map(|s| s.number)).on,
        };
        let mut groups = self.exclusions(wish.auto_exclude);
        let is_language = |g: &Exclusion| g.kind == ExclusionKind::Language;
        for group in groups.iter().filter(|g| is_language(g)) {
            let member = choice.pick_language(group, wish.languages);
            choice.keep_only(group, member);
        }
        groups.sort_by_key(|g| (is_language(g), choice.has_video(g)));
        choice.settle_rates(&groups);
        choice.drop_until_it_fits();
        Selection {
            on: choice.on,
            key_only: 0,
        }
    }

    fn assumed_exclusions(&self, kind: StreamKind) -> Vec<Exclusion> {
        let of_kind: Vec<&Stream> = self.streams.iter().filter(|s| s.kind == kind).collect();
        let set = of_kind.iter().fold(0, |m, s| m | bit(s.number));
        let stated = self.exclusions.iter().any(|e| {
            let touched = e.members.iter().filter(|&&m| m & set != 0).count();
            touched > 1
        });
        if stated {
            return Vec::new();
        }
        let mut by_language: Vec<(Option<u16>, Vec<u128>)> = Vec::new();
        for stream in of_kind {
            let language = stream.extended.as_ref().map(|e| e.language);
            match by_language.iter_mut().find(|(l, _)| *l == language) {
                Some((_, members)) => members.push(bit(stream.number)),
                None => by_language.push((language, vec![bit(stream.number)])),
            }
        }
        by_language
            .into_iter()
            .filter(|(_, members)| members.len() > 1)
            .map(|(_, members)| Exclusion {
                kind: ExclusionKind::BitRate,
                members,
                assumed: true,
            })
            .collect()
    }

    /// The language tag of a stream, if the header has one.
    pub fn language_of(&self, number: u8) -> Option<&str> {
        let stream = self.streams.iter().find(|s| s.number == number)?;
        let index = stream.extended.as_ref()?.language;
        self.languages.get(usize::from(index)).map(String::as_str)
    }
}

impl Exclusion {
    /// True if what a selection has of these streams is within one member.
    // ASF-17
    pub fn holds(&self, on: u128) -> bool {
        let touched = on & self.members.iter().fold(0, |a, m| a | m);
        touched == 0 || self.members.iter().any(|m| touched & !m == 0)
    }
}

struct Choice<'a> {
    header: &'a Header,
    streams: &'a [StreamInfo],
    /// bit/s.
    budget: u64,
    on: u128,
}

impl Choice<'_> {
    /// The member with the best language; a mandatory one beats languages, the first one is taken
    /// if nothing fits.
    fn pick_language(&self, group: &Exclusion, wanted: &[&str]) -> u128 {
        if let Some(member) = self.mandatory_member(group) {
            return member;
        }
        let fits = |member: u128, tag: &str, whole: bool| {
            self.header
                .streams
                .iter()
                .filter(|s| member & bit(s.number) != 0)
                .filter_map(|s| self.header.language_of(s.number))
                .any(|have| same_language(have, tag, whole))
        };
        for (tag, whole) in wanted.iter().flat_map(|t| [(t, true), (t, false)]) {
            if let Some(&member) = group.members.iter().find(|&&m| fits(m, tag, whole)) {
                return member;
            }
        }
        let ranked = self.header.priorities.iter();
        ranked
            .filter_map(|p| group.members.iter().find(|&&m| m & bit(p.stream) != 0))
            .chain(group.members.first())
            .next()
            .copied()
            .unwrap_or(0)
    }

    /// Take the lowest of each group, then raise one group after the other as far as it fits.
    fn settle_rates(&mut self, groups: &[Exclusion]) {
        let mut ladders = Vec::new();
        for group in groups.iter().filter(|g| g.kind != ExclusionKind::Language) {
            // What a former group has put off stays off.
            let mut members: Vec<u128> = group
                .members
                .iter()
                .map(|m| m & self.on)
                .filter(|m| *m != 0)
                .collect();
            if let Some(member) = self.mandatory_member(group) {
                members = vec![member];
            }
            members.sort_by_key(|&m| self.height(m));
            let all = members.iter().chain(&group.members).fold(0, |a, m| a | m);
            let lowest = members.first().copied().unwrap_or(0);
            self.on = self.on & !all | lowest;
            ladders.push((lowest, members));
        }
        for (lowest, members) in ladders {
            if self.on & lowest != lowest {
                continue;
            }
            let rest = self.on & !lowest;
            let best = members
                .iter()
                .rev()
                .find(|&&m| {
                    // A stream may be in several groups.
                    self.rate(rest | m) <= self.budget && groups.iter().all(|g| g.holds(rest | m))
                })
                .copied();
            self.on = rest | best.unwrap_or(lowest);
        }
    }

    fn drop_until_it_fits(&mut self) {
        let mut order: Vec<&Stream> = self.header.streams.iter().collect();
        order.sort_by_key(|s| self.rank(s));
        for stream in order.iter().rev() {
            let left = self.on & !bit(stream.number);
            if self.rate(self.on) <= self.budget {
                return;
            }
            if left != 0 && !self.is_mandatory(stream.number) {
                self.on = left;
            }
        }
    }

    /// Place in the priority list, then by kind.
    fn rank(&self, stream: &Stream) -> (usize, u8) {
        let list = &self.header.priorities;
        let place = list.iter().position(|p| p.stream == stream.number);
        let kind = match stream.kind {
            StreamKind::Audio => 0,
            StreamKind::Command => 1,
            StreamKind::Video => 2,
            StreamKind::Other => 3,
        };
        (place.unwrap_or(list.len()), kind)
    }

    fn keep_only(&mut self, group: &Exclusion, member: u128) {
        let all = group.members.iter().fold(0, |a, m| a | m);
        self.on &= !(all & !member);
    }

    fn mandatory_member(&self, group: &Exclusion) -> Option<u128> {
        let mandatory = self.header.priorities.iter().filter(|p| p.mandatory);
        mandatory
            .filter_map(|p| group.members.iter().find(|&&m| m & bit(p.stream) != 0))
            .map(|m| m & self.on)
            .find(|m| *m != 0)
    }

    fn is_mandatory(&self, number: u8) -> bool {
        let list = &self.header.priorities;
        list.iter().any(|p| p.stream == number && p.mandatory)
    }

    fn has_video(&self, group: &Exclusion) -> bool {
        let all = group.members.iter().fold(0, |a, m| a | m);
        let mut streams = self.streams.iter();
        streams.any(|s| all & bit(s.number) != 0 && s.kind == StreamKind::Video)
    }

    /// bit/s of a set of streams; what is unknown counts nothing.
    fn rate(&self, set: u128) -> u64 {
        let streams = self.streams.iter();
        streams
            .filter(|s| set & bit(s.number) != 0)
            .map(|s| u64::from(rate_of(s)))
            .sum()
    }

    /// For ranking within a group: rate, then pixels for files that state no rates.
    fn height(&self, set: u128) -> (u64, u64) {
        let streams = self.header.streams.iter();
        let pixels = streams
            .filter(|s| set & bit(s.number) != 0)
            .map(|s| match s.format {
                Format::Video { width, height, .. } => u64::from(width) * u64::from(height),
                _ => 0,
            })
            .fold(0, u64::saturating_add);
        (self.rate(set), pixels)
    }
}

/// What a stream takes of a link: the peak if it is known.
fn rate_of(stream: &StreamInfo) -> u32 {
    match stream.peak_bit_rate {
        0 => stream.average_bit_rate,
        peak => peak,
    }
}

fn same_language(have: &str, wanted: &str, whole: bool) -> bool {
    if whole {
        return have.eq_ignore_ascii_case(wanted);
    }
    let primary = |tag: &str| tag.split('-').next().unwrap_or("").to_ascii_lowercase();
    !wanted.is_empty() && primary(have) == primary(wanted)
}

fn bit(number: u8) -> u128 {
    1u128.checked_shl(u32::from(number)).unwrap_or(0)
}
