//! What a content can (`features`) and what a side can (`Supported`) (MS-WMSP 2.2.1.4.8, 2.2.1.8;
//! MS-RTSP 2.2.6.10, which has three tokens more).

use super::version::Client;
use crate::content::Content;

/// The features of a content for a client, as they stand between the quotes.
///
/// `broadcast` comes first: MPlayer reads no further than the first comma. Going back in a playlist
/// is not offered: `skipbackward` is never said.
pub fn features(content: &Content, client: Client) -> String {
    let mut list: Vec<&str> = Vec::new();
    // WMSP-92: to a client below 9.0 a playlist is a broadcast that cannot be sought in.
    let as_broadcast = content.playlist && !client.is_9();
    if content.broadcast || as_broadcast {
        list.push("broadcast");
    }
    if content.playlist {
        list.push("playlist");
    }
    if content.seekable && !content.broadcast && !as_broadcast {
        list.push("seekable");
        if content.stridable {
            list.push("stridable");
        }
    }
    if content.playlist && client.is_9() && !content.broadcast {
        list.push("skipforward");
    }
    list.join(",")
}

/// The features of a side that its `Supported` header tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Supported(u16);

const PREFIX: &str = "com.microsoft.wm.";
const SAID: u16 = 1;

impl Supported {
    /// Speed may be asked for.
    pub const FAST_CACHE: Supported = Supported(2);
    /// Predictive stream selection.
    pub const PREDICTIVE: Supported = Supported(4);
    /// Packet pair.
    pub const PACKET_PAIR: Supported = Supported(8);
    /// SelectStream.
    pub const SWITCH: Supported = Supported(16);
    /// X-StartupProfile.
    pub const STARTUP_PROFILE: Supported = Supported(32);

    /// EndOfStream requests (RTSP).
    pub const END_OF_STREAM: Supported = Supported(64);
    /// Packet-pair packets have the SSRC of the retransmission stream (RTSP).
    pub const PACKET_PAIR_SSRC: Supported = Supported(128);
    /// LocationId in front of each ASF packet (RTSP).
    pub const LOCATION_ID: Supported = Supported(256);

    const NAMES: [(Supported, &'static str); 8] = [
        (Supported::FAST_CACHE, "fastcache"),
        (Supported::PREDICTIVE, "predstrm"),
        (Supported::PACKET_PAIR, "srvppair"),
        (Supported::SWITCH, "sswitch"),
        (Supported::STARTUP_PROFILE, "startupprofile"),
        (Supported::END_OF_STREAM, "eosmsg"),
        (Supported::PACKET_PAIR_SSRC, "packetpairssrc"),
        (Supported::LOCATION_ID, "locid"),
    ];

    /// What a client that never said anything is taken to know (wmsp.md 4.3).
    pub const CLIENT_DEFAULT: Supported = Supported(4 | 16);

    /// Read the elements of a `Supported` header; unknown ones are skipped.
    pub fn parse<'v>(list: impl Iterator<Item = &'v str>) -> Supported {
        list.fold(Supported(SAID), |all, item| {
            let name = item.strip_prefix(PREFIX).unwrap_or("");
            let known = Supported::NAMES.iter().find(|(_, n)| *n == name);
            known.map_or(all, |(s, _)| all.with(*s))
        })
    }

    /// Both.
    pub const fn with(self, other: Supported) -> Supported {
        Supported(self.0 | other.0)
    }

    /// True if `other` is in.
    pub const fn has(self, other: Supported) -> bool {
        self.0 & other.0 == other.0
    }

    /// The value of the header.
    pub fn text(self) -> String {
        let names: Vec<String> = Supported::NAMES
            .iter()
            .filter(|(s, _)| self.has(*s))
            .map(|(_, n)| format!("{PREFIX}{n}"))
            .collect();
        names.join(", ")
    }
}

/// What a server that serves this content says it supports (WMSP-46): Speed only where there is
/// something to run ahead into, X-StartupProfile always, since clients ask for it only if announced.
pub fn supported(content: &Content, predictive: bool) -> Supported {
    let mut all = Supported::PACKET_PAIR
        .with(Supported::SWITCH)
        .with(Supported::STARTUP_PROFILE);
    if !content.broadcast {
        all = all.with(Supported::FAST_CACHE);
    }
    if predictive {
        all = all.with(Supported::PREDICTIVE);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        let s = Supported::parse(
            [
                "com.microsoft.wm.predstrm",
                "x",
                "com.microsoft.wm.startupprofile",
                "sswitch",
            ]
            .into_iter(),
        );
        assert!(s.has(Supported::PREDICTIVE) && s.has(Supported::STARTUP_PROFILE));
        assert!(!s.has(Supported::SWITCH));
        assert_eq!(
            s.text(),
            "com.microsoft.wm.predstrm, com.microsoft.wm.startupprofile"
        );
        // A set that was said and is empty is not the default.
        let none = Supported::parse(std::iter::empty());
        assert_ne!(none, Supported::default());
        assert!(!none.has(Supported::PREDICTIVE));
        assert!(Supported::CLIENT_DEFAULT.has(Supported::PREDICTIVE));
    }
}
