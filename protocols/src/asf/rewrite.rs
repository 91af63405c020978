//! Headers that the server changes or makes (asf.md 8.2, 8.8).

use super::error::{Error, Reason};
use super::guid::{self, Guid};
use super::header::{DATA_HEAD, FIXED_HEAD, Header};

/// Preroll of a redirection, ms.
pub const REDIRECT_PREROLL_MS: u32 = 479;

/// Longest URL that a redirection can carry, in UTF-16 units.
pub const REDIRECT_URL_MAX: usize = 256;

/// Size that a broadcast's Data Object states. 0 is permitted too, but VLC refuses an object that
/// is smaller than its own head.
const BROADCAST_DATA_SIZE: u64 = DATA_HEAD as u64;

/// Places in the File Properties object and in the Data Object.
mod field {
    use std::ops::Range;
    pub(super) const FILE_ID: Range<usize> = 24..40;
    /// File size, creation date, packet count, play and send duration.
    pub(super) const SIZES: Range<usize> = 40..80;
    pub(super) const FLAGS: Range<usize> = 88..92;
    pub(super) const DATA_SIZE: Range<usize> = 16..24;
    pub(super) const DATA_FILE_ID: Range<usize> = 24..40;
    pub(super) const DATA_PACKETS: Range<usize> = 40..48;
}

/// The header of a live broadcast made from any header blob: broadcast, not seekable, sizes,
/// counts and durations zero, and another File ID if one is given. Every other byte is kept, so
/// DRM objects stay what they are (ASF-59); a signature no longer fits
/// ([`Header::has_signature`]).
///
/// # Errors
/// As [`Header::parse`].
// ASF-23, ASF-60
pub fn broadcast_blob(blob: &[u8], file_id: Option<[u8; 16]>) -> Result<Vec<u8>, Error> {
    let header = Header::parse(blob)?;
    let mut out = blob
        .get(..header.blob_len() as usize)
        .unwrap_or(blob)
        .to_vec();
    let at = file_properties_at(&header);
    let flags = header.file_properties().flags & !2 | 1;
    put(&mut out, at, field::SIZES, &[0; 40]);
    put(&mut out, at, field::FLAGS, &flags.to_le_bytes());
    let data = out.len() - DATA_HEAD;
    put(
        &mut out,
        data,
        field::DATA_SIZE,
        &BROADCAST_DATA_SIZE.to_le_bytes(),
    );
    put(&mut out, data, field::DATA_PACKETS, &[0; 8]);
    if let Some(id) = file_id {
        put(&mut out, at, field::FILE_ID, &id);
        put(&mut out, data, field::DATA_FILE_ID, &id);
    }
    Ok(out)
}

/// Where the File Properties object begins in a blob.
pub(super) fn file_properties_at(header: &Header) -> usize {
    header
        .objects()
        .iter()
        .find(|o| o.guid == guid::FILE_PROPERTIES_OBJECT)
        .map_or(FIXED_HEAD, |o| o.offset as usize)
}

/// Make a header one of content on demand: no broadcast, and seekable.
///
/// # Errors
/// As [`Header::parse`].
// ASF-07
pub(super) fn put_on_demand_flags(blob: &mut [u8]) -> Result<(), Error> {
    let header = Header::parse(blob)?;
    let flags = header.file_properties().flags & !1 | 2;
    let at = file_properties_at(&header);
    put(blob, at, field::FLAGS, &flags.to_le_bytes());
    Ok(())
}

/// The header that sends a player from before version 7 to another URL: a `FILENAME` script
/// command. Meant for URLs of up to [`REDIRECT_URL_MAX`] units; what does not fit in 65,535 units
/// is cut.
// ASF-61
pub fn redirect_blob(url: &str) -> Vec<u8> {
    let properties = redirect_file_properties();
    let script = object(guid::SCRIPT_COMMAND_OBJECT, &redirect_script(url));
    let mut extension = guid::RESERVED_1.0.to_vec();
    extension.extend_from_slice(&6u16.to_le_bytes());
    extension.extend_from_slice(&0u32.to_le_bytes());
    let extension = object(guid::HEADER_EXTENSION_OBJECT, &extension);
    let mut body = 3u32.to_le_bytes().to_vec();
    body.extend_from_slice(&[1, 2]);
    body.extend_from_slice(&properties);
    body.extend_from_slice(&extension);
    body.extend_from_slice(&script);
    let mut out = object(guid::HEADER_OBJECT, &body);
    let mut data = Guid::ZERO.0.to_vec();
    data.extend_from_slice(&0u64.to_le_bytes());
    data.extend_from_slice(&[1, 1]);
    out.extend_from_slice(&object(guid::DATA_OBJECT, &data));
    out
}

