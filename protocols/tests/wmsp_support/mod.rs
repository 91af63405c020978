//! The bench around WMSP's server machine.
#![allow(dead_code)]

pub mod requests;
#[path = "../support/mod.rs"]
pub mod support;
pub mod wire;

use protocols::machine::{ConnId, CoreId};
use protocols::wmsp::server::{Config, Server};
pub use support::*;
pub use wire::*;

pub type Bench = support::Bench<Server>;

pub fn config(core: u8, cores: u8) -> Config {
    Config::new(CoreId(core), cores, [core + 1; 32])
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(config(0, 1))
    }

    pub fn with(config: Config) -> Bench {
        Bench::around(Server::new(config))
    }

    /// Open a connection, send, and give what came back.
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> (ConnId, Reply) {
        let conn = self.open();
        self.send(conn, bytes);
        let reply = self.reply(conn);
        (conn, reply)
    }

    /// The reply at the start of what was written.
    pub fn reply(&mut self, conn: ConnId) -> Reply {
        Reply::parse(&self.take(conn))
    }
}
