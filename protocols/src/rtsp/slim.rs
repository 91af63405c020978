//! ASF headers made short enough for a line of SDP (RTSP-53).

use super::sdp::HEADER_MAX;
use crate::asf::guid::{
    COMPATIBILITY_OBJECT, CONTENT_BRANDING_OBJECT, HEADER_EXTENSION_OBJECT,
    INDEX_PARAMETERS_OBJECT, INDEX_PARAMETERS_PLACEHOLDER_OBJECT, MARKER_OBJECT,
    MEDIA_OBJECT_INDEX_PARAMETERS_OBJECT, METADATA_LIBRARY_OBJECT, METADATA_OBJECT, PADDING_OBJECT,
    SCRIPT_COMMAND_OBJECT, TIMECODE_INDEX_PARAMETERS_OBJECT, XMP_PACKET_OBJECT,
};
use crate::asf::header::Object;
use crate::asf::{Error, Guid, Header};

/// What players can do without, the most useless first.
const SPARE: [Guid; 12] = [
    PADDING_OBJECT,
    INDEX_PARAMETERS_PLACEHOLDER_OBJECT,
    INDEX_PARAMETERS_OBJECT,
    MEDIA_OBJECT_INDEX_PARAMETERS_OBJECT,
    TIMECODE_INDEX_PARAMETERS_OBJECT,
    XMP_PACKET_OBJECT,
    CONTENT_BRANDING_OBJECT,
    METADATA_LIBRARY_OBJECT,
    METADATA_OBJECT,
    MARKER_OBJECT,
    SCRIPT_COMMAND_OBJECT,
    COMPATIBILITY_OBJECT,
];

/// Where the fields are that tell of what is inside.
const SIZE_AT: usize = 16;
const COUNT_AT: usize = 24;
const EXTENSION_DATA_AT: usize = 42;

/// A header blob as it goes into a description: as it is if that is short enough for every player's
/// line, else without objects that they can do without, no more of them than needed. What cannot be
/// made short enough comes back as short as can be; compare with [`HEADER_MAX`] to warn.
///
/// # Errors
/// As [`Header::parse`].
pub fn slim(blob: &[u8]) -> Result<Vec<u8>, Error> {
    let header = Header::parse(blob)?;
    let len = header.blob_len() as usize;
    let mut out = blob.get(..len).unwrap_or(blob).to_vec();
    let mut objects = header.objects().to_vec();
    for guid in SPARE {
        while out.len() > HEADER_MAX {
            let spare = objects.iter().enumerate().filter(|(_, o)| o.guid == guid);
            let Some((n, _)) = spare.max_by_key(|(_, o)| o.size) else {
                break;
            };
            let object = objects.remove(n);
            remove(&mut out, &object, &mut objects);
        }
    }
    Ok(out)
}

/// Cut an object out, and tell those around it.
fn remove(blob: &mut Vec<u8>, object: &Object, others: &mut [Object]) {
    let (start, size) = (object.offset as usize, object.size as usize);
    if start + size > blob.len() {
        return;
    }
    blob.drain(start..start + size);
    if let Some(total) = blob
        .get_mut(SIZE_AT..)
        .and_then(|b| b.first_chunk_mut::<8>())
    {
        *total = (u64::from_le_bytes(*total) - size as u64).to_le_bytes();
    }
    let extension = others
        .iter_mut()
        .find(|o| o.guid == HEADER_EXTENSION_OBJECT && !o.in_extension)
        .filter(|_| object.in_extension);
    if let Some(around) = extension {
        around.size -= object.size;
        let at = around.offset as usize;
        if let Some(total) = blob
            .get_mut(at + SIZE_AT..)
            .and_then(|b| b.first_chunk_mut::<8>())
        {
            *total = u64::from(around.size).to_le_bytes();
        }
        if let Some(data) = blob
            .get_mut(at + EXTENSION_DATA_AT..)
            .and_then(|b| b.first_chunk_mut::<4>())
        {
            *data = u32::from_le_bytes(*data)
                .wrapping_sub(object.size)
                .to_le_bytes();
        }
    } else if let Some(count) = blob
        .get_mut(COUNT_AT..)
        .and_then(|b| b.first_chunk_mut::<4>())
    {
        *count = u32::from_le_bytes(*count).wrapping_sub(1).to_le_bytes();
    }
    for other in others.iter_mut().filter(|o| o.offset > object.offset) {
        other.offset -= object.size;
    }
}
