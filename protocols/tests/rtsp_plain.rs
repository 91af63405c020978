//! H.264, AAC and MPEG audio in payloads of their own, and back by independent readers.

mod asf_build;

use asf_build as build;
use proptest::prelude::*;
use protocols::asf::Header;
use protocols::rtsp::plain::{self, Bitmap, Payloads, Wave, aac, h264, mpa};
use protocols::rtsp::sdp::{Media, MediaKind};

fn hex(text: &str) -> Vec<u8> {
    build::hex(text)
}

const SPS: &[u8] = &[0x67, 0x42, 0xC0, 0x1E, 0xD9, 0x00, 0xA0];
const PPS: &[u8] = &[0x68, 0xCE, 0x3C, 0x80];

fn annex_b(nals: &[Vec<u8>], long: bool) -> Vec<u8> {
    let start: &[u8] = if long { &[0, 0, 0, 1] } else { &[0, 0, 1] };
    nals.iter().flat_map(|n| [start, n].concat()).collect()
}

fn lengths(nals: &[Vec<u8>], size: usize) -> Vec<u8> {
    let field = |n: usize| (n as u32).to_be_bytes()[4 - size..].to_vec();
    nals.iter()
        .flat_map(|n| [field(n.len()), n.clone()].concat())
        .collect()
}

fn record(size: u8) -> Vec<u8> {
    let head = [
        1,
        SPS[1],
        SPS[2],
        SPS[3],
        0xFC | (size - 1),
        0xE1,
        0,
        SPS.len() as u8,
    ];
    [&head[..], SPS, &[1, 0, PPS.len() as u8], PPS].concat()
}

/// NAL units out of payloads, by RFC 6184 alone.
fn depayload_h264(payloads: &Payloads, max: usize) -> Vec<Vec<u8>> {
    let mut nals = Vec::new();
    let mut partial: Option<Vec<u8>> = None;
    let count = payloads.iter().count();
    for (n, p) in payloads.iter().enumerate() {
        assert!(p.bytes.len() <= max, "{} bytes", p.bytes.len());
        assert_eq!((p.marker, p.ticks), (n + 1 == count, 0));
        match p.bytes[0] & 0x1F {
            24 => {
                let mut rest = &p.bytes[1..];
                while let [l0, l1, tail @ ..] = rest {
                    let len = usize::from(*l0) << 8 | usize::from(*l1);
                    nals.push(tail[..len].to_vec());
                    rest = &tail[len..];
                }
                assert!(rest.is_empty());
            }
            28 => {
                let fu = p.bytes[1];
                if fu & 0x80 != 0 {
                    assert!(partial.is_none() && fu & 0x40 == 0, "one fragment alone");
                    partial = Some(vec![p.bytes[0] & 0xE0 | fu & 0x1F]);
                }
                partial.as_mut().unwrap().extend(&p.bytes[2..]);
                if fu & 0x40 != 0 {
                    nals.push(partial.take().unwrap());
                }
            }
            _ => nals.push(p.bytes.to_vec()),
        }
    }
    assert!(partial.is_none());
    nals
}

#[test]
fn h264_is_described_from_either_kind_of_extra_data() {
    let want =
        "packetization-mode=1;profile-level-id=42C01E;sprop-parameter-sets=Z0LAHtkAoA==,aM48gA==";
    // A trailing zero would belong to the next start code.
    let sets = vec![[&SPS[..6], &[0xA0]].concat(), PPS.to_vec()];
    for extra in [
        record(4),
        record(2),
        annex_b(&sets, true),
        annex_b(&sets, false),
    ] {
        let config = h264::Config::parse(&extra);
        assert_eq!(config.format().parameters.as_deref(), Some(want));
    }
    assert_eq!(
        h264::Config::parse(&record(2)).framing,
        h264::Framing::Lengths(2)
    );
    let bare = h264::Config::parse(&[]);
    assert_eq!(
        bare.format().parameters.as_deref(),
        Some("packetization-mode=1")
    );
    // A damaged record keeps what can be read.
    let record = record(4);
    for len in 0..record.len() {
        let config = h264::Config::parse(&record[..len]);
        assert_eq!(config.sps.len(), usize::from(len >= 15), "{len} bytes");
        assert_eq!(config.pps.len(), 0);
    }
    let media = Media::plain(MediaKind::Video, 97, bare.format(), "video".into());
    assert!(!media.no_rtcp);
}

