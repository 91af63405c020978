//! The accepting side of NTLM (MS-NLMP): NEGOTIATE and AUTHENTICATE in, CHALLENGE out, NTLMv2 only.
//!
//! What is left out: NTLMv1 and LM responses, which are refused; signing and sealing, which HTTP
//! has no use for, except the key that the integrity code (MIC) of the handshake needs; the limit on
//! the client's clock (3.2.5.1.2), since our challenge is new each time and devices without a clock
//! battery exist.

use super::hmac_md5;
use md4::{Digest as _, Md4};
use std::fmt;
use subtle::ConstantTimeEq;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
/// Largest message that is looked at, bytes.
const MESSAGE_BYTES_MAX: usize = 8192;
/// Largest NEGOTIATE, bytes: it is kept with the connection until the client goes on. Two names and a
/// version fit.
const NEGOTIATE_BYTES_MAX: usize = 512;
/// Longest name of a user or domain, bytes.
const NAME_BYTES_MAX: usize = 512;

/// Offsets in the messages, in the order of 2.2.1.
mod field {
    pub const TYPE: usize = 8;
    pub const NEGOTIATE_FLAGS: usize = 12;
    pub const CHALLENGE_HEAD: usize = 56;
    pub const NT_RESPONSE: usize = 20;
    pub const DOMAIN: usize = 28;
    pub const USER: usize = 36;
    pub const SESSION_KEY: usize = 52;
    pub const FLAGS: usize = 60;
    pub const MIC: usize = 72;
    pub const MIC_END: usize = 88;
}

/// NEGOTIATE flags (2.2.2.5).
mod flag {
    pub const UNICODE: u32 = 0x0000_0001;
    pub const OEM: u32 = 0x0000_0002;
    pub const REQUEST_TARGET: u32 = 0x0000_0004;
    pub const SIGN: u32 = 0x0000_0010;
    pub const SEAL: u32 = 0x0000_0020;
    pub const NTLM: u32 = 0x0000_0200;
    pub const ALWAYS_SIGN: u32 = 0x0000_8000;
    pub const TARGET_TYPE_SERVER: u32 = 0x0002_0000;
    pub const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
    pub const TARGET_INFO: u32 = 0x0080_0000;
    pub const KEY_128: u32 = 0x2000_0000;
    pub const KEY_EXCHANGE: u32 = 0x4000_0000;
    pub const KEY_56: u32 = 0x8000_0000;
}

/// Ids of AV_PAIR (2.2.2.1).
mod av {
    pub const EOL: u16 = 0;
    pub const NB_COMPUTER_NAME: u16 = 1;
    pub const NB_DOMAIN_NAME: u16 = 2;
    pub const DNS_COMPUTER_NAME: u16 = 3;
    pub const FLAGS: u16 = 6;
    pub const TIMESTAMP: u16 = 7;
}

/// Bit of the client's AV flags: a MIC is there.
const HAS_MIC: u32 = 2;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset} of the NTLM message")]
pub struct Fault {
    /// Offset in the message.
    pub offset: usize,
    /// What was wrong.
    pub reason: &'static str,
}

type Result<T> = std::result::Result<T, Fault>;

fn fault<T>(offset: usize, reason: &'static str) -> Result<T> {
    Err(Fault { offset, reason })
}

/// What a password is stored as: the MD4 of its UTF-16. As good as the password itself.
pub fn nt_hash(password: &str) -> [u8; 16] {
    Md4::digest(utf16(password)).into()
}

/// A message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It wants to begin.
    Negotiate(Negotiate),
    /// It answers our challenge.
    Authenticate(Box<Authenticate>),
}

impl Message {
    /// Read a message.
    ///
    /// # Errors
    /// Says where it is malformed, or that it is none of a client.
    pub fn parse(bytes: &[u8]) -> Result<Message> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return fault(MESSAGE_BYTES_MAX, "message too long");
        }
        if !bytes.starts_with(SIGNATURE) {
            return fault(0, "no signature");
        }
        match u32_at(bytes, field::TYPE)? {
            1 => Negotiate::parse(bytes).map(Message::Negotiate),
            3 => Authenticate::parse(bytes).map(|a| Message::Authenticate(Box::new(a))),
            _ => fault(field::TYPE, "message type"),
        }
    }
}

