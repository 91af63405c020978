//! The bench around RTSP's server machine, and a client's side of the conversation.
#![allow(dead_code, unused_imports)]

#[path = "../support/mod.rs"]
mod support;

pub mod talk;

use protocols::content::*;
use protocols::machine::Channel;
pub use support::*;
pub use talk::*;

/// The content of the reference's section 10.
pub fn tone() -> Content {
    let sdp = include_str!("../corpus/rtsp/tone.sdp");
    let line = sdp
        .lines()
        .find_map(|l| l.strip_prefix("a=pgmpu:data:application/vnd.ms.wms-hdr.asfv1;base64,"));
    let header = protocols::auth::base64::decode(line.unwrap()).unwrap();
    Content {
        header: header.into(),
        packet_size: 96,
        packet_count: 4,
        preroll: 3000,
        duration: Some(40),
        streams: vec![StreamInfo {
            number: 1,
            kind: StreamKind::Audio,
            average_bit_rate: 64_000,
            peak_bit_rate: 64_000,
            all_key: true,
        }]
        .into(),
        stridable: true,
        entry: 1,
        caching: Caching {
            allowed: true,
            max_age: 86_399,
            last_modified: None,
            etag: Some("{11111111-2222-3333-4444-555555555555}".into()),
        },
        file_size: Some(710),
        description: vec![("title".into(), "Tone".into())].into(),
        ..clip()
    }
}
