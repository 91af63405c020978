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

/// The sockets of one core.
#[derive(Default)]
pub struct Sockets {
    /// HTTP.
    pub http: Vec<Bound>,
    /// MMS.
    pub mms: Vec<Bound>,
    /// The same ports, for datagrams.
    pub mms_datagrams: Vec<BoundDatagrams>,
}

impl Sockets {
    /// Everything that connections are accepted on.
    pub fn listeners(&self) -> impl Iterator<Item = &Bound> {
        self.http.iter().chain(&self.mms)
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
    Ok((sockets, addresses))
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
    let failed = |error| StartError::Listen { address, error };
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
    let refused: Result<TcpListener, io::Error> = TcpListener::bind(address);
    match refused {
        Ok(_) => Ok(()),
        Err(error) => Err(StartError::Listen { address, error }),
    }
}
