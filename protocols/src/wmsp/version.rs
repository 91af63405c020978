//! Product tokens and version numbers, and what a client of a version may be sent (MS-WMSP 2.2.1.5,
//! 2.2.1.10 and the rules gathered in wmsp.md 4.1).
//!
//! Everything is decided by the announced number, never by the name of a known player: several open
//! clients announce `NSPlayer` with the number of an old one and then behave like it.

pub use crate::version::Version;

/// Who a client says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientToken {
    /// A player.
    NsPlayer,
    /// A distribution server, or a proxy that does not cache.
    NsServer,
    /// A caching proxy.
    WmCacheProxy,
}

impl ClientToken {
    /// The word in `User-Agent`.
    pub const fn name(self) -> &'static str {
        match self {
            ClientToken::NsPlayer => "NSPlayer",
            ClientToken::NsServer => "NSServer",
            ClientToken::WmCacheProxy => "WMCacheProxy",
        }
    }
}

/// A client: its `User-Agent`, parsed. Its methods are the version gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Product token.
    pub token: ClientToken,
    /// Version.
    pub version: Version,
    /// `; via WMCacheProxy` stood behind the version.
    pub via_cache_proxy: bool,
}

const V5: Version = Version::new(5, 0);
const V7: Version = Version::new(7, 0);
const V8: Version = Version::new(8, 0);
const V9: Version = Version::new(9, 0);

/// Most bit/s of AccelBW that a client 8.x is told (WMSP-61, BW-25).
pub const ACCEL_MAX_8: u32 = 1_048_576;

impl Client {
    /// Read a `User-Agent`. `None`: missing or a foreign product, so not a WMSP client (WMSP-37).
    pub fn parse(user_agent: &str) -> Option<Client> {
        let text = user_agent.trim_start();
        [
            ClientToken::NsPlayer,
            ClientToken::NsServer,
            ClientToken::WmCacheProxy,
        ]
        .into_iter()
        .find_map(|token| {
            let name = token.name();
            let head = text.get(..name.len())?;
            let rest = text.get(name.len()..)?.strip_prefix('/')?;
            if !head.eq_ignore_ascii_case(name) {
                return None;
            }
            Some(Client {
                token,
                version: Version::parse(rest)?,
                via_cache_proxy: rest.contains("; via WMCacheProxy"),
            })
        })
    }

    /// True for a client of Windows Media 9 or later: it knows `$M`, the B bit, `Supported`, Burst
    /// tokens and `$E(1)` (WMSP-04, WMSP-55, BW-26).
    pub fn is_9(self) -> bool {
        self.version >= V9
    }

    /// True if a redirection may be an HTTP status (WMSP-50); older ones get a script command.
    pub fn follows_redirect(self) -> bool {
        self.version >= V7
    }

    /// The largest AccelBW that this client may be told; `None`: no Accel tokens at all (BW-25, BW-26).
    pub fn accel_limit(self) -> Option<u32> {
        if self.version < V8 {
            None
        } else if self.version < V9 {
            Some(ACCEL_MAX_8)
        } else {
            Some(u32::MAX)
        }
    }

    /// True if Burst tokens of this client count (intermediaries of 9.0 and later).
    pub fn may_burst(self) -> bool {
        self.is_9() && self.token != ClientToken::NsPlayer
    }

    /// True if a Play without stream-switch-entry selects everything (WMSP-58).
    pub fn defaults_to_all(self) -> bool {
        self.token == ClientToken::NsServer && self.version <= V5
    }

    /// True if padding must stay in the packets (WMSP-16).
    pub fn keeps_padding(self) -> bool {
        self.token == ClientToken::NsServer && self.version < V5
    }

    /// The value of request-context in a Play with which this client expects `$E(1) $C $H` after an
    /// xResetStrm; `None`: it does not (WMSP-68).
    pub fn reset_context(self) -> Option<u32> {
        match self.token {
            _ if self.version >= V7 => None,
            ClientToken::NsPlayer => Some(2),
            ClientToken::NsServer => Some(3),
            ClientToken::WmCacheProxy => None,
        }
    }
}

