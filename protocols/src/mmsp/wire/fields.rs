//! Fields of one message: little-endian numbers at fixed offsets, UTF-16 (MMSP-01).

use crate::machine::Fault;

/// A message that came, from its chunkLen on. Every access is checked (MMSP-15).
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    /// Offset of the message in the byte stream.
    base: u64,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], base: u64) -> Fields<'a> {
        Fields { bytes, base }
    }

    /// Bytes of the message.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The length that chunkLen announces, or the real one if that is shorter or chunkLen is 0.
    pub(super) fn declared_len(&self) -> usize {
        match self.u32(0, "chunkLen") {
            Ok(chunks @ 1..) => self.len().min((chunks as usize).saturating_mul(8)),
            _ => self.len(),
        }
    }

    pub(super) fn fault(&self, at: usize, reason: impl Into<String>) -> Fault {
        Fault {
            offset: self.base + at as u64,
            reason: reason.into(),
        }
    }

    /// `len` bytes at `at`.
    pub(super) fn bytes(&self, at: usize, len: usize, what: &str) -> Result<&'a [u8], Fault> {
        at.checked_add(len)
            .and_then(|end| self.bytes.get(at..end))
            .ok_or_else(|| self.fault(at.min(self.len()), format!("message ends in {what}")))
    }

    /// Everything from `at` on.
    pub(super) fn rest(&self, at: usize, what: &str) -> Result<&'a [u8], Fault> {
        self.bytes(at, self.len().saturating_sub(at), what)
    }

    fn array<const N: usize>(&self, at: usize, what: &str) -> Result<[u8; N], Fault> {
        let bytes = self.bytes(at, N, what)?;
        Ok(std::array::from_fn(|i| bytes[i]))
    }

    pub(super) fn u16(&self, at: usize, what: &str) -> Result<u16, Fault> {
        self.array(at, what).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, at: usize, what: &str) -> Result<u32, Fault> {
        self.array(at, what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, at: usize, what: &str) -> Result<u64, Fault> {
        self.array(at, what).map(u64::from_le_bytes)
    }

    pub(super) fn f64(&self, at: usize, what: &str) -> Result<f64, Fault> {
        self.array(at, what).map(f64::from_le_bytes)
    }
}

/// UTF-16LE as text; what is no UTF-16 is replaced, an odd byte at the end ignored.
pub(super) fn utf16(bytes: &[u8]) -> String {
    let units = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// UTF-16LE up to its NUL, or to its end: not every string has one (MMSP-26).
pub(super) fn utf16_until_nul(bytes: &[u8]) -> String {
    let end = bytes.chunks_exact(2).position(|pair| pair == [0, 0]);
    utf16(end.map_or(bytes, |n| bytes.get(..n * 2).unwrap_or(bytes)))
}

/// UTF-16 units of a text with a NUL behind it.
pub(super) fn utf16_len(text: &str) -> u32 {
    u32::try_from(text.encode_utf16().count() + 1).unwrap_or(u32::MAX)
}

/// Appends fields.
pub(super) trait Put {
    fn u16(&mut self, v: u16);
    fn u32(&mut self, v: u32);
    fn u32s(&mut self, v: &[u32]);
    fn u64(&mut self, v: u64);
    fn f64(&mut self, v: f64);
    fn zeros(&mut self, n: usize);
    /// UTF-16LE and a NUL.
    fn utf16(&mut self, text: &str);
}

impl Put for Vec<u8> {
    fn u16(&mut self, v: u16) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn u32(&mut self, v: u32) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn u32s(&mut self, v: &[u32]) {
        v.iter().for_each(|v| self.u32(*v));
    }
    fn u64(&mut self, v: u64) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn f64(&mut self, v: f64) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn zeros(&mut self, n: usize) {
        self.resize(self.len() + n, 0);
    }
    fn utf16(&mut self, text: &str) {
        text.encode_utf16().for_each(|unit| self.u16(unit));
        self.u16(0);
    }
}
