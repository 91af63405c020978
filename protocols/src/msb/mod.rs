//! MSB: live content to a multicast group (MS-MSB; msb-nsc.md).
//!
//! A sender puts each ASF packet into one datagram behind eight bytes that number it and name its header
//! by a *Format ID*. Receivers have the headers from a station file ([`crate::nsc`]). Nothing comes back
//! from them, so what is lost on the way is made good by a parity packet per *cycle* of packets.

pub mod fec;
pub mod fuzz;
pub mod pacing;
pub mod packet;
pub mod receiver;
pub mod sap;
pub mod sender;

pub use pacing::Pacing;
pub use receiver::{Receiver, ReceiverConfig};
pub use sender::{Sender, SenderConfig};
