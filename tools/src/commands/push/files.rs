//! Files, one after the other, at their real rate on one timeline that never stops.

use super::feed::{LATE_MAX, Next};
use super::reader::{Piece, Reader};
use bytes::Bytes;
use protocols::asf::clock::Timeline;
use protocols::asf::{self, Header};
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Packets leave so much before their time: what players buffer last is what is there first.
const LEAD: Duration = Duration::from_millis(200);
/// Bytes of a read.
const READ_BYTES: usize = 64 * 1024;
/// Warnings about damaged packets of one turn of a file; the rest is only counted.
const WARNING_COUNT_MAX: u64 = 3;

/// See the module.
pub struct Files {
    paths: Vec<PathBuf>,
    repeat: bool,
    /// The next one to open.
    index: usize,
    turn: Option<Turn>,
    /// When the timeline began; set when the first session begins.
    origin: Option<Instant>,
    /// Where on the timeline the current turn begins, ms.
    base: u64,
    header: Option<Bytes>,
    packet_size: u32,
    /// Where the entry with that header began, ms.
    entry_base: u64,
    /// A piece that is not due yet, and when it is, ms on the timeline.
    ahead: Option<(u64, Piece)>,
    /// Packets that were due while there was no session.
    pub skipped: u64,
    /// Packets that are left out because they are damaged.
    pub damaged: u64,
    /// What the user must know, not yet told.
    pub warnings: Vec<String>,
}

/// One file while it is played once.
struct Turn {
    path: PathBuf,
    reader: Reader<BufReader<File>>,
    times: Timeline,
    /// The least that it lasts, as its header says, ms.
    stated: u64,
    last_duration: u64,
    packets: u64,
    damaged: u64,
}

impl Files {
    /// These, once or over and over.
    ///
    /// # Errors
    /// If one of them cannot be read or is none.
    pub fn open(paths: &[PathBuf], repeat: bool) -> Result<Files, String> {
        let mut files = Files {
            paths: paths.to_vec(),
            repeat,
            index: 0,
            turn: None,
            origin: None,
            base: 0,
            header: None,
            packet_size: 0,
            entry_base: 0,
            ahead: None,
            skipped: 0,
            damaged: 0,
            warnings: Vec::new(),
        };
        // Better now than in the middle of a broadcast.
        for path in &files.paths {
            Turn::open(path)?;
        }
        files.look_ahead()?;
        Ok(files)
    }

