//! An ASF header out of its fragments (mmsp.md 2.7).

use crate::client::HEADER_BYTES_MAX;
use crate::mmsp::message::DataHead;
use bytes::Bytes;
use std::collections::BTreeMap;

/// AFFlags of the last fragment have this bit.
const LAST: u8 = 0x08;
/// Most fragments of one header.
const COUNT_MAX: u32 = 1 << 16;

/// Fragments that came, in any order.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    pieces: BTreeMap<u32, Bytes>,
    bytes: usize,
    last: Option<u32>,
}

impl Gathering {
    /// Takes one fragment; gives the header once all are there (MMSP-63). One that came before is
    /// dropped.
    pub fn take(&mut self, head: &DataHead, payload: &[u8]) -> Result<Option<Bytes>, String> {
        let number = head.location_id;
        if number >= COUNT_MAX || self.last.is_some_and(|last| number > last) {
            return Err(format!("fragment {number} of a header"));
        }
        if head.af_flags & LAST != 0 {
            if self.pieces.range(number + 1..).next().is_some() {
                return Err(format!(
                    "fragment {number} of a header is its last, and was not"
                ));
            }
            self.last = Some(number);
        }
        if !self.pieces.contains_key(&number) {
            self.bytes += payload.len();
            if self.bytes > HEADER_BYTES_MAX {
                return Err(format!("more than {HEADER_BYTES_MAX} bytes in one header"));
            }
            self.pieces.insert(number, Bytes::copy_from_slice(payload));
        }
        // All numbers are at most the last one's, so that their count tells if any is missing.
        let complete = self
            .last
            .is_some_and(|last| self.pieces.len() == last as usize + 1);
        Ok(complete.then(|| {
            let pieces = std::mem::take(self).pieces;
            pieces.into_values().flatten().collect()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(g: &mut Gathering, n: u32, flags: u8, bytes: &[u8]) -> Result<Option<Bytes>, String> {
        let head = DataHead {
            location_id: n,
            play_incarnation: 1,
            af_flags: flags,
            packet_size: 0,
        };
        g.take(&head, bytes)
    }

    // MMSP-63
    #[test]
    fn any_order_and_both_marks_of_the_last() {
        for last in [0x08, 0x0C] {
            let mut g = Gathering::default();
            assert_eq!(take(&mut g, 2, last, b"c"), Ok(None));
            assert_eq!(take(&mut g, 0, 4, b"a"), Ok(None));
            assert_eq!(take(&mut g, 0, 4, b"a"), Ok(None), "again");
            assert_eq!(
                take(&mut g, 1, 4, b"b"),
                Ok(Some(Bytes::from_static(b"abc")))
            );
            // The next one begins anew.
            assert_eq!(
                take(&mut g, 0, last, b"x"),
                Ok(Some(Bytes::from_static(b"x")))
            );
        }
    }

    // MMSP-15
    #[test]
    fn impossible_fragments_are_refused() {
        let mut g = Gathering::default();
        assert!(take(&mut g, u32::MAX, 4, b"a").is_err());
        assert_eq!(take(&mut g, 3, 4, b"a"), Ok(None));
        assert!(take(&mut g, 2, 0x0C, b"a").is_err());
        let mut g = Gathering::default();
        assert_eq!(take(&mut g, 1, 0x0C, b"a"), Ok(None));
        assert!(take(&mut g, 2, 4, b"a").is_err());
    }
}
