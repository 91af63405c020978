//! One byte range of a known length (RFC 9110, 14.2), and the conditions around it.

use super::head::Head;
use crate::content::Caching;

/// What a `Range` header asks of a representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All of it: no range, several, or one that is not understood.
    Whole,
    /// From `first` to `last`, both included.
    Part {
        /// First byte.
        first: u64,
        /// Last byte.
        last: u64,
    },
    /// Nothing of it is there.
    Unsatisfiable,
}

impl Range {
    /// Read the `Range` of a request for something of `len` bytes.
    pub fn parse(value: &str, len: u64) -> Range {
        let Some(set) = value.trim().strip_prefix("bytes=") else {
            return Range::Whole;
        };
        let Some((first, last)) = set.trim().split_once('-') else {
            return Range::Whole;
        };
        let number = |s: &str| -> Option<Option<u64>> {
            match s {
                "" => Some(None),
                s if s.bytes().all(|b| b.is_ascii_digit()) => {
                    Some(Some(s.parse().unwrap_or(u64::MAX)))
                }
                _ => None,
            }
        };
        match (number(first.trim()), number(last.trim())) {
            (Some(Some(first)), Some(last)) => {
                let last = last.unwrap_or(u64::MAX);
                if last < first {
                    Range::Whole
                } else if first >= len {
                    Range::Unsatisfiable
                } else {
                    Range::Part {
                        first,
                        last: last.min(len - 1),
                    }
                }
            }
            (Some(None), Some(Some(suffix))) => {
                if suffix == 0 || len == 0 {
                    Range::Unsatisfiable
                } else {
                    Range::Part {
                        first: len.saturating_sub(suffix),
                        last: len - 1,
                    }
                }
            }
            _ => Range::Whole,
        }
    }

    /// The range of this request, its `If-Range` considered.
    pub fn of(head: &Head, len: u64, caching: &Caching) -> Range {
        let Some(value) = head.get("Range") else {
            return Range::Whole;
        };
        let same = head.get("If-Range").is_none_or(|validator| {
            let etag = caching.etag.as_ref().map(|e| format!("\"{e}\""));
            etag.as_deref() == Some(validator)
                || caching.last_modified.as_deref() == Some(validator)
        });
        if same {
            Range::parse(value, len)
        } else {
            Range::Whole
        }
    }
}

/// True if the client has what it asks for (RFC 9110, 13.2.2).
///
/// A date is compared as text: it is the one that was sent before, or it is not.
pub fn not_modified(head: &Head, caching: &Caching) -> bool {
    if head.get("If-None-Match").is_some() {
        return head.list("If-None-Match").any(|tag| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            match &caching.etag {
                Some(etag) => tag == "*" || tag.trim_matches('"') == etag,
                None => tag == "*",
            }
        });
    }
    head.get("If-Modified-Since")
        .is_some_and(|date| caching.last_modified.as_deref() == Some(date))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let part = |first, last| Range::Part { first, last };
        for (value, want) in [
            ("bytes=0-", part(0, 99)),
            ("bytes=0-0", part(0, 0)),
            ("bytes=10-19", part(10, 19)),
            ("bytes=10-1000", part(10, 99)),
            ("bytes=-10", part(90, 99)),
            ("bytes=-1000", part(0, 99)),
            ("bytes=99-", part(99, 99)),
            ("bytes=100-", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=99999999999999999999999-", Range::Unsatisfiable),
            ("bytes=5-4", Range::Whole),
            ("bytes=0-1,3-4", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=-", Range::Whole),
            ("lines=0-1", Range::Whole),
        ] {
            assert_eq!(Range::parse(value, 100), want, "{value}");
        }
        assert_eq!(Range::parse("bytes=0-", 0), Range::Unsatisfiable);
        assert_eq!(Range::parse("bytes=-5", 0), Range::Unsatisfiable);
    }
}