/// NEGOTIATE_MESSAGE (2.2.1.1). The names that it may carry are hints without use here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiate {
    flags: u32,
    bytes: Box<[u8]>,
}

impl Negotiate {
    fn parse(bytes: &[u8]) -> Result<Negotiate> {
        let flags = u32_at(bytes, field::NEGOTIATE_FLAGS)?;
        if bytes.len() > NEGOTIATE_BYTES_MAX {
            return fault(NEGOTIATE_BYTES_MAX, "NEGOTIATE too long");
        }
        if flags & (flag::UNICODE | flag::OEM) == 0 {
            return fault(field::NEGOTIATE_FLAGS, "no character set");
        }
        Ok(Negotiate {
            flags,
            bytes: bytes.into(),
        })
    }
}

/// Who we say that we are.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// NetBIOS name; also given as the domain, since our users belong to no other.
    pub netbios: &'a str,
    /// Name in the DNS; may be empty.
    pub dns: &'a str,
}

/// An exchange that has begun: what both have said so far. Good for one answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Handshake {
    negotiate: Box<[u8]>,
    challenge: Box<[u8]>,
    nonce: [u8; 8],
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshake(..)")
    }
}

impl Handshake {
    /// Answer a NEGOTIATE. `nonce` is random, `file_time` now in units of 100 ns since 1601.
    pub fn begin(
        negotiate: &Negotiate,
        server: Server<'_>,
        nonce: [u8; 8],
        file_time: u64,
    ) -> Handshake {
        let asked = negotiate.flags;
        let charset = match asked & flag::UNICODE {
            0 => flag::OEM,
            set => set,
        };
        let echoed = flag::SIGN
            | flag::SEAL
            | flag::EXTENDED_SESSION_SECURITY
            | flag::KEY_128
            | flag::KEY_EXCHANGE
            | flag::KEY_56;
        let flags = charset
            | asked & echoed
            | flag::REQUEST_TARGET
            | flag::NTLM
            | flag::ALWAYS_SIGN
            | flag::TARGET_TYPE_SERVER
            | flag::TARGET_INFO;
        let name = match charset {
            flag::UNICODE => utf16(server.netbios),
            _ => server.netbios.bytes().filter(u8::is_ascii).collect(),
        };
        let mut info = Vec::new();
        put_av(&mut info, av::NB_DOMAIN_NAME, &utf16(server.netbios));
        put_av(&mut info, av::NB_COMPUTER_NAME, &utf16(server.netbios));
        if !server.dns.is_empty() {
            put_av(&mut info, av::DNS_COMPUTER_NAME, &utf16(server.dns));
        }
        // With it here clients send a MIC (3.1.5.1.2).
        put_av(&mut info, av::TIMESTAMP, &file_time.to_le_bytes());
        put_av(&mut info, av::EOL, &[]);
        Handshake {
            negotiate: negotiate.bytes.clone(),
            challenge: challenge(flags, nonce, &name, &info).into(),
            nonce,
        }
    }

    /// The CHALLENGE_MESSAGE to send.
    pub fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    /// True if the answer was made by somebody who knows the password with this hash: its proof over
    /// our challenge is right, and so is its integrity code if it has one (3.2.5.1.2, 3.3.2).
    pub fn proves(&self, answer: &Authenticate, nt_hash: &[u8; 16]) -> bool {
        let Some((proof, temp)) = answer.nt_response.split_first_chunk::<16>() else {
            return false;
        };
        // Some clients leave the domain out of the key.
        [&answer.domain[..], &[]].into_iter().any(|domain| {
            let key = response_key(nt_hash, &answer.user, domain);
            let want = hmac_md5(&key, &[&self.nonce, temp]);
            let right: bool = want.ct_eq(proof).into();
            right && self.is_whole(answer, &hmac_md5(&key, &[proof]))
        })
    }

