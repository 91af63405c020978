//! Flows of a file's own bytes, for downloads.

use super::{Step, Turning};
use crate::rt;
use crate::shard::outlet::Outlet;
use crate::source::AsfFile;
use protocols::media::FlowEnd;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The bytes of a file as they are.
pub struct Copying {
    file: Rc<AsfFile>,
    offset: u64,
    end: u64,
    block: Rc<RefCell<Option<std::io::Result<rt::Block>>>>,
    reading: Rc<Cell<bool>>,
    taken: usize,
}

impl Copying {
    /// A range of bytes of the file.
    pub fn new(file: Rc<AsfFile>, range: std::ops::Range<u64>) -> Copying {
        Copying {
            file,
            offset: range.start,
            end: range.end,
            block: Rc::default(),
            reading: Rc::default(),
            taken: 0,
        }
    }

    /// Send what the socket takes.
    pub fn step(&mut self, outlet: &mut Outlet, t: &Turning<'_>) -> Step {
        if self.offset >= self.end {
            return Step::Ended(FlowEnd::Finished);
        }
        if self.reading.get() {
            return Step::Rest;
        }
        let mut slot = self.block.borrow_mut();
        let Some(block) = slot.as_ref() else {
            drop(slot);
            self.read();
            return Step::Rest;
        };
        let block = match block {
            Ok(block) if !block.is_empty() => block,
            _ => return Step::Ended(FlowEnd::SourceLost),
        };
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let rest = &block[self.taken..];
        let rest = &rest[..rest.len().min(left)];
        let Ok(sent) = outlet.send_plain(rest, t.now, t.core) else {
            return Step::Dead;
        };
        self.taken += sent;
        self.offset += sent as u64;
        if sent < rest.len() {
            return Step::Rest;
        }
        *slot = None;
        drop(slot);
        if self.offset >= self.end {
            return Step::Ended(FlowEnd::Finished);
        }
        self.read();
        Step::Rest
    }

    fn read(&mut self) {
        self.taken = 0;
        self.reading.set(true);
        let (file, offset) = (Rc::clone(&self.file), self.offset);
        let len = (self.end - offset).min(crate::source::CHUNK_BYTES as u64) as usize;
        let (block, reading) = (Rc::clone(&self.block), Rc::clone(&self.reading));
        rt::spawn(async move {
            let read = file.reader.read_at(offset, len).await;
            *block.borrow_mut() = Some(read);
            reading.set(false);
        });
    }
}
