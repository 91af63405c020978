//! The ASF header: what a server must know of it (asf.md 2 - 4).

use super::error::{Error, Reason};
use super::guid::{self, Guid};
use super::header_reader::Draft;
use super::objects::{Codec, Exclusion, Marker, Metadata, Priority, Script, Sharing, Stream};
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
    pub(super) len: u64,
    pub(super) file: FileProperties,
    pub(super) data_object_size: u64,
    pub(super) data_packets: u64,
    pub(super) objects: Vec<Object>,
    pub(super) streams: Vec<Stream>,
    pub(super) exclusions: Vec<Exclusion>,
    pub(super) priorities: Vec<Priority>,
    pub(super) sharings: Vec<Sharing>,
    pub(super) languages: Vec<String>,
    pub(super) markers: Vec<Marker>,
    pub(super) script: Vec<Script>,
    pub(super) codecs: Vec<Codec>,
    pub(super) metadata: Vec<Metadata>,
    pub(super) description: Vec<(String, String)>,
    pub(super) remarks: Vec<Error>,
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

/// True for streams that no frame of which needs another one (ASF-33).
pub(super) fn all_key(kind: StreamKind, no_clean_points: bool) -> bool {
    kind != StreamKind::Video || no_clean_points
}

pub(super) fn expect(found: Guid, wanted: Guid, at: u64) -> Result<(), Error> {
    if found == wanted {
        Ok(())
    } else {
        Err(Error::at(at, Reason::WrongObject { found, wanted }))
    }
}
