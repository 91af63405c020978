//! The sockets that the cores listen on.

use super::{Addresses, StartError};
use crate::ops::config::Config;
use crate::rt::BoundDatagrams;
use crate::rt::net::{Bound, ListenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// Send buffer that connections inherit until they carry media, bytes of payload.
const SEND_BUFFER_IDLE: usize = 64 << 10;

/// Ports that are tried when any will do and it has to be free for TCP and UDP.
const ANY_PORT_TRIES: usize = 32;

/// Pairs of ports that are looked at for RTP.
const RTP_PAIR_TRIES: usize = 512;

/// The sockets of one core.
#[derive(Default)]
pub struct Sockets {
    /// HTTP.
    pub http: Vec<Bound>,
    /// MMS.
    pub mms: Vec<Bound>,
    /// The same ports, for datagrams.
    pub mms_datagrams: Vec<BoundDatagrams>,
    /// RTSP.
    pub rtsp: Vec<Bound>,
    /// MSBD, one for each point that has it.
    pub msbd: Vec<Bound>,
    /// RTP and RTCP of RTSP sessions over UDP, if there are any.
    pub rtp: Option<RtpPair>,
}

/// The UDP ports that one core sends RTSP's media from.
pub struct RtpPair {
    /// Port of RTP; RTCP has the next one.
    pub port: u16,
    /// RTP, one for each address that RTSP listens on.
    pub rtp: Vec<BoundDatagrams>,
    /// RTCP, likewise.
    pub rtcp: Vec<BoundDatagrams>,
}

impl Sockets {
    /// Everything that connections are accepted on.
    pub fn listeners(&self) -> impl Iterator<Item = &Bound> {
        let all = self.http.iter().chain(&self.mms).chain(&self.rtsp);
        all.chain(&self.msbd)
    }
}

/// Sockets for each core. The first core's bind decides the port where 0 was asked for.
///
/// # Errors
/// When an address cannot be had.
pub fn bind(config: &Config, cores: usize) -> Result<(Vec<Sockets>, Addresses), StartError> {
    let options = ListenOptions {
        backlog: i32::try_from(config.listen.backlog).unwrap_or(i32::MAX),
        congestion: config.listen.congestion.clone(),
        send_buffer: SEND_BUFFER_IDLE,
    };
    let mut sockets: Vec<Sockets> = (0..cores).map(|_| Sockets::default()).collect();
    let mut addresses = Addresses::default();
    for asked in &config.listen.http {
        let listeners = listeners(*asked, cores, &options)?;
        addresses.http.push(listeners[0].local);
        for (core, listener) in sockets.iter_mut().zip(listeners) {
            core.http.push(listener);
        }
    }
    for asked in &config.listen.mms {
        let udp = config.listen.mms_udp;
        let (listeners, datagrams) = both(*asked, cores, &options, udp)?;
        addresses.mms.push(listeners[0].local);
        for (core, listener) in sockets.iter_mut().zip(listeners) {
            core.mms.push(listener);
        }
        for (core, socket) in sockets.iter_mut().zip(datagrams) {
            core.mms_datagrams.push(socket);
        }
    }
    for asked in &config.listen.rtsp {
        let listeners = listeners(*asked, cores, &options)?;
        addresses.rtsp.push(listeners[0].local);
        for (core, listener) in sockets.iter_mut().zip(listeners) {
            core.rtsp.push(listener);
        }
    }
    for point in &config.points {
        let Some(msbd) = &point.msbd else { continue };
        let listeners = listeners(msbd.listen, cores, &options)?;
        let local = listeners[0].local;
        addresses.msbd.push((point.name.clone(), local));
        for (core, listener) in sockets.iter_mut().zip(listeners) {
            core.msbd.push(listener);
        }
    }
    if config.listen.rtsp_udp && !addresses.rtsp.is_empty() {
        let mut from = config.listen.rtsp_udp_port;
        for core in &mut sockets {
            let pair = rtp_pair(&addresses.rtsp, from)?;
            from = pair.port.saturating_add(2);
            core.rtp = Some(pair);
        }
    }
    Ok((sockets, addresses))
}

/// The first pair of an even and an odd port that is free on all of these addresses.
fn rtp_pair(addresses: &[SocketAddr], from: u16) -> Result<RtpPair, StartError> {
    let first = from.saturating_add(from & 1);
    let mut last = None;
    for port in (first..u16::MAX).step_by(2).take(RTP_PAIR_TRIES) {
        match all_free(addresses, port) {
            Ok(pair) => return Ok(pair),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| StartError::Datagrams {
        address: addresses[0],
        error: io::Error::other("no UDP ports are left for RTP"),
    }))
}

fn all_free(addresses: &[SocketAddr], port: u16) -> Result<RtpPair, StartError> {
    let bind = |port: u16| {
        let mut seen = Vec::new();
        let mut bound = Vec::new();
        for address in addresses {
            if !seen.contains(&address.ip()) {
                seen.push(address.ip());
                bound.extend(datagrams(SocketAddr::new(address.ip(), port), 1)?);
            }
        }
        Ok(bound)
    };
    Ok(RtpPair {
        port,
        rtp: bind(port)?,
        rtcp: bind(port + 1)?,
    })
}

fn listeners(
    asked: SocketAddr,
    cores: usize,
    options: &ListenOptions,
) -> Result<Vec<Bound>, StartError> {
    refuse_taken(asked)?;
    let mut address = asked;
    let mut bound = Vec::new();
    for _ in 0..cores {
        let listener =
            Bound::new(address, options).map_err(|error| StartError::Listen { address, error })?;
        address = listener.local;
        bound.push(listener);
    }
    Ok(bound)
}

/// Listeners, and UDP sockets of the same port (MMSP-96).
fn both(
    asked: SocketAddr,
    cores: usize,
    options: &ListenOptions,
    udp: bool,
) -> Result<(Vec<Bound>, Vec<BoundDatagrams>), StartError> {
    let mut tries = if asked.port() == 0 { ANY_PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let listeners = listeners(asked, cores, options)?;
        if !udp {
            return Ok((listeners, Vec::new()));
        }
        match datagrams(listeners[0].local, cores) {
            Ok(datagrams) => return Ok((listeners, datagrams)),
            Err(_) if tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

fn datagrams(address: SocketAddr, cores: usize) -> Result<Vec<BoundDatagrams>, StartError> {
    let failed = |error| StartError::Datagrams { address, error };
    // For the reason of `refuse_taken`.
    drop(UdpSocket::bind(address).map_err(failed)?);
    (0..cores)
        .map(|_| BoundDatagrams::new(address).map_err(failed))
        .collect::<Result<_, StartError>>()
}

/// With SO_REUSEPORT a second server of the same user would silently share the port.
fn refuse_taken(address: SocketAddr) -> Result<(), StartError> {
    if address.port() == 0 {
        return Ok(());
    }
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(StartError::Listen { address, error }),
    }
}