#[test]
fn h264_objects_in_every_framing() {
    let nals = vec![
        vec![0x09, 0xF0],
        SPS.to_vec(),
        PPS.to_vec(),
        vec![0x65, 1, 2, 3, 0, 0, 2],
    ];
    let with_lengths = h264::Config::parse(&record(4));
    let with_starts = h264::Config::default();
    for object in [
        annex_b(&nals, true),
        annex_b(&nals, false),
        lengths(&nals, 4),
    ] {
        assert_eq!(with_lengths.nals(&object).unwrap(), nals);
        assert_eq!(with_starts.nals(&object).unwrap(), nals);
    }
    assert_eq!(
        h264::Config::parse(&record(1))
            .nals(&lengths(&nals, 1))
            .unwrap(),
        nals
    );
    for bad in [&b""[..], b"abc", &[0, 0, 0, 9, 1], &[0, 0]] {
        assert!(with_lengths.nals(bad).is_err(), "{bad:?}");
        assert!(with_starts.nals(bad).is_err(), "{bad:?}");
    }
    // What would be taken for an aggregate or a fragment is no NAL unit.
    let odd = annex_b(
        &[vec![0x78, 1], vec![0x7C, 1], vec![0x00, 1], vec![0x41, 1]],
        true,
    );
    assert_eq!(with_starts.nals(&odd).unwrap(), [[0x41, 1]]);
    let mut learning = h264::Config::default();
    let object = annex_b(&nals, true);
    let found = learning.nals(&object).unwrap();
    assert!(learning.learn(&found) && !learning.learn(&found));
    assert_eq!((&*learning.sps[0], &*learning.pps[0]), (SPS, PPS));
}

#[test]
fn h264_payloads_byte_by_byte() {
    let slice: Vec<u8> = std::iter::once(0x65).chain(0..130).collect();
    let nals: Vec<&[u8]> = vec![SPS, PPS, &slice];
    let mut out = Payloads::new();
    h264::Payloader::new(64, true).payloads(&nals, &mut out);
    let got: Vec<_> = out.iter().map(|p| (p.bytes.to_vec(), p.marker)).collect();
    let stap = [&[0x78, 0, 7][..], SPS, &[0, 4], PPS].concat();
    assert_eq!(got[0], (stap, false));
    assert_eq!((&got[1].0[..3], got[1].0.len()), (&[0x7C, 0x85, 0][..], 64));
    assert_eq!(
        (&got[2].0[..3], got[2].0.len()),
        (&[0x7C, 0x05, 62][..], 64)
    );
    assert_eq!(
        (&got[3].0[..3], got[3].0.len()),
        (&[0x7C, 0x45, 124][..], 8)
    );
    assert_eq!(
        got.iter().map(|p| p.1).collect::<Vec<_>>(),
        [false, false, false, true]
    );
    h264::Payloader::new(64, false).payloads(&nals, &mut out);
    assert_eq!(out.iter().next().unwrap().bytes, SPS);
    assert_eq!(out.iter().count(), 5);
    h264::Payloader::new(64, true).payloads(&[], &mut out);
    assert_eq!(out.iter().count(), 0);
}