/// The URL of a redirection; `None` if the header has no such command, as a header with media.
///
/// # Errors
/// As [`Header::parse`], but a redirection has no streams.
pub fn redirect_of(blob: &[u8]) -> Result<Option<String>, Error> {
    let header = Header::parse_any(blob)?;
    if !header.stream_details().is_empty() {
        return Ok(None);
    }
    let mut commands = header.script_commands().iter();
    Ok(commands
        .find(|c| c.kind.eq_ignore_ascii_case("FILENAME"))
        .map(|c| c.name.clone()))
}

/// Least size of a header blob, to be checked before one is taken apart.
pub(super) const BLOB_LEN_MIN: usize = FIXED_HEAD + DATA_HEAD;

/// Cut a blob out of the start of a file or stream: its exact length is known from its head.
///
/// # Errors
/// If it is not an ASF header, too large, or not all there yet.
pub fn blob_in(bytes: &[u8], max: u64) -> Result<&[u8], Error> {
    let len = super::header::header_len_within(bytes, max)?;
    usize::try_from(len)
        .ok()
        .filter(|&n| n >= BLOB_LEN_MIN)
        .and_then(|n| bytes.get(..n))
        .ok_or(Error::at(
            0,
            Reason::Truncated {
                need: len,
                have: bytes.len() as u64,
            },
        ))
}

fn redirect_file_properties() -> Vec<u8> {
    let mut body = vec![0; super::header_reader::FILE_PROPERTIES_BODY];
    let preroll = u64::from(REDIRECT_PREROLL_MS).to_le_bytes();
    put(&mut body, 0, 56..64, &preroll);
    put(&mut body, 0, 64..68, &1u32.to_le_bytes());
    put(&mut body, 0, 68..72, &REDIRECT_PACKET_SIZE.to_le_bytes());
    put(&mut body, 0, 72..76, &REDIRECT_PACKET_SIZE.to_le_bytes());
    object(guid::FILE_PROPERTIES_OBJECT, &body)
}

/// There are no packets, but the field must be legal.
const REDIRECT_PACKET_SIZE: u32 = 1024;

fn redirect_script(url: &str) -> Vec<u8> {
    let kind: Vec<u16> = "FILENAME".encode_utf16().collect();
    let name: Vec<u16> = url.encode_utf16().take(usize::from(u16::MAX)).collect();
    let mut body = guid::RESERVED_3.0.to_vec();
    body.extend_from_slice(&1u16.to_le_bytes());
    body.extend_from_slice(&1u16.to_le_bytes());
    put_units(&mut body, &kind);
    body.extend_from_slice(&REDIRECT_PREROLL_MS.to_le_bytes());
    body.extend_from_slice(&0u16.to_le_bytes());
    put_units(&mut body, &name);
    body
}

/// WORD count and so many UTF-16 units.
fn put_units(out: &mut Vec<u8>, units: &[u16]) {
    out.extend_from_slice(&(units.len() as u16).to_le_bytes());
    out.extend(units.iter().flat_map(|u| u.to_le_bytes()));
}

fn object(guid: Guid, body: &[u8]) -> Vec<u8> {
    let mut out = guid.0.to_vec();
    out.extend_from_slice(&(body.len() as u64 + 24).to_le_bytes());
    out.extend_from_slice(body);
    out
}

/// Overwrite a field of the object at `at`.
pub(super) fn put(out: &mut [u8], at: usize, field: std::ops::Range<usize>, value: &[u8]) {
    if let Some(place) = out.get_mut(at + field.start..at + field.end) {
        place.copy_from_slice(value);
    }
}
