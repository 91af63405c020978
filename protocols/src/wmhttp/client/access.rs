//! Answers to challenges, of the server or of a proxy.

use crate::auth::Password;
use crate::auth::client::{Answerable, Prover};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

/// Answers to one request at most, before it is taken as refused.
const ROUND_COUNT_MAX: u8 = 4;

/// Who challenges, and what it is told.
#[derive(Debug)]
pub struct Access {
    credentials: Option<(String, Password)>,
    prover: Option<Prover>,
    rounds: u8,
}

impl Access {
    /// With these, or none.
    pub fn new(credentials: Option<(String, Password)>) -> Access {
        Access {
            credentials,
            prover: None,
            rounds: 0,
        }
    }

    /// Choose an answer to the challenges of a reply, each the value of one header line.
    ///
    /// # Errors
    /// In words, why the request must not be sent again.
    // WMHTTP-47
    pub fn challenged(&mut self, challenges: &[String]) -> Result<(), &'static str> {
        let to = Answerable::best(challenges.iter().map(String::as_str));
        let Some((user, password)) = self.credentials.clone() else {
            return Err("credentials are asked for");
        };
        let Some(to) = to else {
            return Err("none of the schemes that are asked for is known");
        };
        // A nonce that has become stale can be replaced; anything else was wrong.
        let stale = matches!(to, Answerable::Digest { stale: true, .. });
        if (self.rounds > 0 && !stale) || self.rounds >= ROUND_COUNT_MAX {
            return Err("the credentials are refused");
        }
        self.rounds += 1;
        self.prover = Some(Prover::new(user, password, to));
        Ok(())
    }

    /// A request was accepted: a challenge that comes now is a new one.
    pub fn accepted(&mut self) {
        self.rounds = 0;
    }

    /// Forget everything: another server is asked, which these are not for.
    pub fn revoke(&mut self) {
        *self = Access::new(None);
    }

    /// Value of `Authorization` or `Proxy-Authorization` of a request; `None` before a challenge.
    // WMHTTP-28
    pub fn header(&mut self, method: &str, uri: &str, rng: &mut ChaCha8Rng) -> Option<String> {
        let prover = self.prover.as_mut()?;
        let mut cnonce = [0; 8];
        rng.fill_bytes(&mut cnonce);
        Some(prover.header(method, uri, cnonce))
    }
}
