//! Standard input, pushed as it comes: an encoder writes it in real time.
//!
//! A thread reads it. While a session takes packets, a queue that is full makes that thread wait, and so
//! the encoder; while there is none, packets are dropped and counted, so that the next session begins
//! with what is new then.

use super::feed::Next;
use super::files::live_header;
use super::reader::{Piece, Reader};
use crate::driver::Nudger;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of packets that may wait.
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// See the module.
pub struct Live(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// The one that the packets which come now belong to.
    header: Option<Bytes>,
    /// A session takes what comes.
    open: bool,
    dropped: u64,
    warnings: Vec<String>,
    /// Nothing more comes; in words, if that is so because of a fault.
    ended: Option<Result<(), String>>,
    nudger: Option<Nudger>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The other side panicking leaves what was read as it is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Begin to read.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn start(input: impl Read + Send + 'static) -> Result<Live, String> {
        let shared = Arc::new(Shared::default());
        // What comes before the first session waits for it.
        shared.lock().open = true;
        let theirs = shared.clone();
        std::thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || read(input, &theirs))
            .map_err(|e| format!("no thread for standard input: {e}"))?;
        Ok(Live(shared))
    }

    /// Waits for a header, or for the end; false if there is neither by then.
    pub fn wait(&self, patience: Duration) -> bool {
        let there = |s: &State| s.header.is_some() || s.ended.is_some();
        let state = self.0.lock();
        let wait = self
            .0
            .changed
            .wait_timeout_while(state, patience, |s| !there(s));
        there(&wait.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// A session begins: the header of what comes from now on, unless that itself comes next.
    pub fn begin(&mut self) -> Option<Bytes> {
        let mut state = self.0.lock();
        state.open = true;
        match state.pieces.front() {
            Some(Piece::Header(_)) => None,
            _ => state.header.clone(),
        }
    }

    /// Whom to tell when something comes.
    pub fn tell(&mut self, nudger: Nudger) {
        self.0.lock().nudger = Some(nudger);
    }

    /// There is no session for now.
    pub fn pause(&mut self) {
        let mut state = self.0.lock();
        state.open = false;
        let packets = |p: &&Piece| matches!(p, Piece::Packet(_));
        state.dropped += state.pieces.iter().filter(packets).count() as u64;
        state.pieces.clear();
        state.bytes = 0;
        self.0.changed.notify_all();
    }

    /// What is to be done now.
    ///
    /// # Errors
    /// If the input is broken.
    pub fn next(&mut self) -> Result<Next, String> {
        let mut state = self.0.lock();
        match state.pieces.pop_front() {
            Some(piece) => {
                state.bytes -= size(&piece);
                self.0.changed.notify_all();
                Ok(Next::Give(piece))
            }
            None => match state.ended.clone() {
                None => Ok(Next::Wait(None)),
                Some(ended) => ended.map(|()| Next::End),
            },
        }
    }

    /// True if there is nothing, and nothing will come any more.
    ///
    /// # Errors
    /// If that is so because the input is broken.
    pub fn is_over(&self) -> Result<bool, String> {
        let state = self.0.lock();
        match state.ended.clone() {
            Some(ended) if state.pieces.is_empty() => ended.map(|()| true),
            _ => Ok(false),
        }
    }

    /// Packets that came while there was no session.
    pub fn dropped(&self) -> u64 {
        self.0.lock().dropped
    }

    /// What the user must know.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().warnings)
    }
}

fn size(piece: &Piece) -> usize {
    match piece {
        Piece::Header(blob) => blob.len(),
        Piece::Packet(packet) => packet.len(),
    }
}

/// Reads until the end.
fn read(input: impl Read, shared: &Shared) {
    let mut reader = Reader::new(input);
    loop {
        let piece = match reader.next() {
            Ok(Some(Piece::Header(blob))) => match live_header(&blob) {
                Ok((_, blob)) => Ok(Some(Piece::Header(blob))),
                Err(e) => Err(format!("standard input: {e}")),
            },
            Ok(piece) => Ok(piece),
            Err(e) => Err(format!("standard input: {e}")),
        };
        let mut state = shared.lock();
        match piece {
            Ok(Some(piece)) => take(shared, state, piece),
            end => {
                let remark = reader.remark().map(|r| format!("standard input: {r}"));
                state.warnings.extend(remark);
                state.ended = Some(end.map(|_| ()));
                tell(shared, &state);
                return;
            }
        }
    }
}

fn take(shared: &Shared, mut state: MutexGuard<'_, State>, piece: Piece) {
    while state.open && state.bytes >= QUEUE_BYTES_MAX {
        state = shared
            .changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
    match &piece {
        Piece::Header(blob) => state.header = Some(blob.clone()),
        Piece::Packet(_) if !state.open => state.dropped += 1,
        Piece::Packet(_) => {}
    }
    if state.open {
        state.bytes += size(&piece);
        state.pieces.push_back(piece);
    }
    tell(shared, &state);
}

fn tell(shared: &Shared, state: &State) {
    shared.changed.notify_all();
    if let Some(nudger) = &state.nudger {
        nudger.nudge();
    }
}

#[cfg(test)]
mod tests;
