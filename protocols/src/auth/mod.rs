//! Proving who a client is: Basic (RFC 7617), Digest (RFC 2617, RFC 7616) and NTLM (MS-NLMP).
//!
//! A machine turns an `Authorization` header into [`Credentials`] and hands them to the application
//! with its question. The application, which has the secrets, answers with what was asked for or
//! with a [`Challenge`]; the machine writes that as its protocol has it. The checks themselves are
//! here, without I/O: [`digest::Authorization::proves`], [`digest::Nonces`], [`ntlm::Handshake`].
//!
//! Invariants:
//! - Secrets and proofs are compared in constant time.
//! - A password is never part of a `Debug` output.
//! - An NTLM proof is compared itself: nothing later would notice a wrong one.

pub mod base64;
pub mod basic;
pub mod client;
pub mod digest;
pub mod ntlm;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use std::fmt;
use std::sync::Arc;

/// A way to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// User name and password, readable by everyone on the path.
    Basic,
    /// A hash over a nonce; MD5.
    Digest,
    /// Challenge and response that bind to the connection; NTLMv2.
    Ntlm,
}

impl Scheme {
    /// As it stands in headers.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Basic => "Basic",
            Scheme::Digest => "Digest",
            Scheme::Ntlm => "NTLM",
        }
    }

    /// By its name, in any case.
    pub fn parse(name: &str) -> Option<Scheme> {
        let all = [Scheme::Basic, Scheme::Digest, Scheme::Ntlm];
        all.into_iter()
            .find(|s| name.eq_ignore_ascii_case(s.name()))
    }
}

/// A password on its way to be checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wrap one.
    pub fn new(password: String) -> Password {
        Password(password)
    }

    /// The password itself. Not for messages.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Who a connection was found to belong to. Only the application makes one and looks into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the user.
    pub user: Arc<str>,
    /// Among which users: names mean nothing elsewhere.
    pub realm: Arc<str>,
}

/// What a client gave to prove who it is.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Basic.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: Password,
    },
    /// Digest, with what it has to be a proof of.
    Digest {
        /// The header's fields.
        authorization: Box<digest::Authorization>,
        /// Method of the request, before any translation by a proxy.
        method: String,
        /// Path and query of the request.
        target: String,
    },
    /// A message of NTLM, and the exchange so far on its connection.
    Ntlm {
        /// The client's message.
        token: Vec<u8>,
        /// What [`Offer::Ntlm`] last carried on this connection. Given back once.
        handshake: Option<Arc<ntlm::Handshake>>,
    },
    /// Nothing new: the connection proved itself earlier.
    Connection(Arc<Identity>),
}

/// The application wants to know who asks, or did not believe it.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// What it would take, in its own order of preference.
    pub offers: Vec<Offer>,
    /// The user whose proof was wrong, if one was given; for the log.
    pub rejected: Option<String>,
}

/// One scheme on offer.
#[derive(Clone, Debug)]
pub enum Offer {
    /// Basic.
    Basic {
        /// Shown to the person who is asked.
        realm: Arc<str>,
    },
    /// Digest.
    Digest {
        /// Shown to the person who is asked, and part of the hash.
        realm: Arc<str>,
        /// To be used in the next proof.
        nonce: String,
        /// The last proof was right, only its nonce was too old or used up.
        stale: bool,
    },
    /// NTLM; with a handshake when it has begun on this connection.
    Ntlm {
        /// To be kept with the connection.
        handshake: Option<Arc<ntlm::Handshake>>,
    },
}

impl Offer {
    /// Its scheme.
    pub const fn scheme(&self) -> Scheme {
        match self {
            Offer::Basic { .. } => Scheme::Basic,
            Offer::Digest { .. } => Scheme::Digest,
            Offer::Ntlm { .. } => Scheme::Ntlm,
        }
    }

    /// True if the client has to go on with this one and no other.
    fn is_second_step(&self) -> bool {
        matches!(
            self,
            Offer::Digest { stale: true, .. }
                | Offer::Ntlm {
                    handshake: Some(_),
                    ..
                }
        )
    }

    /// Value of a `WWW-Authenticate` header.
    pub fn header(&self) -> String {
        match self {
            Offer::Basic { realm } => format!("Basic realm=\"{realm}\""),
            Offer::Digest {
                realm,
                nonce,
                stale,
            } => {
                let stale = if *stale { ", stale=true" } else { "" };
                format!(
                    "Digest realm=\"{realm}\", qop=\"auth\", algorithm=MD5, nonce=\"{nonce}\"{stale}"
                )
            }
            Offer::Ntlm { handshake: None } => "NTLM".to_owned(),
            Offer::Ntlm {
                handshake: Some(handshake),
            } => format!("NTLM {}", base64::encode(handshake.challenge())),
        }
    }
}

