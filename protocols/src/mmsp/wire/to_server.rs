//! Messages of clients (mmsp.md 2.4).

use super::fields::{Fields, Put, utf16, utf16_until_nul};
use super::{MAX_BIT_RATE, Message, REVISION_TO_CLIENT, REVISION_TO_SERVER};
use crate::machine::Fault;
use crate::mmsp::message::{Position, StartPlaying, SwitchEntry, ToServer};
use crate::wmlog::mmsp::CLIENT_LOG_BYTES;

const CONNECT: u32 = 0x0003_0001;
const CONNECT_FUNNEL: u32 = 0x0003_0002;
const OPEN_FILE: u32 = 0x0003_0005;
const START_PLAYING: u32 = 0x0003_0007;
const STOP_PLAYING: u32 = 0x0003_0009;
const CLOSE_FILE: u32 = 0x0003_000D;
const READ_BLOCK: u32 = 0x0003_0015;
const FUNNEL_INFO: u32 = 0x0003_0018;
const SECURITY_RESPONSE: u32 = 0x0003_001A;
const PONG: u32 = 0x0003_001B;
const CANCEL_READ_BLOCK: u32 = 0x0003_0025;
const START_STRIDING: u32 = 0x0003_0028;
const LOGGING: u32 = 0x0003_0032;
const STREAM_SWITCH: u32 = 0x0003_0033;

/// Length that ReadBlock asks for; nobody looks at it.
const READ_LENGTH: u32 = 0x8000;

/// The report that answers a message, for refusals of one that cannot be read (mmsp.md 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Connect.
    Connect,
    /// ConnectFunnel.
    ConnectFunnel,
    /// OpenFile and SecurityResponse.
    OpenFile,
    /// ReadBlock.
    ReadBlock,
    /// StreamSwitch.
    StreamSwitch,
    /// StartPlaying.
    StartPlaying,
    /// StartStriding.
    StartStriding,
    /// StopPlaying.
    StopPlaying,
    /// Nothing, or nothing that could say no.
    Nothing,
}

impl Asks {
    /// What a message of this MID asks for.
    pub const fn of(mid: u32) -> Asks {
        match mid {
            CONNECT => Asks::Connect,
            CONNECT_FUNNEL => Asks::ConnectFunnel,
            OPEN_FILE | SECURITY_RESPONSE => Asks::OpenFile,
            READ_BLOCK => Asks::ReadBlock,
            STREAM_SWITCH => Asks::StreamSwitch,
            START_PLAYING => Asks::StartPlaying,
            START_STRIDING => Asks::StartStriding,
            STOP_PLAYING => Asks::StopPlaying,
            _ => Asks::Nothing,
        }
    }
}

impl Message for ToServer {
    const TO: u16 = 3;
    const WITH_DATA: bool = false;

