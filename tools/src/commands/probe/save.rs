//! Writes received packets as an ASF file: padded to full size, with a header that says what is in it.

use protocols::asf::guid::FILE_PROPERTIES_OBJECT;
use protocols::asf::{Header, Packet, trim};
use protocols::content::StreamKind;
use protocols::media::IngestEvent;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Offsets inside the File Properties object (ASF 3.2).
mod field {
    pub const FILE_SIZE: usize = 40;
    pub const PACKET_COUNT: usize = 56;
    pub const PLAY_DURATION: usize = 64;
    pub const SEND_DURATION: usize = 72;
    pub const FLAGS: usize = 88;
    pub const END: usize = 104;
    /// Of the Data object: its size, and its packets.
    pub const DATA_SIZE: usize = 16;
    pub const DATA_PACKETS: usize = 40;
}

const BROADCAST: u32 = 1;
const SEEKABLE: u32 = 2;

/// What was written.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Saved {
    pub file: PathBuf,
    pub packets: u64,
    pub bytes: u64,
    /// Packets that were no ASF and are left out.
    pub left_out: u64,
    /// Entries that came after the one that the file holds.
    pub entries_not_saved: u64,
}

/// See the module. The file is made when the first header comes.
pub struct Saver {
    path: PathBuf,
    open: Option<Open>,
    entries_not_saved: u64,
}

struct Open {
    file: BufWriter<File>,
    blob: Vec<u8>,
    header: Header,
    packets: u64,
    left_out: u64,
    /// Send times of the first and last packet and the last one's duration, ms.
    span: Option<(u32, u32, u16)>,
    padded: Vec<u8>,
}

impl Saver {
    pub fn new(path: &Path) -> Saver {
        Saver {
            path: path.to_path_buf(),
            open: None,
            entries_not_saved: 0,
        }
    }

    /// Takes what may belong into the file.
    pub fn take(&mut self, event: &IngestEvent) -> Result<(), String> {
        let done = match (event, &mut self.open) {
            (IngestEvent::Header(blob), None) => self.begin(blob),
            (IngestEvent::Header(_), Some(_)) => {
                self.entries_not_saved += 1;
                Ok(())
            }
            (IngestEvent::Packet { bytes, .. }, Some(open)) if self.entries_not_saved == 0 => {
                open.packet(bytes)
            }
            _ => Ok(()),
        };
        done.map_err(|e| format!("{}: {e}", self.path.display()))
    }

    /// Completes the header. `None` if nothing came that could be saved.
    pub fn finish(self) -> Result<Option<Saved>, String> {
        let Some(open) = self.open else {
            return Ok(None);
        };
        let (packets, left_out) = (open.packets, open.left_out);
        let bytes = open
            .finish()
            .map_err(|e| format!("{}: {e}", self.path.display()))?;
        Ok(Some(Saved {
            file: self.path,
            packets,
            bytes,
            left_out,
            entries_not_saved: self.entries_not_saved,
        }))
    }

    fn begin(&mut self, blob: &[u8]) -> io::Result<()> {
        let header = Header::parse(blob).map_err(io::Error::other)?;
        let length = usize::try_from(header.blob_len()).unwrap_or(usize::MAX);
        let blob = blob.get(..length).unwrap_or(blob).to_vec();
        let mut file = BufWriter::new(File::create(&self.path)?);
        file.write_all(&blob)?;
        self.open = Some(Open {
            file,
            blob,
            header,
            packets: 0,
            left_out: 0,
            span: None,
            padded: Vec::new(),
        });
        Ok(())
    }
}

impl Open {
    fn packet(&mut self, bytes: &[u8]) -> io::Result<()> {
        let size = self.header.packet_size();
        self.padded.clear();
        let (Ok(packet), Ok(())) = (
            Packet::parse(bytes, size),
            trim::pad(bytes, size, &mut self.padded),
        ) else {
            self.left_out += 1;
            return Ok(());
        };
        let first = self.span.map_or(packet.send_time(), |s| s.0);
        self.span = Some((first, packet.send_time(), packet.duration()));
        self.packets += 1;
        self.file.write_all(&self.padded)
    }

