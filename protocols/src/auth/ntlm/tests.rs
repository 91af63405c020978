//! The values of MS-NLMP 4.2.1 and 4.2.4, and answers made the way a client makes them.

use super::*;
use crate::auth::{hex, unhex};
use proptest::prelude::*;

const NONCE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const SESSION_BASE_KEY: [u8; 16] = [
    0x8d, 0xe4, 0x0c, 0xca, 0xdb, 0xc1, 0x4a, 0x82, 0xf1, 0x5c, 0xb0, 0xad, 0x0d, 0xe9, 0x5c, 0xa3,
];

/// CHALLENGE_MESSAGE of 4.2.4.3.
const CHALLENGE: &str = "
    4e544c4d53535000 02000000 0c000c00 38000000 33828ae2 0123456789abcdef 0000000000000000
    24002400 44000000 060070170000000f 530065007200760065007200
    02000c00 44006f006d00610069006e00 01000c00 530065007200760065007200 00000000";

/// AUTHENTICATE_MESSAGE of 4.2.4.3.
const AUTHENTICATE: &str = "
    4e544c4d53535000 03000000 18001800 6c000000 54005400 84000000 0c000c00 48000000
    08000800 54000000 10001000 5c000000 10001000 d8000000 358288e2 0501280a0000000f
    44006f006d00610069006e00 5500730065007200 43004f004d0050005500540045005200
    86c35097ac9cec102554764a57cccc19 aaaaaaaaaaaaaaaa
    68cd0ab851e51c96aabc927bebef6a1c 0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000
    02000c00 44006f006d00610069006e00 01000c00 530065007200760065007200 00000000 00000000
    c5dad2544fc9799094ce1ce90bc9d03e";

fn bytes(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap())
        .collect()
}

fn example() -> Handshake {
    Handshake {
        negotiate: Box::default(),
        challenge: bytes(CHALLENGE).into(),
        nonce: NONCE,
    }
}

