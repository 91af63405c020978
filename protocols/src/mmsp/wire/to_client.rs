//! Messages of servers (mmsp.md 2.5).

use super::fields::{Fields, Put, utf16_len, utf16_until_nul};
use super::{MAX_BIT_RATE, Message, REVISION_TO_CLIENT, REVISION_TO_SERVER, incarnation};
use crate::machine::Fault;
use crate::mmsp::hresult;
use crate::mmsp::message::{ReportOpenFile, ToClient};

const CONNECTED_EX: u32 = 0x0004_0001;
const CONNECTED_FUNNEL: u32 = 0x0004_0002;
const DISCONNECTED_FUNNEL: u32 = 0x0004_0003;
const STARTED_PLAYING: u32 = 0x0004_0005;
const OPEN_FILE: u32 = 0x0004_0006;
const START_STRIDING: u32 = 0x0004_000A;
const READ_BLOCK: u32 = 0x0004_0011;
const FUNNEL_INFO: u32 = 0x0004_0015;
const SECURITY_CHALLENGE: u32 = 0x0004_001A;
const PING: u32 = 0x0004_001B;
const END_OF_STREAM: u32 = 0x0004_001E;
const STREAM_CHANGE: u32 = 0x0004_0020;
const STREAM_SWITCH: u32 = 0x0004_0021;
const REDIRECT: u32 = 0x0004_0022;

const FUNNEL_NAME: &str = "Funnel Of The Gods";
/// Bytes of ReportFunnelInfo in front of the packet pair's.
const FUNNEL_INFO_LEN: usize = 48;

impl Message for ToClient {
    const TO: u16 = 4;
    const WITH_DATA: bool = true;

    fn mid(&self) -> u32 {
        match self {
            ToClient::ReportConnectedEx { .. } => CONNECTED_EX,
            ToClient::ReportConnectedFunnel => CONNECTED_FUNNEL,
            ToClient::ReportDisconnectedFunnel { .. } => DISCONNECTED_FUNNEL,
            ToClient::ReportFunnelInfo { .. } => FUNNEL_INFO,
            ToClient::ReportOpenFile(_) => OPEN_FILE,
            ToClient::ReportRedirect { .. } => REDIRECT,
            ToClient::SecurityChallenge { .. } => SECURITY_CHALLENGE,
            ToClient::ReportReadBlock { .. } => READ_BLOCK,
            ToClient::ReportStreamSwitch { .. } => STREAM_SWITCH,
            ToClient::ReportStartedPlaying { .. } => STARTED_PLAYING,
            ToClient::ReportStartStriding { .. } => START_STRIDING,
            ToClient::ReportStreamChange { .. } => STREAM_CHANGE,
            ToClient::ReportEndOfStream { .. } => END_OF_STREAM,
            ToClient::Ping => PING,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            ToClient::ReportConnectedEx {
                hr,
                play_incarnation,
                server_version,
                version_info,
                version_url,
                authen_package,
            } => {
                let strings = [server_version, version_info, version_url, authen_package];
                put_connected(*hr, *play_incarnation, strings, out);
            }
            ToClient::ReportConnectedFunnel => {
                out.u32s(&[hresult::S_OK, 0, 0]);
                out.utf16(FUNNEL_NAME);
            }
            ToClient::ReportDisconnectedFunnel { hr } => out.u32s(&[*hr, 0]),
            ToClient::ReportFunnelInfo {
                play_incarnation,
                client_id,
                pair,
            } => {
                // MMSP-27: transportMask, nBlockFragments, fragmentBytes; failedCubs, nDisks, decluster,
                // cubddDatagramSize.
                out.u32s(&[hresult::S_OK, *play_incarnation, 8, 1, 0x1_0000]);
                out.u32s(&[*client_id, 0, 1, 0, 0]);
                out.extend_from_slice(pair);
            }
            ToClient::ReportOpenFile(report) => put_open_file(report, out),
            ToClient::ReportRedirect { kind, location } => {
                // MMSP-46: bytes.
                let cb = u16::try_from(utf16_len(location).saturating_mul(2)).unwrap_or(u16::MAX);
                out.u32(hresult::S_OK);
                out.u16(*kind);
                out.u16(cb);
                out.utf16(location);
            }
            ToClient::SecurityChallenge {
                play_incarnation,
                cookie,
                token,
            } => {
                let cb = u32::try_from(token.len()).unwrap_or(u32::MAX);
                out.u32s(&[*play_incarnation, *cookie, cb]);
                out.extend_from_slice(token);
            }
            ToClient::ReportReadBlock {
                hr,
                play_incarnation,
            }
            | ToClient::ReportStartStriding {
                hr,
                play_incarnation,
            } => out.u32s(&[*hr, *play_incarnation, 0]),
            ToClient::ReportStreamSwitch { hr } => out.u32s(&[*hr, 0]),
            ToClient::ReportStartedPlaying {
                hr,
                play_incarnation,
                tiger_file_id,
            } => out.u32s(&[*hr, *play_incarnation, *tiger_file_id, 0, 0, 0, 0]),
            ToClient::ReportStreamChange {
                packet_size,
                header_size,
                bit_rate,
            } => {
                out.u32s(&[hresult::S_OK, u32::from(incarnation::ENTRY)]);
                out.u32s(&[*packet_size, *header_size, *bit_rate, 0]);
            }
            ToClient::ReportEndOfStream {
                hr,
                play_incarnation,
            } => out.u32s(&[*hr, *play_incarnation]),
            ToClient::Ping => out.u32s(&[0, 0]),
        }
    }