fn wave(tag: u16, channels: u16, rate: u32, extra: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(tag.to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend([0; 8]);
    out.extend((extra.len() as u16).to_le_bytes());
    out.extend(extra);
    out
}

#[test]
fn aac_is_described() {
    let of = |data: &[u8]| aac::Config::of(&Wave::parse(data).unwrap());
    let lc = of(&wave(0x00FF, 2, 44_100, &[0x12, 0x10])).unwrap();
    assert_eq!((lc.clock, lc.channels, lc.unit_ticks), (44_100, 2, 1024));
    let format = lc.format();
    assert_eq!(
        (&*format.name, format.clock, format.channels),
        ("mpeg4-generic", 44_100, Some(2))
    );
    assert_eq!(
        format.parameters.as_deref(),
        Some(
            "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1210"
        )
    );
    // HEAACWAVEINFO, and replication of bands said aloud.
    let he = of(&wave(
        0x1610,
        2,
        44_100,
        &hex("000029000000000000000000 2B9208"),
    ))
    .unwrap();
    assert_eq!(
        (he.clock, he.unit_ticks, &*he.specific),
        (44_100, 2048, &[0x2B, 0x92, 0x08][..])
    );
    // 24 bits of rate, channels from WAVEFORMATEX.
    let odd = aac::Config::parse(&hex("17800BB800"), 6).unwrap();
    assert_eq!((odd.clock, odd.channels), (0x1770, 6));
    assert_eq!(of(&wave(0x0161, 2, 44_100, &[0x12, 0x10])), None);
    assert_eq!(of(&wave(0x00FF, 2, 44_100, &[0x12])), None);
    assert_eq!(aac::Config::parse(&hex("1780000000"), 2), None);
    assert_eq!(Wave::parse(&[0; 15]), None);
}

fn adts(units: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for unit in units {
        let len = unit.len() + 7;
        // LC, 44.1 kHz, two channels, without a checksum.
        out.extend([
            0xFF,
            0xF1,
            0x50,
            0x80 | (len >> 11) as u8,
            (len >> 3) as u8,
            (len << 5) as u8 | 0x1F,
            0xFC,
        ]);
        out.extend(unit);
    }
    out
}

#[test]
fn aac_payloads_byte_by_byte() {
    let object = adts(&[vec![0x21; 10], vec![0x22; 20]]);
    let config = aac::Config::of_adts(&object).unwrap();
    assert_eq!(config, aac::Config::parse(&[0x12, 0x10], 0).unwrap());
    let units = aac::units(&object);
    assert_eq!(units, [&[0x21; 10][..], &[0x22; 20]]);
    // What is not ADTS to its end is one raw unit.
    assert_eq!(
        aac::units(&object[..object.len() - 1]),
        [&object[..object.len() - 1]]
    );
    assert_eq!(aac::units(&[0x21, 3]), [[0x21, 3]]);
    assert!(aac::units(&[]).is_empty());
    let payloader = aac::Payloader::new(64, &config);
    let mut out = Payloads::new();
    payloader.payloads(&units, &mut out).unwrap();
    let got: Vec<_> = out.iter().collect();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].bytes[..6], [0, 32, 0, 80, 0, 160]);
    assert_eq!((got[0].bytes.len(), got[0].marker), (36, true));
    let long = vec![7; 100];
    payloader.payloads(&[&long, &long[..5]], &mut out).unwrap();
    let got: Vec<_> = out
        .iter()
        .map(|p| (p.bytes[..4].to_vec(), p.bytes.len(), p.marker, p.ticks))
        .collect();
    let head = vec![0, 16, 3, 32];
    assert_eq!(got[0], (head.clone(), 64, false, 0));
    assert_eq!(got[1], (head, 44, true, 0));
    assert_eq!(got[2], (vec![0, 16, 0, 40], 9, true, 1024));
    assert_eq!(
        payloader
            .payloads(&[&long, &[]], &mut out)
            .unwrap_err()
            .offset,
        100
    );
    assert!(payloader.payloads(&[&vec![0; 8192]], &mut out).is_err());
}

/// Access units with their times out of payloads, by RFC 3640 alone.
fn depayload_aac(payloads: &Payloads, max: usize, ticks: u32) -> Vec<(u32, Vec<u8>)> {
    let mut units: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut partial = Vec::new();
    for p in payloads.iter() {
        assert!(p.bytes.len() <= max);
        let count = (usize::from(p.bytes[0]) << 8 | usize::from(p.bytes[1])) / 16;
        let mut data = &p.bytes[2 + 2 * count..];
        for n in 0..count {
            let head = &p.bytes[2 + 2 * n..];
            assert_eq!(head[1] & 7, 0, "index");
            let size = (usize::from(head[0]) << 8 | usize::from(head[1])) >> 3;
            let here = size.min(data.len());
            partial.extend(&data[..here]);
            data = &data[here..];
            assert_eq!(partial.len() == size, p.marker);
            if partial.len() == size {
                units.push((p.ticks + n as u32 * ticks, std::mem::take(&mut partial)));
            }
        }
        assert!(data.is_empty());
    }
    units
}

