//! RTSP over TCP and UDP, through the whole server.

mod support;

use protocols::asf::Packet;
use std::collections::BTreeMap;
use support::asf::said;
use support::rtsp;
use support::*;

const ALL: &str = r#"
[server]
cores = 2
[listen]
http = ["127.0.0.1:0"]
rtsp = ["127.0.0.1:0"]
[[point]]
name = "vod"
kind = "on-demand"
source = "."
"#;

// RTSP-01, RTSP-17, RTSP-19, RTSP-20, RTSP-21
#[test]
fn a_file_is_the_same_over_tcp_and_udp_and_http() {
    let folder = Folder::with_clip("rtsp-same");
    let server = start(config(&folder, ALL));
    let mut player = Player::play(http(&server), "/vod/clip.wmv", &[1, 2], "");
    let size = player.header().packet_size();
    let packets = player.rest().into_iter();
    let want: BTreeMap<u32, _> = packets
        .filter_map(|event| match event {
            Event::Data(data) => Some((data.number, said(&data.payload, size as usize))),
            _ => None,
        })
        .collect();
    let at = server.addresses().rtsp[0];
    std::thread::scope(|scope| {
        for udp in [false, true, true, false] {
            let want = &want;
            scope.spawn(move || {
                let player = rtsp::Player::play(at, "/vod/clip.wmv", udp);
                assert!(player.sdp.contains(&format!("a=maxps:{size}")));
                let got = player.all_packets(size as usize);
                for (number, bytes) in &got {
                    let packet = Packet::parse(bytes, size).expect("a packet");
                    assert_eq!(packet.padding(), 0, "packet {number}");
                    let full = bytes.len() == size as usize;
                    let length = packet.explicit_length().map(|l| l as usize);
                    assert!(full || length == Some(bytes.len()), "packet {number}");
                    assert!(bytes.len() <= size as usize);
                }
                let got: BTreeMap<u32, _> = got
                    .into_iter()
                    .map(|(number, bytes)| (number, said(&bytes, size as usize)))
                    .collect();
                assert_eq!(&got, want);
            });
        }
    });
    server.stop();
}
