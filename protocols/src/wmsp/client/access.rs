//! Proving to a server who its user is (MS-WMSP 3.1.5.3).

use super::Client;
use super::request::Kind;
use crate::auth::client::{Answerable, Prover};
use crate::http::replies::ReplyHead;
use crate::machine::Time;
use crate::media::News;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

/// Challenges in a row that are answered: a nonce may become stale just as it is used.
const PROOF_COUNT_MAX: u8 = 3;

/// What is known of how to prove it.
#[derive(Debug)]
pub(super) struct Access {
    prover: Option<Prover>,
    rng: ChaCha8Rng,
    /// Challenges since something was accepted.
    proofs: u8,
    /// A request of this kind was queued once more; the reply that asked for it is not yet over.
    again: Option<Kind>,
}

impl Access {
    pub fn new(rng: ChaCha8Rng) -> Access {
        Access {
            prover: None,
            rng,
            proofs: 0,
            again: None,
        }
    }

    /// Value of `Authorization` for the next request, if the server wants one.
    pub fn prove(&mut self, method: &str, target: &str) -> Option<String> {
        let prover = self.prover.as_mut()?;
        let cnonce = self.rng.next_u64().to_be_bytes();
        Some(prover.header(method, target, cnonce))
    }

    /// The server took a proof, or wanted none.
    pub fn accepted(&mut self) {
        self.proofs = 0;
    }

    /// Prove nothing any more.
    pub fn forget(&mut self) {
        self.prover = None;
        self.again = None;
    }

    /// True once if the reply that is over was a challenge that is being answered.
    pub fn is_asked_again(&mut self, kind: Kind) -> bool {
        self.again.take_if(|again| *again == kind).is_some()
    }
}

impl Client {
    /// Answers what can be answered, on the same connection; a nonce that has become stale, too.
    // WMSP-104
    pub(super) fn challenged(&mut self, now: Time, kind: Kind, offset: u64, head: &ReplyHead) {
        let proxy = head.status == 407;
        let name = match proxy {
            true => "Proxy-Authenticate",
            false => "WWW-Authenticate",
        };
        let challenges: Vec<String> = head.all(name).map(str::to_owned).collect();
        let to = Answerable::best(challenges.iter().map(String::as_str));
        let stale = matches!(to, Some(Answerable::Digest { stale: true, .. }));
        let refused = self.access.prover.is_some() && !stale;
        let may = !proxy && !refused && self.access.proofs < PROOF_COUNT_MAX;
        let credentials = self.config.credentials.clone();
        if let (Some(to), Some((user, password)), true) = (to, credentials, may) {
            self.access.prover = Some(Prover::new(user, password, to));
            self.access.proofs += 1;
            self.access.again = Some(kind);
            return match kind {
                Kind::Describe => self.send_describe(now),
                Kind::NextEntry => self.select_entry(now),
                _ => self.send_play(now),
            };
        }
        let schemes: Vec<&str> = challenges
            .iter()
            .filter_map(|c| c.split_ascii_whitespace().next())
            .collect();
        let what = match refused {
            true => "the credentials are refused",
            false => "credentials are asked for",
        };
        let status = head.status;
        let reason = format!("status {status}: {what} by {}", schemes.join(", "));
        self.news(News::Challenged { proxy, challenges });
        self.fail(offset, reason);
    }
}
