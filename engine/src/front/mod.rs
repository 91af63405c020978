//! Front ends: one machine per protocol and core, its listeners and connections, and the driver
//! that carries its outputs out. The same driver serves every protocol.

mod datagrams;
mod driver;
mod listen;

pub use datagrams::receive;
pub use driver::{Front, feed};
pub use listen::{adopt, listen};
