//! Announcements to session directories.

mod msb_support;

use msb_support::{S1, hex};
use proptest::prelude::*;
use protocols::msb::sap::{Announcement, SapError, Session, describe, group_for, interval};
use protocols::nsc::{FormatIds, Station};
use std::time::Duration;

fn station(group: &str) -> Station {
    let mut formats = FormatIds::new();
    formats.id(&hex(S1).into());
    Station {
        name: Some("ORIGIN1,\r\n ch1".into()),
        ..Station::new(group.parse().expect("an address"), &formats)
    }
}

fn session(origin: &str) -> Session<'static> {
    Session {
        origin: origin.parse().expect("an address"),
        id: 77,
        version: 3,
        nsc_url: "http://192.0.2.10/ch1.nsc",
        bit_rate: 64_001,
    }
}

const SDP: &str = "v=0\r\no=- 77 3 IN IP4 192.0.2.10\r\ns=ORIGIN1, ch1\r\nu=http://192.0.2.10/ch1.nsc\r\n\
    c=IN IP4 239.192.1.2/32\r\nb=AS:65\r\nt=0 0\r\na=type:broadcast\r\na=recvonly\r\n\
    m=application 17000 udp x-ms-msb\r\n";

#[test]
fn a_station_is_described() {
    assert_eq!(
        describe(&station("239.192.1.2:17000"), &session("192.0.2.10")),
        SDP
    );
    let v6 = describe(&station("[ff1e::8]:17000"), &session("2001:db8::1"));
    assert!(v6.contains("\r\no=- 77 3 IN IP6 2001:db8::1\r\n"), "{v6}");
    assert!(v6.contains("\r\nc=IN IP6 ff1e::8\r\n"), "{v6}");
}

#[test]
fn it_is_announced_and_taken_back() {
    let origin = "192.0.2.10".parse().expect("an address");
    let announcement = Announcement::new(origin, SDP.into());
    let bytes = announcement.emit();
    assert_eq!(bytes[..2], [0x20, 0]);
    assert_eq!(bytes[2..4], announcement.hash.to_be_bytes());
    assert_ne!(announcement.hash, 0);
    assert_eq!(bytes[4..8], [192, 0, 2, 10]);
    assert_eq!(&bytes[8..24], b"application/sdp\0");
    assert_eq!(&bytes[24..], SDP.as_bytes());
    let deletion = announcement.deletion();
    let bytes = deletion.emit();
    assert_eq!(bytes[0], 0x24);
    assert_eq!(bytes[2..4], announcement.hash.to_be_bytes());
    assert_eq!(&bytes[24..], b"o=- 77 3 IN IP4 192.0.2.10\r\n");
    assert_eq!(Announcement::parse(&bytes), Ok(deletion));
    let changed = Announcement::new(origin, SDP.replace(" 3 ", " 4 "));
    assert_ne!(changed.hash, announcement.hash);
}

#[test]
fn what_others_send_is_read() {
    let origin = "2001:db8::1".parse().expect("an address");
    let announcement = Announcement::new(origin, SDP.into());
    let mut bytes = announcement.emit();
    assert_eq!(bytes[0], 0x30);
    assert_eq!(Announcement::parse(&bytes).as_ref(), Ok(&announcement));
    // With authentication, and without a payload type.
    bytes[1] = 1;
    bytes.splice(20..20, [1, 2, 3, 4]);
    assert_eq!(Announcement::parse(&bytes).as_ref(), Ok(&announcement));
    bytes.drain(24..40);
    assert_eq!(Announcement::parse(&bytes).as_ref(), Ok(&announcement));
    assert_eq!(Announcement::parse(&bytes[..20]), Err(SapError::Short(20)));
    assert_eq!(Announcement::parse(&[]), Err(SapError::Short(0)));
    for (flags, error) in [
        (0x31, SapError::Packed),
        (0x32, SapError::Packed),
        (0x50, SapError::Version(2)),
    ] {
        bytes[0] = flags;
        assert_eq!(Announcement::parse(&bytes), Err(error));
    }
    let other = [&[0x20, 0, 0, 1, 10, 0, 0, 1][..], b"text/plain\0hello"].concat();
    assert_eq!(Announcement::parse(&other), Err(SapError::Payload));
}

#[test]
fn announcements_have_the_scope_of_their_session() {
    for (group, to) in [
        ("239.192.1.2", "239.195.255.255:9875"),
        ("239.255.0.1", "239.255.255.255:9875"),
        ("233.1.2.3", "224.2.127.254:9875"),
        ("ff1e::8", "[ff0e::2:7ffe]:9875"),
        ("ff15::8", "[ff05::2:7ffe]:9875"),
    ] {
        let group = group.parse().expect("an address");
        assert_eq!(group_for(group), to.parse().expect("an address"), "{group}");
    }
}

#[test]
fn announcements_take_little_of_the_network() {
    assert_eq!(interval(500, 0), Duration::from_secs(200));
    assert_eq!(interval(500, u32::MAX), Duration::from_secs(400));
    // A thousand sessions of 500 bytes each: 4 Mbit take 1000 s.
    let middle = interval(500_000, u32::MAX / 2).as_secs();
    assert!((999..=1000).contains(&middle), "{middle}");
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(announcement) = Announcement::parse(&bytes) {
            prop_assert_eq!(Announcement::parse(&announcement.emit()), Ok(announcement));
        }
    }
}
