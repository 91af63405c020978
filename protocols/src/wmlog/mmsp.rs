//! The binary log of MMSP, `CLIENT_LOG` (wmlog.md 7).

use super::client::{Playback, Player, quality};
use super::value::text;
use super::{Entry, Field, Kind};

/// Size of the structure, bytes.
pub const CLIENT_LOG_BYTES: usize = 1490;

/// Size that its inner structure states, bytes.
const INFO_BYTES: u32 = 1142;

/// Offsets from the start of the structure.
mod at {
    pub const SIZE: usize = 0;
    pub const INFO_SIZE: usize = 4;
    pub const URL: usize = 8;
    pub const CHANNEL_URL: usize = 268;
    pub const USER_AGENT: usize = 528;
    pub const HOSTING_PAGE: usize = 592;
    pub const CLIENT_VERSION: usize = 852;
    pub const LANGUAGE: usize = 860;
    pub const PLAYER_ID: usize = 876;
    pub const HOST_EXE: usize = 916;
    pub const HOST_EXE_VERSION: usize = 948;
    pub const FILE_DURATION: usize = 956;
    pub const FILE_SIZE: usize = 960;
    pub const AVERAGE_BANDWIDTH: usize = 968;
    pub const AUDIO_CODEC: usize = 972;
    pub const VIDEO_CODEC: usize = 1036;
    pub const START_TIME: usize = 1100;
    pub const PLAYED: usize = 1104;
    pub const RATE: usize = 1108;
    pub const BUFFERING_COUNT: usize = 1110;
    pub const BUFFERING_TIME: usize = 1114;
    pub const BYTES_RECEIVED: usize = 1118;
    pub const PACKETS_RECEIVED: usize = 1126;
    pub const PACKETS_LOST_CLIENT: usize = 1130;
    pub const PACKETS_RECOVERED_ECC: usize = 1134;
    pub const QUALITY: usize = 1138;
    pub const RESULT: usize = 1142;
    pub const SOURCE_ID: usize = 1146;
    pub const IP_ADDRESS: usize = 1150;
    pub const COMPUTER_DNS: usize = 1154;
    pub const OS: usize = 1414;
    pub const OS_VERSION: usize = 1430;
    pub const CPU: usize = 1438;
    pub const PROTOCOL: usize = 1454;
    pub const TRANSPORT: usize = 1462;
    pub const PACKETS_LOST_NET: usize = 1470;
    pub const PACKETS_LOST_CONT_NET: usize = 1474;
    pub const RESEND_REQUESTS: usize = 1478;
    pub const PACKETS_RECOVERED_RESENT: usize = 1482;
    pub const PACKETS_RESENT: usize = 1486;
}

/// What the structure says of a session beside its [`Playback`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// openFileId.
    pub id: u32,
    /// Packets that came again because they were asked for.
    pub packets_resent: u32,
}

/// The structure as a client sends it (MMSP-94, WMLOG-12 to WMLOG-16, WMLOG-18). Strings that are too
/// long for their fields are cut, characters above U+00FF become `?`.
pub fn write(playback: &Playback, player: &Player, source: Source) -> [u8; CLIENT_LOG_BYTES] {
    let mut log = Out([0; CLIENT_LOG_BYTES]);
    log.u32(at::SIZE, CLIENT_LOG_BYTES as u64);
    log.u32(at::INFO_SIZE, INFO_BYTES.into());
    write_strings(playback, player, &mut log);
    write_numbers(playback, source, &mut log);
    for (offset, version) in [
        (at::CLIENT_VERSION, &player.version),
        (at::HOST_EXE_VERSION, &player.host_exe_version),
        (at::OS_VERSION, &player.os_version),
    ] {
        log.u64(offset, packed_version(version));
    }
    log.0
}

fn write_strings(playback: &Playback, player: &Player, log: &mut Out) {
    let transport = if playback.udp { "UDP" } else { "TCP" };
    for (offset, len, value) in [
        (at::URL, 260, &*playback.requested_url),
        (
            at::CHANNEL_URL,
            260,
            playback.channel_url.as_deref().unwrap_or_default(),
        ),
        (at::USER_AGENT, 64, &player.user_agent),
        (
            at::HOSTING_PAGE,
            260,
            playback.referer.as_deref().unwrap_or_default(),
        ),
        (at::LANGUAGE, 16, &player.language),
        (at::PLAYER_ID, 40, &player.id),
        (at::HOST_EXE, 32, &player.host_exe),
        (at::AUDIO_CODEC, 64, &playback.audio_codecs.join(";")),
        (at::VIDEO_CODEC, 64, &playback.video_codecs.join(";")),
        (at::COMPUTER_DNS, 260, ""),
        (at::OS, 16, &player.os),
        (at::CPU, 16, &player.cpu),
        (at::PROTOCOL, 8, &playback.protocol),
        (at::TRANSPORT, 8, transport),
    ] {
        log.string(offset, len, value);
    }
}