/// Who a server says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerToken {
    /// A media server.
    Cougar,
    /// An encoder that acts as one.
    Rex,
}

/// A server's `Server` header, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerProduct {
    /// Product token.
    pub token: ServerToken,
    /// Version.
    pub version: Version,
}

impl ServerProduct {
    /// Read a `Server` header. `None`: not a Windows Media server (WMSP-103).
    ///
    /// VLC's and ffserver's output write `Cougar 4.1.0.3921` with a space.
    pub fn parse(server: &str) -> Option<ServerProduct> {
        let text = server.trim_start();
        [(ServerToken::Cougar, "Cougar"), (ServerToken::Rex, "Rex")]
            .into_iter()
            .find_map(|(token, name)| {
                let head = text.get(..name.len())?;
                let rest = text.get(name.len()..)?.strip_prefix(['/', ' '])?;
                head.eq_ignore_ascii_case(name).then_some(ServerProduct {
                    token,
                    version: Version::parse(rest)?,
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // WMSP-37
    #[test]
    fn foreign_agents_are_no_clients() {
        for foreign in [
            "",
            "Mozilla/5.0 NSPlayer/9.0",
            "NSPlayer",
            "NSPlayer/",
            "NSPlayerX/9.0",
            "Windows-Media-Player/10.00.00.3802",
            "WMEncoder/9.0",
            "NSP",
            "curl/8",
        ] {
            assert_eq!(Client::parse(foreign), None, "{foreign:?}");
        }
        let c = Client::parse("NSServer/9.0.0.3372; via WMCacheProxy x/1").unwrap();
        assert!(c.via_cache_proxy && c.token == ClientToken::NsServer);
        let c = Client::parse("NSPlayer/11.08.0005.0000").unwrap();
        assert_eq!(c.version, Version::new(11, 8));
        assert!(Client::parse("nsplayer/9.0").is_some());
    }

    // BW-25, BW-26, WMSP-61
    #[test]
    fn acceleration_by_version() {
        let limit = |ua: &str| Client::parse(ua).unwrap().accel_limit();
        assert_eq!(limit("NSPlayer/7.10.0.3059"), None);
        assert_eq!(limit("NSPlayer/8.0.0.3802"), Some(ACCEL_MAX_8));
        assert_eq!(limit("NSPlayer/9.0.0.2980"), Some(u32::MAX));
        assert!(!Client::parse("NSPlayer/9.0").unwrap().may_burst());
        assert!(Client::parse("NSServer/9.0").unwrap().may_burst());
        assert!(!Client::parse("NSServer/4.1").unwrap().may_burst());
    }

    // WMSP-16, WMSP-58, WMSP-68
    #[test]
    fn rules_for_old_servers_and_players() {
        let c = |ua: &str| Client::parse(ua).unwrap();
        assert!(c("NSServer/4.1").keeps_padding());
        assert!(!c("NSServer/5.0").keeps_padding());
        assert!(c("NSServer/5.0").defaults_to_all());
        assert!(!c("NSServer/9.0").defaults_to_all());
        assert!(!c("NSPlayer/4.1").defaults_to_all());
        assert_eq!(c("NSPlayer/6.4").reset_context(), Some(2));
        assert_eq!(c("NSServer/4.1").reset_context(), Some(3));
        assert_eq!(c("NSPlayer/7.0").reset_context(), None);
    }

    // WMSP-103
    #[test]
    fn servers() {
        assert_eq!(
            ServerProduct::parse("Cougar 4.1.0.3921").map(|s| s.version),
            Some(Version::new(4, 1))
        );
        assert_eq!(
            ServerProduct::parse("Rex/9.0.2980").map(|s| s.token),
            Some(ServerToken::Rex)
        );
        assert_eq!(ServerProduct::parse("Apache/2"), None);
    }
}