    /// True if nothing was changed on the way, as far as the client has made that known.
    fn is_whole(&self, answer: &Authenticate, base_key: &[u8; 16]) -> bool {
        if !answer.has_mic {
            return true;
        }
        let bytes = &answer.bytes;
        let (Some(mic), Some(before), Some(after)) = (
            bytes.get(field::MIC..field::MIC_END),
            bytes.get(..field::MIC),
            bytes.get(field::MIC_END..),
        ) else {
            return false;
        };
        let exchanged =
            answer.flags & flag::KEY_EXCHANGE != 0 && answer.flags & (flag::SIGN | flag::SEAL) != 0;
        let key = match (exchanged, answer.session_key) {
            (true, Some(sealed)) => rc4(base_key, sealed),
            (true, None) => return false,
            (false, _) => *base_key,
        };
        let parts = [&self.negotiate, &self.challenge, before, &[0; 16], after];
        hmac_md5(&key, &parts)[..].ct_eq(mic).into()
    }
}

/// AUTHENTICATE_MESSAGE (2.2.1.3), as much of it as is needed.
#[derive(Clone, PartialEq, Eq)]
pub struct Authenticate {
    /// User name as the client wrote it. Case does not matter in it.
    pub user: String,
    domain: Box<[u8]>,
    nt_response: Box<[u8]>,
    session_key: Option<[u8; 16]>,
    flags: u32,
    has_mic: bool,
    bytes: Box<[u8]>,
}

impl fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate")
            .field("user", &self.user)
            .field("has_mic", &self.has_mic)
            .finish_non_exhaustive()
    }
}

impl Authenticate {
    fn parse(bytes: &[u8]) -> Result<Authenticate> {
        let flags = u32_at(bytes, field::FLAGS)?;
        let unicode = flags & flag::UNICODE != 0;
        let user = text_at(bytes, field::USER, unicode)?;
        let domain = text_at(bytes, field::DOMAIN, unicode)?;
        let nt_response = payload(bytes, field::NT_RESPONSE)?;
        let has_mic = has_mic(nt_response, field::NT_RESPONSE)?;
        let session_key = match flags & flag::KEY_EXCHANGE {
            0 => None,
            _ => {
                let key = payload(bytes, field::SESSION_KEY)?;
                match <[u8; 16]>::try_from(key) {
                    Ok(key) => Some(key),
                    Err(_) => return fault(field::SESSION_KEY, "session key"),
                }
            }
        };
        Ok(Authenticate {
            user,
            domain: utf16(&domain).into(),
            nt_response: nt_response.into(),
            session_key,
            flags,
            has_mic,
            bytes: bytes.into(),
        })
    }
}

/// Length of NTLMv2_CLIENT_CHALLENGE (2.2.2.7) before its pairs.
const CLIENT_CHALLENGE_HEAD: usize = 28;

/// Looks into NTLMv2_RESPONSE (2.2.2.8). `at` is for the fault.
fn has_mic(response: &[u8], at: usize) -> Result<bool> {
    let Some(temp) = response.get(16..) else {
        return fault(at, "no NTLMv2 response");
    };
    // An NTLMv1 response has 24 bytes.
    if temp.len() < CLIENT_CHALLENGE_HEAD || temp[..2] != [1, 1] {
        return fault(at, "response other than NTLMv2");
    }
    let mut pairs = &temp[CLIENT_CHALLENGE_HEAD..];
    while let Some((head, rest)) = pairs.split_first_chunk::<4>() {
        let id = u16::from_le_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_le_bytes([head[2], head[3]]));
        if id == av::EOL {
            return Ok(false);
        }
        let Some((value, rest)) = rest.split_at_checked(len) else {
            return fault(at, "length of an AV_PAIR");
        };
        if id == av::FLAGS {
            return match <[u8; 4]>::try_from(value) {
                Ok(value) => Ok(u32::from_le_bytes(value) & HAS_MIC != 0),
                Err(_) => fault(at, "length of MsvAvFlags"),
            };
        }
        pairs = rest;
    }
    fault(at, "no end of the AV_PAIRs")
}

