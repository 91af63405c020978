//! Proving who one is over MMS (mmsp.md 2.10).

mod mmsp_support;

use mmsp_support::*;
use protocols::auth::{Challenge, Credentials, Identity, Offer, Scheme, ntlm};
use protocols::content::*;
use std::sync::Arc;

fn bench(authen_package: Option<Scheme>) -> Bench {
    let mut b = Bench::with(Config {
        authen_package,
        ..config(0, 1)
    });
    let guarded = Content {
        guarded: true,
        ..clip()
    };
    b.points.insert("/g".into(), Point::Media(guarded));
    b
}

/// An application that takes u:pw by Basic.
fn basic_guard() -> Guard {
    Box::new(|credentials, _| match credentials {
        Some(Credentials::Basic { user, password }) if user == "u" && password.reveal() == "pw" => {
            Verdict::Pass(None)
        }
        other => Verdict::Challenge(Challenge {
            offers: vec![Offer::Basic {
                realm: "The Realm".into(),
            }],
            rejected: other.map(|_| "u".to_owned()),
        }),
    })
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn response(cookie: u32, token: &[u8]) -> ToServer {
    ToServer::SecurityResponse {
        play_incarnation: 9,
        cookie,
        token: token.to_vec(),
    }
}

fn challenged(reply: ToClient) -> (u32, Vec<u8>) {
    match reply {
        ToClient::SecurityChallenge {
            play_incarnation: 9,
            cookie,
            token,
        } => (cookie, token),
        other => panic!("{other:?}"),
    }
}

fn with_token(token: &[u8]) -> ToServer {
    ToServer::OpenFile {
        play_incarnation: 9,
        file_name: "g".into(),
        token: token.to_vec(),
    }
}

const RIGHT: &[u8] = b"dTpwdw==\0";
const WRONG: &[u8] = b"dTp3cm9uZw==\0";

// Exchange 10: MMSP-19, MMSP-48, MMSP-50, MMSP-51, MMSP-53
#[test]
fn basic() {
    let mut b = bench(Some(Scheme::Basic));
    b.guard = Some(basic_guard());
    let conn = b.open();
    let reply = b.reply(conn, &connect(WMP9));
    assert!(matches!(
        reply,
        ToClient::ReportConnectedEx { authen_package, .. } if authen_package == "BASIC"
    ));
    b.reply(conn, &connect_funnel(TCP));
    let (cookie, token) = challenged(b.reply(conn, &open_file("g")));
    assert_eq!(token, utf16("realm=\"The Realm\"\0"));
    let (again, _) = challenged(b.reply(conn, &response(cookie, WRONG)));
    assert_ne!(cookie, again);
    assert_eq!(b.refused(), [401]);
    let reply = b.reply(conn, &response(again, RIGHT));
    assert_eq!(reply, ToClient::ReportOpenFile(opened_ok()));
    // Each start asks again, with what was believed.
    b.talk(conn, &read_block(2));
    assert_eq!(b.reply(conn, &start(4)), started(4));
    assert_eq!(b.rechecks, 1);
}

// MMSP-44, MMSP-48: credentials that a player keeps come with OpenFile.
#[test]
fn credentials_with_the_name() {
    let mut b = bench(Some(Scheme::Basic));
    b.guard = Some(basic_guard());
    let conn = b.funneled(WMP9, TCP);
    let reply = b.reply(conn, &with_token(RIGHT));
    assert_eq!(reply, ToClient::ReportOpenFile(opened_ok()));
    let conn = b.funneled(WMP9, TCP);
    challenged(b.reply(conn, &with_token(WRONG)));
    let conn = b.funneled(WMP9, TCP);
    challenged(b.reply(conn, &with_token(b"not base64 at all")));
}

// mmsp.md 5: three wrong proofs
#[test]
fn three_wrong_proofs_are_enough() {
    for wrong in [WRONG, b"?!"] {
        let mut b = bench(Some(Scheme::Basic));
        b.guard = Some(basic_guard());
        let conn = b.funneled(WMP9, TCP);
        let (mut cookie, _) = challenged(b.reply(conn, &open_file("g")));
        for _ in 0..2 {
            cookie = challenged(b.reply(conn, &response(cookie, wrong))).0;
        }
        match b.reply(conn, &response(cookie, wrong)) {
            ToClient::ReportOpenFile(report) => {
                assert_eq!(report.hr, hresult::E_ACCESSDENIED);
                assert_eq!(report.open_file_id, 0);
            }
            other => panic!("{other:?}"),
        }
        b.tell(conn, &response(cookie, RIGHT));
        assert!(b.is_quiet(conn));
        b.sleep(std::time::Duration::from_secs(3));
        assert!(b.closed.contains_key(&conn));
    }
    // Nothing at all as an answer has an end, too.
    let mut b = bench(Some(Scheme::Basic));
    b.guard = Some(basic_guard());
    let conn = b.funneled(WMP9, TCP);
    b.tell(conn, &open_file("g"));
    for _ in 0..20 {
        b.tell(conn, &response(0, b""));
    }
    let last = b.hear(conn).pop();
    assert!(
        matches!(last, Some(Said(ToClient::ReportOpenFile(r))) if r.hr == hresult::E_ACCESSDENIED)
    );
}

// MMSP-49
#[test]
fn old_players_are_held_to_what_was_announced() {
    let mut b = bench(Some(Scheme::Ntlm));
    b.guard = Some(basic_guard());
    let conn = b.funneled(OLD, TCP);
    match b.reply(conn, &open_file("g")) {
        ToClient::ReportOpenFile(report) => assert_eq!(report.hr, hresult::E_ACCESSDENIED),
        other => panic!("{other:?}"),
    }
    let conn = b.funneled("NSPlayer/8.0.0.4477; {1}", TCP);
    challenged(b.reply(conn, &open_file("g")));
}

fn negotiate() -> Vec<u8> {
    let mut bytes = b"NTLMSSP\0".to_vec();
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(0x0008_0201u32.to_le_bytes());
    bytes.extend([0; 16]);
    bytes
}

/// An application that goes through the steps of NTLM and believes whoever answers at all.
fn ntlm_guard() -> Guard {
    Box::new(|credentials, _| {
        let offer = |handshake| {
            Verdict::Challenge(Challenge {
                offers: vec![
                    Offer::Basic { realm: "r".into() },
                    Offer::Ntlm { handshake },
                ],
                rejected: None,
            })
        };
        match credentials {
            Some(Credentials::Ntlm {
                token,
                handshake: None,
            }) => match ntlm::Message::parse(token) {
                Ok(ntlm::Message::Negotiate(n)) => {
                    let server = ntlm::Server {
                        netbios: "SRV",
                        dns: "",
                    };
                    offer(Some(Arc::new(ntlm::Handshake::begin(
                        &n, server, [7; 8], 0,
                    ))))
                }
                other => panic!("{other:?}"),
            },
            Some(
                Credentials::Ntlm {
                    handshake: Some(_), ..
                }
                | Credentials::Connection(_),
            ) => Verdict::Pass(Some(Arc::new(Identity {
                user: "u".into(),
                realm: "r".into(),
            }))),
            _ => offer(None),
        }
    })
}

fn wrapped(message: &[u8]) -> Vec<u8> {
    let mut token = Vec::new();
    for field in [0, 1, 0, message.len() as u32, 2, 0] {
        token.extend(field.to_le_bytes());
    }
    token.extend(message);
    token
}

fn behind_zeros(message: &[u8]) -> Vec<u8> {
    [&[0, 0], message].concat()
}

// Exchange 10: MMSP-48, MMSP-51, MMSP-52
#[test]
fn ntlm_in_every_wrapping() {
    type Wrap = fn(&[u8]) -> Vec<u8>;
    let both: Wrap = |m| behind_zeros(&wrapped(m));
    let wraps: [Wrap; 4] = [|m| m.to_vec(), behind_zeros, wrapped, both];
    for wrap in wraps {
        let mut b = bench(Some(Scheme::Ntlm));
        b.guard = Some(ntlm_guard());
        let conn = b.funneled(WMP9, TCP);
        let (cookie, token) = challenged(b.reply(conn, &open_file("g")));
        assert_eq!(token, [0, 0]);
        let (cookie, token) = challenged(b.reply(conn, &response(cookie, &wrap(&negotiate()))));
        let prefix = wrap(b"").len();
        assert!(token[prefix..].starts_with(b"NTLMSSP\0\x02"), "{token:?}");
        assert_eq!(token, wrap(&token[prefix..]));
        let authenticate = wrap(b"NTLMSSP\0\x03\0\0\0...");
        let reply = b.reply(conn, &response(cookie, &authenticate));
        assert_eq!(reply, ToClient::ReportOpenFile(opened_ok()));
        // It holds for the connection.
        b.talk(conn, &read_block(2));
        assert_eq!(b.reply(conn, &start(4)), started(4));
    }
}

// mmsp.md 2.10: a challenge to a token without the two zeros still begins with them.
#[test]
fn ntlm_with_the_name() {
    let mut b = bench(Some(Scheme::Ntlm));
    b.guard = Some(ntlm_guard());
    let conn = b.funneled(WMP9, TCP);
    let (_, token) = challenged(b.reply(conn, &with_token(&negotiate())));
    assert!(token.starts_with(b"\0\0NTLMSSP\0\x02"));
}

#[test]
fn who_may_not_start_stays_where_they_are() {
    let mut b = bench(Some(Scheme::Basic));
    b.guard = Some(basic_guard());
    let conn = b.funneled(WMP9, TCP);
    b.reply(conn, &with_token(RIGHT));
    b.talk(conn, &read_block(2));
    // The password has changed since.
    b.guard = Some(Box::new(|_, _| {
        Verdict::Challenge(Challenge {
            offers: Vec::new(),
            rejected: None,
        })
    }));
    let refused = ToClient::ReportStartedPlaying {
        hr: hresult::E_ACCESSDENIED,
        play_incarnation: 4,
        tiger_file_id: 0,
    };
    assert_eq!(b.reply(conn, &start(4)), refused);
    assert!(b.is_open(conn) && !b.has_flow(conn));
}

// MMSP-48: nothing that MMS could use.
#[test]
fn digest_alone_is_no_way_in() {
    let mut b = bench(None);
    b.guard = Some(Box::new(|_, _| {
        Verdict::Challenge(Challenge {
            offers: vec![Offer::Digest {
                realm: "r".into(),
                nonce: "n".into(),
                stale: false,
            }],
            rejected: None,
        })
    }));
    let (_, report) = b.opened(WMP9, TCP, "g");
    assert_eq!(report.hr, hresult::E_ACCESSDENIED);
    assert_eq!(b.refused(), [403]);
}
