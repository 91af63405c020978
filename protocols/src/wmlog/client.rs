//! The logs a client sends (wmlog.md 1, 3, 4).

use super::file::utc;
use super::{Entry, Field, Kind, relay, xml};
use rand_chacha::rand_core::RngCore;

/// Who plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Player {
    /// `{8-4-4-4-12}`; see [`anonymous_id`].
    pub id: String,
    /// Four dotted numbers.
    pub version: String,
    /// Language tag.
    pub language: String,
    /// User agent of the application that embeds the player.
    pub user_agent: String,
    /// Executable.
    pub host_exe: String,
    /// Four dotted numbers.
    pub host_exe_version: String,
    /// Operating system.
    pub os: String,
    /// Four dotted numbers.
    pub os_version: String,
    /// Processor.
    pub cpu: String,
}

/// What a session did. Times in ms, sizes in bytes, rates in bit/s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Playback {
    /// Wall clock at the end, seconds since 1970, UTC.
    pub unix_seconds: u64,
    /// URL as the user gave it, query included.
    pub requested_url: String,
    /// URL that was opened.
    pub opened_url: String,
    /// .nsc URL for multicast, and for unicast that an .nsc rolled over to.
    pub channel_url: Option<String>,
    /// Page that embeds the player.
    pub referer: Option<String>,
    /// Received as multicast.
    pub multicast: bool,
    /// Live content: no position, length or size.
    pub live: bool,
    /// Position at the start.
    pub start_ms: u64,
    /// Content rendered, buffering not counted.
    pub rendered_ms: u64,
    /// Time spent receiving.
    pub receiving_ms: u64,
    /// Streaming rate at the start; 1 is normal.
    pub rate: i8,
    /// Playback rate at the start.
    pub playback_rate: i8,
    /// The session was interrupted and reconnected.
    pub reconnected: bool,
    /// Length of the content.
    pub length_ms: u64,
    /// Size of the content.
    pub size: u64,
    /// Received, pauses excluded.
    pub average_bandwidth: u64,
    /// `http`, `rtsp`, `mms`.
    pub protocol: String,
    /// Media came in datagrams.
    pub udp: bool,
    /// Names of the codecs, each once.
    pub audio_codecs: Vec<String>,
    /// Names of the codecs, each once.
    pub video_codecs: Vec<String>,
    /// Received, TCP and IP not counted.
    pub bytes: u64,
    /// Received the first time.
    pub packets_received: u64,
    /// Lost and not recovered.
    pub packets_lost: u64,
    /// The longest run of lost packets.
    pub packets_lost_in_a_row: u64,
    /// Resend requests; `None` if the transport has none.
    pub resend_requests: Option<u64>,
    /// Recovered by error correction.
    pub packets_corrected: u64,
    /// Recovered by resending, or out of order.
    pub packets_resent: u64,
    /// How often it buffered.
    pub buffer_count: u64,
    /// How long.
    pub buffering_ms: u64,
    /// From the content description, else from the .asx (WMLOG-19).
    pub media_name: Option<String>,
    /// Likewise.
    pub media_role: Option<String>,
    /// The server's content description, echoed in XML.
    pub description: Vec<(String, String)>,
}

/// A player id that names nobody, constant within a session (WMLOG-18).
pub fn anonymous_id(session: [u8; 6]) -> String {
    let tail: String = session.iter().map(|b| format!("{b:02X}")).collect();
    format!("{{3300AD50-2C39-46c0-AE0A-{tail}}}")
}

/// An anonymous id for a session, which its player gets too unless it has one of its own.
pub(crate) fn identify(rng: &mut impl RngCore, player: &mut Player) -> String {
    let mut session = [0; 6];
    rng.fill_bytes(&mut session);
    let id = anonymous_id(session);
    if player.id.is_empty() {
        player.id.clone_from(&id);
    }
    id
}

/// c-quality: per cent of packets that were there in the end (WMLOG-13).
pub fn quality(received_or_recovered: u64, lost: u64) -> u64 {
    let all = received_or_recovered.saturating_add(lost);
    received_or_recovered
        .saturating_mul(100)
        .checked_div(all)
        .unwrap_or(100)
}

impl Playback {
    /// The one log of a client that sends no separate rendering log. `full` adds the optional three
    /// fields, which players below 9 do not send.
    pub fn legacy(&self, player: &Player, full: bool) -> Entry {
        let mut entry = self.common(Kind::Legacy, player);
        seconds(&mut entry, Field::XDuration, self.rendered_ms);
        if full {
            self.triple(&mut entry);
        }
        entry
    }

    /// What was received; a rendering log follows (WMLOG-06).
    pub fn streaming(&self, player: &Player) -> Entry {
        let mut entry = self.common(Kind::Streaming, player);
        seconds(&mut entry, Field::XDuration, self.receiving_ms);
        entry.clear(Field::Audiocodec);
        entry.clear(Field::Videocodec);
        self.triple(&mut entry);
        entry
    }

    /// What was played (WMLOG-07).
    pub fn rendering(&self, player: &Player) -> Entry {
        let mut entry = self.common(Kind::Rendering, player);
        seconds(&mut entry, Field::XDuration, self.rendered_ms);
        entry.set(Field::CRate, &self.playback_rate.to_string());
        entry.clear(Field::CIp);
        relay::strip_transfer(&mut entry);
        // Bytes belong to the streaming log.
        entry.set(Field::CBytes, "0");
        self.triple(&mut entry);
        entry.set(Field::SProxied, "0");
        entry
    }

