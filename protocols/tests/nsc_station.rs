//! Station files: written byte for byte, read with remarks.

mod msb_support;

use bytes::Bytes;
use msb_support::{S1, hex};
use proptest::prelude::*;
use protocols::nsc::block::{encode, encode_text};
use protocols::nsc::{Format, FormatIds, ReadError, Station, Style, WriteError, fuzz, read};
use sha2::{Digest, Sha256};

/// msb-nsc.md 10.8.
const FILE: &str = include_str!("msb_support/station.nsc");

fn header() -> Bytes {
    hex(S1).into()
}

fn station() -> Station {
    let mut formats = FormatIds::new();
    formats.id(&header());
    let mut station = Station {
        name: Some("ORIGIN1, ch1".into()),
        adapter: Some("192.0.2.10".parse().expect("an address")),
        log_url: Some("http://log.example/wmsiislog.dll".into()),
        unicast_url: Some("http://origin.example/ch1".into()),
        ..Station::new("239.192.1.2:17000".parse().expect("an address"), &formats)
    };
    station.formats[0].description = Some("64-byte test stream".into());
    station
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// Reads a file in which `from` stands once and is replaced.
fn read_with(from: &str, to: &str) -> Result<protocols::nsc::Reading, ReadError> {
    assert_eq!(FILE.matches(from).count(), 1, "{from}");
    read(FILE.replace(from, to).as_bytes())
}

/// The remarks on such a file.
fn warnings_with(from: &str, to: &str) -> Vec<String> {
    let reading = read_with(from, to).expect("a usable file");
    reading.warnings.iter().map(ToString::to_string).collect()
}

// MSB-37, NSC-01, NSC-02, NSC-03, NSC-05, NSC-06, NSC-07, NSC-12, NSC-20, NSC-22, NSC-25, NSC-26,
// NSC-28, NSC-34, NSC-41
#[test]
fn the_example_is_reproduced() {
    let text = station().write(Style::Encoded).expect("a legal station");
    assert_eq!(text, FILE);
    assert_eq!(text.len(), 1188);
    assert_eq!(
        sha256(&text),
        "7b777b31e1edcbe3c4e672148b9720828c618a4cfd2c672dcd2dbdb7e499f4cf"
    );
    assert!(text.is_ascii());
}

// NSC-08, NSC-41
#[test]
fn the_plain_example_is_reproduced() {
    let text = station().write(Style::Plain).expect("a legal station");
    assert_eq!(text.len(), 882);
    assert_eq!(
        sha256(&text),
        "22d8b594f7097d4b3824fcbb5b812758d6d7c03fb8e264c7dbeebf781ef99b8f"
    );
}

// NSC-41
#[test]
fn both_examples_are_read_back() {
    for style in [Style::Encoded, Style::Plain] {
        let text = station().write(style).expect("a legal station");
        let reading = read(text.as_bytes()).expect("a station");
        assert_eq!(reading.station, station());
        assert_eq!(reading.warnings, []);
    }
    let read = read(FILE.as_bytes()).expect("a station").station;
    assert_eq!(read.header(0x0DE), Some(&header()));
    assert_eq!(read.header(0x0DF), None);
}

// MSB-37, NSC-30
#[test]
fn every_header_that_was_asked_for_is_listed() {
    let mut formats = FormatIds::new();
    let mut other = header().to_vec();
    other[0x30] = 0xEE;
    let headers = [header(), other.into()];
    let ids = headers.each_ref().map(|h| formats.id(h));
    let written = Station::new(station().group, &formats).write(Style::Encoded);
    let text = written.expect("a legal station");
    assert!(text.contains("\r\nFormat2="), "{text}");
    let read = read(text.as_bytes()).expect("a station").station;
    for (id, header) in ids.iter().zip(&headers) {
        assert_eq!(read.header(*id), Some(header));
    }
}

// MSB-02
#[test]
fn groups_of_either_version_of_ip() {
    let station = Station {
        group: "[ff1e::8:1]:65535".parse().expect("an address"),
        adapter: Some("2001:db8::1".parse().expect("an address")),
        ..station()
    };
    for style in [Style::Encoded, Style::Plain] {
        let text = station.write(style).expect("a legal station");
        assert_eq!(read(text.as_bytes()).expect("a station").station, station);
    }
}

// NSC-04, NSC-35
#[test]
fn an_empty_string_is_no_property() {
    let name = "Name=022G000000000QJm1I04a0Hm1904u0CG0i0200Om1e0340000";
    for empty in ["Name=", "Name= ", "Name=020W0000000002000"] {
        let reading = read_with(name, empty).expect("a station");
        assert_eq!(reading.station.name, None);
        assert_eq!(reading.warnings, []);
    }
    let reading = read_with("Default Ecc=0x0000000A", "Default Ecc=").expect("a station");
    assert_eq!(
        (reading.station.default_ecc, reading.warnings),
        (None, vec![])
    );
    let nameless = Station {
        name: Some(String::new()),
        ..station()
    };
    assert!(
        !nameless
            .write(Style::Plain)
            .expect("legal")
            .contains("Name")
    );
}

// NSC-36
#[test]
fn a_string_with_a_stale_checksum_is_read_and_remarked() {
    let name = "022G000000000QJm1I04a0Hm1904u0CG0i0200Om1e0340000";
    let stale = "029W000000000YJG1P05y0Gm1F04q0K01L05G0HG1I02m0801Y0700S00000";
    let reading = read_with(name, stale).expect("a station");
    assert_eq!(reading.station.name.as_deref(), Some("MY_COMPUTER, bpp"));
    let remarks: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(remarks, ["line 2: the checksum is 0x26, not 0x00"]);
}

// NSC-08, NSC-37
#[test]
fn strings_that_look_encoded_are_encoded() {
    for (name, plain) in [
        ("02 live", false),
        ("01", false),
        ("0x10", false),
        ("0X10", false),
        (" led", false),
        ("trailing ", false),
        ("Café", false),
        ("a\tb", false),
        ("03", true),
        ("ORIGIN, live", true),
    ] {
        let station = Station {
            name: Some(name.into()),
            ..station()
        };
        let text = station.write(Style::Plain).expect("a legal station");
        assert_eq!(
            text.contains(&format!("Name={name}\r\n")),
            plain,
            "{name:?}"
        );
        assert_eq!(text.contains(&encode_text(name)), !plain, "{name:?}");
        assert_eq!(read(text.as_bytes()).expect("a station").station, station);
    }
    // A reader takes for plain text what only begins like a block.
    let name = "022G000000000QJm1I04a0Hm1904u0CG0i0200Om1e0340000";
    let reading = read_with(name, "02 live").expect("a station");
    assert_eq!(reading.station.name.as_deref(), Some("02 live"));
}

// NSC-38
#[test]
fn what_windows_2000_wrote_is_skipped() {
    let more = "[Address]\r\nPlayer URL=020W0000000002000\r\nPlayer Version=4.0\r\nDistribution Limit=0x00000001\r\n\
                Channel Version=0x1\r\nDelivery Mode=x\r\nNSC URL=http://a/b\r\n";
    let reading = read_with("[Address]\r\n", more).expect("a station");
    assert_eq!(reading.station, station());
    assert_eq!(reading.warnings.len(), 6);
    assert_eq!(
        reading.warnings[0].to_string(),
        "line 2: \"Player URL\" is not known"
    );
}

// NSC-06
#[test]
fn oddities_are_remarked() {
    let lf = FILE.replace("\r\n", "\n");
    let reading = read(lf.as_bytes()).expect("a station");
    assert_eq!(reading.station, station());
    assert_eq!(reading.warnings.len(), 1);
    let reading = read(FILE.trim_end().as_bytes()).expect("a station");
    assert_eq!(reading.station, station());
    assert_eq!(reading.warnings.len(), 1);
    // Blanks around the sign, other letters, a byte order mark: no reason to fail.
    let loose = FILE
        .replace("IP Port=", "ip port \t= ")
        .replace("[Formats]", "[FORMATS]");
    let reading = read(format!("\u{feff}{loose}").as_bytes()).expect("a station");
    assert_eq!((reading.station, reading.warnings), (station(), vec![]));
    let swapped = FILE
        .replace("IP Port=0x00004268\r\n", "")
        .replace("Default Ecc", "IP Port=0x00004268\r\nDefault Ecc");
    let reading = read(swapped.as_bytes()).expect("a station");
    assert_eq!(reading.station, station());
    let remarks: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(remarks, ["line 7: IP Port is out of order"]);
}

// NSC-07, NSC-25
#[test]
fn integers_are_eight_hexadecimal_digits() {
    for bad in [
        "32",
        "0x20",
        "0x000000020",
        "0x0000002g",
        "0x00000100",
        "20x0000002",
    ] {
        let remarks = warnings_with("Time To Live=0x00000020", &format!("Time To Live={bad}"));
        assert_eq!(remarks, [format!("line 7: Time To Live is {bad:?}")]);
    }
    let remarks = warnings_with("Allow Caching=0x00000000", "Allow Caching=0x00000002");
    assert_eq!(remarks.len(), 1);
    let reading = read_with("Time To Live=0x00000020", "Time To Live=0X000000fF");
    assert_eq!(reading.expect("a station").station.ttl, Some(255));
}

// NSC-03, NSC-05
#[test]
fn what_a_receiver_needs_must_be_there() {
    for section in ["[Address]", "[Formats]"] {
        let cut = FILE.replace(&format!("{section}\r\n"), "");
        assert_eq!(read(cut.as_bytes()), Err(ReadError::Section(section)));
    }
    assert_eq!(read(b""), Err(ReadError::Section("[Address]")));
    let unicast = Some("http://origin.example/ch1".to_owned());
    let group = "IP Address=02Dm000000000OCW0p03a0BW0n03a0CW0k0340BW0o0000\r\n";
    let port = "IP Port=0x00004268\r\n";
    for (from, to, wrong) in [
        (group, "", "IP Address is missing"),
        (group, "IP Address=\r\n", "IP Address is missing"),
        (
            group,
            "IP Address=192.0.2.1\r\n",
            "IP Address is \"192.0.2.1\"",
        ),
        (group, "IP Address=host\r\n", "IP Address is \"host\""),
        (port, "", "IP Port is missing"),
        (port, "IP Port=0x00000000\r\n", "IP Port is \"0x00000000\""),
        (port, "IP Port=0x00010000\r\n", "IP Port is \"0x00010000\""),
        (port, "IP Port=17000\r\n", "IP Port is \"17000\""),
    ] {
        let expected = ReadError::Group {
            what: wrong.to_owned(),
            unicast_url: unicast.clone(),
        };
        assert_eq!(read_with(from, to), Err(expected), "{to}");
    }
    let version = "NSC Format Version=029G0000000008Cm0k0300000";
    let other = read_with(version, "NSC Format Version=4.0");
    assert_eq!(other, Err(ReadError::Version("4.0".into())));
    assert_eq!(
        read_with(&format!("{version}\r\n"), "")
            .expect("a station")
            .station,
        station()
    );
}

/// The file with other formats.
fn with_formats(values: &[String]) -> Result<protocols::nsc::Reading, ReadError> {
    let (head, _) = FILE.split_once("Format1=").expect("a format");
    let lines = (1..)
        .zip(values)
        .map(|(n, value)| format!("Format{n}={value}\r\n"));
    read(format!("{head}{}", lines.collect::<String>()).as_bytes())
}

// NSC-28, NSC-29, NSC-32
#[test]
fn formats_that_are_wrong_are_left_out() {
    let good = encode(0x0DE, &header());
    let mut stale = good.clone();
    // A bit of the data.
    let last = stale.pop().map(|c| if c == 'G' { '0' } else { 'G' });
    stale.extend(last);
    let cut = encode(2, &header()[..325]);
    let longer = encode(3, &[&header()[..], b"x"].concat());
    let no_header = encode(4, &[0; 326]);
    let large = encode(0x800, &header());
    let twice = encode(0x0DE, &header());
    let second = encode(0x0DF, &header());
    for bad in [&stale, &cut, &longer, &no_header, &large] {
        assert_eq!(
            with_formats(std::slice::from_ref(bad)),
            Err(ReadError::NoFormat)
        );
        let reading = with_formats(&[bad.clone(), good.clone()]).expect("a station");
        assert_eq!(
            (reading.station.formats.len(), reading.warnings.len()),
            (1, 1)
        );
    }
    let reading = with_formats(&[good, twice, second, "3.0".into()]).expect("a station");
    let ids: Vec<u16> = reading.station.formats.iter().map(|f| f.id).collect();
    assert_eq!((ids, reading.warnings.len()), (vec![0x0DE, 0x0DF], 2));
    assert_eq!(with_formats(&[]), Err(ReadError::NoFormat));
}

// NSC-39
#[test]
fn long_lines_are_read_and_endless_ones_are_not() {
    let mut large = hex(S1);
    // An object that nobody knows, in front of the Data Object.
    let at = large.len() - 50;
    let size = 98_000u64;
    let object = [&[0x77; 16][..], &size.to_le_bytes(), &vec![0; 98_000 - 24]].concat();
    large.splice(at..at, object);
    let length = (276 + size).to_le_bytes();
    large[16..24].copy_from_slice(&length);
    large[24] += 1;
    let value = encode(1, &large);
    assert!(value.len() > 128 * 1024);
    let reading = with_formats(&[value]).expect("a station");
    assert_eq!(reading.station.formats[0].header, Bytes::from(large));
    let endless = format!("[Address]\r\nName={}", "a".repeat(300_000));
    assert_eq!(
        read(endless.as_bytes()),
        Err(ReadError::TooLong { line: 2 })
    );
    let vast = vec![b'\n'; (8 << 20) + 1];
    assert!(matches!(read(&vast), Err(ReadError::TooLong { .. })));
    // Remarks are bounded, too.
    let noise = format!("{FILE}{}", "x\r\n".repeat(10_000));
    assert_eq!(
        read(noise.as_bytes()).expect("a station").warnings.len(),
        100
    );
}

// NSC-05, NSC-12, NSC-23, NSC-28, NSC-29
#[test]
fn no_illegal_station_is_written() {
    let write = |station: &Station| station.write(Style::Encoded);
    let unicast: Station = Station {
        group: "192.0.2.1:5000".parse().expect("an address"),
        ..station()
    };
    assert_eq!(write(&unicast), Err(WriteError::Group(unicast.group)));
    let portless = Station {
        group: "239.0.0.1:0".parse().expect("an address"),
        ..station()
    };
    assert_eq!(write(&portless), Err(WriteError::Group(portless.group)));
    let format = |id, header: Bytes| Format {
        id,
        header,
        description: None,
    };
    let with = |formats| Station {
        formats,
        ..station()
    };
    assert_eq!(write(&with(vec![])), Err(WriteError::NoFormat));
    let twice = vec![format(7, header()), format(7, header())];
    assert_eq!(write(&with(twice)), Err(WriteError::FormatId(7)));
    let large = vec![format(2048, header())];
    assert_eq!(write(&with(large)), Err(WriteError::FormatId(2048)));
    let cut = vec![format(1, header().slice(..300))];
    assert_eq!(write(&with(cut)), Err(WriteError::Header(1)));
    let https = Station {
        log_url: Some("https://a/b".into()),
        ..station()
    };
    assert_eq!(write(&https), Err(WriteError::LogUrl("https://a/b".into())));
}

#[test]
fn it_is_served_as_players_expect_it() {
    assert_eq!(protocols::nsc::CONTENT_TYPE, "video/x-ms-asf");
    assert_eq!(protocols::nsc::CACHE_CONTROL, "no-cache");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // NSC-32
    #[test]
    fn damaged_files_are_read_or_refused(at in 0usize..1300, with in proptest::collection::vec(any::<u8>(), 0..40), cut in 0usize..40) {
        let mut bytes = FILE.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes.splice(at..(at + cut).min(bytes.len()), with);
        fuzz::station(&bytes);
    }

    #[test]
    fn anything_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        fuzz::station(&bytes);
        fuzz::encoded_block(&bytes);
    }

    #[test]
    fn stations_come_back(name in "[^\0]{0,30}", ttl: Option<u8>, port in 1u16.., buffer: Option<u32>, plain: bool) {
        let station = Station {
            name: Some(name).filter(|n| !n.is_empty()),
            ttl,
            group: std::net::SocketAddr::new([239, 1, 2, 3].into(), port),
            network_buffer_ms: buffer,
            ..station()
        };
        let style = if plain { Style::Plain } else { Style::Encoded };
        let text = station.write(style).expect("a legal station");
        prop_assert!(text.is_ascii());
        prop_assert_eq!(read(text.as_bytes()).expect("a station").station, station);
    }
}
