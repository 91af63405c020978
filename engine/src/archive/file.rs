//! One recording while it grows.

use super::Lane;
use super::name::{self, SAME_SECOND_MAX};
use crate::points::LiveHead;
use crate::rt;
use protocols::asf::clock::since;
use protocols::asf::recording::{self, Extent, Ledger, RecordingHeader};
use protocols::asf::{self, Packet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes that are gathered before a write.
const GATHER_BYTES: usize = 1 << 20;

/// See the module.
pub(super) struct RecordingFile {
    pub(super) path: PathBuf,
    file: File,
    header: RecordingHeader,
    ledger: Ledger,
    packet_size: u32,
    /// Added to the stream's times; `None` until the first packet of an entry.
    shift: Option<u32>,
    /// Packets that are not written yet.
    gathered: Vec<u8>,
    packet: Vec<u8>,
    /// What is in the file.
    written: Extent,
    /// What its header tells of.
    told: Extent,
}

impl RecordingFile {
    /// Begin a file in the point's directory, which is made if it is not there. `latest` is the second
    /// of the latest file and its number in that second.
    ///
    /// # Errors
    /// What the kernel says; `InvalidData` for a header that cannot be recorded.
    pub(super) fn create(
        lane: &Lane,
        head: &LiveHead,
        latest: &mut (u64, u32),
    ) -> io::Result<RecordingFile> {
        let directory = &lane.config.directory;
        std::fs::create_dir_all(directory)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |d| d.as_secs());
        let seed = rt::random_seed()?;
        let mut file_id = [0; 16];
        file_id.copy_from_slice(&seed[..16]);
        let header = RecordingHeader::new(&head.blob, file_id, now)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let extension = recording::extension(header.header());
        let (file, path) = create_new(lane, now, extension, latest)?;
        // A file system without locks has viewers wait for nothing; it is recorded to all the same.
        let _ = file.try_lock();
        if let Err(error) = file.write_all_at(header.blob(), 0) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(RecordingFile {
            path,
            file,
            ledger: Ledger::new(header.header()),
            packet_size: header.header().packet_size(),
            header,
            shift: None,
            gathered: Vec::new(),
            packet: Vec::new(),
            written: Extent::default(),
            told: Extent::default(),
        })
    }

    /// The stream goes on as another entry: its times begin anew, those of the file go on.
    pub(super) fn begin_entry(&mut self) {
        self.shift = None;
    }

    /// Take a packet.
    ///
    /// # Errors
    /// Of the disk. A damaged packet is none: it is left out (ASF-32).
    // ASF-63
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Ok(packet) = Packet::parse(bytes, self.packet_size) else {
            return Ok(());
        };
        let from = self.ledger.extent().send_ms as u32;
        let shift = *self
            .shift
            .get_or_insert_with(|| from.wrapping_sub(origin_of(&packet)));
        self.packet.clear();
        let taken = asf::trim::pad(bytes, self.packet_size, &mut self.packet)
            .and_then(|()| asf::retime(&mut self.packet, self.packet_size, shift))
            .and_then(|()| self.ledger.packet(&self.packet));
        if taken.is_ok() {
            self.gathered.extend_from_slice(&self.packet);
        }
        if self.gathered.len() >= GATHER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Write what is gathered. Returns the bytes written.
    ///
    /// # Errors
    /// What the kernel says; then the file ends where it ended before, and can only be closed.
    pub(super) fn flush(&mut self) -> io::Result<u64> {
        if self.gathered.is_empty() {
            return Ok(0);
        }
        let at = self.data_end();
        if let Err(error) = self.file.write_all_at(&self.gathered, at) {
            let _ = self.file.set_len(at);
            self.gathered.clear();
            return Err(error);
        }
        let len = self.gathered.len() as u64;
        self.gathered.clear();
        let first = self.written.packets == 0;
        self.written = self.ledger.extent();
        if first {
            self.tell()?;
        }
        Ok(len)
    }

    /// Have the header tell of everything that is written.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn tell(&mut self) -> io::Result<()> {
        if self.told != self.written {
            self.put_header(&self.written)?;
            self.told = self.written;
        }
        Ok(())
    }

    /// ms from the first packet to the last.
    pub(super) fn duration_ms(&self) -> u64 {
        self.ledger.extent().send_ms
    }

    /// Bytes, with what is gathered.
    pub(super) fn size(&self) -> u64 {
        self.data_end() + self.gathered.len() as u64
    }

    /// Write what is left and the index. The file is whole even where that fails.
    ///
    /// # Errors
    /// The first failure.
    pub(super) fn close(mut self) -> (File, PathBuf, io::Result<u64>) {
        let done = self.flush().and_then(|bytes| Ok(bytes + self.put_index()?));
        if done.is_err() {
            let _ = self.file.set_len(self.data_end());
        }
        // Overwriting needs no room, so this works where the disk is full.
        let done = self.tell().and(done);
        (self.file, self.path, done)
    }

    /// After a failed write: leave what was written before as a whole file without an index.
    pub(super) fn abandon(mut self) -> (File, PathBuf) {
        let _ = self.file.set_len(self.data_end());
        let _ = self.tell();
        (self.file, self.path)
    }

    /// Packets that were taken and are not in the file.
    pub(super) fn unwritten(&self) -> u64 {
        u64::from(self.ledger.extent().packets - self.written.packets)
    }

    /// True if nothing of it is worth keeping.
    pub(super) fn is_empty(&self) -> bool {
        self.written.packets == 0
    }

    fn put_index(&mut self) -> io::Result<u64> {
        let index = self.ledger.simple_indexes(self.header.header().file_id());
        self.file.write_all_at(&index, self.data_end())?;
        self.written.index_bytes = index.len() as u64;
        Ok(index.len() as u64)
    }

    fn put_header(&self, extent: &Extent) -> io::Result<()> {
        for patch in self.header.patches(extent) {
            self.file.write_all_at(&patch.bytes, patch.at)?;
        }
        Ok(())
    }

    fn data_end(&self) -> u64 {
        self.header.header().packet_offset(self.written.packets)
    }
}

/// The time that becomes the start: when the packet is sent, or the earliest thing in it is shown.
fn origin_of(packet: &Packet<'_>) -> u32 {
    let sent = packet.send_time();
    let shown = packet.payloads().filter_map(|p| p.presentation);
    shown
        .chain([sent])
        .min_by_key(|time| since(sent, *time))
        .unwrap_or(sent)
}

fn create_new(
    lane: &Lane,
    now: u64,
    extension: &str,
    latest: &mut (u64, u32),
) -> io::Result<(File, PathBuf)> {
    let used = if latest.0 == now { latest.1 } else { 0 };
    for nth in used + 1..=SAME_SECOND_MAX {
        let name = name::of(&lane.point, now, nth, extension);
        let path = lane.config.directory.join(name);
        *latest = (now, nth);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return Ok((opened?, path)),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "too many recordings in one second",
    ))
}
