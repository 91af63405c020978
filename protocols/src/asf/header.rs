//! The ASF header: what a server must know of it (asf.md 2 - 4).

use super::error::{Error, Reason};
use super::guid::{self, Guid};
use super::objects::{self, Codec, Exclusion, Extended, Marker, Metadata, Script, Sharing, Stream};
use super::read::Reader;
use crate::content::{StreamInfo, StreamKind};

/// Bytes that [`header_len`] needs: the fixed head of the Header Object.
pub const FIXED_HEAD: usize = 30;

/// Bytes of the Data Object that belong to the header blob.
pub const DATA_HEAD: usize = 50;

/// Largest header blob that [`header_len`] accepts by default.
pub const HEADER_LEN_MAX: u64 = 1 << 20;

/// Most objects in one header.
pub const OBJECTS_MAX: usize = 4096;

/// Most remarks kept by [`Header::remarks`].
const REMARKS_MAX: usize = 16;

/// Length of the header blob: Header Object and the 50 bytes of the Data Object behind it.
/// `prefix` is the file's first [`FIXED_HEAD`] bytes or more.
///
/// # Errors
/// If this is not an ASF file or the header would exceed [`HEADER_LEN_MAX`].
pub fn header_len(prefix: &[u8]) -> Result<u64, Error> {
    header_len_within(prefix, HEADER_LEN_MAX)
}

/// [`header_len`] with a limit of the caller's.
///
/// # Errors
/// As [`header_len`].
pub fn header_len_within(prefix: &[u8], max: u64) -> Result<u64, Error> {
    let mut r = Reader::new(prefix, 0);
    expect(r.guid()?, guid::HEADER_OBJECT, 0)?;
    let size = r.u64()?;
    // Object count and a byte that nobody checks (ASF-04).
    r.take(5)?;
    let version = r.u8()?;
    // ASF-03
    if version != 2 {
        return Err(Error::at(
            29,
            Reason::Value {
                field: "header byte 29",
                value: u64::from(version),
            },
        )
        .within(guid::HEADER_OBJECT));
    }
    let len = size.saturating_add(DATA_HEAD as u64);
    if size < FIXED_HEAD as u64 {
        return Err(Error::at(
            16,
            Reason::ObjectSize {
                size,
                min: FIXED_HEAD as u64,
                max: max.saturating_sub(DATA_HEAD as u64),
            },
        )
        .within(guid::HEADER_OBJECT));
    }
    if len > max {
        return Err(Error::at(16, Reason::HeaderTooLarge { size: len, max }));
    }
    Ok(len)
}

/// An object of the header, known or not. Its bytes are in the blob that was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Which.
    pub guid: Guid,
    /// Where its GUID starts in the blob.
    pub offset: u32,
    /// Bytes, GUID and size included.
    pub size: u32,
    /// It is in the Header Extension.
    pub in_extension: bool,
}

/// A parsed header.
///
/// Nesting, File Properties and streams must be right, or the header is refused. Everything else
/// is read generously: an optional object that is damaged is left out and remarked.
#[derive(Clone, Debug)]
pub struct Header {
    len: u64,
    file: FileProperties,
    data_object_size: u64,
    data_packets: u64,
    objects: Vec<Object>,
    pub(super) streams: Vec<Stream>,
    pub(super) exclusions: Vec<Exclusion>,
    pub(super) priorities: Vec<Priority>,
    sharings: Vec<Sharing>,
    pub(super) languages: Vec<String>,
    markers: Vec<Marker>,
    script: Vec<Script>,
    codecs: Vec<Codec>,
    metadata: Vec<Metadata>,
    description: Vec<(String, String)>,
    remarks: Vec<Error>,
}

/// The File Properties object as it stands; see the accessors of [`Header`] for what is valid when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileProperties {
    /// Names this version of the file; may be zero.
    pub file_id: Guid,
    /// Bytes of the whole file.
    pub file_size: u64,
    /// 100 ns since 1601-01-01 UTC.
    pub creation_date: u64,
    /// Number of data packets.
    pub packet_count: u64,
    /// 100 ns, preroll included.
    pub play_duration: u64,
    /// 100 ns, preroll not included.
    pub send_duration: u64,
    /// ms.
    pub preroll: u64,
    /// Bit 0 broadcast, bit 1 seekable.
    pub flags: u32,
    /// Bytes of every packet, 1..=65535.
    pub packet_size: u32,
    /// bit/s, for the whole file.
    pub max_bit_rate: u32,
}

/// An entry of the Stream Prioritization object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 1..=127.
    pub stream: u8,
    /// Must be sent.
    pub mandatory: bool,
}