    fn mid(&self) -> u32 {
        match self {
            ToServer::Connect { .. } => CONNECT,
            ToServer::FunnelInfo { .. } => FUNNEL_INFO,
            ToServer::ConnectFunnel { .. } => CONNECT_FUNNEL,
            ToServer::OpenFile { .. } => OPEN_FILE,
            ToServer::SecurityResponse { .. } => SECURITY_RESPONSE,
            ToServer::ReadBlock { .. } => READ_BLOCK,
            ToServer::CancelReadBlock { .. } => CANCEL_READ_BLOCK,
            ToServer::StreamSwitch { .. } => STREAM_SWITCH,
            ToServer::StartPlaying(_) => START_PLAYING,
            ToServer::StartStriding { .. } => START_STRIDING,
            ToServer::StopPlaying { .. } => STOP_PLAYING,
            ToServer::CloseFile { .. } => CLOSE_FILE,
            ToServer::Logging(_) => LOGGING,
            ToServer::Pong => PONG,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            ToServer::Connect {
                play_incarnation,
                subscriber_name,
            } => {
                // MMSP-22
                out.u32s(&[*play_incarnation, REVISION_TO_CLIENT, REVISION_TO_SERVER]);
                out.utf16(subscriber_name);
            }
            ToServer::ConnectFunnel { funnel_name } => {
                out.u32s(&[0, u32::MAX, 0, MAX_BIT_RATE, 2]);
                out.utf16(funnel_name);
            }
            ToServer::OpenFile {
                play_incarnation,
                file_name,
                token,
            } => put_open_file(*play_incarnation, file_name, token, out),
            ToServer::SecurityResponse {
                play_incarnation,
                cookie,
                token,
            } => {
                out.u32s(&[*play_incarnation, *cookie, len_of(token)]);
                out.extend_from_slice(token);
            }
            ToServer::ReadBlock {
                open_file_id,
                play_incarnation,
            } => {
                out.u32s(&[*open_file_id, 0, 0, READ_LENGTH, u32::MAX, 0]);
                out.f64(0.0);
                out.f64(3600.0);
                out.u32s(&[*play_incarnation, 0]);
            }
            ToServer::StreamSwitch { entries } => {
                out.u32(u32::try_from(entries.len()).unwrap_or(u32::MAX));
                for e in entries {
                    out.u16(e.src);
                    out.u16(e.dst);
                    out.u16(e.thinning);
                }
            }
            ToServer::StartPlaying(start) => put_start(start, out),
            ToServer::StartStriding {
                open_file_id,
                position,
                play_incarnation,
                rate,
            } => {
                put_position(*open_file_id, position, out);
                out.u32s(&[0, *play_incarnation]);
                out.f64(*rate);
            }
            ToServer::StopPlaying {
                open_file_id,
                play_incarnation,
            } => out.u32s(&[*open_file_id, *play_incarnation]),
            ToServer::CloseFile { open_file_id } => out.u32s(&[0, *open_file_id]),
            ToServer::FunnelInfo { play_incarnation }
            | ToServer::CancelReadBlock { play_incarnation } => out.u32s(&[*play_incarnation, 0]),
            ToServer::Logging(log) => out.extend_from_slice(log),
            ToServer::Pong => out.u32s(&[0, 0]),
        }
    }

    fn read(mid: u32, f: &Fields<'_>) -> Result<Option<ToServer>, Fault> {
        let incarnation = |at| f.u32(at, "playIncarnation");
        let file_id = |at| f.u32(at, "openFileId");
        Ok(Some(match mid {
            CONNECT => ToServer::Connect {
                play_incarnation: incarnation(8)?,
                subscriber_name: trimmed(f.rest(20, "subscriberName")?),
            },
            FUNNEL_INFO => ToServer::FunnelInfo {
                play_incarnation: incarnation(8)?,
            },
            CONNECT_FUNNEL => ToServer::ConnectFunnel {
                funnel_name: trimmed(f.rest(28, "funnelName")?),
            },
            OPEN_FILE => read_open_file(f)?,
            SECURITY_RESPONSE => {
                let len = f.u32(16, "cbToken")? as usize;
                ToServer::SecurityResponse {
                    play_incarnation: incarnation(8)?,
                    cookie: f.u32(12, "cookie")?,
                    token: f.bytes(20, len, "pToken")?.to_vec(),
                }
            }
            READ_BLOCK => ToServer::ReadBlock {
                open_file_id: file_id(8)?,
                play_incarnation: incarnation(48)?,
            },
            CANCEL_READ_BLOCK => ToServer::CancelReadBlock {
                play_incarnation: incarnation(8)?,
            },
            STREAM_SWITCH => read_switch(f)?,
            START_PLAYING => ToServer::StartPlaying(read_start(f)?),
            START_STRIDING => ToServer::StartStriding {
                open_file_id: file_id(8)?,
                position: read_position(f)?,
                play_incarnation: incarnation(36)?,
                rate: f.f64(40, "rate")?,
            },
            STOP_PLAYING => ToServer::StopPlaying {
                open_file_id: file_id(8)?,
                play_incarnation: incarnation(12)?,
            },
            CLOSE_FILE => ToServer::CloseFile {
                open_file_id: file_id(12)?,
            },
            LOGGING => {
                let log = f.rest(8, "CLIENT_LOG")?;
                let padding = log.len().wrapping_sub(CLIENT_LOG_BYTES);
                let len = if padding < 8 {
                    CLIENT_LOG_BYTES
                } else {
                    log.len()
                };
                ToServer::Logging(f.bytes(8, len, "CLIENT_LOG")?.to_vec())
            }
            PONG => ToServer::Pong,
            _ => return Ok(None),
        }))
    }
}

