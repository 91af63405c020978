//! A core's cache of pieces of files: as read, and framed for a selection of streams. All
//! sessions of a file share them; the page cache is the second level.

use super::file::{AsfFile, Growth};
use crate::ops::metrics::CoreCounters;
use crate::ring::Chunk;
use crate::rt;
use crossbeam::utils::CachePadded;
use protocols::asf::Filter;
use protocols::content::Selection;
use protocols::media::PacketMeta;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// Which form of the packets a session is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Streams; only such as the content has.
    pub selection: Selection,
    /// Packets at full size, as old servers and files want them.
    pub keep_padding: bool,
}

/// Packets of a file as they were read.
pub struct RawChunk {
    block: rt::Block,
    packet_size: usize,
    /// Number of its first packet.
    pub first: u32,
}

impl RawChunk {
    /// Whole packets in it.
    pub fn count(&self) -> u32 {
        (self.block.len() / self.packet_size) as u32
    }

    /// A packet by number.
    pub fn packet(&self, number: u32) -> Option<&[u8]> {
        let at = number.checked_sub(self.first)? as usize * self.packet_size;
        self.block.get(at..at + self.packet_size)
    }
}

/// Answer of the cache.
pub enum Piece<T> {
    /// Here it is.
    Ready(Rc<T>),
    /// It is being read; ask again at the next tick.
    Pending,
    /// It cannot be read.
    Failed,
}

type RawKey = (u64, u32);
type FramedKey = (u64, u32, Variant);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Raw(RawKey),
    Framed(FramedKey),
}

struct Held<T> {
    piece: Rc<T>,
    bytes: usize,
    touched: Cell<bool>,
}

enum State<T> {
    Pending,
    Failed,
    Held(Held<T>),
}

/// See the module.
pub struct Cache {
    counters: Arc<CachePadded<CoreCounters>>,
    budget: usize,
    used: Cell<usize>,
    raw: RefCell<HashMap<RawKey, State<RawChunk>>>,
    framed: RefCell<HashMap<FramedKey, State<RefCell<Chunk>>>>,
    /// Second-chance order of what is held.
    order: RefCell<VecDeque<Key>>,
}

impl Cache {
    /// An empty cache that holds at most about `budget` bytes.
    pub fn new(budget: usize, counters: Arc<CachePadded<CoreCounters>>) -> Rc<Cache> {
        Rc::new(Cache {
            counters,
            budget,
            used: Cell::new(0),
            raw: RefCell::default(),
            framed: RefCell::default(),
            order: RefCell::default(),
        })
    }

    /// Bytes held.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Packets of a file as they were read. Starts reading them if they are not here.
    pub fn raw(self: &Rc<Self>, file: &Rc<AsfFile>, chunk: u32) -> Piece<RawChunk> {
        let key = (file.id, chunk);
        if let Some(state) = self.raw.borrow().get(&key) {
            return state.answer(&self.counters);
        }
        self.counters.cache_misses.inc();
        self.raw.borrow_mut().insert(key, State::Pending);
        let (cache, file) = (Rc::clone(self), Rc::clone(file));
        rt::spawn(async move {
            let read = read(&file, chunk).await.map(Rc::new);
            cache.keep_raw(key, read);
        });
        Piece::Pending
    }

    /// As [`Cache::raw`], waiting for it.
    ///
    /// # Errors
    /// What the kernel says; `UnexpectedEof` behind the end of the file.
    pub async fn raw_now(
        self: &Rc<Self>,
        file: &Rc<AsfFile>,
        chunk: u32,
    ) -> io::Result<Rc<RawChunk>> {
        let key = (file.id, chunk);
        if let Some(State::Held(held)) = self.raw.borrow().get(&key) {
            held.touched.set(true);
            return Ok(Rc::clone(&held.piece));
        }
        let chunk = Rc::new(read(file, chunk).await?);
        self.keep_raw(key, Ok(Rc::clone(&chunk)));
        Ok(chunk)
    }

    /// Packets of a file framed for a selection. Starts making them if they are not here.
    pub fn framed(
        self: &Rc<Self>,
        file: &Rc<AsfFile>,
        chunk: u32,
        variant: Variant,
    ) -> Piece<RefCell<Chunk>> {
        let key = (file.id, chunk, variant);
        if let Some(state) = self.framed.borrow().get(&key) {
            return state.answer(&self.counters);
        }
        self.counters.cache_misses.inc();
        if let Some(State::Held(raw)) = self.raw.borrow().get(&(file.id, chunk)) {
            let framed = Rc::new(RefCell::new(frame(file, &raw.piece, variant)));
            let raw_is_partial = raw.piece.count() < file.packets_per_chunk();
            if !raw_is_partial || !file.is_growing() {
                self.keep_framed(key, Ok(Rc::clone(&framed)));
            }
            return Piece::Ready(framed);
        }
        self.framed.borrow_mut().insert(key, State::Pending);
        let (cache, file) = (Rc::clone(self), Rc::clone(file));
        rt::spawn(async move {
            let framed = read(&file, chunk)
                .await
                .map(|raw| Rc::new(RefCell::new(frame(&file, &raw, variant))));
            cache.keep_framed(key, framed);
        });
        Piece::Pending
    }