impl Header {
    /// Parse a header blob: Header Object and the first 50 bytes of the Data Object. Bytes behind
    /// it are ignored.
    ///
    /// # Errors
    /// If an object does not fit in its parent (ASF-02), if File Properties are missing or wrong
    /// (ASF-05, ASF-08), or if there are no streams, illegal or duplicate ones (ASF-09).
    // ASF-01, ASF-19
    pub fn parse(blob: &[u8]) -> Result<Header, Error> {
        let header = Header::parse_any(blob)?;
        if header.streams.is_empty() {
            return Err(Error::at(
                FIXED_HEAD as u64,
                Reason::Missing(guid::STREAM_PROPERTIES_OBJECT),
            ));
        }
        Ok(header)
    }

    /// [`Header::parse`], but the header need not have streams (a redirection has none).
    pub(super) fn parse_any(blob: &[u8]) -> Result<Header, Error> {
        let len = header_len_within(blob, u64::from(u32::MAX))?;
        let blob = blob.get(..len as usize).ok_or_else(|| {
            Error::at(
                0,
                Reason::Truncated {
                    need: len,
                    have: blob.len() as u64,
                },
            )
        })?;
        let (object, data) = blob.split_at(blob.len() - DATA_HEAD);
        let mut draft = Draft::default();
        draft.children(
            &object[FIXED_HEAD..],
            FIXED_HEAD as u64,
            0,
            guid::HEADER_OBJECT,
        )?;
        draft.finish(len, data)
    }

    /// Bytes of the blob; also where the first packet is in a file.
    pub fn blob_len(&self) -> u64 {
        self.len
    }

    /// The File Properties as they stand.
    pub fn file_properties(&self) -> &FileProperties {
        &self.file
    }

    /// Bytes of every data packet, 1..=65535.
    pub fn packet_size(&self) -> u32 {
        self.file.packet_size
    }

    /// ms that are added to every presentation time.
    pub fn preroll_ms(&self) -> u32 {
        u32::try_from(self.file.preroll).unwrap_or(u32::MAX)
    }

    /// ms of play time without preroll; `None` if broadcast or not known.
    // ASF-06
    pub fn play_duration_ms(&self) -> Option<u64> {
        if self.is_broadcast() || self.file.play_duration == 0 {
            return None;
        }
        Some((self.file.play_duration / 10_000).saturating_sub(self.file.preroll))
    }

    /// Live: sizes, counts and durations of the header mean nothing.
    pub fn is_broadcast(&self) -> bool {
        self.file.flags & 1 != 0
    }

    /// The header says so, and it is not a broadcast; some writers set both bits.
    // ASF-07
    pub fn is_seekable(&self) -> bool {
        self.file.flags & 3 == 2
    }

    /// Number of packets as stated; `None` if broadcast or not stated (a file still being
    /// written). See [`Header::packets_in`] for what is really there.
    pub fn packet_count(&self) -> Option<u64> {
        let count = match self.data_packets {
            0 => self.file.packet_count,
            n => n,
        };
        (!self.is_broadcast() && count != 0).then_some(count)
    }

    /// Bytes of all packets as stated; `None` if broadcast or not stated.
    pub fn data_size(&self) -> Option<u64> {
        let size = self.data_object_size.saturating_sub(DATA_HEAD as u64);
        (!self.is_broadcast() && size != 0).then_some(size)
    }

    /// Number of whole packets in a file of `file_size` bytes: never beyond its end nor beyond the
    /// Data Object, whatever counts are stated. Packet numbers are 32 bits.
    pub fn packets_in(&self, file_size: u64) -> u32 {
        let room = file_size.saturating_sub(self.len);
        let bytes = self.data_size().map_or(room, |size| size.min(room));
        let packets = bytes / u64::from(self.file.packet_size);
        u32::try_from(packets).unwrap_or(u32::MAX)
    }

    /// Byte offset of a packet in the file.
    pub fn packet_offset(&self, number: u32) -> u64 {
        self.len + u64::from(number) * u64::from(self.file.packet_size)
    }

    /// The packet that holds a byte of the file; a byte in the header means the first packet.
    // ASF-67
    pub fn packet_at(&self, offset: u64) -> u32 {
        let packet = offset.saturating_sub(self.len) / u64::from(self.file.packet_size);
        u32::try_from(packet).unwrap_or(u32::MAX)
    }

    /// As it is stored.
    pub fn file_id(&self) -> [u8; 16] {
        self.file.file_id.0
    }

    /// bit/s for the whole file, as stated.
    pub fn max_bit_rate(&self) -> u32 {
        self.file.max_bit_rate
    }

    /// bit/s, sum of the peak rates of all streams, exclusive ones too (MMSP's bit-rate fields).
    // ASF-62
    pub fn total_peak_bit_rate(&self) -> u32 {
        let sum: u64 = self
            .streams()
            .iter()
            .map(|s| u64::from(s.peak_bit_rate))
            .sum();
        u32::try_from(sum).unwrap_or(u32::MAX)
    }

    /// Every stream in order of numbers, with the best bit rates that the header knows; 0 where it
    /// knows none (then measure: [`super::index::KeyIndex::complete`]).
    // ASF-13, ASF-24, ASF-33
    pub fn streams(&self) -> Vec<StreamInfo> {
        self.streams.iter().map(Stream::info).collect()
    }

