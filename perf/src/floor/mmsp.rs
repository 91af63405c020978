//! The floor's side of MMSP: the replies that lead to media, and no more.

use super::datagrams::{Office, peer_ip};
use super::{Settings, Verdict, send_all};
use crate::content::{self, Noise};
use crate::mmsp::client::FIRST_START;
use crate::sys;
use protocols::mmsp::message::{DataHead, ReportOpenFile, ToClient, ToServer};
use protocols::mmsp::wire::{self, Item, Reader, incarnation};
use socket2::Socket;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;

/// NS_E_INVALID_REQUEST: what the floor does not do.
const REFUSED: u32 = 0xC00D_002B;
/// nCubs of all sessions: nobody may ask for anything again.
const CLIENT_ID: u32 = 1;
/// Random bytes of the three packets of a pair over TCP, and of the two over UDP (MMSP-29, MMSP-61).
const PAIR_TCP: [usize; 3] = [432, 432, 976];
const PAIR_UDP: usize = 1464;

/// What is the same for everybody.
pub(super) struct Host {
    header: Vec<u8>,
    packet_size: u16,
    bit_rate: u32,
}

/// A connection before it gets media.
#[derive(Default)]
pub(super) struct Guest {
    reader: Reader<ToServer>,
    seq: u16,
    /// Where datagrams go.
    port: Option<u16>,
    pair: bool,
}

/// One connection while it is answered.
struct Turn<'a> {
    socket: &'a Socket,
    office: Option<&'a Office>,
    seq: &'a mut u16,
}

impl Host {
    pub fn new(settings: &Settings) -> Host {
        Host {
            header: content::noise_header(settings.packet_size, settings.bit_rate),
            packet_size: settings.packet_size,
            bit_rate: settings.bit_rate,
        }
    }

    /// Answer what came.
    pub fn answer(
        &self,
        socket: &Socket,
        office: Option<&Office>,
        guest: &mut Guest,
        came: &[u8],
    ) -> Verdict {
        guest.reader.push(came);
        loop {
            let message = match guest.reader.take() {
                Ok(None) => return Verdict::Wait,
                Ok(Some(Item::Message(message))) => message,
                Ok(Some(_)) | Err(_) => return Verdict::Close,
            };
            let mut turn = Turn {
                socket,
                office,
                seq: &mut guest.seq,
            };
            let verdict = self.reply(&mut turn, &mut guest.port, &mut guest.pair, &message);
            if verdict != Verdict::Wait {
                return verdict;
            }
        }
    }

    fn reply(
        &self,
        turn: &mut Turn<'_>,
        port: &mut Option<u16>,
        pair: &mut bool,
        message: &ToServer,
    ) -> Verdict {
        let good = match message {
            ToServer::Connect {
                play_incarnation, ..
            } => turn.say(&ToClient::ReportConnectedEx {
                hr: 0,
                play_incarnation: if *play_incarnation == incarnation::PAIR {
                    incarnation::PAIR
                } else {
                    incarnation::NO_PAIR
                },
                server_version: "9.01.01.3841".into(),
                version_info: String::new(),
                version_url: String::new(),
                authen_package: String::new(),
            }),
            ToServer::FunnelInfo { play_incarnation } => {
                *pair = *play_incarnation == incarnation::PAIR_UDP;
                turn.funnel_info(*play_incarnation)
            }
            ToServer::ConnectFunnel { funnel_name } => {
                *port = udp_port(funnel_name).filter(|_| turn.office.is_some());
                turn.say(&ToClient::ReportConnectedFunnel)
            }
            ToServer::OpenFile {
                play_incarnation, ..
            } => turn.say(&ToClient::ReportOpenFile(self.file(*play_incarnation))),
            ToServer::ReadBlock {
                play_incarnation, ..
            } => {
                let udp = (*port).filter(|_| *pair);
                udp.is_none_or(|port| turn.pair(port)) && self.read(turn, *port, *play_incarnation)
            }
            ToServer::StreamSwitch { .. } => turn.say(&ToClient::ReportStreamSwitch { hr: 0 }),
            ToServer::StartPlaying(start) => {
                let fits = start.play_incarnation == u32::from(FIRST_START);
                let said = turn.say(&ToClient::ReportStartedPlaying {
                    hr: if fits { 0 } else { REFUSED },
                    play_incarnation: start.play_incarnation,
                    tiger_file_id: 1,
                });
                if fits && said {
                    return Verdict::Play(*port);
                }
                said
            }
            ToServer::Pong | ToServer::CancelReadBlock { .. } => true,
            _ => false,
        };
        Verdict::wait_if(good)
    }