#[test]
fn mpeg_audio_frames() {
    let frame = |text: &str| mpa::Frame::parse(&hex(text)).map(|f| (f.len, f.samples, f.rate));
    assert_eq!(frame("FFFB9064"), Some((417, 1152, 44_100)));
    assert_eq!(frame("FFFB9264"), Some((418, 1152, 44_100)));
    assert_eq!(frame("FFFBE400"), Some((960, 1152, 48_000)));
    assert_eq!(frame("FFF38000"), Some((208, 576, 22_050)));
    assert_eq!(frame("FFE34400"), Some((192, 576, 12_000)));
    assert_eq!(frame("FFFDC400"), Some((768, 1152, 48_000)));
    assert_eq!(frame("FFFFC400"), Some((384, 384, 48_000)));
    for bad in [
        "FFFB", "FEFB9064", "FFEB9064", "FFF99064", "FFFB0064", "FFFBF064", "FFFB9C64", "00000000",
    ] {
        assert_eq!(frame(bad), None, "{bad}");
    }
    assert_eq!(mpa::Frame::parse(&hex("FFFB9064")).unwrap().ticks(), 2351);
    assert!(mpa::is_mpa(
        &Wave::parse(&wave(0x55, 2, 44_100, &[])).unwrap()
    ));
    assert_eq!(
        (
            mpa::format().name.as_str(),
            mpa::format().clock,
            mpa::PAYLOAD_TYPE
        ),
        ("MPA", 90_000, 14)
    );
}

fn mp3(fills: &[u8]) -> Vec<u8> {
    fills
        .iter()
        .flat_map(|f| {
            let mut frame = hex("FFFB9064");
            frame.resize(417, f & 0x7F);
            frame
        })
        .collect()
}

#[test]
fn mpeg_audio_payloads() {
    let object = mp3(&[1, 2, 3, 4]);
    let mut out = Payloads::new();
    mpa::Payloader::new(1460)
        .payloads(&object, true, &mut out)
        .unwrap();
    let got: Vec<_> = out
        .iter()
        .map(|p| (p.bytes.len(), p.marker, p.ticks))
        .collect();
    assert_eq!(got, [(4 + 3 * 417, true, 0), (4 + 417, false, 3 * 2351)]);
    mpa::Payloader::new(204)
        .payloads(&object[..417], false, &mut out)
        .unwrap();
    let got: Vec<_> = out
        .iter()
        .map(|p| (p.bytes[..4].to_vec(), p.bytes.len(), p.marker))
        .collect();
    let head = |n: u8| vec![0, 0, 0, n];
    assert_eq!(
        got,
        [
            (head(0), 204, false),
            (head(200), 204, false),
            (vec![0, 0, 1, 144], 21, false)
        ]
    );
    let mut damaged = object;
    damaged[417] = 0;
    let fault = mpa::Payloader::new(1460)
        .payloads(&damaged, true, &mut out)
        .unwrap_err();
    assert_eq!(fault.offset, 417);
}

#[test]
fn type_specific_data_of_a_header() {
    let blob = build::blob(
        &[
            build::file_properties(4, 3000, 2, [1000, 1000]),
            build::audio(1, 8000),
            build::video(2, 320),
        ],
        50,
        4,
    );
    let header = Header::parse(&blob).unwrap();
    let wave = Wave::parse(plain::type_specific(&blob, &header, 1).unwrap()).unwrap();
    assert_eq!((wave.tag, wave.channels, wave.rate), (0x0161, 2, 44_100));
    let bitmap = Bitmap::parse(plain::type_specific(&blob, &header, 2).unwrap()).unwrap();
    assert_eq!((&bitmap.compression, bitmap.extra.len()), (b"WMV2", 0));
    assert_eq!(h264::Config::of(&bitmap), None);
    assert_eq!(plain::type_specific(&blob, &header, 3), None);
    let mut data = hex("40010000F0000000020000 28000000 40010000 F0000000 0100 1800");
    data.extend(b"H264");
    data.extend([0; 20]);
    data.extend(record(4));
    data[9..11].copy_from_slice(&(40 + record(4).len() as u16).to_le_bytes());
    let config = h264::Config::of(&Bitmap::parse(&data).unwrap()).unwrap();
    assert_eq!(
        (&*config.sps[0], config.framing),
        (SPS, h264::Framing::Lengths(4))
    );
}

