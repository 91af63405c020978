//! Readers of the objects inside a header, one each (asf.md 3 and 4).

use super::error::{Error, Reason};
use super::guid::{self, Guid};
use super::objects::{
    Codec, ENTRIES_MAX, Exclusion, ExclusionKind, Extended, Format, Marker, Metadata, Priority,
    Script, Sharing, Stream,
};
use super::read::{Reader, utf16};
use crate::content::StreamKind;

/// Stream Properties, without the object's head. With `with_head`, `body` starts with it.
// ASF-09, ASF-10
pub(super) fn stream_properties(body: &[u8], base: u64, with_head: bool) -> Result<Stream, Error> {
    let mut r = Reader::new(body, base);
    if with_head {
        r.take(24)?;
    }
    let stream_type = r.guid()?;
    r.guid()?;
    let time_offset = r.u64()?;
    let specific_len = r.u32()?;
    let correction_len = r.u32()?;
    let at = r.offset();
    let flags = r.u16()?;
    r.u32()?;
    let number = (flags & 0x7F) as u8;
    if number == 0 {
        return Err(Error::at(
            at,
            Reason::Value {
                field: "stream number",
                value: 0,
            },
        ));
    }
    let specific = r.take(specific_len as usize)?;
    r.take(correction_len as usize)?;
    let kind = match stream_type {
        guid::STREAM_AUDIO => StreamKind::Audio,
        guid::STREAM_VIDEO => StreamKind::Video,
        guid::STREAM_COMMAND => StreamKind::Command,
        _ => StreamKind::Other,
    };
    Ok(Stream {
        number,
        kind,
        stream_type,
        format: format(kind, specific).unwrap_or(Format::Other),
        time_offset,
        encrypted: flags & 0x8000 != 0,
        hidden: false,
        extended: None,
        stated_peak: 0,
    })
}

fn format(kind: StreamKind, specific: &[u8]) -> Result<Format, Error> {
    let mut r = Reader::new(specific, 0);
    match kind {
        StreamKind::Audio => Ok(Format::Audio {
            tag: r.u16()?,
            channels: r.u16()?,
            samples_per_second: r.u32()?,
            bytes_per_second: r.u32()?,
            block_align: r.u16()?,
            bits: r.u16()?,
        }),
        StreamKind::Video => {
            let (width, height) = (r.u32()?, r.u32()?);
            r.take(3 + 16)?;
            Ok(Format::Video {
                width,
                height,
                compression: r.u32()?.to_le_bytes(),
            })
        }
        _ => Ok(Format::Other),
    }
}

/// Extended Stream Properties and, if one is embedded, a Stream Properties object with its head
/// and place.
pub(super) type ExtendedAndHidden<'a> = (Extended, Option<(u64, &'a [u8])>);

pub(super) fn extended_stream<'a>(r: &mut Reader<'a>) -> Result<ExtendedAndHidden<'a>, Error> {
    r.take(16)?;
    let data_bit_rate = r.u32()?;
    let buffer_ms = r.u32()?;
    r.u32()?;
    let alternate_bit_rate = r.u32()?;
    r.take(8)?;
    let object_size_max = r.u32()?;
    let flags = r.u32()?;
    let stream = (r.u16()? & 0x7F) as u8;
    let language = r.u16()?;
    let time_per_frame = r.u64()?;
    let name_count = r.u16()?;
    let extension_count = r.u16()?;
    let mut names = Vec::new();
    for _ in 0..name_count {
        let language = r.u16()?;
        let len = r.u16()?;
        names.push((language, r.utf16(usize::from(len))?));
        check_count(names.len(), "stream names", r)?;
    }
    let mut payload_extensions = Vec::new();
    for _ in 0..extension_count {
        let system = r.guid()?;
        let size = r.u16()?;
        let info = r.u32()?;
        r.take(info as usize)?;
        payload_extensions.push((system, size));
        check_count(payload_extensions.len(), "payload extensions", r)?;
    }
    let hidden = embedded_stream(r)?;
    let extended = Extended {
        stream,
        data_bit_rate,
        buffer_ms,
        alternate_bit_rate,
        object_size_max,
        reliable: flags & 1 != 0,
        seekable: flags & 2 != 0,
        no_clean_points: flags & 4 != 0,
        resend_live_clean_points: flags & 8 != 0,
        language,
        time_per_frame,
        names,
        payload_extensions,
    };
    Ok((extended, hidden))
}