    /// Writes the header anew: what a server says of a broadcast or of the whole file is not true of
    /// what was received.
    fn finish(mut self) -> io::Result<u64> {
        let data = self.packets * u64::from(self.header.packet_size());
        let size = self.blob.len() as u64 + data;
        let whole = self.header.packet_count() == Some(self.packets);
        let data_object = self.blob.len() - protocols::asf::header::DATA_HEAD;
        let properties = self
            .header
            .objects()
            .iter()
            .find(|o| o.guid == FILE_PROPERTIES_OBJECT);
        if let Some(at) = properties.map(|o| o.offset as usize)
            && at + field::END <= data_object
        {
            put(&mut self.blob, at + field::FILE_SIZE, &size.to_le_bytes());
            put(
                &mut self.blob,
                at + field::PACKET_COUNT,
                &self.packets.to_le_bytes(),
            );
            if !whole {
                let (first, last, duration) = self.span.unwrap_or_default();
                let send = u64::from(last.wrapping_sub(first)) + u64::from(duration);
                let play = (send + u64::from(self.header.preroll_ms())) * 10_000;
                put(
                    &mut self.blob,
                    at + field::PLAY_DURATION,
                    &play.to_le_bytes(),
                );
                put(
                    &mut self.blob,
                    at + field::SEND_DURATION,
                    &(send * 10_000).to_le_bytes(),
                );
            }
            let mut flags = self.header.file_properties().flags & !BROADCAST;
            // With video the flag promises an index, and no index comes over the wire.
            if self
                .header
                .streams()
                .iter()
                .any(|s| s.kind == StreamKind::Video)
            {
                flags &= !SEEKABLE;
            }
            put(&mut self.blob, at + field::FLAGS, &flags.to_le_bytes());
        }
        let data_size = data + protocols::asf::header::DATA_HEAD as u64;
        put(
            &mut self.blob,
            data_object + field::DATA_SIZE,
            &data_size.to_le_bytes(),
        );
        put(
            &mut self.blob,
            data_object + field::DATA_PACKETS,
            &self.packets.to_le_bytes()[..],
        );
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.blob)?;
        self.file.flush()?;
        Ok(size)
    }
}

fn put(blob: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = blob.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use protocols::asf::check::{Verifier, check_header};
    use protocols::asf::trim::{Form, trim_as};

    const CLIP: &[u8] = include_bytes!("../../../content/clip.wmv");

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("ringcast-save-{}-{name}", std::process::id()))
    }

    /// Saves packets `range` of the clip as a server would send them; the file's bytes.
    fn save(name: &str, header: &[u8], range: std::ops::Range<u32>) -> (Saved, Vec<u8>) {
        let clip = Header::parse(CLIP).expect("a header");
        let path = temporary(name);
        let mut saver = Saver::new(&path);
        saver
            .take(&IngestEvent::Header(Bytes::copy_from_slice(header)))
            .expect("header");
        for number in range {
            let at = clip.packet_offset(number) as usize;
            let whole = &CLIP[at..at + clip.packet_size() as usize];
            let mut cut = Vec::new();
            trim_as(Form::ExplicitLength, whole, clip.packet_size(), &mut cut).expect("trims");
            saver
                .take(&IngestEvent::Packet {
                    number,
                    bytes: cut.into(),
                })
                .expect("packet");
        }
        let saved = saver.finish().expect("written").expect("something");
        let bytes = std::fs::read(&path).expect("the file");
        std::fs::remove_file(&path).expect("own file");
        (saved, bytes)
    }

    fn assert_sound(bytes: &[u8], packets: u32) -> Header {
        let header = Header::parse(bytes).expect("a header");
        check_header(&header).expect("a sound header");
        assert_eq!(header.file_properties().file_size, bytes.len() as u64);
        assert_eq!(header.packets_in(bytes.len() as u64), packets);
        let mut verifier = Verifier::new(&header);
        for number in 0..packets {
            let at = header.packet_offset(number) as usize;
            verifier.packet(number, &bytes[at..at + header.packet_size() as usize]);
        }
        let report = verifier.finish();
        assert_eq!((report.packets, report.bad_packets), (packets, 0));
        header
    }

    #[test]
    fn a_file_that_was_received_whole_is_the_file_again() {
        let clip = Header::parse(CLIP).expect("a header");
        let count = clip.packet_count().expect("a count") as u32;
        let blob = &CLIP[..clip.blob_len() as usize];
        let (saved, bytes) = save("whole", blob, 0..count);
        assert_eq!(saved.packets, u64::from(count));
        let header = assert_sound(&bytes, count);
        let media = |file: &[u8]| {
            file[blob.len()..blob.len() + (count * clip.packet_size()) as usize].to_vec()
        };
        assert_eq!(media(&bytes), media(CLIP));
        assert_eq!(header.play_duration_ms(), clip.play_duration_ms());
    }

    #[test]
    fn a_part_of_a_broadcast_is_a_file_of_its_own() {
        let clip = Header::parse(CLIP).expect("a header");
        let blob = &CLIP[..clip.blob_len() as usize];
        let live = protocols::asf::broadcast_blob(blob, None).expect("a broadcast header");
        let (_, bytes) = save("part", &live, 10..30);
        let header = assert_sound(&bytes, 20);
        assert!(!header.is_broadcast() && !header.is_seekable());
        let duration = header.play_duration_ms().expect("a duration");
        assert!(duration > 0 && duration < clip.play_duration_ms().expect("a duration"));
    }

    #[test]
    fn nothing_received_leaves_no_file() {
        let path = temporary("nothing");
        assert_eq!(Saver::new(&path).finish(), Ok(None));
        assert!(!path.exists());
    }
}