fn answer(bytes: &[u8]) -> Authenticate {
    match Message::parse(bytes).unwrap() {
        Message::Authenticate(answer) => *answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_of_the_reference() {
    let hash = nt_hash("Password");
    assert_eq!(hex(&hash), "a4f49c406510bdcab6824ee7c30fd852");
    let key = response_key(&hash, "User", &utf16("Domain"));
    assert_eq!(hex(&key), "0c868a403bfd7a93a3001ef22ef02e3f");
    let a = answer(&bytes(AUTHENTICATE));
    let (proof, temp) = a.nt_response.split_at(16);
    assert_eq!(hmac_md5(&key, &[&NONCE, temp])[..], *proof);
    assert_eq!(hmac_md5(&key, &[proof]), SESSION_BASE_KEY);
    // 4.2.4.2.3
    let sealed = unhex("c5dad2544fc9799094ce1ce90bc9d03e").unwrap();
    assert_eq!(rc4(&SESSION_BASE_KEY, [0x55; 16]), sealed);
    assert_eq!(a.session_key, Some(sealed));
}

// WMSP-94, WMSP-95
#[test]
fn the_answer_of_the_reference_is_taken_and_no_other() {
    let a = answer(&bytes(AUTHENTICATE));
    assert_eq!((a.user.as_str(), a.has_mic), ("User", false));
    let right = nt_hash("Password");
    assert!(example().proves(&a, &right));
    assert!(!example().proves(&a, &nt_hash("password")));
    assert!(!example().proves(&a, &[0; 16]));
    let other = Handshake {
        nonce: [0; 8],
        ..example()
    };
    assert!(!other.proves(&a, &right), "an answer to another challenge");
    let whole = bytes(AUTHENTICATE);
    // Every bit of the response counts.
    for at in 0x84..0xd8 {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        if let Ok(Message::Authenticate(a)) = Message::parse(&changed) {
            assert!(!example().proves(&a, &right), "byte {at:x}");
        }
    }
}

#[test]
fn a_challenge_is_as_the_reference_has_it() {
    // The example's own challenge, but for the flags that we do not set (OEM beside UNICODE,
    // VERSION) and the pairs that it lacks.
    let info =
        bytes("02000c00 44006f006d00610069006e00 01000c00 530065007200760065007200 00000000");
    let mut want = bytes(CHALLENGE);
    want[48..56].fill(0);
    assert_eq!(challenge(0xe28a_8233, NONCE, &utf16("Server"), &info), want);
}

/// What a client says first.
fn negotiate(flags: u32) -> Vec<u8> {
    let mut out = b"NTLMSSP\0\x01\0\0\0".to_vec();
    out.extend(flags.to_le_bytes());
    out.extend([0; 16]);
    out
}

const SERVER: Server<'_> = Server {
    netbios: "RINGCAST",
    dns: "media.example.org",
};

fn begin(flags: u32) -> Handshake {
    match Message::parse(&negotiate(flags)).unwrap() {
        Message::Negotiate(n) => Handshake::begin(&n, SERVER, NONCE, 0x01DD_0000_0000_0000),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_challenge_says_what_was_chosen() {
    let all = begin(u32::MAX).challenge.to_vec();
    let flags = u32_at(&all, 20).unwrap();
    assert_eq!(flags, 0xe08a_8235, "UNICODE alone, no LM key, no version");
    assert_eq!(all[24..32], NONCE);
    assert_eq!(payload(&all, 12).unwrap(), utf16("RINGCAST"));
    let info = payload(&all, 40).unwrap();
    let want = [
        bytes("02001000"),
        utf16("RINGCAST"),
        bytes("01001000"),
        utf16("RINGCAST"),
        bytes("03002200"),
        utf16("media.example.org"),
        bytes("07000800 000000000000dd01 00000000"),
    ];
    assert_eq!(info, want.concat());
    let oem = begin(flag::OEM).challenge.to_vec();
    assert_eq!(u32_at(&oem, 20).unwrap(), 0x0082_8206);
    assert_eq!(payload(&oem, 12).unwrap(), b"RINGCAST");
}

/// Makes an AUTHENTICATE as a client does.
struct Client<'a> {
    password: &'a str,
    user: &'a str,
    domain: &'a str,
    flags: u32,
    mic: bool,
    /// Leaves the domain out of the key.
    forgetful: bool,
}

const CLIENT: Client<'_> = Client {
    password: "s3cret",
    user: "Älice",
    domain: "WORK",
    flags: flag::UNICODE | flag::NTLM,
    mic: false,
    forgetful: false,
};

impl Client<'_> {
    fn answer(&self, handshake: &Handshake) -> Vec<u8> {
        let hash = nt_hash(self.password);
        let domain = if self.forgetful { "" } else { self.domain };
        let key = response_key(&hash, self.user, &utf16(domain));
        let mut temp = bytes("0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000");
        temp.extend(bytes("02000200 4100"));
        if self.mic {
            temp.extend(bytes("06000400 02000000"));
        }
        temp.extend([0; 8]);
        let proof = hmac_md5(&key, &[&handshake.nonce, &temp]);
        let base = hmac_md5(&key, &[&proof]);
        let exported = [0x55; 16];
        let sealed = rc4(&base, exported);
        let fields = [
            vec![0; 24],
            [&proof[..], &temp].concat(),
            utf16(self.domain),
            utf16(self.user),
            utf16("PC"),
            sealed.to_vec(),
        ];
        let mut out = b"NTLMSSP\0\x03\0\0\0".to_vec();
        let mut offset = field::MIC_END;
        for field in &fields {
            put_fields(&mut out, field.len(), offset);
            offset += field.len();
        }
        out.extend(self.flags.to_le_bytes());
        out.extend([0; 24]);
        out.extend(fields.concat());
        if self.mic {
            let key = match self.flags & flag::KEY_EXCHANGE {
                0 => base,
                _ => exported,
            };
            let code = hmac_md5(&key, &[&handshake.negotiate, &handshake.challenge, &out]);
            out[field::MIC..field::MIC_END].copy_from_slice(&code);
        }
        out
    }
}

const EXCHANGE: u32 = flag::UNICODE | flag::SIGN | flag::KEY_EXCHANGE;

