//! Digest (RFC 2617, RFC 7616) with MD5: reading a proof, checking it, and nonces.

use super::{Malformed, hex, hmac_md5, unhex};
use crate::machine::Time;
use md5::{Digest as _, Md5};
use std::collections::BTreeMap;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How long a nonce is good for.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(600);
/// Nonces whose use is remembered; the oldest is forgotten, and no longer good, at one more.
pub const NONCE_COUNT_MAX: usize = 16_384;
/// How far behind the highest nonce count one may arrive: requests on parallel connections.
const WINDOW: u32 = 64;

/// Over what the first hash goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// User, realm and password.
    Md5,
    /// That, and both nonces.
    Md5Sess,
}

/// The fields of an `Authorization: Digest` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// User name.
    pub username: String,
    /// Realm, as it was offered.
    pub realm: String,
    /// Nonce, as it was offered.
    pub nonce: String,
    /// What the client asked for, as it sees it.
    pub uri: String,
    /// Algorithm; MD5 if it is not named.
    pub algorithm: Algorithm,
    /// `None`: without quality of protection, as before RFC 2617.
    pub count: Option<Count>,
    response: [u8; 16],
}

/// What comes with `qop=auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The client's nonce.
    pub cnonce: String,
    /// How often it has used ours, from 1.
    pub nc: u32,
    /// As it was written: the hash goes over the digits.
    nc_text: String,
}

/// HA1: what is stored of a password, lowercase hex of 16 bytes.
pub fn ha1(user: &str, realm: &str, password: &str) -> [u8; 16] {
    md5(&[user, realm, password])
}

impl Authorization {
    /// Read what follows the scheme's name.
    ///
    /// # Errors
    /// Says where it is malformed, which field is missing, or what is not offered: `auth-int`,
    /// algorithms other than MD5.
    pub fn parse(value: &str) -> Result<Authorization, Malformed> {
        let mut fields = Fields::read(value)?;
        let algorithm = match fields.take("algorithm") {
            None => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5-sess") => Algorithm::Md5Sess,
            Some(_) => return Err(Malformed::at(0, "algorithm that is not offered")),
        };
        let cnonce = fields.take("cnonce");
        let count = match fields.take("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let nc_text = fields.need("nc")?;
                let nc = u32::from_str_radix(&nc_text, 16).ok().filter(|n| *n > 0);
                let fine = nc_text.len() == 8 && !nc_text.starts_with('+');
                Some(Count {
                    cnonce: cnonce.clone().ok_or(Malformed::at(0, "no cnonce"))?,
                    nc: nc.filter(|_| fine).ok_or(Malformed::at(0, "value of nc"))?,
                    nc_text,
                })
            }
            Some(_) => return Err(Malformed::at(0, "qop that is not offered")),
        };
        if algorithm == Algorithm::Md5Sess && count.is_none() {
            return Err(Malformed::at(0, "MD5-sess without qop"));
        }
        let response = fields.need("response")?;
        Ok(Authorization {
            username: fields.need("username")?,
            realm: fields.need("realm")?,
            nonce: fields.need("nonce")?,
            uri: fields.need("uri")?,
            algorithm,
            count,
            response: unhex(&response).ok_or(Malformed::at(0, "value of response"))?,
        })
    }

    /// True if it was made by somebody who knows `ha1`, for this method.
    pub fn proves(&self, ha1: &[u8; 16], method: &str) -> bool {
        let mut first = hex(ha1);
        if let (Algorithm::Md5Sess, Some(count)) = (self.algorithm, &self.count) {
            first = hex(&md5(&[&first, &self.nonce, &count.cnonce]));
        }
        let second = hex(&md5(&[method, &self.uri]));
        let want = match &self.count {
            Some(c) => md5(&[&first, &self.nonce, &c.nc_text, &c.cnonce, "auth", &second]),
            None => md5(&[&first, &self.nonce, &second]),
        };
        want.ct_eq(&self.response).into()
    }

    /// True if the proof is about this path and query: some clients name the whole URL, some leave
    /// the query out (Internet Explorer 6 and what uses its library).
    pub fn is_about(&self, target: &str) -> bool {
        let uri = match self.uri.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => &self.uri,
        };
        let path = target.split('?').next().unwrap_or(target);
        uri == target || uri == path
    }
}

/// The hash over the parts with colons between them.
pub(super) fn md5(parts: &[&str]) -> [u8; 16] {
    let mut hash = Md5::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            hash.update(b":");
        }
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// Most fields of one header.
const FIELD_COUNT_MAX: usize = 32;