/// What is left, if it is a Stream Properties object; other bytes are ignored.
fn embedded_stream<'a>(r: &mut Reader<'a>) -> Result<Option<(u64, &'a [u8])>, Error> {
    if r.left() < 24 {
        return Ok(None);
    }
    let at = r.offset();
    let mut peek = *r;
    if peek.guid()? != guid::STREAM_PROPERTIES_OBJECT {
        return Ok(None);
    }
    let size = peek.u64()?;
    let bytes = r.take(usize::try_from(size).unwrap_or(usize::MAX))?;
    Ok(Some((at, bytes)))
}

pub(super) fn bit_rates(r: &mut Reader<'_>, out: &mut Vec<(u8, u32)>) -> Result<(), Error> {
    for _ in 0..r.u16()? {
        let number = (r.u16()? & 0x7F) as u8;
        out.push((number, r.u32()?));
        check_count(out.len(), "stream bit rates", r)?;
    }
    Ok(())
}

pub(super) fn mutual_exclusion(r: &mut Reader<'_>) -> Result<Exclusion, Error> {
    let kind = exclusion_kind(r.guid()?);
    let mut members = Vec::new();
    for _ in 0..r.u16()? {
        let member = bit(r.u16()?);
        if !members.contains(&member) {
            members.push(member);
        }
    }
    Ok(Exclusion {
        kind,
        members,
        assumed: false,
    })
}

pub(super) fn group_exclusion(r: &mut Reader<'_>) -> Result<Exclusion, Error> {
    let kind = exclusion_kind(r.guid()?);
    let mut members = Vec::new();
    for _ in 0..r.u16()? {
        members.push(stream_set(r)?);
        check_count(members.len(), "exclusion groups", r)?;
    }
    Ok(Exclusion {
        kind,
        members,
        assumed: false,
    })
}

pub(super) fn priorities(r: &mut Reader<'_>, out: &mut Vec<Priority>) -> Result<(), Error> {
    for _ in 0..r.u16()? {
        let stream = (r.u16()? & 0x7F) as u8;
        let mandatory = r.u16()? & 1 != 0;
        if !out.iter().any(|p| p.stream == stream) {
            out.push(Priority { stream, mandatory });
        }
    }
    Ok(())
}

pub(super) fn bandwidth_sharing(r: &mut Reader<'_>) -> Result<Sharing, Error> {
    Ok(Sharing {
        exclusive: r.guid()? == guid::BANDWIDTH_SHARING_EXCLUSIVE,
        data_bit_rate: r.u32()?,
        buffer_ms: r.u32()?,
        streams: stream_set(r)?,
    })
}

pub(super) fn languages(r: &mut Reader<'_>, out: &mut Vec<String>) -> Result<(), Error> {
    for _ in 0..r.u16()? {
        let len = r.u8()?;
        out.push(r.utf16(usize::from(len))?);
        check_count(out.len(), "languages", r)?;
    }
    Ok(())
}

pub(super) fn markers(r: &mut Reader<'_>, out: &mut Vec<Marker>) -> Result<(), Error> {
    r.guid()?;
    let count = r.u32()?;
    r.u16()?;
    let name = r.u16()?;
    r.take(usize::from(name))?;
    for _ in 0..count {
        // The offset is useless: writers disagree about what it counts from (ASF-64).
        r.u64()?;
        let presentation = r.u64()?;
        let entry = usize::from(r.u16()?);
        let send_time = r.u32()?;
        r.u32()?;
        let len = (r.u32()? as usize).saturating_mul(2);
        let description = r.utf16(len)?;
        r.take(entry.saturating_sub(12 + len))?;
        out.push(Marker {
            presentation,
            send_time,
            description,
        });
        check_count(out.len(), "markers", r)?;
    }
    Ok(())
}

pub(super) fn script_commands(r: &mut Reader<'_>, out: &mut Vec<Script>) -> Result<(), Error> {
    r.guid()?;
    let count = r.u16()?;
    let mut kinds = Vec::new();
    for _ in 0..r.u16()? {
        let len = r.u16()?;
        kinds.push(r.utf16(usize::from(len) * 2)?);
        check_count(kinds.len(), "script command types", r)?;
    }
    for _ in 0..count {
        let presentation = r.u32()?;
        let kind = usize::from(r.u16()?);
        let len = r.u16()?;
        out.push(Script {
            presentation,
            kind: kinds.get(kind).cloned().unwrap_or_default(),
            name: r.utf16(usize::from(len) * 2)?,
        });
        check_count(out.len(), "script commands", r)?;
    }
    Ok(())
}