    /// Every stream in order of numbers, with all that the header says of it.
    pub fn stream_details(&self) -> &[Stream] {
        &self.streams
    }

    /// Most important first; empty if the header has no such list.
    pub fn priorities(&self) -> &[Priority] {
        &self.priorities
    }

    /// Bandwidth sharing groups.
    pub fn sharings(&self) -> &[Sharing] {
        &self.sharings
    }

    /// The Language List; streams refer to it by index.
    pub fn languages(&self) -> &[String] {
        &self.languages
    }

    /// Markers, to be sought by their time (ASF-64).
    pub fn markers(&self) -> &[Marker] {
        &self.markers
    }

    /// Script commands of the header, in file order.
    pub fn script_commands(&self) -> &[Script] {
        &self.script
    }

    /// The Codec List.
    pub fn codecs(&self) -> &[Codec] {
        &self.codecs
    }

    /// Metadata and Metadata Library entries that are text or numbers.
    pub fn metadata(&self) -> &[Metadata] {
        &self.metadata
    }

    /// Title, Author, Copyright, Description, Rating where not empty, then the extended content
    /// description; text and numbers only.
    pub fn description(&self) -> Vec<(String, String)> {
        self.description.clone()
    }

    /// Some stream or object says that the content is encrypted.
    pub fn is_protected(&self) -> bool {
        self.streams.iter().any(|s| s.encrypted)
            || self.has(guid::CONTENT_ENCRYPTION_OBJECT)
            || self.has(guid::EXTENDED_CONTENT_ENCRYPTION_OBJECT)
            || self.has(guid::ADVANCED_CONTENT_ENCRYPTION_OBJECT)
    }

    /// The header is signed: serve it unmodified where possible (asf.md 7).
    pub fn has_signature(&self) -> bool {
        self.has(guid::DIGITAL_SIGNATURE_OBJECT)
    }

    /// Every object, in order; those of the Header Extension follow it.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Optional objects that were damaged, and other oddities; the first few.
    pub fn remarks(&self) -> &[Error] {
        &self.remarks
    }

    fn has(&self, guid: Guid) -> bool {
        self.objects.iter().any(|o| o.guid == guid)
    }
}

/// A header while its objects are read.
#[derive(Default)]
struct Draft {
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
    fn children(&mut self, bytes: &[u8], base: u64, depth: u8, parent: Guid) -> Result<(), Error> {
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
                let stream = objects::stream_properties(body, base, false)?;
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
                let (extended, hidden) = match objects::extended_stream(r) {
                    Ok(found) => found,
                    Err(e) => return self.remark(e, guid),
                };
                // ASF-11
                if let Some((at, body)) = hidden {
                    let mut stream = objects::stream_properties(body, at, true)
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
            guid::STREAM_BITRATE_PROPERTIES_OBJECT => objects::bit_rates(r, &mut self.peaks),
            guid::BITRATE_MUTUAL_EXCLUSION_OBJECT | guid::ADVANCED_MUTUAL_EXCLUSION_OBJECT => {
                self.exclusions.push(objects::mutual_exclusion(r)?);
                Ok(())
            }
            guid::GROUP_MUTUAL_EXCLUSION_OBJECT => {
                self.exclusions.push(objects::group_exclusion(r)?);
                Ok(())
            }
            guid::STREAM_PRIORITIZATION_OBJECT => objects::priorities(r, &mut self.priorities),
            guid::BANDWIDTH_SHARING_OBJECT => {
                self.sharings.push(objects::bandwidth_sharing(r)?);
                Ok(())
            }
            guid::LANGUAGE_LIST_OBJECT => objects::languages(r, &mut self.languages),
            guid::MARKER_OBJECT => objects::markers(r, &mut self.markers),
            guid::SCRIPT_COMMAND_OBJECT => objects::script_commands(r, &mut self.script),
            guid::CODEC_LIST_OBJECT => objects::codecs(r, &mut self.codecs),
            guid::METADATA_OBJECT | guid::METADATA_LIBRARY_OBJECT => {
                objects::metadata(r, &mut self.metadata)
            }
            guid::CONTENT_DESCRIPTION_OBJECT => {
                objects::content_description(r, &mut self.description)
            }
            guid::EXTENDED_CONTENT_DESCRIPTION_OBJECT => {
                objects::extended_content_description(r, &mut self.description)
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

    fn finish(mut self, len: u64, data: &[u8]) -> Result<Header, Error> {
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

/// True for streams that no frame of which needs another one (ASF-33).
pub(super) fn all_key(kind: StreamKind, no_clean_points: bool) -> bool {
    kind != StreamKind::Video || no_clean_points
}

fn expect(found: Guid, wanted: Guid, at: u64) -> Result<(), Error> {
    if found == wanted {
        Ok(())
    } else {
        Err(Error::at(at, Reason::WrongObject { found, wanted }))
    }
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
