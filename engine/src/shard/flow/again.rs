//! Sending packets of a flow of datagrams again.

use super::file::FromFile;
use super::live::Live;
use super::{Flow, Reading, Supply, Turning};
use crate::shard::history::Sent;
use crate::shard::outlet::Outlet;
use crate::shard::spray::{Beside, Owed};
use crate::source::Piece;

/// Packets that may wait to be read again.
const OWED_COUNT_MAX: usize = 64;

/// How looking a packet up in its store went.
pub enum LookedUp {
    Sent,
    /// It is being read.
    Later,
    Missing,
}

impl Flow {
    /// Send again what was sent with these sequences, as far as it can be had.
    pub fn resend(&mut self, sequences: &[u32], t: &mut Turning<'_>) {
        for sequence in sequences {
            match self.send_again(*sequence, t) {
                LookedUp::Sent => t.core.resends_sent.inc(),
                LookedUp::Missing => t.core.resends_missed.inc(),
                LookedUp::Later => {}
            }
        }
    }

    /// Send again what had to be read first.
    pub(super) fn pay_owed(&mut self, t: &mut Turning<'_>) {
        let Some(beside) = self.outlet.beside.as_deref_mut() else {
            return;
        };
        if beside.owed.is_empty() {
            return;
        }
        for owed in std::mem::take(&mut beside.owed) {
            match self.look_up(owed, t) {
                LookedUp::Sent => t.core.resends_sent.inc(),
                LookedUp::Missing => t.core.resends_missed.inc(),
                LookedUp::Later => self.owe(owed),
            }
        }
    }

    fn send_again(&mut self, sequence: u32, t: &mut Turning<'_>) -> LookedUp {
        let Some(beside) = self.outlet.beside.as_deref_mut() else {
            return LookedUp::Missing;
        };
        let Beside {
            lanes,
            again_lane,
            history,
            ..
        } = beside;
        let owed = match history.take(sequence, t.now) {
            None => return LookedUp::Missing,
            Some(Sent::Kept(bytes)) => {
                if let Some((port, path)) = lanes.get(*again_lane) {
                    let ports = &mut t.scratch.ports;
                    ports.put(*port, path, t.core, |out| out.extend_from_slice(bytes));
                }
                return LookedUp::Sent;
            }
            Some(Sent::Packet(number, piece)) => Owed {
                sequence,
                number,
                piece,
            },
        };
        let looked_up = self.look_up(owed, t);
        if matches!(looked_up, LookedUp::Later) {
            self.owe(owed);
        }
        looked_up
    }

    fn look_up(&mut self, owed: Owed, t: &mut Turning<'_>) -> LookedUp {
        match &mut self.supply {
            Supply::Live(live) => live.send_again(&mut self.outlet, owed, t),
            Supply::File(file) => file.send_again(&mut self.outlet, self.selection, owed, t),
            Supply::Copy(_) => LookedUp::Missing,
        }
    }

    fn owe(&mut self, owed: Owed) {
        if let Some(beside) = self.outlet.beside.as_deref_mut()
            && beside.owed.len() < OWED_COUNT_MAX
        {
            beside.owed.push(owed);
        }
    }
}

impl Live {
    fn send_again(&mut self, outlet: &mut Outlet, owed: Owed, t: &mut Turning<'_>) -> LookedUp {
        // Through a filter nothing is noted that would have to be looked up.
        let Reading::Framed { store, .. } = &mut self.reading else {
            return LookedUp::Missing;
        };
        let ring = &mut *store.ring.borrow_mut();
        outlet.send_again(ring, owed, t.scratch, t.core).into()
    }
}

impl FromFile {
    fn send_again(
        &mut self,
        outlet: &mut Outlet,
        selection: protocols::content::Selection,
        owed: Owed,
        t: &mut Turning<'_>,
    ) -> LookedUp {
        match self.framed(outlet, selection, owed.number) {
            Piece::Ready(piece) => {
                let piece = &mut *piece.borrow_mut();
                outlet.send_again(piece, owed, t.scratch, t.core).into()
            }
            Piece::Pending => LookedUp::Later,
            Piece::Failed => LookedUp::Missing,
        }
    }
}

impl From<bool> for LookedUp {
    fn from(sent: bool) -> LookedUp {
        match sent {
            true => LookedUp::Sent,
            false => LookedUp::Missing,
        }
    }
}