fn write_numbers(playback: &Playback, source: Source, log: &mut Out) {
    // WMLOG-15
    let of_file = |value| if playback.live { 0 } else { value };
    let lost_on_net = playback
        .packets_lost
        .saturating_add(playback.packets_corrected);
    let there = playback
        .packets_received
        .saturating_add(playback.packets_corrected)
        .saturating_add(playback.packets_resent);
    for (offset, value) in [
        (at::FILE_DURATION, of_file(playback.length_ms)),
        (at::AVERAGE_BANDWIDTH, playback.average_bandwidth),
        (at::START_TIME, of_file(playback.start_ms)),
        (at::PLAYED, playback.rendered_ms),
        (at::BUFFERING_COUNT, playback.buffer_count),
        (at::BUFFERING_TIME, playback.buffering_ms),
        (at::PACKETS_RECEIVED, playback.packets_received),
        (at::PACKETS_LOST_CLIENT, playback.packets_lost),
        (at::PACKETS_RECOVERED_ECC, playback.packets_corrected),
        (at::QUALITY, quality(there, playback.packets_lost)),
        (at::SOURCE_ID, source.id.into()),
        // The server knows it better.
        (at::IP_ADDRESS, u32::MAX.into()),
        (at::PACKETS_LOST_NET, lost_on_net),
        (at::PACKETS_LOST_CONT_NET, playback.packets_lost_in_a_row),
        (
            at::RESEND_REQUESTS,
            playback.resend_requests.unwrap_or_default(),
        ),
        (at::PACKETS_RECOVERED_RESENT, playback.packets_resent),
        (at::PACKETS_RESENT, source.packets_resent.into()),
    ] {
        log.u32(offset, value);
    }
    log.u64(at::FILE_SIZE, of_file(playback.size));
    log.u64(at::BYTES_RECEIVED, playback.bytes);
    log.put(at::RATE, i16::from(playback.rate).to_le_bytes());
}

/// Four dotted numbers, the first on top; what cannot be read is 0.
fn packed_version(text: &str) -> u64 {
    let mut numbers = text.split('.').map(|n| n.parse::<u16>().unwrap_or(0));
    (0..4).fold(0, |v, _| {
        v << 16 | u64::from(numbers.next().unwrap_or_default())
    })
}

/// Read the structure. Strings end at their NUL or with their field (WMLOG-37); a structure that is
/// cut short gives an invalid entry.
pub fn parse(log: &[u8]) -> Entry {
    let Some(log) = log.first_chunk::<CLIENT_LOG_BYTES>() else {
        return Entry::invalid(&format!(
            "CLIENT_LOG of {} bytes, {CLIENT_LOG_BYTES} expected",
            log.len()
        ));
    };
    let log = Log(log);
    let mut entry = Entry::new(Kind::Legacy);
    strings(&log, &mut entry);
    numbers(&log, &mut entry);
    entry.extend("mmsp", "dwSourceId", &log.u32(at::SOURCE_ID).to_string());
    entry.extend(
        "mmsp",
        "dwPacketsResent",
        &log.u32(at::PACKETS_RESENT).to_string(),
    );
    let sizes_hold =
        log.u32(at::SIZE) as usize == CLIENT_LOG_BYTES && log.u32(at::INFO_SIZE) == INFO_BYTES;
    entry.defects.relations += u16::from(!sizes_hold);
    entry
}

fn strings(log: &Log<'_>, entry: &mut Entry) {
    for (field, offset, len) in [
        (Field::CChannelUrl, at::CHANNEL_URL, 260),
        (Field::CsUserAgent, at::USER_AGENT, 64),
        (Field::CsReferer, at::HOSTING_PAGE, 260),
        (Field::CPlayerlanguage, at::LANGUAGE, 16),
        (Field::CPlayerid, at::PLAYER_ID, 40),
        (Field::CHostexe, at::HOST_EXE, 32),
        (Field::Audiocodec, at::AUDIO_CODEC, 64),
        (Field::Videocodec, at::VIDEO_CODEC, 64),
        (Field::CDns, at::COMPUTER_DNS, 260),
        (Field::COs, at::OS, 16),
        (Field::CCpu, at::CPU, 16),
        (Field::Protocol, at::PROTOCOL, 8),
        (Field::Transport, at::TRANSPORT, 8),
    ] {
        entry.set(field, &text(log.string(offset, len)));
    }
    let url = text(log.string(at::URL, 260));
    entry.set(Field::CsUrl, &url);
    entry.set(
        Field::CsUriStem,
        url.split_once('?').map_or(&*url, |(stem, _)| stem),
    );
}