    /// A session begins: it needs a header first, and what was missed is missed.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn begin(&mut self, now: Instant) -> Result<Option<Bytes>, String> {
        self.origin.get_or_insert(now);
        self.skip(now)?;
        match self.ahead {
            // That is what comes next.
            Some((_, Piece::Header(_))) => Ok(None),
            _ => Ok(self.header.clone()),
        }
    }

    /// Leaves out what is due before `now`. True if nothing is left.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn skip(&mut self, now: Instant) -> Result<bool, String> {
        while let Some((at, piece)) = &self.ahead {
            if self.due(*at) + LEAD >= now {
                return Ok(false);
            }
            match piece {
                Piece::Packet(_) => self.skipped += 1,
                Piece::Header(header) => self.header = Some(header.clone()),
            }
            self.look_ahead()?;
        }
        Ok(true)
    }

    /// What is to be done now.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn next(&mut self, now: Instant) -> Result<Next, String> {
        let Some((at, _)) = &self.ahead else {
            return Ok(Next::End);
        };
        let due = self.due(*at);
        if due > now {
            return Ok(Next::Wait(Some(due)));
        }
        if now.duration_since(due) > LATE_MAX {
            return Ok(Next::Late);
        }
        let piece = self.ahead.take().map(|(_, piece)| piece);
        if let Some(Piece::Header(header)) = &piece {
            self.header = Some(header.clone());
        }
        self.look_ahead()?;
        Ok(piece.map_or(Next::End, Next::Give))
    }

    /// When something at this place of the timeline leaves.
    fn due(&self, at: u64) -> Instant {
        let origin = self.origin.unwrap_or_else(Instant::now);
        let due = origin + Duration::from_millis(at);
        due.checked_sub(LEAD).unwrap_or(due)
    }

    /// Reads the next piece; none is left at the end of all files.
    fn look_ahead(&mut self) -> Result<(), String> {
        self.ahead = None;
        loop {
            let Some(turn) = &mut self.turn else {
                if !self.open_next()? {
                    return Ok(());
                }
                if self.ahead.is_some() {
                    return Ok(());
                }
                continue;
            };
            let piece = turn.reader.next();
            match piece.map_err(|e| format!("{}: {e}", turn.path.display()))? {
                Some(Piece::Packet(packet)) => {
                    if let Some(ahead) = self.timed(packet) {
                        self.ahead = Some(ahead);
                        return Ok(());
                    }
                }
                // Dumps of a stream may have several.
                Some(Piece::Header(blob)) => {
                    self.begin_entry(blob)?;
                    if self.ahead.is_some() {
                        return Ok(());
                    }
                }
                None => self.end_turn()?,
            }
        }
    }

    /// Opens the next file; false if there is none.
    fn open_next(&mut self) -> Result<bool, String> {
        if self.index == self.paths.len() && self.repeat {
            self.index = 0;
        }
        let Some(path) = self.paths.get(self.index) else {
            return Ok(false);
        };
        let (turn, blob) = Turn::open(path)?;
        self.index += 1;
        self.turn = Some(turn);
        self.begin_entry(blob)?;
        Ok(true)
    }

    /// A header was read. The same one as before means that the entry goes on.
    fn begin_entry(&mut self, blob: Bytes) -> Result<(), String> {
        let path = self.turn.as_ref().map(|t| t.path.display().to_string());
        let named = |e| format!("{}: {e}", path.unwrap_or_default());
        let (header, blob) = live_header(&blob).map_err(named)?;
        self.packet_size = header.packet_size();
        if self.header.as_ref() == Some(&blob) {
            return Ok(());
        }
        self.entry_base = self.base;
        self.ahead = Some((self.base, Piece::Header(blob)));
        Ok(())
    }

    /// A packet with its place on the timeline, and moved there. `None` if it is damaged.
    fn timed(&mut self, mut packet: Vec<u8>) -> Option<(u64, Piece)> {
        let turn = self.turn.as_mut()?;
        // Send times begin anew after 49 days, and so does this.
        let shift = self.base.wrapping_sub(self.entry_base) as u32;
        let parsed =
            asf::Packet::parse(&packet, self.packet_size).map(|p| (p.send_time(), p.duration()));
        let moved = parsed.and_then(|times| {
            match shift {
                0 => Ok(()),
                shift => asf::retime(&mut packet, self.packet_size, shift),
            }
            .map(|()| times)
        });
        match moved {
            Ok((send_time, duration)) => {
                turn.packets += 1;
                turn.last_duration = u64::from(duration);
                Some((
                    self.base + turn.times.push(send_time),
                    Piece::Packet(packet),
                ))
            }
            Err(e) => {
                turn.damaged += 1;
                self.damaged += 1;
                if turn.damaged <= WARNING_COUNT_MAX {
                    let (path, number) = (turn.path.display(), turn.packets + turn.damaged - 1);
                    self.warnings
                        .push(format!("{path}: packet {number} is left out: {e}"));
                }
                None
            }
        }
    }

    fn end_turn(&mut self) -> Result<(), String> {
        let Some(turn) = self.turn.take() else {
            return Ok(());
        };
        if turn.packets == 0 {
            return Err(format!("{}: no packets", turn.path.display()));
        }
        if let Some(remark) = turn.reader.remark() {
            self.warnings
                .push(format!("{}: {remark}", turn.path.display()));
        }
        let length = turn.times.elapsed_ms() + turn.last_duration;
        self.base += length.max(turn.stated).max(1);
        Ok(())
    }
}

impl Turn {
    /// The file and its header.
    fn open(path: &PathBuf) -> Result<(Turn, Bytes), String> {
        let named = |e: String| format!("{}: {e}", path.display());
        let file = File::open(path).map_err(|e| named(e.to_string()))?;
        let mut reader = Reader::new(BufReader::with_capacity(READ_BYTES, file));
        let blob = match reader.next().map_err(|e| named(e.to_string()))? {
            Some(Piece::Header(blob)) => blob,
            _ => return Err(named("no header".to_owned())),
        };
        let header = Header::parse(&blob).map_err(|e| named(e.to_string()))?;
        let turn = Turn {
            path: path.clone(),
            reader,
            times: Timeline::new(),
            stated: header.play_duration_ms().unwrap_or(0),
            last_duration: 0,
            packets: 0,
            damaged: 0,
        };
        Ok((turn, blob))
    }
}

/// What a broadcast says instead of a file's header: sizes and durations mean nothing there.
///
/// # Errors
/// If it is none.
pub fn live_header(blob: &[u8]) -> Result<(Header, Bytes), asf::Error> {
    let live = asf::broadcast_blob(blob, None)?;
    Ok((Header::parse(&live)?, live.into()))
}

#[cfg(test)]
mod tests;
