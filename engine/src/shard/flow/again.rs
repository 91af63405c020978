//! Sending packets of a flow of datagrams again.

use super::file::FromFile;
use super::live::Live;
use super::{Flow, Reading, Supply, Turning};
use crate::shard::history::Sent;
use crate::shard::outlet::Outlet;
use crate::shard::spray::Spray;
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
        let Some(spray) = self.outlet.spray.as_deref_mut() else {
            return;
        };
        if spray.owed.is_empty() {
            return;
        }
        for (sequence, number) in std::mem::take(&mut spray.owed) {
            match self.look_up(sequence, number, t) {
                LookedUp::Sent => t.core.resends_sent.inc(),
                LookedUp::Missing => t.core.resends_missed.inc(),
                LookedUp::Later => self.owe(sequence, number),
            }
        }
    }

    fn send_again(&mut self, sequence: u32, t: &mut Turning<'_>) -> LookedUp {
        let Some(spray) = self.outlet.spray.as_deref_mut() else {
            return LookedUp::Missing;
        };
        let Spray {
            port,
            path,
            history,
            ..
        } = spray;
        let number = match history.take(sequence, t.now) {
            None => return LookedUp::Missing,
            Some(Sent::Kept(bytes)) => {
                let ports = &mut t.scratch.ports;
                ports.put(*port, path, t.core, |out| out.extend_from_slice(bytes));
                return LookedUp::Sent;
            }
            Some(Sent::Packet(number)) => number,
        };
        let looked_up = self.look_up(sequence, number, t);
        if matches!(looked_up, LookedUp::Later) {
            self.owe(sequence, number);
        }
        looked_up
    }

    fn look_up(&mut self, sequence: u32, number: u32, t: &mut Turning<'_>) -> LookedUp {
        match &mut self.supply {
            Supply::Live(live) => live.send_again(&mut self.outlet, sequence, number, t),
            Supply::File(file) => {
                file.send_again(&mut self.outlet, self.selection, sequence, number, t)
            }
            Supply::Copy(_) => LookedUp::Missing,
        }
    }

    fn owe(&mut self, sequence: u32, number: u32) {
        if let Some(spray) = self.outlet.spray.as_deref_mut()
            && spray.owed.len() < OWED_COUNT_MAX
        {
            spray.owed.push((sequence, number));
        }
    }
}

impl Live {
    fn send_again(
        &mut self,
        outlet: &mut Outlet,
        sequence: u32,
        number: u32,
        t: &mut Turning<'_>,
    ) -> LookedUp {
        // Through a filter nothing is noted that would have to be looked up.
        let Reading::Framed { store, .. } = &mut self.reading else {
            return LookedUp::Missing;
        };
        let ring = &mut *store.ring.borrow_mut();
        outlet
            .send_again(ring, sequence, number, t.scratch, t.core)
            .into()
    }
}

impl FromFile {
    fn send_again(
        &mut self,
        outlet: &mut Outlet,
        selection: protocols::content::Selection,
        sequence: u32,
        number: u32,
        t: &mut Turning<'_>,
    ) -> LookedUp {
        match self.framed(outlet, selection, number) {
            Piece::Ready(piece) => {
                let piece = &mut *piece.borrow_mut();
                outlet
                    .send_again(piece, sequence, number, t.scratch, t.core)
                    .into()
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