fn numbers(log: &Log<'_>, entry: &mut Entry) {
    for (field, offset) in [
        (Field::Avgbandwidth, at::AVERAGE_BANDWIDTH),
        (Field::CBuffercount, at::BUFFERING_COUNT),
        (Field::CPktsReceived, at::PACKETS_RECEIVED),
        (Field::CPktsLostClient, at::PACKETS_LOST_CLIENT),
        (Field::CPktsRecoveredEcc, at::PACKETS_RECOVERED_ECC),
        (Field::CQuality, at::QUALITY),
        (Field::CPktsLostNet, at::PACKETS_LOST_NET),
        (Field::CPktsLostContNet, at::PACKETS_LOST_CONT_NET),
        (Field::CResendreqs, at::RESEND_REQUESTS),
        (Field::CPktsRecoveredResent, at::PACKETS_RECOVERED_RESENT),
    ] {
        entry.set(field, &log.u32(offset).to_string());
    }
    let ceil = |offset| log.u32(offset).div_ceil(1000).to_string();
    entry.set(Field::Filelength, &ceil(at::FILE_DURATION));
    entry.set(Field::XDuration, &ceil(at::PLAYED));
    entry.set(Field::CTotalbuffertime, &ceil(at::BUFFERING_TIME));
    let start = log.u32(at::START_TIME) / 1000;
    entry.set(Field::CStarttime, &start.to_string());
    // Where 64 bits do not fit the field, its largest value says "at least".
    for (field, offset) in [
        (Field::Filesize, at::FILE_SIZE),
        (Field::CBytes, at::BYTES_RECEIVED),
    ] {
        let value = log.u64(offset).min(u32::MAX.into());
        entry.set(field, &value.to_string());
    }
    for (field, offset) in [
        (Field::CPlayerversion, at::CLIENT_VERSION),
        (Field::CHostexever, at::HOST_EXE_VERSION),
        (Field::COsversion, at::OS_VERSION),
    ] {
        let v = log.u64(offset);
        if v != 0 {
            let [a, b, c, d] = [48, 32, 16, 0].map(|shift| (v >> shift) & 0xFFFF);
            entry.set(field, &format!("{a}.{b}.{c}.{d}"));
        }
    }
    entry.set(Field::CRate, &log.i16(at::RATE).to_string());
    if log.u32(at::RESULT) == 0 {
        entry.set(Field::CStatus, "200");
    } else {
        entry.defects.values += 1;
    }
}

/// Accessors on the checked structure; every offset is a constant inside it.
struct Log<'a>(&'a [u8; CLIENT_LOG_BYTES]);

impl Log<'_> {
    fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        std::array::from_fn(|i| self.0[offset + i])
    }

    fn i16(&self, offset: usize) -> i16 {
        i16::from_le_bytes(self.bytes(offset))
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.bytes(offset))
    }

    fn string(&self, offset: usize, len: usize) -> &[u8] {
        let field = &self.0[offset..offset + len];
        field.split(|&b| b == 0).next().unwrap_or(field)
    }
}

/// The structure while it is written; every offset is a constant inside it.
struct Out([u8; CLIENT_LOG_BYTES]);

impl Out {
    fn put<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) {
        self.0[offset..offset + N].copy_from_slice(&bytes);
    }

    /// What does not fit is the largest number.
    fn u32(&mut self, offset: usize, value: u64) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        self.put(offset, value.to_le_bytes());
    }

    fn u64(&mut self, offset: usize, value: u64) {
        self.put(offset, value.to_le_bytes());
    }

    /// With its NUL, in a field of `len` bytes; `-` if it is empty.
    fn string(&mut self, offset: usize, len: usize, value: &str) {
        let value = if value.is_empty() { "-" } else { value };
        let field = &mut self.0[offset..offset + len - 1];
        for (byte, c) in field.iter_mut().zip(value.chars().filter(|&c| c != '\0')) {
            *byte = u8::try_from(c).unwrap_or(b'?');
        }
    }
}