fn len_of(token: &[u8]) -> u32 {
    u32::try_from(token.len()).unwrap_or(u32::MAX)
}

/// Text to the end of the message; the NULs at its end are padding, those inside mean something.
fn trimmed(bytes: &[u8]) -> String {
    let mut text = utf16(bytes);
    text.truncate(text.trim_end_matches('\0').len());
    text
}

fn put_open_file(play_incarnation: u32, file_name: &str, token: &[u8], out: &mut Vec<u8>) {
    // MMSP-44: counted from the start of fileName, which ends in a NUL.
    let offset = match token {
        [] => 0,
        _ => super::fields::utf16_len(file_name).saturating_mul(2),
    };
    out.u32s(&[play_incarnation, 0, offset, len_of(token)]);
    out.utf16(file_name);
    out.extend_from_slice(token);
}

fn read_open_file(f: &Fields<'_>) -> Result<ToServer, Fault> {
    let offset = f.u32(16, "token")? as usize;
    let len = f.u32(20, "cbtoken")? as usize;
    let names = f.rest(24, "fileName")?;
    let (name, token) = if offset == 0 || len == 0 {
        (names, &[][..])
    } else {
        let at = offset.saturating_add(24);
        let token = f.bytes(at, len, "tokenData")?;
        (names.get(..offset).unwrap_or(names), token)
    };
    Ok(ToServer::OpenFile {
        play_incarnation: f.u32(8, "playIncarnation")?,
        file_name: utf16_until_nul(name),
        token: token.to_vec(),
    })
}

fn read_switch(f: &Fields<'_>) -> Result<ToServer, Fault> {
    let count = f.u32(8, "cStreamEntries")? as usize;
    let bytes = f.bytes(12, count.saturating_mul(6), "StreamSwitch entries")?;
    let entries = bytes.chunks_exact(6).map(|e| SwitchEntry {
        src: u16::from_le_bytes([e[0], e[1]]),
        dst: u16::from_le_bytes([e[2], e[3]]),
        thinning: u16::from_le_bytes([e[4], e[5]]),
    });
    Ok(ToServer::StreamSwitch {
        entries: entries.collect(),
    })
}

fn put_position(open_file_id: u32, position: &Position, out: &mut Vec<u8>) {
    out.u32s(&[open_file_id, 0]);
    out.f64(position.seconds);
    out.u32s(&[position.asf_offset, position.location_id]);
}

fn read_position(f: &Fields<'_>) -> Result<Position, Fault> {
    Ok(Position {
        seconds: f.f64(16, "position")?,
        asf_offset: f.u32(24, "asfOffset")?,
        location_id: f.u32(28, "locationId")?,
    })
}

fn put_start(start: &StartPlaying, out: &mut Vec<u8>) {
    put_position(start.open_file_id, &start.position, out);
    out.u32s(&[start.frame_offset, start.play_incarnation]);
    // BW-35: the link's rate only behind the pair.
    if let Some((bandwidth, duration)) = start.accel {
        out.u32s(&[bandwidth, duration]);
        if let Some(link) = start.link_bandwidth {
            out.u32(link);
        }
    }
}

fn read_start(f: &Fields<'_>) -> Result<StartPlaying, Fault> {
    let mut start = StartPlaying {
        open_file_id: f.u32(8, "openFileId")?,
        position: read_position(f)?,
        frame_offset: f.u32(32, "frameOffset")?,
        play_incarnation: f.u32(36, "playIncarnation")?,
        accel: None,
        link_bandwidth: None,
    };
    if f.declared_len() >= 48 {
        start.accel = Some((
            f.u32(40, "dwAccelBandwidth")?,
            f.u32(44, "dwAccelDuration")?,
        ));
    }
    if f.declared_len() >= 56 {
        start.link_bandwidth = Some(f.u32(48, "dwLinkBandwidth")?);
    }
    Ok(start)
}
