//! RTSP-WME, Windows Media streaming over RTSP and RTP (MS-RTSP, RFC 2326, RFC 3550): the codecs.
//!
//! Control is text: [`reader::Reader`] gives messages and interleaved frames, [`head`] writes them,
//! the modules named after headers read and write their values. Media is binary and big-endian:
//! [`rtp`], [`rtcp`], [`payload`] for ASF packets, [`fec`] for what repairs them.
//!
//! Reading is generous where a player needs it, and that player is named; writing is exact.

pub mod body;
pub mod cache_control;
pub mod client;
pub mod fec;
pub mod fields;
pub mod fuzz;
mod gf;
pub mod head;
pub mod pair;
pub mod payload;
pub mod plain;
pub mod range;
pub mod reader;
pub mod rtcp;
pub mod rtp;
pub mod rtp_info;
pub mod sdp;
pub mod sdp_reader;
pub mod server;
pub mod slim;
mod text;
pub mod transport;

/// Something that cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} in {production} at byte {offset}")]
pub struct Fault {
    /// What was being read.
    pub production: &'static str,
    /// What was wrong with it.
    pub reason: &'static str,
    /// Where: in the connection's stream for the reader, in the value or packet for everything else.
    pub offset: u64,
}

impl Fault {
    pub(crate) const fn at(offset: usize, production: &'static str, reason: &'static str) -> Fault {
        Fault {
            production,
            reason,
            offset: offset as u64,
        }
    }

    /// The same in something larger that begins `by` bytes earlier.
    pub(crate) const fn moved(self, by: u64) -> Fault {
        Fault {
            offset: self.offset + by,
            ..self
        }
    }
}