/// `name=value` pairs with commas between them; values are tokens or quoted strings.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn read(text: &str) -> Result<Fields, Malformed> {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut rest = text;
        let at = |rest: &str| text.len() - rest.len();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Ok(Fields(fields));
            }
            let start = at(rest);
            let (name, after) = rest
                .split_once('=')
                .ok_or(Malformed::at(start, "field without a value"))?;
            let name = name.trim().to_ascii_lowercase();
            let (value, after) = value(after.trim_start())
                .ok_or(Malformed::at(start, "quoted string without an end"))?;
            if fields.iter().any(|(n, _)| *n == name) {
                return Err(Malformed::at(start, "field that comes twice"));
            }
            if fields.len() == FIELD_COUNT_MAX {
                return Err(Malformed::at(start, "too many fields"));
            }
            fields.push((name, value));
            rest = after.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(Malformed::at(at(rest), "no comma between fields"));
            }
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn need(&mut self, name: &'static str) -> Result<String, Malformed> {
        let missing = match name {
            "username" => "no username",
            "realm" => "no realm",
            "nonce" => "no nonce",
            "uri" => "no uri",
            "response" => "no response",
            _ => "no nc",
        };
        self.take(name).ok_or(Malformed::at(0, missing))
    }
}

/// A value and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((value, &quoted[at + 1..])),
            _ => value.push(c),
        }
    }
    None
}

/// What became of a nonce that came with a right proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It was good, and this use of it is new.
    Fresh,
    /// Not ours, too old, or used like this before: the client is given another.
    Stale,
}

/// Issues nonces and remembers how they were used, so that no proof is taken twice.
///
/// A nonce says when it was made, which one it is, and carries a code that only we can make. Nothing
/// is remembered of one until it comes back with a right proof, so challenges cost no memory.
pub struct Nonces {
    key: [u8; 32],
    next: u64,
    /// Numbers below are no longer good.
    floor: u64,
    used: BTreeMap<u64, Seen>,
}

/// How a nonce was used.
struct Seen {
    issued: Time,
    highest: u32,
    /// Bit n: `highest - n` has come.
    window: u64,
}

impl Nonces {
    /// With a secret key, another one after each start.
    pub fn new(key: [u8; 32]) -> Nonces {
        Nonces {
            key,
            next: 0,
            floor: 0,
            used: BTreeMap::new(),
        }
    }

    /// A nonce: 64 hex digits.
    pub fn issue(&mut self, now: Time) -> String {
        let number = self.next;
        self.next += 1;
        let (time, number) = (now.micros().to_be_bytes(), number.to_be_bytes());
        let code = hmac_md5(&self.key, &[&time, &number]);
        hex(&[&time[..], &number, &code].concat())
    }

    /// Account for one use, `count` being the nonce count; without one a nonce can be used once.
    pub fn use_up(&mut self, now: Time, nonce: &str, count: Option<u32>) -> Use {
        self.expire(now);
        let Some((issued, number)) = self.read(nonce) else {
            return Use::Stale;
        };
        if number < self.floor || now.since(issued) > NONCE_LIFETIME {
            return Use::Stale;
        }
        if !self.used.contains_key(&number) && self.used.len() >= NONCE_COUNT_MAX {
            self.forget_oldest();
        }
        if number < self.floor {
            return Use::Stale;
        }
        let seen = self.used.entry(number).or_insert(Seen {
            issued,
            highest: 0,
            window: 0,
        });
        match seen.take(count.unwrap_or(1)) {
            true => Use::Fresh,
            false => Use::Stale,
        }
    }

    /// When it was made and which one it is, if it is ours.
    fn read(&self, nonce: &str) -> Option<(Time, u64)> {
        let bytes: [u8; 32] = unhex(nonce)?;
        let (said, code) = bytes.split_at(16);
        let ours = hmac_md5(&self.key, &[said]);
        if !bool::from(ours[..].ct_eq(code)) {
            return None;
        }
        let (time, number) = said.split_at(8);
        let time = u64::from_be_bytes(time.try_into().ok()?);
        Some((Time(time), u64::from_be_bytes(number.try_into().ok()?)))
    }

    fn expire(&mut self, now: Time) {
        while self
            .used
            .first_key_value()
            .is_some_and(|(_, seen)| now.since(seen.issued) > NONCE_LIFETIME)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((number, _)) = self.used.pop_first() {
            self.floor = self.floor.max(number + 1);
        }
    }
}

