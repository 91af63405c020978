//! The 52 fields in their order, their names and grammars (wmlog.md 2 and 3).

/// How a value is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// 0..2^32-1, decimal.
    Number,
    /// 0..100.
    Percent,
    /// Optional sign, one or two digits, optional fraction.
    Rate,
    /// Three digits; clients say 200 or 210.
    Status,
    /// 0 or 1.
    Flag,
    /// `YYYY-MM-DD`.
    Date,
    /// `HH:MM:SS`.
    Time,
    /// IP address.
    Address,
    /// Dotted numbers.
    Version,
    /// Absolute or relative URI.
    Uri,
    /// Anything up to so many bytes.
    Text(usize),
}

macro_rules! fields {
    ($($name:literal $variant:ident $grammar:expr;)*) => {
        /// A field of a log. The discriminant is its column in the 52-field line, from 0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Field {
            /// All fields in the order of the 52-field line.
            pub const ALL: [Field; Field::COUNT] = [$(Field::$variant),*];

            /// How many there are.
            pub const COUNT: usize = [$(Grammar::is(&$grammar)),*].len();

            /// Its name in MS-WMLOG, as in the XML form.
            pub const fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)* }
            }

            pub(super) const fn grammar(self) -> Grammar {
                use Grammar::*;
                match self { $(Field::$variant => $grammar,)* }
            }
        }
    };
}

use Grammar::*;

impl Grammar {
    const fn is(&self) {}
}

fields! {
    "c-ip" CIp Address;
    "date" Date Date;
    "time" Time Time;
    "c-dns" CDns Text(256);
    "cs-uri-stem" CsUriStem Uri;
    "c-starttime" CStarttime Number;
    "x-duration" XDuration Number;
    "c-rate" CRate Rate;
    "c-status" CStatus Status;
    "c-playerid" CPlayerid Text(38);
    "c-playerversion" CPlayerversion Version;
    "c-playerlanguage" CPlayerlanguage Text(64);
    "cs-User-Agent" CsUserAgent Text(256);
    "cs-Referer" CsReferer Uri;
    "c-hostexe" CHostexe Text(256);
    "c-hostexever" CHostexever Version;
    "c-os" COs Text(64);
    "c-osversion" COsversion Version;
    "c-cpu" CCpu Text(64);
    "filelength" Filelength Number;
    "filesize" Filesize Number;
    "avgbandwidth" Avgbandwidth Number;
    "protocol" Protocol Text(64);
    "transport" Transport Text(64);
    "audiocodec" Audiocodec Text(256);
    "videocodec" Videocodec Text(256);
    "c-channelURL" CChannelUrl Uri;
    "sc-bytes" ScBytes Number;
    "c-bytes" CBytes Number;
    "s-pkts-sent" SPktsSent Number;
    "c-pkts-received" CPktsReceived Number;
    "c-pkts-lost-client" CPktsLostClient Number;
    "c-pkts-lost-net" CPktsLostNet Number;
    "c-pkts-lost-cont-net" CPktsLostContNet Number;
    "c-resendreqs" CResendreqs Number;
    "c-pkts-recovered-ECC" CPktsRecoveredEcc Number;
    "c-pkts-recovered-resent" CPktsRecoveredResent Number;
    "c-buffercount" CBuffercount Number;
    "c-totalbuffertime" CTotalbuffertime Number;
    "c-quality" CQuality Percent;
    "s-ip" SIp Address;
    "s-dns" SDns Text(256);
    "s-totalclients" STotalclients Number;
    "s-cpu-util" SCpuUtil Percent;
    "cs-user-name" CsUserName Text(256);
    "s-session-id" SSessionId Text(256);
    "s-content-path" SContentPath Text(4096);
    "cs-url" CsUrl Uri;
    "cs-media-name" CsMediaName Text(256);
    "c-max-bandwidth" CMaxBandwidth Number;
    "cs-media-role" CsMediaRole Text(256);
    "s-proxied" SProxied Flag;
}

impl Field {
    /// The 44 fields that every line starts with.
    pub const fn common() -> &'static [Field] {
        const COMMON: [Field; 44] = {
            let mut common = [Field::CIp; 44];
            let mut i = 0;
            while i < 44 {
                common[i] = Field::ALL[i];
                i += 1;
            }
            common
        };
        &COMMON
    }

    /// What a 47-field line has after the common ones.
    pub const TRIPLE: [Field; 3] = [Field::CsUrl, Field::CsMediaName, Field::CsMediaRole];

    /// The spelling in the `#Fields` line of a server's file.
    pub const fn column_name(self) -> &'static str {
        match self {
            Field::CsUserAgent => "cs(User-Agent)",
            Field::CsReferer => "cs(Referer)",
            Field::CChannelUrl => "channelURL",
            other => other.name(),
        }
    }

    /// The field with this MS-WMLOG name, in any case.
    pub fn from_name(name: &str) -> Option<Field> {
        Field::ALL
            .into_iter()
            .find(|f| f.name().eq_ignore_ascii_case(name))
    }

    /// True if the value is a number in every form.
    pub(super) fn is_number(self) -> bool {
        matches!(self.grammar(), Number | Percent | Status | Flag)
    }
}