fn nal() -> impl Strategy<Value = Vec<u8>> {
    (
        1u8..24,
        0u8..4,
        proptest::collection::vec(1u8..=255, 0..400),
    )
        .prop_map(|(kind, importance, body)| {
            let mut nal = vec![importance << 5 | kind];
            nal.extend(body);
            nal
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn h264_round_trips(
        nals in proptest::collection::vec(nal(), 1..12), max in 64usize..500, aggregate: bool,
        size in 2usize..=4, starts: bool,
    ) {
        let config = h264::Config::parse(&record(size as u8));
        let object = if starts { annex_b(&nals, true) } else { lengths(&nals, size) };
        let read = config.nals(&object).unwrap();
        prop_assert_eq!(&read, &nals);
        let mut out = Payloads::new();
        h264::Payloader::new(max, aggregate).payloads(&read, &mut out);
        prop_assert_eq!(depayload_h264(&out, max), nals);
    }

    #[test]
    fn aac_round_trips(
        units in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..700), 1..8),
        max in 64usize..500, with_adts: bool,
    ) {
        let config = aac::Config::parse(&[0x12, 0x10], 0).unwrap();
        let object = adts(&units);
        let read = if with_adts { aac::units(&object) } else { units.iter().map(Vec::as_slice).collect() };
        let mut out = Payloads::new();
        aac::Payloader::new(max, &config).payloads(&read, &mut out).unwrap();
        let want: Vec<_> = units.into_iter().enumerate().map(|(n, u)| (n as u32 * 1024, u)).collect();
        prop_assert_eq!(depayload_aac(&out, max, 1024), want);
    }

    #[test]
    fn mpeg_audio_round_trips(fills in proptest::collection::vec(any::<u8>(), 1..8), max in 64usize..2000, cut in 0usize..400) {
        let object = mp3(&fills);
        let object = &object[..object.len() - cut];
        let mut out = Payloads::new();
        mpa::Payloader::new(max).payloads(object, true, &mut out).unwrap();
        let mut back: Vec<u8> = Vec::new();
        let mut frame_start = 0;
        for (n, p) in out.iter().enumerate() {
            prop_assert!(p.bytes.len() <= max && p.marker == (n == 0));
            let offset = usize::from(p.bytes[2]) << 8 | usize::from(p.bytes[3]);
            if offset == 0 {
                frame_start = back.len();
                prop_assert_eq!(frame_start % 417, 0);
                prop_assert_eq!(p.ticks as usize, frame_start / 417 * 2351);
            }
            prop_assert_eq!(back.len() - frame_start, offset);
            back.extend(&p.bytes[4..]);
        }
        prop_assert_eq!(back, object);
    }

    #[test]
    fn objects_of_anything(bytes in proptest::collection::vec(any::<u8>(), 0..300), lead in 0usize..5) {
        let leads = [&[][..], &[0, 0, 0, 1], &[0xFF, 0xF1, 0x50], &[0xFF, 0xFB, 0x90], &[1, 66, 0, 30, 255, 225]];
        let object = [leads[lead], &bytes].concat();
        let mut out = Payloads::new();
        for config in [h264::Config::default(), h264::Config::parse(&object), h264::Config::parse(&record(3))] {
            if let Ok(nals) = config.nals(&object) {
                h264::Payloader::new(64, true).payloads(&nals, &mut out);
                let want: Vec<Vec<u8>> = nals.iter().map(|n| n.to_vec()).collect();
                prop_assert_eq!(depayload_h264(&out, 64), want);
            }
        }
        let config = aac::Config::of_adts(&object).or(aac::Config::parse(&object, 1));
        let config = config.unwrap_or(aac::Config::parse(&[0x12, 0x10], 0).unwrap());
        let _ = aac::Payloader::new(64, &config).payloads(&aac::units(&object), &mut out);
        if mpa::Payloader::new(64).payloads(&object, false, &mut out).is_ok() {
            prop_assert!(out.iter().all(|p| p.bytes.len() <= 64));
        }
        let _ = Bitmap::parse(&object).map(|b| h264::Config::of(&b));
        let _ = Wave::parse(&object).map(|w| aac::Config::of(&w));
    }
}