    fn file(&self, play_incarnation: u32) -> ReportOpenFile {
        ReportOpenFile {
            hr: 0,
            play_incarnation,
            open_file_id: 1,
            // BROADCAST
            attributes: 0x0200_0000,
            packet_size: u32::from(self.packet_size),
            bit_rate: self.bit_rate,
            header_size: self.header.len() as u32,
            ..ReportOpenFile::default()
        }
    }

    fn read(&self, turn: &mut Turn<'_>, port: Option<u16>, play_incarnation: u32) -> bool {
        let mut good = turn.say(&ToClient::ReportReadBlock {
            hr: 0,
            play_incarnation,
        });
        let largest = usize::from(self.packet_size);
        let pieces = wire::fragments(&self.header, largest, play_incarnation as u8);
        for (head, payload) in pieces {
            good &= turn.data(port, head, payload);
        }
        good
    }
}

impl Turn<'_> {
    fn say(&mut self, message: &ToClient) -> bool {
        let bytes = wire::packet(message, *self.seq, 0);
        *self.seq = self.seq.wrapping_add(1);
        send_all(self.socket.as_raw_fd(), &bytes)
    }

    fn data(&self, port: Option<u16>, head: DataHead, payload: &[u8]) -> bool {
        let bytes = [&head.bytes(), payload].concat();
        match (port, self.office) {
            (Some(port), Some(office)) => match peer_ip(self.socket) {
                Some(ip) => {
                    office.send_one(&bytes, SocketAddrV4::new(ip, port));
                    true
                }
                None => false,
            },
            _ => send_all(self.socket.as_raw_fd(), &bytes),
        }
    }

    fn funnel_info(&mut self, asked: u32) -> bool {
        let sizes: &[usize] = match asked {
            incarnation::PAIR | incarnation::PAIR_TCP => &PAIR_TCP,
            _ => &[0],
        };
        let granted = match asked {
            incarnation::PAIR | incarnation::PAIR_TCP => incarnation::PAIR_TCP,
            incarnation::PAIR_UDP => incarnation::PAIR_UDP,
            _ => incarnation::NO_PAIR,
        };
        let mut noise = Noise::new(sys::now_ns());
        sizes.iter().all(|&size| {
            let mut pair = vec![0; size];
            noise.fill(&mut pair);
            self.say(&ToClient::ReportFunnelInfo {
                play_incarnation: granted,
                client_id: CLIENT_ID,
                pair,
            })
        })
    }

    fn pair(&self, port: u16) -> bool {
        let mut noise = Noise::new(sys::now_ns());
        (0..2).all(|index| {
            let mut payload = vec![0; PAIR_UDP];
            noise.fill(&mut payload);
            self.data(Some(port), DataHead::of_pair(index, PAIR_UDP), &payload)
        })
    }
}

/// Port of `\\address\UDP\port`.
fn udp_port(funnel_name: &str) -> Option<u16> {
    let mut parts = funnel_name.trim_end_matches('\0').rsplit('\\');
    let port = parts.next()?.parse().ok()?;
    parts.next()?.eq_ignore_ascii_case("udp").then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_udp_funnels_have_a_port() {
        assert_eq!(udp_port(r"\\127.0.0.1\UDP\7000"), Some(7000));
        assert_eq!(udp_port("\\\\127.0.0.1\\udp\\1\0"), Some(1));
        assert_eq!(udp_port(r"\\127.0.0.1\TCP\7000"), None);
        assert_eq!(udp_port(r"\\127.0.0.1\UDP\70000"), None);
        assert_eq!(udp_port("7000"), None);
    }
}