#[test]
fn a_wrong_password_fails_with_and_without_mic_and_key_exchange() {
    let handshake = begin(u32::MAX);
    for flags in [flag::UNICODE, EXCHANGE, flag::UNICODE | flag::KEY_EXCHANGE] {
        for mic in [false, true] {
            // Without signing an exchanged key is not used (3.2.5.1.2).
            if mic && flags == flag::UNICODE | flag::KEY_EXCHANGE {
                continue;
            }
            let client = Client {
                flags,
                mic,
                ..CLIENT
            };
            let a = answer(&client.answer(&handshake));
            assert_eq!((a.has_mic, a.user.as_str()), (mic, "Älice"));
            assert!(handshake.proves(&a, &nt_hash("s3cret")), "{flags:x} {mic}");
            assert!(!handshake.proves(&a, &nt_hash("secret")), "{flags:x} {mic}");
            let wrong = Client {
                password: "secret",
                ..client
            };
            let a = answer(&wrong.answer(&handshake));
            assert!(!handshake.proves(&a, &nt_hash("s3cret")), "{flags:x} {mic}");
        }
    }
}

#[test]
fn a_wrong_mic_fails() {
    let handshake = begin(u32::MAX);
    let client = Client {
        flags: EXCHANGE,
        mic: true,
        ..CLIENT
    };
    let right = client.answer(&handshake);
    for at in [field::MIC, field::MIC_END - 1, 16, right.len() - 1] {
        let mut changed = right.clone();
        changed[at] ^= 0x80;
        if let Ok(Message::Authenticate(a)) = Message::parse(&changed) {
            assert!(!handshake.proves(&a, &nt_hash("s3cret")), "byte {at}");
        }
    }
    let other = Handshake {
        negotiate: negotiate(1).into(),
        ..handshake
    };
    assert!(
        !other.proves(&answer(&right), &nt_hash("s3cret")),
        "flags were changed on the way"
    );
}

#[test]
fn clients_that_forget_the_domain_are_taken() {
    let handshake = begin(u32::MAX);
    let client = Client {
        forgetful: true,
        ..CLIENT
    };
    let a = answer(&client.answer(&handshake));
    assert!(handshake.proves(&a, &nt_hash("s3cret")));
    assert!(!handshake.proves(&a, &nt_hash("other")));
}

#[test]
fn malformed_messages_say_where() {
    let fault = |bytes: &[u8]| {
        let fault = Message::parse(bytes).unwrap_err();
        (fault.offset, fault.reason)
    };
    let whole = bytes(AUTHENTICATE);
    assert_eq!(fault(b""), (0, "no signature"));
    assert_eq!(fault(&whole[..8]), (8, "end of the message"));
    assert_eq!(fault(&bytes(CHALLENGE)), (8, "message type"));
    assert_eq!(fault(&negotiate(0)), (12, "no character set"));
    let long = [negotiate(1), vec![0; 500]].concat();
    assert_eq!(fault(&long), (512, "NEGOTIATE too long"));
    assert_eq!(fault(&whole[..63]), (63, "end of the message"));
    assert_eq!(fault(&whole[..0xe7]).1, "field outside of the message");
    assert_eq!(fault(&vec![0; 8193]).1, "message too long");
    let change = |at: usize, value: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + value.len()].copy_from_slice(value);
        fault(&changed).1
    };
    assert_eq!(change(field::USER, &[7]), "odd length of a name");
    assert_eq!(change(0x54, &[0, 0xd8]), "name that is not UTF-16");
    assert_eq!(
        change(field::NT_RESPONSE, &[24]),
        "response other than NTLMv2"
    );
    assert_eq!(change(field::NT_RESPONSE, &[0]), "no NTLMv2 response");
    assert_eq!(change(0x84 + 16 + 28 + 2, &[0xff]), "length of an AV_PAIR");
    assert_eq!(change(field::SESSION_KEY, &[8]), "session key");
}

proptest! {
    #[test]
    fn any_message_is_survived(kind in prop::sample::select(vec![1u8, 3]), rest: Vec<u8>) {
        let mut message = b"NTLMSSP\0".to_vec();
        message.extend([kind, 0, 0, 0]);
        message.extend(rest);
        if let Ok(Message::Authenticate(a)) = Message::parse(&message) {
            prop_assert!(!example().proves(&a, &nt_hash("Password")));
        }
    }

    #[test]
    fn any_change_of_the_example_is_survived(at in 0usize..0xe8, value: u8) {
        let mut changed = bytes(AUTHENTICATE);
        changed[at] = value;
        if let Ok(Message::Authenticate(a)) = Message::parse(&changed) {
            let _ = example().proves(&a, &nt_hash("Password"));
        }
    }
}
