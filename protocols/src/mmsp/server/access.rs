//! Who asks: credentials out of tokens, challenges into tokens (mmsp.md 2.10).
//!
//! The machine knows no secrets and believes nobody: it hands on what a client gave and remembers for
//! the connection what the application said about it.

use super::Server;
use super::conn::Conn;
use super::open::Attempt;
use super::session::State;
use crate::auth::{Challenge, Credentials, Identity, Offer, Scheme, basic};
use crate::content::Answer;
use crate::machine::{ConnId, Output, Report, Time};
use crate::mmsp::hresult;
use crate::mmsp::message::ToClient;
use rand_chacha::rand_core::RngCore;
use std::sync::Arc;

/// Wrong proofs that one connection may give (mmsp.md 5).
const FAILURES_MAX: u8 = 3;
/// Challenges that one connection gets, whatever it answers.
const CHALLENGES_MAX: u8 = 12;
/// How much of a wrong user name is told.
const NAME_CHARS_TOLD: usize = 64;
const NTLM_SIGNATURE: &[u8] = b"NTLMSSP\0";
/// Bytes of NTLM_AUTH in front of its token.
const WRAPPER_LEN: usize = 24;

/// What is known of a connection's client.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// It proved to be them.
    identity: Option<Arc<Identity>>,
    /// It gave this, and was believed.
    proof: Option<Credentials>,
    /// NTLM has begun; good for the next message.
    handshake: Option<Arc<crate::auth::ntlm::Handshake>>,
    form: Form,
    /// What is opened when the client has proved who it is.
    pub pending: Option<Box<Attempt>>,
    failures: u8,
    challenges: u8,
}

impl Access {
    /// What stands for the client when it gives nothing new.
    pub fn known(&self) -> Option<Credentials> {
        let identity = self.identity.clone().map(Credentials::Connection);
        identity.or_else(|| self.proof.clone())
    }

    /// What the client gave last was believed.
    pub fn believe(&mut self, credentials: Option<Credentials>) {
        if let Some(basic @ Credentials::Basic { .. }) = credentials {
            self.proof = Some(basic);
        }
    }
}

/// How a client packs its NTLM messages; ours go the same way (MMSP-52).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Form {
    /// Two zero bytes come first.
    zeros: bool,
    /// NTLM_AUTH is around them.
    wrapper: bool,
}

impl Form {
    /// How the message in a token is packed, and where it begins.
    fn of(token: &[u8]) -> Option<(Form, usize)> {
        [(false, false), (true, false), (false, true), (true, true)]
            .into_iter()
            .map(|(zeros, wrapper)| {
                let at = 2 * usize::from(zeros) + WRAPPER_LEN * usize::from(wrapper);
                (Form { zeros, wrapper }, at)
            })
            .find(|(_, at)| {
                token
                    .get(*at..)
                    .is_some_and(|t| t.starts_with(NTLM_SIGNATURE))
            })
    }

    fn pack(self, message: &[u8]) -> Vec<u8> {
        let mut token = vec![0; 2 * usize::from(self.zeros)];
        if self.wrapper {
            let size = u32::try_from(message.len()).unwrap_or(u32::MAX);
            for field in [0, 1, 0, size, 2, 0] {
                token.extend_from_slice(&field.to_le_bytes());
            }
        }
        token.extend_from_slice(message);
        token
    }
}

/// What a token says.
#[derive(Debug)]
enum Proof {
    Nothing,
    Ntlm(Form, Vec<u8>),
    Basic(Credentials),
    Unreadable,
}

fn read(token: &[u8]) -> Proof {
    if let Some((form, at)) = Form::of(token) {
        let message = token.get(at..).unwrap_or_default();
        return Proof::Ntlm(form, message.to_vec());
    }
    let end = token.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
    let text = token.get(..end).and_then(|t| std::str::from_utf8(t).ok());
    match text.map(str::trim) {
        Some("") => Proof::Nothing,
        Some(text) => basic::parse(text).map_or(Proof::Unreadable, |(user, password)| {
            Proof::Basic(Credentials::Basic { user, password })
        }),
        None => Proof::Unreadable,
    }
}

impl Server {
    /// What a token gives to prove who asks. Unreadable ones count as wrong.
    pub(super) fn credentials(c: &mut Conn, token: &[u8], opening: bool) -> Option<Credentials> {
        match read(token) {
            Proof::Nothing => c.access.known(),
            Proof::Ntlm(form, token) => {
                // Who begins anew may be somebody else.
                c.access.identity = None;
                c.access.proof = None;
                c.access.form = Form {
                    // A challenge that begins otherwise would be taken for Basic's.
                    zeros: form.zeros || (opening && !form.wrapper),
                    ..form
                };
                Some(Credentials::Ntlm {
                    token,
                    handshake: c.access.handshake.take(),
                })
            }
            Proof::Basic(credentials) => Some(credentials),
            Proof::Unreadable => {
                c.access.failures = c.access.failures.saturating_add(1);
                None
            }
        }
    }