    fn read(mid: u32, f: &Fields<'_>) -> Result<Option<ToClient>, Fault> {
        let hr = || f.u32(8, "hr");
        let play_incarnation = |at| f.u32(at, "playIncarnation");
        Ok(Some(match mid {
            CONNECTED_EX => read_connected(f)?,
            // A funnel that is connected with a failure is not connected.
            CONNECTED_FUNNEL => match hr()? {
                hr if hresult::is_failure(hr) => ToClient::ReportDisconnectedFunnel { hr },
                _ => ToClient::ReportConnectedFunnel,
            },
            DISCONNECTED_FUNNEL => ToClient::ReportDisconnectedFunnel { hr: hr()? },
            FUNNEL_INFO => {
                succeeded(f, "ReportFunnelInfo")?;
                ToClient::ReportFunnelInfo {
                    play_incarnation: play_incarnation(12)?,
                    client_id: f.u32(28, "nCubs")?,
                    pair: read_pair(f)?,
                }
            }
            OPEN_FILE => ToClient::ReportOpenFile(read_open_file(f)?),
            REDIRECT => {
                let cb = usize::from(f.u16(14, "cbLocation")?);
                ToClient::ReportRedirect {
                    kind: f.u16(12, "RedirectType")?,
                    location: utf16_until_nul(f.bytes(16, cb, "Location")?),
                }
            }
            SECURITY_CHALLENGE => {
                let cb = f.u32(16, "cbToken")? as usize;
                ToClient::SecurityChallenge {
                    play_incarnation: play_incarnation(8)?,
                    cookie: f.u32(12, "cookie")?,
                    token: f.bytes(20, cb, "pToken")?.to_vec(),
                }
            }
            READ_BLOCK => ToClient::ReportReadBlock {
                hr: hr()?,
                play_incarnation: play_incarnation(12)?,
            },
            STREAM_SWITCH => ToClient::ReportStreamSwitch { hr: hr()? },
            STARTED_PLAYING => ToClient::ReportStartedPlaying {
                hr: hr()?,
                play_incarnation: play_incarnation(12)?,
                tiger_file_id: f.u32(16, "tigerFileId")?,
            },
            START_STRIDING => ToClient::ReportStartStriding {
                hr: hr()?,
                play_incarnation: play_incarnation(12)?,
            },
            STREAM_CHANGE => {
                succeeded(f, "ReportStreamChange")?;
                ToClient::ReportStreamChange {
                    packet_size: f.u32(16, "cbPacketSize")?,
                    header_size: f.u32(20, "cbHeaderSize")?,
                    bit_rate: f.u32(24, "dwBitRate")?,
                }
            }
            END_OF_STREAM => ToClient::ReportEndOfStream {
                hr: hr()?,
                play_incarnation: play_incarnation(12)?,
            },
            PING => ToClient::Ping,
            _ => return Ok(None),
        }))
    }
}