pub(super) fn codecs(r: &mut Reader<'_>, out: &mut Vec<Codec>) -> Result<(), Error> {
    r.guid()?;
    for _ in 0..r.u32()? {
        let kind = match r.u16()? {
            1 => StreamKind::Video,
            2 => StreamKind::Audio,
            _ => StreamKind::Other,
        };
        let len = r.u16()?;
        let name = r.utf16(usize::from(len) * 2)?;
        let len = r.u16()?;
        let description = r.utf16(usize::from(len) * 2)?;
        let len = r.u16()?;
        r.take(usize::from(len))?;
        out.push(Codec {
            kind,
            name,
            description,
        });
        check_count(out.len(), "codecs", r)?;
    }
    Ok(())
}

pub(super) fn metadata(r: &mut Reader<'_>, out: &mut Vec<Metadata>) -> Result<(), Error> {
    for _ in 0..r.u16()? {
        r.u16()?;
        let stream = r.u16()?;
        let name_len = r.u16()?;
        let kind = r.u16()?;
        let len = r.u32()?;
        let name = r.utf16(usize::from(name_len))?;
        if let Some(value) = text(kind, r.take(len as usize)?) {
            out.push(Metadata {
                stream,
                name,
                value,
            });
            check_count(out.len(), "metadata", r)?;
        }
    }
    Ok(())
}

pub(super) fn content_description(
    r: &mut Reader<'_>,
    out: &mut Vec<(String, String)>,
) -> Result<(), Error> {
    const NAMES: [&str; 5] = ["Title", "Author", "Copyright", "Description", "Rating"];
    let mut lens = [0; 5];
    for len in &mut lens {
        *len = usize::from(r.u16()?);
    }
    for (name, len) in NAMES.into_iter().zip(lens) {
        let text = r.utf16(len)?;
        if !text.is_empty() {
            out.push((name.to_owned(), text));
        }
    }
    Ok(())
}

pub(super) fn extended_content_description(
    r: &mut Reader<'_>,
    out: &mut Vec<(String, String)>,
) -> Result<(), Error> {
    for _ in 0..r.u16()? {
        let len = r.u16()?;
        let name = r.utf16(usize::from(len))?;
        let kind = r.u16()?;
        let len = r.u16()?;
        if let Some(value) = text(kind, r.take(usize::from(len))?) {
            out.push((name, value));
            check_count(out.len(), "descriptions", r)?;
        }
    }
    Ok(())
}

/// A metadata value as text. Numbers are as long as their data: BOOL is a DWORD in some objects
/// and a WORD in others.
fn text(kind: u16, data: &[u8]) -> Option<String> {
    let mut wide = [0; 8];
    if kind != 0
        && let Some(low) = wide.get_mut(..data.len())
    {
        low.copy_from_slice(data);
    }
    let number = u64::from_le_bytes(wide);
    match kind {
        0 => Some(utf16(data)),
        2 => Some((number != 0).to_string()),
        3..=5 => Some(number.to_string()),
        6 => Some(Guid(data.try_into().ok()?).to_string()),
        _ => None,
    }
}

fn exclusion_kind(guid: Guid) -> ExclusionKind {
    match guid {
        guid::MUTEX_LANGUAGE => ExclusionKind::Language,
        guid::MUTEX_BIT_RATE => ExclusionKind::BitRate,
        _ => ExclusionKind::Unknown,
    }
}

/// WORD count and so many stream numbers.
fn stream_set(r: &mut Reader<'_>) -> Result<u128, Error> {
    let mut set = 0;
    for _ in 0..r.u16()? {
        set |= bit(r.u16()?);
    }
    Ok(set)
}

fn bit(number: u16) -> u128 {
    1 << (number & 0x7F)
}

fn check_count(count: usize, what: &'static str, r: &Reader<'_>) -> Result<(), Error> {
    if count > ENTRIES_MAX {
        let max = ENTRIES_MAX as u64;
        return Err(Error::at(r.offset(), Reason::TooMany { what, max }));
    }
    Ok(())
}