impl Seen {
    /// True if this count had not come, and is not too far behind to know.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let by = count - self.highest;
            self.window = self.window.checked_shl(by).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        let bit = 1u64.checked_shl(behind).unwrap_or(0);
        if count == 0 || behind >= WINDOW || self.window & bit != 0 {
            return false;
        }
        self.window |= bit;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // The example of RFC 2617, 3.5.
    const EXAMPLE: &str = "username=\"Mufasa\", realm=\"testrealm@host.com\", \
        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, \
        nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", \
        opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";

    fn example() -> Authorization {
        Authorization::parse(EXAMPLE).unwrap()
    }

    // WMSP-94
    #[test]
    fn the_example_of_the_rfc() {
        let a = example();
        let secret = ha1("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(hex(&secret), "939e7578ed9e3c518a452acee763bce9");
        assert!(a.proves(&secret, "GET"));
        assert!(!a.proves(&secret, "POST"));
        assert!(!a.proves(
            &ha1("Mufasa", "testrealm@host.com", "Circle of Life"),
            "GET"
        ));
        assert!(a.is_about("/dir/index.html") && a.is_about("/dir/index.html?q"));
        assert!(!a.is_about("/dir/index.htm"));
        assert_eq!(a.count.as_ref().map(|c| c.nc), Some(1));
    }

    // RFC 7616, 3.9.1 with MD5.
    #[test]
    fn the_example_of_the_newer_rfc() {
        let a = Authorization::parse(
            "username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm=MD5, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
             response=\"8ca523f5e9506fed4657c9700eebdbec\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
        )
        .unwrap();
        assert!(a.proves(
            &ha1("Mufasa", "http-auth@example.org", "Circle of Life"),
            "GET"
        ));
    }

    #[test]
    fn without_qop_and_with_sessions() {
        let secret = ha1("u", "r", "p");
        let plain = hex(&md5(&[&hex(&secret), "n", &hex(&md5(&["GET", "/a"]))]));
        let text = format!("username=u,realm=r,nonce=n,uri=\"/a\",response={plain}");
        assert!(Authorization::parse(&text).unwrap().proves(&secret, "GET"));

        let session = hex(&md5(&[&hex(&secret), "n", "c"]));
        let end = hex(&md5(&["GET", "/a"]));
        let response = hex(&md5(&[&session, "n", "0000000a", "c", "auth", &end]));
        let text = format!(
            "username=u,realm=r,nonce=n,uri=/a,algorithm=\"MD5-sess\",qop=\"auth\",cnonce=c,\
             nc=0000000a,response=\"{response}\""
        );
        let a = Authorization::parse(&text).unwrap();
        assert!(a.proves(&secret, "GET"));
        assert_eq!(a.count.map(|c| c.nc), Some(10));
    }

    #[test]
    fn malformed() {
        let fault = |text: &str| Authorization::parse(text).unwrap_err().to_string();
        assert_eq!(
            fault("a=b, c"),
            "field without a value at byte 5 of Authorization"
        );
        assert!(fault("a=\"b").starts_with("quoted string without an end at byte 0"));
        assert!(fault("a=b, A=c").starts_with("field that comes twice at byte 5"));
        assert!(fault("a=\"b\"c=d").starts_with("no comma between fields at byte 5"));
        assert!(fault("").starts_with("no response"));
        let without = |part: &str, other: &str| {
            assert!(EXAMPLE.contains(part));
            fault(&EXAMPLE.replace(part, other))
        };
        assert!(without("qop=auth,", "qop=auth-int,").starts_with("qop"));
        assert!(without("nc=00000001,", "").starts_with("no nc"));
        assert!(without("nc=00000001,", "nc=00000000,").starts_with("value of nc"));
        assert!(without("nc=00000001,", "nc=1,").starts_with("value of nc"));
        assert!(without("cnonce=\"0a4f113b\",", "").starts_with("no cnonce"));
        assert!(without("qop=auth,", "algorithm=SHA-256,").starts_with("algorithm"));
        assert!(without("6629fae4", "6629fae").starts_with("value of response"));
        let many = (0..40).map(|n| format!("a{n}=b")).collect::<Vec<_>>();
        assert!(fault(&many.join(",")).starts_with("too many fields"));
    }

    #[test]
    fn whole_urls_name_their_path() {
        let mut a = example();
        for (uri, target, about) in [
            ("http://h:80/a?b", "/a?b", true),
            ("rtsp://h/a", "/a?b", true),
            ("http://h", "/", true),
            ("http://h/a", "/b", false),
            ("/a?c", "/a?b", false),
        ] {
            a.uri = uri.to_owned();
            assert_eq!(a.is_about(target), about, "{uri} {target}");
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_nonce_is_good_once_for_each_count() {
        let mut nonces = Nonces::new([7; 32]);
        let now = Time(5_000_000);
        let nonce = nonces.issue(now);
        assert_eq!(nonce.len(), 64);
        assert_ne!(nonce, nonces.issue(now));
        let mut take = |count| nonces.use_up(now + SECOND, &nonce, count);
        assert_eq!(take(Some(1)), Use::Fresh);
        assert_eq!(take(Some(1)), Use::Stale, "replayed");
        assert_eq!(take(Some(3)), Use::Fresh);
        assert_eq!(take(Some(2)), Use::Fresh, "overtaken on another connection");
        assert_eq!(take(Some(2)), Use::Stale);
        assert_eq!(take(Some(200)), Use::Fresh);
        assert_eq!(take(Some(137)), Use::Fresh);
        assert_eq!(take(Some(136)), Use::Stale, "too far behind to know");
        assert_eq!(take(Some(u32::MAX)), Use::Fresh);
        assert_eq!(take(None), Use::Stale);
        let other = nonces.issue(now);
        assert_eq!(nonces.use_up(now, &other, None), Use::Fresh);
        assert_eq!(
            nonces.use_up(now, &other, None),
            Use::Stale,
            "no count: once"
        );
    }

    #[test]
    fn a_nonce_ages_and_belongs_to_its_issuer() {
        let mut nonces = Nonces::new([7; 32]);
        let now = Time(1);
        let nonce = nonces.issue(now);
        assert_eq!(
            Nonces::new([8; 32]).use_up(now, &nonce, Some(1)),
            Use::Stale
        );
        for at in 0..nonce.len() {
            let mut forged = nonce.clone();
            let other = if &nonce[at..=at] == "0" { "1" } else { "0" };
            forged.replace_range(at..=at, other);
            assert_eq!(nonces.use_up(now, &forged, Some(1)), Use::Stale, "{at}");
        }
        assert!(nonces.used.is_empty(), "forged ones cost no memory");
        let late = now + NONCE_LIFETIME;
        assert_eq!(nonces.use_up(late, &nonce, Some(1)), Use::Fresh);
        assert_eq!(nonces.use_up(late + SECOND, &nonce, Some(2)), Use::Stale);
        assert!(nonces.used.is_empty(), "what is too old is forgotten");
    }

    #[test]
    fn what_was_forgotten_is_not_good_again() {
        let mut nonces = Nonces::new([7; 32]);
        let all: Vec<String> = (0..=NONCE_COUNT_MAX)
            .map(|_| nonces.issue(Time(1)))
            .collect();
        for nonce in &all {
            assert_eq!(nonces.use_up(Time(1), nonce, Some(1)), Use::Fresh);
        }
        assert_eq!(nonces.used.len(), NONCE_COUNT_MAX);
        assert_eq!(nonces.use_up(Time(1), &all[0], Some(1)), Use::Stale);
        assert_eq!(nonces.use_up(Time(1), &all[0], Some(2)), Use::Stale);
        assert_eq!(nonces.use_up(Time(1), &all[1], Some(2)), Use::Fresh);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,200}") {
            let _ = Authorization::parse(&text);
        }

        #[test]
        fn fields_come_back(name in "[a-z]{1,8}", text in "[ -~]{0,40}") {
            prop_assume!(name != "b");
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            let fields = Fields::read(&format!("{name}=\"{quoted}\" , b=c")).unwrap();
            prop_assert_eq!(&fields.0, &[(name, text), ("b".to_owned(), "c".to_owned())]);
        }

        #[test]
        fn no_count_is_taken_twice(counts in proptest::collection::vec(1u32..200, 0..200)) {
            let mut nonces = Nonces::new([1; 32]);
            let nonce = nonces.issue(Time(1));
            let mut taken = std::collections::BTreeSet::new();
            for count in counts {
                if nonces.use_up(Time(1), &nonce, Some(count)) == Use::Fresh {
                    prop_assert!(taken.insert(count));
                }
            }
        }
    }
}