    /// The log sent right after the first Play (WMLOG-08).
    pub fn connect(&self, player: &Player) -> Entry {
        let mut entry = Entry::new(Kind::Connect);
        self.client(&mut entry, player);
        entry.set(Field::Transport, self.transport());
        for field in Field::ALL {
            if !matches!(
                field,
                Field::CIp
                    | Field::COs
                    | Field::COsversion
                    | Field::Date
                    | Field::Time
                    | Field::CCpu
                    | Field::Transport
            ) {
                entry.clear(field);
            }
        }
        entry
    }

    fn transport(&self) -> &'static str {
        if self.udp { "UDP" } else { "TCP" }
    }

    fn client(&self, entry: &mut Entry, player: &Player) {
        let (date, time) = utc(self.unix_seconds);
        for (field, value) in [
            (Field::CIp, "0.0.0.0"),
            (Field::Date, &date),
            (Field::Time, &time),
            (Field::CPlayerid, &player.id),
            (Field::CPlayerversion, &player.version),
            (Field::CPlayerlanguage, &player.language),
            (Field::CsUserAgent, &player.user_agent),
            (Field::CHostexe, &player.host_exe),
            (Field::CHostexever, &player.host_exe_version),
            (Field::COs, &player.os),
            (Field::COsversion, &player.os_version),
            (Field::CCpu, &player.cpu),
        ] {
            entry.set(field, value);
        }
    }

    fn common(&self, kind: Kind, player: &Player) -> Entry {
        let mut entry = Entry::new(kind);
        self.client(&mut entry, player);
        let opened = self.on_air(&self.opened_url);
        // WMLOG-16: the query only in cs-url.
        entry.set(
            Field::CsUriStem,
            opened.split_once('?').map_or(&*opened, |(stem, _)| stem),
        );
        entry.set(Field::CsReferer, self.referer.as_deref().unwrap_or("-"));
        entry.set(
            Field::CChannelUrl,
            self.channel_url.as_deref().unwrap_or("-"),
        );
        entry.set(Field::CRate, &self.rate.to_string());
        entry.set(Field::CStatus, if self.reconnected { "210" } else { "200" });
        let protocol = if self.multicast {
            "asfm"
        } else {
            &self.protocol
        };
        entry.set(Field::Protocol, protocol);
        entry.set(Field::Transport, self.transport());
        entry.set(Field::Audiocodec, &self.audio_codecs.join(";"));
        entry.set(Field::Videocodec, &self.video_codecs.join(";"));
        self.numbers(&mut entry);
        for (name, value) in &self.description {
            entry.extend(xml::DESCRIPTION, name, value);
        }
        entry
    }

    fn numbers(&self, entry: &mut Entry) {
        // WMLOG-15
        let of_file = |value| if self.live { 0 } else { value };
        number(entry, Field::CStarttime, of_file(self.start_ms) / 1000);
        seconds(entry, Field::Filelength, of_file(self.length_ms));
        number(entry, Field::Filesize, of_file(self.size));
        number(entry, Field::Avgbandwidth, self.average_bandwidth);
        number(entry, Field::CBytes, self.bytes);
        number(entry, Field::CPktsReceived, self.packets_received);
        number(entry, Field::CPktsLostClient, self.packets_lost);
        // WMLOG-12
        let lost_on_net = self.packets_lost.saturating_add(self.packets_corrected);
        number(entry, Field::CPktsLostNet, lost_on_net);
        number(entry, Field::CPktsLostContNet, self.packets_lost_in_a_row);
        if let Some(requests) = self.resend_requests {
            number(entry, Field::CResendreqs, requests);
        }
        number(entry, Field::CPktsRecoveredEcc, self.packets_corrected);
        number(entry, Field::CPktsRecoveredResent, self.packets_resent);
        number(entry, Field::CBuffercount, self.buffer_count);
        seconds(entry, Field::CTotalbuffertime, self.buffering_ms);
        let there = self
            .packets_received
            .saturating_add(self.packets_corrected)
            .saturating_add(self.packets_resent);
        number(entry, Field::CQuality, quality(there, self.packets_lost));
    }

    fn triple(&self, entry: &mut Entry) {
        entry.set(Field::CsUrl, &self.on_air(&self.requested_url));
        entry.set(
            Field::CsMediaName,
            self.media_name.as_deref().unwrap_or("-"),
        );
        entry.set(
            Field::CsMediaRole,
            self.media_role.as_deref().unwrap_or("-"),
        );
    }

    /// WMLOG-17: multicast has a scheme of its own.
    fn on_air(&self, url: &str) -> String {
        match url.split_once("://") {
            Some((_, rest)) if self.multicast => format!("asfm://{rest}"),
            _ => url.to_owned(),
        }
    }
}

fn number(entry: &mut Entry, field: Field, value: u64) {
    entry.set(field, &value.min(u32::MAX.into()).to_string());
}

/// Whole seconds, rounded up (WMLOG-14).
fn seconds(entry: &mut Entry, field: Field, ms: u64) {
    number(entry, field, ms.div_ceil(1000));
}
