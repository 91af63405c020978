//! Forward error correction of RTP packets (MS-RTSP 2.2.2, 2.2.6.11).

/// Largest span and most packets of correction for one span.
pub const SPAN_MAX: u32 = 0x18;
/// Largest margin.
pub const MARGIN_MAX: u32 = 0xC;
/// Highest bit of the mask.
const MASK_BIT_MAX: u32 = 23;

/// How packets are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Params {
    span: u8,
    per_span: u8,
    margin: u8,
}

impl Params {
    /// `None` unless span and packets per span are 1 to 24 with no more of the latter, the margin is
    /// 1 to 12, and the mask's 24 bits reach: (span - 1) * margin at most 23 (RTSP-74).
    pub fn new(span: u32, per_span: u32, margin: u32) -> Option<Params> {
        let fits = (1..=SPAN_MAX).contains(&span)
            && (1..=span).contains(&per_span)
            && (1..=MARGIN_MAX).contains(&margin)
            && (span - 1) * margin <= MASK_BIT_MAX;
        fits.then_some(Params {
            span: span as u8,
            per_span: per_span as u8,
            margin: margin as u8,
        })
    }

    /// Source packets that are protected together.
    pub const fn span(self) -> usize {
        self.span as usize
    }

    /// Correction packets for them: as many may be lost.
    pub const fn per_span(self) -> usize {
        self.per_span as usize
    }

    /// How many spans are interleaved, so that a burst of losses hits several.
    pub const fn margin(self) -> usize {
        self.margin as usize
    }
}