    /// Forget what is held of a file: it was replaced, or it has grown.
    pub fn forget(&self, file: u64) {
        let mut freed = 0;
        self.raw.borrow_mut().retain(|key, state| {
            let gone = key.0 == file && !matches!(state, State::Pending);
            if gone {
                freed += state.bytes();
            }
            !gone
        });
        self.framed.borrow_mut().retain(|key, state| {
            let gone = key.0 == file && !matches!(state, State::Pending);
            if gone {
                freed += state.bytes();
            }
            !gone
        });
        self.used.set(self.used.get() - freed);
    }

    fn keep_raw(&self, key: RawKey, read: io::Result<Rc<RawChunk>>) {
        let state = State::of(read, |chunk| chunk.block.len());
        let added = state.bytes();
        let replaced = self.raw.borrow_mut().insert(key, state);
        self.account(Key::Raw(key), added, replaced.map_or(0, |s| s.bytes()));
    }

    fn keep_framed(&self, key: FramedKey, made: io::Result<Rc<RefCell<Chunk>>>) {
        let state = State::of(made, |chunk| chunk.borrow().memory());
        let added = state.bytes();
        let replaced = self.framed.borrow_mut().insert(key, state);
        self.account(Key::Framed(key), added, replaced.map_or(0, |s| s.bytes()));
    }

    fn account(&self, key: Key, added: usize, replaced: usize) {
        self.used.set(self.used.get() + added - replaced);
        if replaced == 0 {
            self.order.borrow_mut().push_back(key);
        }
        // Two rounds at most: one takes the second chances away, one evicts.
        let mut tries = self.order.borrow().len() * 2;
        while self.used.get() > self.budget && tries > 0 {
            tries -= 1;
            let Some(key) = self.order.borrow_mut().pop_front() else {
                break;
            };
            let freed = match key {
                Key::Raw(key) => evict(&mut self.raw.borrow_mut(), key),
                Key::Framed(key) => evict(&mut self.framed.borrow_mut(), key),
            };
            match freed {
                Some(bytes) => self.used.set(self.used.get() - bytes),
                None => self.order.borrow_mut().push_back(key),
            }
        }
    }
}

/// Bytes freed; `None` if it must stay for now: used since it was last looked at, or in use.
fn evict<K: std::hash::Hash + Eq, T>(map: &mut HashMap<K, State<T>>, key: K) -> Option<usize> {
    match map.get(&key) {
        Some(State::Pending) => return None,
        Some(State::Held(held)) if held.touched.replace(false) => return None,
        Some(State::Held(held)) if Rc::strong_count(&held.piece) > 1 => return None,
        _ => {}
    }
    Some(map.remove(&key).map_or(0, |state| state.bytes()))
}

impl<T> State<T> {
    fn of(made: io::Result<Rc<T>>, bytes: impl FnOnce(&T) -> usize) -> State<T> {
        match made {
            Ok(piece) => State::Held(Held {
                bytes: bytes(&piece),
                piece,
                touched: Cell::new(true),
            }),
            Err(_) => State::Failed,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            State::Held(held) => held.bytes,
            State::Pending | State::Failed => 0,
        }
    }

    fn answer(&self, counters: &CoreCounters) -> Piece<T> {
        match self {
            State::Pending => Piece::Pending,
            State::Failed => Piece::Failed,
            State::Held(held) => {
                held.touched.set(true);
                counters.cache_hits.inc();
                Piece::Ready(Rc::clone(&held.piece))
            }
        }
    }
}

async fn read(file: &AsfFile, chunk: u32) -> io::Result<RawChunk> {
    let first = file.chunk_start(chunk);
    let packet_size = file.packet_size() as usize;
    let wanted = file.packets_per_chunk() as usize * packet_size;
    let offset = file.offset_of(first);
    let len = match file.growth() {
        Growth::Promised => wanted,
        Growth::Finished(count) | Growth::Recording(count) => {
            let left = file.offset_of(count).saturating_sub(offset);
            wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
        }
    };
    if len == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let block = file.reader.read_at(offset, len).await?;
    if block.len() < packet_size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(RawChunk {
        block,
        packet_size,
        first,
    })
}

/// Filter and trim every packet of a chunk. A damaged packet is left out (ASF-32).
fn frame(file: &AsfFile, raw: &RawChunk, variant: Variant) -> Chunk {
    let mut chunk = Chunk::with_capacity(raw.block.len() + raw.count() as usize * 16);
    let mut filter = Filter::steady(variant.selection, &file.facts.streams);
    for number in raw.first..raw.first + raw.count() {
        let Some(packet) = raw.packet(number) else {
            break;
        };
        chunk.push_with(|out| {
            let kept = filter
                .apply(packet, file.packet_size(), variant.keep_padding, out)
                .ok()??;
            Some(PacketMeta {
                number,
                send_time: kept.send_time,
                duration: kept.duration,
                key: kept.key,
                len: 0,
            })
        });
    }
    chunk.end_number = raw.first + raw.count();
    chunk.shrink();
    chunk
}
