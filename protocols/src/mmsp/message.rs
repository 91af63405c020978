//! The messages, as values (mmsp.md 2.4, 2.5). Reserved fields are not kept: they are ignored on
//! receipt and written as the reference has them.

/// A message that clients send.
#[derive(Clone, Debug, PartialEq)]
pub enum ToServer {
    /// 00030001
    Connect {
        /// F0F0F0F0 wants packet pairs.
        play_incarnation: u32,
        /// As it came, NULs inside included, those at its end not (mmsp.md 2.12).
        subscriber_name: String,
    },
    /// 00030018
    FunnelInfo {
        /// Which kind of packet pair is wanted.
        play_incarnation: u32,
    },
    /// 00030002
    ConnectFunnel {
        /// `\\address\TCP|UDP\port`, as it came, NULs at its end left out.
        funnel_name: String,
    },
    /// 00030005
    OpenFile {
        /// To be echoed.
        play_incarnation: u32,
        /// Path without the leading `/`, query left in.
        file_name: String,
        /// tokenData, empty if none.
        token: Vec<u8>,
    },
    /// 0003001A
    SecurityResponse {
        /// Echo of the challenge.
        play_incarnation: u32,
        /// Echo of the challenge.
        cookie: u32,
        /// pToken.
        token: Vec<u8>,
    },
    /// 00030015
    ReadBlock {
        /// Of which file.
        open_file_id: u32,
        /// For the header's Data packets.
        play_incarnation: u32,
    },
    /// 00030025
    CancelReadBlock {
        /// Of the ReadBlock.
        play_incarnation: u32,
    },
    /// 00030033
    StreamSwitch {
        /// In order.
        entries: Vec<SwitchEntry>,
    },
    /// 00030007
    StartPlaying(StartPlaying),
    /// 00030028
    StartStriding {
        /// Of which file.
        open_file_id: u32,
        /// Where from.
        position: Position,
        /// Low byte goes into the Data packets.
        play_incarnation: u32,
        /// -5.0 to 5.0, not 0; anything else that came is kept for the refusal.
        rate: f64,
    },
    /// 00030009
    StopPlaying {
        /// Of which file.
        open_file_id: u32,
        /// To be echoed in EndOfStream.
        play_incarnation: u32,
    },
    /// 0003000D
    CloseFile {
        /// Of which file.
        open_file_id: u32,
    },
    /// 00030032: the CLIENT_LOG structure, 1490 bytes; another number if the message has another size.
    Logging(Vec<u8>),
    /// 0003001B
    Pong,
}

/// Where to start: the three fields as they came (mmsp.md 2.4 says which one counts).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Seconds.
    pub seconds: f64,
    /// Byte offset; 0 and FFFFFFFF: unused.
    pub asf_offset: u32,
    /// Packet number; 0 and FFFFFFFF: unused.
    pub location_id: u32,
}

/// StartPlaying.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartPlaying {
    /// Of which file.
    pub open_file_id: u32,
    /// Where from.
    pub position: Position,
    /// Where to stop, as it came.
    pub frame_offset: u32,
    /// Low byte goes into the Data packets.
    pub play_incarnation: u32,
    /// dwAccelBandwidth bit/s and dwAccelDuration ms, if the message has them.
    pub accel: Option<(u32, u32)>,
    /// dwLinkBandwidth bit/s, if the message has it; only with `accel`.
    pub link_bandwidth: Option<u32>,
}

/// One entry of a StreamSwitch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchEntry {
    /// Stream that is replaced; FFFF none.
    pub src: u16,
    /// Its replacement; FFFF none.
    pub dst: u16,
    /// 0 all, 1 key frames, 2 nothing; anything else is kept.
    pub thinning: u16,
}

/// A message that servers send.
#[derive(Clone, Debug, PartialEq)]
pub enum ToClient {
    /// 00040001
    ReportConnectedEx {
        /// Result.
        hr: u32,
        /// F0F0F0F0 or F0F0F0EF.
        play_incarnation: u32,
        /// `major.minor[.x.y]`, without NUL.
        server_version: String,
        /// Version of a newer player, normally empty.
        version_info: String,
        /// Where to get it, normally empty.
        version_url: String,
        /// `BASIC`, `NTLM` or empty.
        authen_package: String,
    },
    /// 00040002
    ReportConnectedFunnel,
    /// 00040003
    ReportDisconnectedFunnel {
        /// Failure.
        hr: u32,
    },
    /// 00040015
    ReportFunnelInfo {
        /// EF, F1 or F901.
        play_incarnation: u32,
        /// nCubs: the Client-ID.
        client_id: u32,
        /// Random bytes of a packet pair over TCP, else empty.
        pair: Vec<u8>,
    },
    /// 00040006
    ReportOpenFile(ReportOpenFile),
    /// 00040022
    ReportRedirect {
        /// 1 URL, 2 proxy.
        kind: u16,
        /// URL, empty with 2: no proxy any more.
        location: String,
    },
    /// 0004001A
    SecurityChallenge {
        /// Echo of the OpenFile's or the response's.
        play_incarnation: u32,
        /// To be echoed.
        cookie: u32,
        /// pToken.
        token: Vec<u8>,
    },
    /// 00040011
    ReportReadBlock {
        /// Result.
        hr: u32,
        /// Echo.
        play_incarnation: u32,
    },
    /// 00040021
    ReportStreamSwitch {
        /// Result.
        hr: u32,
    },
    /// 00040005
    ReportStartedPlaying {
        /// Result.
        hr: u32,
        /// Echo.
        play_incarnation: u32,
        /// openFileId.
        tiger_file_id: u32,
    },
    /// 0004000A
    ReportStartStriding {
        /// Result.
        hr: u32,
        /// Echo.
        play_incarnation: u32,
    },
    /// 00040020
    ReportStreamChange {
        /// Of the next entry's packets, bytes.
        packet_size: u32,
        /// Of its header, bytes.
        header_size: u32,
        /// Sum of its streams, bit/s.
        bit_rate: u32,
    },
    /// 0004001E
    ReportEndOfStream {
        /// 0 end, 1 another entry follows, else a failure.
        hr: u32,
        /// Of the Stop, else of the last start.
        play_incarnation: u32,
    },
    /// 0004001B
    Ping,
}

/// ReportOpenFile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReportOpenFile {
    /// Result.
    pub hr: u32,
    /// Echo.
    pub play_incarnation: u32,
    /// 1; 0 on failure.
    pub open_file_id: u32,
    /// fileAttributes.
    pub attributes: u32,
    /// Seconds; 0 unknown or live.
    pub duration: f64,
    /// ceil(duration).
    pub blocks: u32,
    /// Bytes.
    pub packet_size: u32,
    /// 0 unknown.
    pub packet_count: u64,
    /// bit/s, sum of the streams' maxima.
    pub bit_rate: u32,
    /// Bytes.
    pub header_size: u32,
}

/// A request to send datagrams again (mmsp.md 2.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResendRequest {
    /// nCubs.
    pub client_id: u32,
    /// Low 16 bits of the openFileId.
    pub source_id: u16,
    /// 1 to 32 Sequences.
    pub sequences: Vec<u32>,
}

/// The eight bytes in front of each Data packet's payload (mmsp.md 2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHead {
    /// LocationId.
    pub location_id: u32,
    /// playIncarnation, never 0.
    pub play_incarnation: u8,
    /// AFFlags.
    pub af_flags: u8,
    /// PacketSize: payload and these eight.
    pub packet_size: u16,
}