/// NTOWFv2 (3.3.2); `domain` in UTF-16.
fn response_key(nt_hash: &[u8; 16], user: &str, domain: &[u8]) -> [u8; 16] {
    let upper: String = user.chars().map(upper).collect();
    hmac_md5(nt_hash, &[&utf16(&upper), domain])
}

/// Upper case as Windows has it: one character for one.
fn upper(c: char) -> char {
    let mut many = c.to_uppercase();
    match (many.next(), many.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// CHALLENGE_MESSAGE (2.2.1.2), without version.
fn challenge(flags: u32, nonce: [u8; 8], name: &[u8], info: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field::CHALLENGE_HEAD + name.len() + info.len());
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&2u32.to_le_bytes());
    put_fields(&mut out, name.len(), field::CHALLENGE_HEAD);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&[0; 8]);
    put_fields(&mut out, info.len(), field::CHALLENGE_HEAD + name.len());
    out.extend_from_slice(&[0; 8]);
    debug_assert_eq!(out.len(), field::CHALLENGE_HEAD);
    out.extend_from_slice(name);
    out.extend_from_slice(info);
    out
}

/// Length, maximum length, offset. Our names are host names: far below 64 KiB.
fn put_fields(out: &mut Vec<u8>, len: usize, offset: usize) {
    let len = u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes();
    out.extend_from_slice(&len);
    out.extend_from_slice(&len);
    out.extend_from_slice(&u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_av(out: &mut Vec<u8>, id: u16, value: &[u8]) {
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&value[..usize::from(len)]);
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    match bytes.get(at..).and_then(|b| b.first_chunk()) {
        Some(four) => Ok(u32::from_le_bytes(*four)),
        None => fault(bytes.len(), "end of the message"),
    }
}

/// The bytes that the length and offset at `at` name.
fn payload(bytes: &[u8], at: usize) -> Result<&[u8]> {
    let len = (u32_at(bytes, at)? & 0xffff) as usize;
    let offset = u32_at(bytes, at + 4)? as usize;
    let found = bytes.get(offset..).and_then(|b| b.get(..len));
    match found {
        _ if len == 0 => Ok(&[]),
        Some(found) => Ok(found),
        None => fault(at, "field outside of the message"),
    }
}

fn text_at(bytes: &[u8], at: usize, unicode: bool) -> Result<String> {
    let raw = payload(bytes, at)?;
    if raw.len() > NAME_BYTES_MAX {
        return fault(at, "name too long");
    }
    if !unicode {
        // The client's code page is not known; what it shares with all is ASCII.
        return Ok(raw.iter().copied().map(char::from).collect());
    }
    if !raw.len().is_multiple_of(2) {
        return fault(at, "odd length of a name");
    }
    let units = raw
        .chunks_exact(2)
        .map(|u| u16::from_le_bytes([u[0], u[1]]));
    match char::decode_utf16(units).collect::<std::result::Result<String, _>>() {
        Ok(text) => Ok(text),
        Err(_) => fault(at, "name that is not UTF-16"),
    }
}

/// RC4 of one block, for the exchanged key. (Not otherwise used: it is broken as a cipher.)
fn rc4(key: &[u8; 16], mut data: [u8; 16]) -> [u8; 16] {
    let mut state: [u8; 256] = std::array::from_fn(|i| i as u8);
    let mut j = 0u8;
    for i in 0..256 {
        j = j.wrapping_add(state[i]).wrapping_add(key[i % 16]);
        state.swap(i, usize::from(j));
    }
    let (mut i, mut j) = (0u8, 0u8);
    for byte in &mut data {
        i = i.wrapping_add(1);
        j = j.wrapping_add(state[usize::from(i)]);
        state.swap(usize::from(i), usize::from(j));
        let sum = state[usize::from(i)].wrapping_add(state[usize::from(j)]);
        *byte ^= state[usize::from(sum)];
    }
    data
}

#[cfg(test)]
mod tests;