/// Reports whose result is not kept must have one that is good.
fn succeeded(f: &Fields<'_>, what: &str) -> Result<(), Fault> {
    match f.u32(8, "hr")? {
        hr if hresult::is_failure(hr) => Err(f.fault(8, format!("result {hr:08X} in {what}"))),
        _ => Ok(()),
    }
}

// MMSP-16, MMSP-17
fn put_connected(hr: u32, play_incarnation: u32, strings: [&String; 4], out: &mut Vec<u8>) {
    out.u32s(&[hr, play_incarnation, REVISION_TO_CLIENT, REVISION_TO_SERVER]);
    out.f64(1.0);
    // blockGroupBlocks, nMaxOpenFiles, nBlockMaxBytes
    out.u32s(&[1, 1, 0x8000, MAX_BIT_RATE]);
    for text in strings {
        out.u32(if text.is_empty() { 0 } else { utf16_len(text) });
    }
    for text in strings.into_iter().filter(|t| !t.is_empty()) {
        out.utf16(text);
    }
}

fn read_connected(f: &Fields<'_>) -> Result<ToClient, Fault> {
    let mut at = 64;
    let mut string = |size_at, what| {
        let len = (f.u32(size_at, what)? as usize).saturating_mul(2);
        let text = utf16_until_nul(f.bytes(at, len, what)?);
        at += len;
        Ok::<_, Fault>(text)
    };
    let server_version = string(48, "ServerVersionInfo")?;
    let version_info = string(52, "VersionInfo")?;
    let version_url = string(56, "VersionUrl")?;
    let authen_package = string(60, "AuthenPackage")?;
    Ok(ToClient::ReportConnectedEx {
        hr: f.u32(8, "hr")?,
        play_incarnation: f.u32(12, "playIncarnation")?,
        server_version,
        version_info,
        version_url,
        authen_package,
    })
}

/// What follows the fields, if a packet pair was announced; otherwise it is padding.
fn read_pair(f: &Fields<'_>) -> Result<Vec<u8>, Fault> {
    if f.u32(12, "playIncarnation")? != incarnation::PAIR_TCP || f.len() <= FUNNEL_INFO_LEN {
        return Ok(Vec::new());
    }
    Ok(f.rest(FUNNEL_INFO_LEN, "packet pair")?.to_vec())
}

fn put_open_file(r: &ReportOpenFile, out: &mut Vec<u8>) {
    // MMSP-39: padding and fileName.
    out.u32s(&[r.hr, r.play_incarnation, r.open_file_id, 0, 0]);
    out.u32(r.attributes);
    out.f64(r.duration);
    out.u32(r.blocks);
    out.zeros(16);
    out.u32(r.packet_size);
    out.u64(r.packet_count);
    out.u32s(&[r.bit_rate, r.header_size]);
    out.zeros(36);
}

fn read_open_file(f: &Fields<'_>) -> Result<ReportOpenFile, Fault> {
    let report = ReportOpenFile {
        hr: f.u32(8, "hr")?,
        play_incarnation: f.u32(12, "playIncarnation")?,
        ..ReportOpenFile::default()
    };
    // Some servers end a refusal here.
    if hresult::is_failure(report.hr) && f.len() < 80 {
        return Ok(report);
    }
    Ok(ReportOpenFile {
        open_file_id: f.u32(16, "openFileId")?,
        attributes: f.u32(28, "fileAttributes")?,
        duration: f.f64(32, "fileDuration")?,
        blocks: f.u32(40, "fileBlocks")?,
        packet_size: f.u32(60, "filePacketSize")?,
        packet_count: f.u64(64, "filePacketCount")?,
        bit_rate: f.u32(72, "fileBitRate")?,
        header_size: f.u32(76, "fileHeaderSize")?,
        ..report
    })
}
