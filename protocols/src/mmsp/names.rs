//! Strings inside messages: who a client is, and where its media goes (mmsp.md 2.12).

use super::hresult;
use crate::version::Version;
use std::net::IpAddr;

/// What subscriberName says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscriber {
    /// Product and version without the GUID: `NSPlayer/9.0.0.2980`.
    pub product: String,
    /// The player's GUID as it came, braces included; empty if there is none.
    pub guid: String,
    /// Version of the product; 0.0 if none can be read, as for the servers of old.
    pub version: Version,
    /// Windows Media Services 4.x, which announces itself as `Spoooon!`.
    pub is_old_server: bool,
    /// `host[:port]` that the client wants, from `; Host:` or, failing that, `HOST:`.
    pub host: Option<String>,
    /// What proxies on the way added behind `VIA:`.
    pub via: Option<String>,
}

impl Subscriber {
    /// Read a subscriberName. Nothing in it is required (MMSP-26).
    pub fn parse(name: &str) -> Subscriber {
        let mut parts = name.split('\0').map(str::trim);
        let mut subscriber = Subscriber::of_token(parts.next().unwrap_or_default());
        for part in parts {
            if let Some(host) = strip_label(part, "HOST:") {
                subscriber.host.get_or_insert(host);
            } else if let Some(via) = strip_label(part, "VIA:") {
                subscriber.via.get_or_insert(via);
            }
        }
        subscriber
    }

    fn of_token(token: &str) -> Subscriber {
        let mut parts = token.split(';').map(str::trim);
        let product = parts.next().unwrap_or_default().to_owned();
        let number = product.split_once('/').map_or("", |(_, version)| version);
        let mut subscriber = Subscriber {
            version: Version::parse(number).unwrap_or_default(),
            is_old_server: is_spoon(&product),
            product,
            ..Subscriber::default()
        };
        for part in parts {
            if let Some(host) = strip_label(part, "Host:") {
                subscriber.host.get_or_insert(host);
            } else if part.starts_with('{') && subscriber.guid.is_empty() {
                part.clone_into(&mut subscriber.guid);
            }
        }
        subscriber
    }

    /// Write a subscriberName (MMSP-22, MMSP-23): `HOST:` and `VIA:` behind the token, each with its NUL.
    pub fn name(&self) -> String {
        let mut name = self.product.clone();
        for (label, value) in [("; ", &self.guid), ("; Host: ", self.host_text())] {
            if !value.is_empty() {
                name.push_str(label);
                name.push_str(value);
            }
        }
        for (label, value) in [("HOST: ", &self.host), ("VIA: ", &self.via)] {
            if let Some(value) = value {
                name.push('\0');
                name.push_str(label);
                name.push_str(value);
            }
        }
        name
    }

    fn host_text(&self) -> &String {
        const NONE: &String = &String::new();
        self.host.as_ref().unwrap_or(NONE)
    }
}

/// `Spo+n!`: how many letters there are is told in two ways.
fn is_spoon(product: &str) -> bool {
    let middle = product
        .strip_prefix("Sp")
        .and_then(|rest| rest.strip_suffix("n!"));
    middle.is_some_and(|m| !m.is_empty() && m.bytes().all(|b| b == b'o'))
}

fn strip_label(part: &str, label: &str) -> Option<String> {
    let head = part.get(..label.len())?;
    let value = part.get(label.len()..)?.trim();
    (head.eq_ignore_ascii_case(label) && !value.is_empty()).then(|| value.to_owned())
}

/// Where media is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Funnel {
    /// On the connection.
    Tcp,
    /// To this UDP port of the connection's other end.
    Udp(u16),
}

impl Funnel {
    /// Read a funnelName (MMSP-32). The address in it is not looked at, nor is the port of TCP.
    ///
    /// # Errors
    /// The code for ReportDisconnectedFunnel (MMSP-33).
    pub fn parse(name: &str) -> Result<Funnel, u32> {
        // VLC leaves a stray character behind the NUL.
        let name = name.split('\0').next().unwrap_or_default();
        let mut parts = name.trim_start_matches('\\').split('\\');
        let (Some(_), Some(protocol), port) = (parts.next(), parts.next(), parts.next()) else {
            return Err(hresult::E_INVALIDARG);
        };
        if protocol.eq_ignore_ascii_case("TCP") {
            return Ok(Funnel::Tcp);
        }
        if !protocol.eq_ignore_ascii_case("UDP") {
            return Err(hresult::NS_E_PROTOCOL_MISMATCH);
        }
        match port.and_then(|p| p.trim().parse().ok()) {
            Some(port @ 1..) => Ok(Funnel::Udp(port)),
            _ => Err(hresult::NS_E_BAD_PORT),
        }
    }