impl Challenge {
    /// What a client is shown: the one scheme of `accepted` that it prefers, or all if it did not
    /// say which it has, or has none of them (WMSP-93).
    pub fn choose<'a>(&self, mut accepted: impl Iterator<Item = &'a str>) -> Vec<&Offer> {
        if let Some(step) = self.offers.iter().find(|o| o.is_second_step()) {
            return vec![step];
        }
        let preferred = accepted.find_map(|name| {
            let scheme = Scheme::parse(name.trim())?;
            self.offers.iter().find(|o| o.scheme() == scheme)
        });
        match preferred {
            Some(offer) => vec![offer],
            None => self.offers.iter().collect(),
        }
    }
}

/// Why an `Authorization` header could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset} of Authorization")]
pub struct Malformed {
    /// Offset in the header's value.
    pub offset: usize,
    /// What was wrong.
    pub reason: &'static str,
}

impl Malformed {
    const fn at(offset: usize, reason: &'static str) -> Malformed {
        Malformed { offset, reason }
    }
}

/// An `Authorization` header, read.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// Basic.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: Password,
    },
    /// Digest.
    Digest(Box<digest::Authorization>),
    /// A message of NTLM.
    Ntlm(Vec<u8>),
}

impl Authorization {
    /// Read a header's value. `None`: a scheme that nothing here offers.
    ///
    /// # Errors
    /// Says where a header of a known scheme is malformed.
    pub fn parse(value: &str) -> Result<Option<Authorization>, Malformed> {
        let (name, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        let offset = value.len() - rest.len();
        let moved = |e: Malformed| Malformed::at(offset + e.offset, e.reason);
        Ok(match Scheme::parse(name) {
            Some(Scheme::Basic) => {
                let (user, password) = basic::parse(rest).map_err(moved)?;
                Some(Authorization::Basic { user, password })
            }
            Some(Scheme::Digest) => {
                let fields = digest::Authorization::parse(rest).map_err(moved)?;
                Some(Authorization::Digest(Box::new(fields)))
            }
            Some(Scheme::Ntlm) => Some(Authorization::Ntlm(base64::decode(rest).map_err(moved)?)),
            None => None,
        })
    }
}

/// HMAC-MD5 over the parts, one after the other.
pub fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Lowercase hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n & 15)]);
    bytes
        .iter()
        .flat_map(|b| [digit(b >> 4), digit(*b)])
        .collect()
}

/// Exactly `N` bytes in hex, in any case.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let value = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(offers: Vec<Offer>) -> Challenge {
        Challenge {
            offers,
            rejected: None,
        }
    }

    fn all(stale: bool) -> Challenge {
        challenge(vec![
            Offer::Ntlm { handshake: None },
            Offer::Digest {
                realm: "r".into(),
                nonce: "n".into(),
                stale,
            },
            Offer::Basic { realm: "r".into() },
        ])
    }

    fn chosen(challenge: &Challenge, accepted: &[&str]) -> Vec<Scheme> {
        let offers = challenge.choose(accepted.iter().copied());
        offers.iter().map(|o| o.scheme()).collect()
    }

    // WMSP-93
    #[test]
    fn the_client_s_first_choice_is_taken() {
        let every = [Scheme::Ntlm, Scheme::Digest, Scheme::Basic];
        assert_eq!(chosen(&all(false), &[]), every);
        assert_eq!(
            chosen(&all(false), &["Negotiate", "digest", "NTLM"]),
            [Scheme::Digest]
        );
        assert_eq!(
            chosen(&all(false), &["Negotiate"]),
            every,
            "nothing in common: the client may still know one"
        );
        assert_eq!(chosen(&all(true), &["NTLM"]), [Scheme::Digest], "stale");
    }

    #[test]
    fn headers() {
        let lines: Vec<String> = all(true).offers.iter().map(Offer::header).collect();
        assert_eq!(
            lines,
            [
                "NTLM",
                "Digest realm=\"r\", qop=\"auth\", algorithm=MD5, nonce=\"n\", stale=true",
                "Basic realm=\"r\""
            ]
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        let read = Authorization::parse("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
        let shown = format!("{read:?}");
        assert!(shown.contains("Aladdin") && !shown.contains("sesame"));
        assert!(matches!(
            read,
            Some(Authorization::Basic { password, .. }) if password.reveal() == "open sesame"
        ));
    }

    #[test]
    fn other_schemes_and_faults() {
        assert!(Authorization::parse("Bearer x").unwrap().is_none());
        assert!(Authorization::parse("").unwrap().is_none());
        let fault = Authorization::parse("NTLM TlR*").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "character that is not base64 at byte 8 of Authorization"
        );
        assert!(Authorization::parse("Basic").is_err());
    }

    #[test]
    fn hex_both_ways() {
        assert_eq!(hex(&[0x00, 0xfe]), "00fe");
        assert_eq!(unhex::<2>("00fE"), Some([0x00, 0xfe]));
        assert_eq!(unhex::<2>("00f"), None);
        assert_eq!(unhex::<1>("+1"), None);
    }
}
