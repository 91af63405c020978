//! The client machines that fetch sources, one for each protocol, told what a server that passes media on
//! wants: every stream, no logs, no packet pair, the past at once.

use crate::ops::config::PullScheme;
use protocols::auth::Password;
use protocols::client::{Streams, Transport};
use protocols::content::Accel;
use protocols::http::head::Version as HttpVersion;
use protocols::machine::{Machine, Time};
use protocols::rtsp::fields::Role;
use protocols::wmsp::version::ClientToken;
use protocols::{mmsp, msbd, rtsp, wmsp};
use std::time::Duration;

/// What a server that fetches announces itself as (design decision 2).
const VERSION: &str = "9.1.1.3841";

/// Our own link is not what keeps an origin from sending every stream (bandwidth-and-start.md 7).
const LINK_BITS_PER_SECOND: u32 = 2_147_483_647;

/// What a fetch needs of a client machine beside its media.
pub trait Fetcher: Machine {
    /// End the session in order.
    fn finish(&mut self, now: Time);
    /// Nothing more will come.
    fn is_done(&self) -> bool;
}

macro_rules! fetchers {
    ($($client:ty),*) => {$(
        impl Fetcher for $client {
            fn finish(&mut self, now: Time) {
                self.finish(now);
            }

            fn is_done(&self) -> bool {
                self.is_done()
            }
        }
    )*};
}

fetchers!(
    wmsp::client::Client,
    mmsp::client::Client,
    rtsp::client::Client,
    msbd::client::Client
);

/// What a client machine is told beside the URL.
#[derive(Debug)]
pub struct Wishes {
    /// Name and password, if the source may ask for them.
    pub credentials: Option<(String, Password)>,
    /// The stretch of the past that is to come at once, and how fast.
    pub burst: Accel,
    /// How long to wait for a reply.
    pub reply_timeout: Duration,
    /// Source of its ids.
    pub seed: u64,
}

/// Look whether a URL can be opened.
///
/// # Errors
/// What is wrong with it.
pub fn check_url(scheme: PullScheme, url: &str) -> Result<(), String> {
    let text = |fault: &dyn std::fmt::Display| fault.to_string();
    match scheme {
        PullScheme::Http => wmsp::client::Url::parse(url)
            .map(drop)
            .map_err(|f| text(&f)),
        PullScheme::Mms => mmsp::client::Url::parse(url)
            .map(drop)
            .map_err(|f| text(&f)),
        PullScheme::Rtsp => rtsp::client::Url::parse(url)
            .map(drop)
            .map_err(|f| text(&f)),
        PullScheme::Msbd => {
            let config = msbd::client::ClientConfig::new(url);
            let client = msbd::client::Client::new(config);
            client.map(drop).map_err(|f| text(&f))
        }
    }
}

/// Where a URL leads: host, port, and the path without the slash in front.
pub fn place_of(scheme: PullScheme, url: &str) -> Option<(String, u16, String)> {
    let name = |target: &str| target.trim_start_matches('/').to_owned();
    match scheme {
        PullScheme::Http => {
            let url = wmsp::client::Url::parse(url).ok()?;
            Some((url.host, url.port, name(&url.target)))
        }
        PullScheme::Mms => {
            let url = mmsp::client::Url::parse(url).ok()?;
            Some((url.host, url.port, name(&url.name)))
        }
        PullScheme::Rtsp => {
            let url = rtsp::client::Url::parse(url).ok()?;
            Some((url.host, url.port, name(&url.target)))
        }
        PullScheme::Msbd => None,
    }
}

/// A machine for one attempt.
///
/// # Errors
/// Why the URL cannot be fetched.
pub fn fetcher(scheme: PullScheme, url: &str, wishes: Wishes) -> Result<Box<dyn Fetcher>, String> {
    match scheme {
        PullScheme::Http => over_http(url, wishes),
        PullScheme::Mms => over_mms(url, wishes),
        PullScheme::Rtsp => over_rtsp(url, wishes),
        PullScheme::Msbd => over_msbd(url, &wishes),
    }
}

// WMSP-96, WMSP-99, BW-52; wmsp.md 7.9
fn over_http(url: &str, wishes: Wishes) -> Result<Box<dyn Fetcher>, String> {
    let config = wmsp::client::ClientConfig {
        role: ClientToken::NsServer,
        version: VERSION.to_owned(),
        http: HttpVersion::Http11,
        packet_pair: false,
        // A server that chooses for its client chooses one stream of several alternatives.
        predictive: false,
        burst: Some(wishes.burst),
        link_bw: Some(LINK_BITS_PER_SECOND),
        streams: Streams::All,
        credentials: wishes.credentials,
        send_log: false,
        reply_timeout: wishes.reply_timeout,
        ..wmsp::client::ClientConfig::new(url, wishes.seed)
    };
    let client = wmsp::client::Client::new(config).map_err(|fault| fault.to_string())?;
    Ok(Box::new(client))
}

fn over_mms(url: &str, wishes: Wishes) -> Result<Box<dyn Fetcher>, String> {
    let config = mmsp::client::ClientConfig {
        transport: Some(Transport::Tcp),
        packet_pair: false,
        accel: Some(wishes.burst),
        link_bw: Some(LINK_BITS_PER_SECOND),
        streams: Streams::All,
        credentials: wishes.credentials,
        send_log: false,
        reply_timeout: wishes.reply_timeout,
        ..mmsp::client::ClientConfig::new(url, wishes.seed)
    };
    let client = mmsp::client::Client::new(config).map_err(|fault| fault.to_string())?;
    Ok(Box::new(client))
}

// RTSP-77, BW-55
fn over_rtsp(url: &str, wishes: Wishes) -> Result<Box<dyn Fetcher>, String> {
    let config = rtsp::client::ClientConfig {
        transport: Some(Transport::Tcp),
        role: Role::Server,
        version: VERSION.to_owned(),
        packet_pair: false,
        predictive: false,
        burst: Some(wishes.burst),
        link_bw: Some(LINK_BITS_PER_SECOND),
        streams: Streams::All,
        credentials: wishes.credentials,
        send_log: false,
        reply_timeout: wishes.reply_timeout,
        ..rtsp::client::ClientConfig::new(url, wishes.seed)
    };
    let client = rtsp::client::Client::new(config).map_err(|fault| fault.to_string())?;
    Ok(Box::new(client))
}

/// The point's own patience counts, not the protocol's (MSBD-64).
fn over_msbd(url: &str, wishes: &Wishes) -> Result<Box<dyn Fetcher>, String> {
    let config = msbd::client::ClientConfig {
        reply_timeout: wishes.reply_timeout,
        idle_timeout: Duration::from_secs(86_400),
        ..msbd::client::ClientConfig::new(url)
    };
    let client = msbd::client::Client::new(config).map_err(|fault| fault.to_string())?;
    Ok(Box::new(client))
}
