//! A session of ten packets without pipelining, as the tests of the client play it.

use super::*;
use crate::asf_build::{self, simple_blob};

pub const DESCRIBED: &str = "Content-Type: application/vnd.ms.wms-hdr.asfv1\r\nPragma: no-cache, client-id=77, \
     features=\"seekable,stridable\", timeout=55000\r\n";
pub const SUPPORTS: &str = "Supported: com.microsoft.wm.srvppair, com.microsoft.wm.sswitch, \
     com.microsoft.wm.predstrm, com.microsoft.wm.startupprofile, com.microsoft.wm.fastcache\r\n";

pub fn config() -> ClientConfig {
    ClientConfig::new("http://h/vod/a.wmv?x=1", 7)
}

pub fn plain() -> ClientConfig {
    ClientConfig {
        pipelined: false,
        packet_pair: false,
        ..config()
    }
}

pub fn asf_header() -> Vec<u8> {
    simple_blob(10, 64, 1000)
}

pub fn description() -> Vec<u8> {
    [metadata(1), object(PacketId::Header, &asf_header())].concat()
}

/// A rig up to the Play request, without pipelining; returns it.
pub fn playing(config: ClientConfig) -> (Rig, ConnId, String) {
    let mut rig = Rig::new(config);
    let conn = rig.open();
    rig.requests(conn);
    let headers = format!("{DESCRIBED}{SUPPORTS}");
    rig.feed(conn, reply("200 OK", &headers, &description()));
    let play = rig.request(conn);
    (rig, conn, play)
}

pub fn packets(range: std::ops::Range<u32>) -> Vec<u8> {
    range.flat_map(|n| data(n, &asf_packet(n))).collect()
}

pub fn asf_packet(n: u32) -> Vec<u8> {
    let piece = asf_build::Piece::whole(1, true, n as u8, 1000 + n * 100, 20);
    asf_build::packet(64, n * 100, 100, &[piece])
}

pub fn expected(range: std::ops::Range<u32>) -> Vec<(u32, Vec<u8>)> {
    range.map(|n| (n, asf_packet(n))).collect()
}

/// The body of a Play: description and packets.
pub fn played(range: std::ops::Range<u32>) -> Vec<u8> {
    [description(), packets(range)].concat()
}