    /// Remember who a connection belongs to, if the answer says so. Gives the answer itself.
    pub(super) fn note_identity(&mut self, conn: Option<ConnId>, answer: Answer) -> Answer {
        let Answer::Verified { identity, answer } = answer else {
            return answer;
        };
        if let Some(c) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            c.access.identity = Some(identity);
        }
        *answer
    }

    /// Who asks is to be proved (MMSP-48, MMSP-49, MMSP-50, MMSP-51).
    pub(super) fn challenge(
        &mut self,
        now: Time,
        conn: ConnId,
        mut attempt: Box<Attempt>,
        challenge: &Challenge,
    ) {
        let package = self.config.authen_package;
        let cookie = self.rng.next_u32();
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.access.challenges = c.access.challenges.saturating_add(1);
        if let Some(user) = &challenge.rejected {
            c.access.failures = c.access.failures.saturating_add(1);
            let user: String = user.chars().take(NAME_CHARS_TOLD).collect();
            self.out.push_back(Output::Report(Box::new(Report::Refused {
                peer: c.peer,
                target: attempt.target.clone(),
                user_agent: c.client.product.to_string(),
                status: 401,
                reason: format!("wrong credentials for user {user:?}"),
            })));
        }
        if c.access.failures >= FAILURES_MAX || c.access.challenges > CHALLENGES_MAX {
            let hr = hresult::E_ACCESSDENIED;
            return self.refuse_open(now, conn, &attempt, hr, 403, "too many wrong credentials");
        }
        let bound = package.filter(|_| c.client.version.major < 8);
        let Some(offer) = choose(challenge, bound) else {
            let hr = hresult::E_ACCESSDENIED;
            let why = "no scheme that this client can use over MMS";
            return self.refuse_open(now, conn, &attempt, hr, 403, why);
        };
        let token = match offer {
            Offer::Basic { realm } => {
                let realm = realm.replace(['"', '\0'], "");
                let text = format!("realm=\"{realm}\"\0");
                text.encode_utf16().flat_map(u16::to_le_bytes).collect()
            }
            Offer::Ntlm { handshake: None } => vec![0, 0],
            Offer::Ntlm {
                handshake: Some(handshake),
            } => {
                c.access.handshake = Some(Arc::clone(handshake));
                c.access.form.pack(handshake.challenge())
            }
            Offer::Digest { .. } => Vec::new(),
        };
        c.state = State::Challenged;
        let play_incarnation = attempt.play_incarnation;
        attempt.forget_credentials();
        c.access.pending = Some(attempt);
        let message = ToClient::SecurityChallenge {
            play_incarnation,
            cookie,
            token,
        };
        self.say(now, conn, &message);
    }
}

/// The scheme that a client is asked for: one that has begun, or the announced one, or the stronger.
fn choose(challenge: &Challenge, bound: Option<Scheme>) -> Option<&Offer> {
    let offers = || {
        challenge
            .offers
            .iter()
            .filter(|o| o.scheme() != Scheme::Digest)
    };
    let begun = |o: &&Offer| matches!(o, Offer::Ntlm { handshake: Some(_) });
    if let Some(scheme) = bound {
        return offers().find(|o| o.scheme() == scheme);
    }
    offers()
        .find(begun)
        .or_else(|| offers().find(|o| o.scheme() == Scheme::Ntlm))
        .or_else(|| offers().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    // MMSP-52
    #[test]
    fn ntlm_is_found_in_every_wrapping() {
        let message = b"NTLMSSP\0\x01\0\0\0rest";
        for zeros in [false, true] {
            for wrapper in [false, true] {
                let form = Form { zeros, wrapper };
                let token = form.pack(message);
                let at = token.len() - message.len();
                assert_eq!(Form::of(&token), Some((form, at)));
                match read(&token) {
                    Proof::Ntlm(f, m) => assert_eq!((f, &m[..]), (form, &message[..])),
                    other => panic!("{other:?}"),
                }
            }
        }
        let wrapped = Form {
            zeros: false,
            wrapper: true,
        };
        let head = wrapped.pack(&[9; 3]);
        assert_eq!(head[4..16], [1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(head[16], 2);
    }

    // MMSP-53
    #[test]
    fn basic_is_base64_and_its_nul() {
        for token in [&b"dTpwdw==\0"[..], b"dTpwdw==", b"dTpwdw==\0\0\0"] {
            match read(token) {
                Proof::Basic(Credentials::Basic { user, password }) => {
                    assert_eq!((&*user, password.reveal()), ("u", "pw"));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(read(&[]), Proof::Nothing));
        assert!(matches!(read(&[0, 0]), Proof::Nothing));
        assert!(matches!(read(b"!!"), Proof::Unreadable));
        assert!(matches!(read(&[0xFF, 0xFE]), Proof::Unreadable));
        assert!(matches!(read(b"NTLMSSP"), Proof::Unreadable));
    }

    // MMSP-49
    #[test]
    fn the_scheme_of_a_challenge() {
        let basic = || Offer::Basic { realm: "r".into() };
        let ntlm = || Offer::Ntlm { handshake: None };
        let challenge = |offers: Vec<Offer>| Challenge {
            offers,
            rejected: None,
        };
        let chosen = |offers, bound| choose(&challenge(offers), bound).map(Offer::scheme);
        let both = || vec![basic(), ntlm()];
        assert_eq!(chosen(both(), None), Some(Scheme::Ntlm));
        assert_eq!(chosen(both(), Some(Scheme::Basic)), Some(Scheme::Basic));
        assert_eq!(chosen(vec![basic()], Some(Scheme::Ntlm)), None);
        assert_eq!(chosen(vec![basic()], None), Some(Scheme::Basic));
        let digest = Offer::Digest {
            realm: "r".into(),
            nonce: "n".into(),
            stale: false,
        };
        assert_eq!(chosen(vec![digest], None), None);
    }
}
