//! Reading a header: its nesting, what must be right, what may be damaged.

use super::error::{Error, Reason};
use super::guid::{self, Guid};
use super::header::{DATA_HEAD, FIXED_HEAD, FileProperties, Header, OBJECTS_MAX, Object, expect};
use super::object_readers as readers;
use super::objects::{
    Codec, Exclusion, Extended, Marker, Metadata, Priority, Script, Sharing, Stream,
};
use super::read::Reader;

/// Most remarks kept by [`Header::remarks`].
const REMARKS_MAX: usize = 16;

/// A header while its objects are read.
#[derive(Default)]
pub(super) struct Draft {
    file: Option<FileProperties>,
    objects: Vec<Object>,
    streams: Vec<Stream>,
    extended: Vec<Extended>,
    peaks: Vec<(u8, u32)>,
    exclusions: Vec<Exclusion>,
    priorities: Vec<Priority>,
    sharings: Vec<Sharing>,
    languages: Vec<String>,
    markers: Vec<Marker>,
    script: Vec<Script>,
    codecs: Vec<Codec>,
    metadata: Vec<Metadata>,
    description: Vec<(String, String)>,
    remarks: Vec<Error>,
}

impl Draft {
    /// Walk the objects of a parent by their sizes. Header and extension objects are accepted in
    /// both places (ASF-12).
    // ASF-01, ASF-02, ASF-04
    pub(super) fn children(
        &mut self,
        bytes: &[u8],
        base: u64,
        depth: u8,
        parent: Guid,
    ) -> Result<(), Error> {
        let mut r = Reader::new(bytes, base);
        while r.left() > 0 {
            let offset = r.offset();
            let have = r.left() as u64;
            let guid = r.guid().map_err(|e| e.within(parent))?;
            let size = r.u64().map_err(|e| e.within(parent))?;
            if size < 24 || size > have {
                let reason = Reason::ObjectSize {
                    size,
                    min: 24,
                    max: have,
                };
                return Err(Error::at(offset, reason).within(parent));
            }
            if self.objects.len() >= OBJECTS_MAX {
                let reason = Reason::TooMany {
                    what: "header objects",
                    max: OBJECTS_MAX as u64,
                };
                return Err(Error::at(offset, reason));
            }
            self.objects.push(Object {
                guid,
                offset: offset as u32,
                size: size as u32,
                in_extension: depth > 0,
            });
            let body = r.take(size as usize - 24)?;
            self.object(guid, body, offset + 24, depth)
                .map_err(|e| e.within(guid))?;
        }
        Ok(())
    }

    /// Read one object. Only what makes the header unusable is an error.
    fn object(&mut self, guid: Guid, body: &[u8], base: u64, depth: u8) -> Result<(), Error> {
        let mut r = Reader::new(body, base);
        let r = &mut r;
        match guid {
            guid::FILE_PROPERTIES_OBJECT => {
                if self.file.replace(file_properties(body, base)?).is_some() {
                    return Err(duplicate(base, "File Properties", 0));
                }
                Ok(())
            }
            guid::STREAM_PROPERTIES_OBJECT => {
                let stream = readers::stream_properties(body, base, false)?;
                self.add_stream(stream, base)
            }
            guid::HEADER_EXTENSION_OBJECT if depth == 0 => {
                // The data size repeats what the object size says; the latter is checked.
                r.take(22)?;
                let at = r.offset();
                let rest = r.take(r.left())?;
                self.children(rest, at, depth + 1, guid)
            }
            guid::EXTENDED_STREAM_PROPERTIES_OBJECT => {
                let (extended, hidden) = match readers::extended_stream(r) {
                    Ok(found) => found,
                    Err(e) => return self.remark(e, guid),
                };
                // ASF-11
                if let Some((at, body)) = hidden {
                    let mut stream = readers::stream_properties(body, at, true)
                        .map_err(|e| e.within(guid::STREAM_PROPERTIES_OBJECT))?;
                    stream.hidden = true;
                    self.add_stream(stream, at)?;
                }
                self.extended.push(extended);
                Ok(())
            }
            _ => match self.optional(guid, r) {
                Ok(()) => Ok(()),
                Err(e) => self.remark(e, guid),
            },
        }
    }

