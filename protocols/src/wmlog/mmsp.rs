//! The binary log of MMSP, `CLIENT_LOG` (wmlog.md 7).

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
