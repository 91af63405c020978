//! Replies and packets as they look on the wire.

/// A reply, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn parse(bytes: &[u8]) -> Reply {
        let end = bytes
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no reply head in {:?}", String::from_utf8_lossy(bytes)));
        let text = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let headers = lines
            .map(|l| {
                let (n, v) = l.split_once(": ").unwrap();
                (n.to_owned(), v.to_owned())
            })
            .collect();
        Reply {
            line,
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub fn status(&self) -> u16 {
        self.line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(n, _)| n == name);
        let first = all.next().map(|(_, v)| &**v);
        assert!(all.next().is_none(), "{name} twice");
        first
    }

    /// Value of a Pragma token, quotes taken off.
    pub fn pragma(&self, name: &str) -> Option<String> {
        let mut rest = self.get("Pragma")?;
        loop {
            let mut quoted = false;
            let end = rest.find(|c| {
                quoted ^= c == '"';
                c == ',' && !quoted
            });
            let token = rest[..end.unwrap_or(rest.len())].trim();
            if let Some(value) = token.strip_prefix(name).and_then(|v| v.strip_prefix('=')) {
                return Some(value.trim_matches('"').to_owned());
            }
            rest = &rest[end? + 1..];
        }
    }

    pub fn client_id(&self) -> u32 {
        self.pragma("client-id")
            .expect("client-id")
            .parse()
            .unwrap()
    }
}

pub fn hex(text: &str) -> Vec<u8> {
    text.split_ascii_whitespace()
        .map(|b| u8::from_str_radix(b, 16).unwrap())
        .collect()
}

/// `$M` of [`clip`] (113 bytes) and `$H` (16 bytes), as in the reference but for features.
pub fn metadata(entry: u32, broadcast_id: u32, features: &str) -> Vec<u8> {
    let payload = format!(
        "playlist-gen-id={entry}, broadcast-id={broadcast_id}, features=\"{features}\"\0\
         8,language,31,0,,5,title,31,4,Test\r\n"
    );
    let n = payload.len() as u8 + 8;
    let mut out = vec![0x24, 0x4D, n, 0, 0, 0, 0, 0, 0, 0x0C, n, 0];
    out.extend(payload.as_bytes());
    out
}

pub const H: [u8; 16] = [
    0x24, 0x48, 0x0C, 0, 0, 0, 0, 0, 0, 0x0C, 0x0C, 0, 0xAA, 0xAA, 0xAA, 0xAA,
];
pub const E0: [u8; 8] = [0x24, 0x45, 4, 0, 0, 0, 0, 0];
pub const E1: [u8; 8] = [0x24, 0x45, 4, 0, 1, 0, 0, 0];
pub const C0: [u8; 8] = [0x24, 0x43, 4, 0, 0, 0, 0, 0];

/// `$D` with a payload of four bytes BB.
pub fn d(number: u8, incarnation: u8, flags: u8) -> [u8; 16] {
    [
        0x24,
        0x44,
        0x0C,
        0,
        number,
        0,
        0,
        0,
        incarnation,
        flags,
        0x0C,
        0,
        0xBB,
        0xBB,
        0xBB,
        0xBB,
    ]
}

/// Chunked coding removed: what was in the chunks, and what follows the last chunk (`None` while the
/// body is open).
pub fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let end = bytes
            .windows(2)
            .position(|w| w == b"\r\n")
            .expect("chunk-size");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let data = &bytes[end + 2..];
        assert_eq!(&data[size..size + 2], b"\r\n");
        if size == 0 {
            return (out, Some(data[2..].to_vec()));
        }
        out.extend_from_slice(&data[..size]);
        bytes = &data[size + 2..];
    }
    (out, None)
}