    /// Objects without which the content can still be served.
    fn optional(&mut self, guid: Guid, r: &mut Reader<'_>) -> Result<(), Error> {
        match guid {
            guid::STREAM_BITRATE_PROPERTIES_OBJECT => readers::bit_rates(r, &mut self.peaks),
            guid::BITRATE_MUTUAL_EXCLUSION_OBJECT | guid::ADVANCED_MUTUAL_EXCLUSION_OBJECT => {
                self.exclusions.push(readers::mutual_exclusion(r)?);
                Ok(())
            }
            guid::GROUP_MUTUAL_EXCLUSION_OBJECT => {
                self.exclusions.push(readers::group_exclusion(r)?);
                Ok(())
            }
            guid::STREAM_PRIORITIZATION_OBJECT => readers::priorities(r, &mut self.priorities),
            guid::BANDWIDTH_SHARING_OBJECT => {
                self.sharings.push(readers::bandwidth_sharing(r)?);
                Ok(())
            }
            guid::LANGUAGE_LIST_OBJECT => readers::languages(r, &mut self.languages),
            guid::MARKER_OBJECT => readers::markers(r, &mut self.markers),
            guid::SCRIPT_COMMAND_OBJECT => readers::script_commands(r, &mut self.script),
            guid::CODEC_LIST_OBJECT => readers::codecs(r, &mut self.codecs),
            guid::METADATA_OBJECT | guid::METADATA_LIBRARY_OBJECT => {
                readers::metadata(r, &mut self.metadata)
            }
            guid::CONTENT_DESCRIPTION_OBJECT => {
                readers::content_description(r, &mut self.description)
            }
            guid::EXTENDED_CONTENT_DESCRIPTION_OBJECT => {
                readers::extended_content_description(r, &mut self.description)
            }
            _ => Ok(()),
        }
    }

    fn remark(&mut self, error: Error, object: Guid) -> Result<(), Error> {
        if self.remarks.len() < REMARKS_MAX {
            self.remarks.push(error.within(object));
        }
        Ok(())
    }

    // ASF-09
    fn add_stream(&mut self, stream: Stream, at: u64) -> Result<(), Error> {
        if self.streams.iter().any(|s| s.number == stream.number) {
            return Err(duplicate(at, "stream", u64::from(stream.number)));
        }
        self.streams.push(stream);
        Ok(())
    }

    pub(super) fn finish(mut self, len: u64, data: &[u8]) -> Result<Header, Error> {
        let file = self.file.ok_or(Error::at(
            FIXED_HEAD as u64,
            Reason::Missing(guid::FILE_PROPERTIES_OBJECT),
        ))?;
        let base = len - DATA_HEAD as u64;
        let mut r = Reader::new(data, base);
        expect(r.guid()?, guid::DATA_OBJECT, base)?;
        let data_object_size = r.u64()?;
        r.take(16)?;
        let data_packets = r.u64()?;
        self.streams.sort_by_key(|s| s.number);
        for stream in &mut self.streams {
            stream.extended = self
                .extended
                .iter()
                .position(|e| e.stream == stream.number)
                .map(|i| self.extended.swap_remove(i));
            stream.stated_peak = self
                .peaks
                .iter()
                .find(|(n, _)| *n == stream.number)
                .map_or(0, |(_, rate)| *rate);
        }
        let known = self.streams.iter().fold(0, |m, s| m | 1u128 << s.number);
        for exclusion in &mut self.exclusions {
            exclusion.members.iter_mut().for_each(|m| *m &= known);
            exclusion.members.retain(|m| *m != 0);
        }
        self.exclusions.retain(|e| e.members.len() > 1);
        self.priorities.retain(|p| known >> p.stream & 1 != 0);
        Ok(Header {
            len,
            file,
            data_object_size,
            data_packets,
            objects: self.objects,
            streams: self.streams,
            exclusions: self.exclusions,
            priorities: self.priorities,
            sharings: self.sharings,
            languages: self.languages,
            markers: self.markers,
            script: self.script,
            codecs: self.codecs,
            metadata: self.metadata,
            description: self.description,
            remarks: self.remarks,
        })
    }
}

/// Bytes of the File Properties body; the object is exactly 104 bytes.
pub(super) const FILE_PROPERTIES_BODY: usize = 80;

// ASF-05, ASF-08
fn file_properties(body: &[u8], base: u64) -> Result<FileProperties, Error> {
    if body.len() != FILE_PROPERTIES_BODY {
        return Err(Error::at(
            base - 24,
            Reason::ObjectSize {
                size: body.len() as u64 + 24,
                min: 104,
                max: 104,
            },
        ));
    }
    let mut r = Reader::new(body, base);
    let file = FileProperties {
        file_id: r.guid()?,
        file_size: r.u64()?,
        creation_date: r.u64()?,
        packet_count: r.u64()?,
        play_duration: r.u64()?,
        send_duration: r.u64()?,
        preroll: r.u64()?,
        flags: r.u32()?,
        packet_size: r.u32()?,
        max_bit_rate: 0,
    };
    let at = r.offset();
    let max = r.u32()?;
    if file.packet_size != max {
        return Err(value(at, "maximum packet size", max));
    }
    if !(1..=65_535).contains(&max) {
        return Err(value(at, "packet size", max));
    }
    Ok(FileProperties {
        max_bit_rate: r.u32()?,
        ..file
    })
}

fn duplicate(at: u64, what: &'static str, value: u64) -> Error {
    Error::at(at, Reason::Duplicate { what, value })
}

fn value(at: u64, field: &'static str, value: u32) -> Error {
    Error::at(
        at,
        Reason::Value {
            field,
            value: u64::from(value),
        },
    )
}