    /// Write a funnelName; `port` is the connection's own one for TCP.
    pub fn name(self, address: IpAddr, port: u16) -> String {
        match self {
            Funnel::Tcp => format!("\\\\{address}\\TCP\\{port}"),
            Funnel::Udp(port) => format!("\\\\{address}\\UDP\\{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // MMSP-26
    #[test]
    fn subscribers_of_all_kinds() {
        let wmp9 = Subscriber::parse(
            "NSPlayer/9.0.0.2980; {00112233-4455-6677-8899-AABBCCDDEEFF}; Host: a:1755\0HOST: b\0VIA: p/1,q",
        );
        assert_eq!(wmp9.product, "NSPlayer/9.0.0.2980");
        assert_eq!(wmp9.guid, "{00112233-4455-6677-8899-AABBCCDDEEFF}");
        assert_eq!(wmp9.version, Version::new(9, 0));
        assert_eq!(wmp9.host.as_deref(), Some("a:1755"));
        assert_eq!(wmp9.via.as_deref(), Some("p/1,q"));

        let vlc = Subscriber::parse("NSPlayer/7.0.0.1956; {0x33-0x1-0x2-}; Host: 10.0.0.1");
        assert_eq!(vlc.guid, "{0x33-0x1-0x2-}");
        assert_eq!(vlc.host.as_deref(), Some("10.0.0.1"));

        for spoon in ["Spoon!", "Spoooon!", "Spooooon!"] {
            assert!(Subscriber::parse(spoon).is_old_server, "{spoon}");
        }
        for other in ["Spn!", "Spoo", "spoon!", "Spooxn!", ""] {
            assert!(!Subscriber::parse(other).is_old_server, "{other}");
        }
        assert_eq!(Subscriber::parse("\0").version, Version::new(0, 0));
        let late = Subscriber::parse("NSPlayer/4.1.0.3857; \0host: x:1\0via: ");
        assert_eq!(
            (late.host.as_deref(), late.via),
            (Some("x:1"), None),
            "HOST: counts where Host: is missing"
        );
    }

    // MMSP-22, MMSP-23
    #[test]
    fn subscribers_survive_the_way() {
        let mut s = Subscriber::parse("NSPlayer/9.0.0.2980; {1}");
        assert_eq!(s.name(), "NSPlayer/9.0.0.2980; {1}");
        s.host = Some("h:1".into());
        s.via = Some("p/1".into());
        assert_eq!(
            s.name(),
            "NSPlayer/9.0.0.2980; {1}; Host: h:1\0HOST: h:1\0VIA: p/1"
        );
        assert_eq!(Subscriber::parse(&s.name()), s);
    }

    // MMSP-32, MMSP-33
    #[test]
    fn funnels() {
        let read = Funnel::parse;
        assert_eq!(read(r"\\192.168.0.129\TCP\1037"), Ok(Funnel::Tcp));
        assert_eq!(read("\\\\192.168.0.1\\TCP\\1242\0\u{30}"), Ok(Funnel::Tcp));
        assert_eq!(read(r"\\10.0.0.1\UDP\7000"), Ok(Funnel::Udp(7000)));
        assert_eq!(
            read("\\\\fe80::1\\udp\\65535\0\u{30}"),
            Ok(Funnel::Udp(65535))
        );
        for bad in [r"\\a\UDP\0", r"\\a\UDP\65536", r"\\a\UDP\", r"\\a\UDP"] {
            assert_eq!(read(bad), Err(hresult::NS_E_BAD_PORT), "{bad}");
        }
        assert_eq!(read(r"\\a\SPX\1"), Err(hresult::NS_E_PROTOCOL_MISMATCH));
        for bad in ["", r"\\", r"\\a"] {
            assert_eq!(read(bad), Err(hresult::E_INVALIDARG), "{bad}");
        }
        let there = "10.0.0.2".parse().unwrap();
        assert_eq!(Funnel::Udp(9).name(there, 1), r"\\10.0.0.2\UDP\9");
        assert_eq!(Funnel::Tcp.name(there, 1242), r"\\10.0.0.2\TCP\1242");
    }
}
