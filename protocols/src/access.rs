//! Who asks, on connections whose requests have HTTP's headers: credentials out of requests,
//! challenges for replies (MS-WMSP 3.2.5.1, MS-RTSP 3.2.5.4).
//!
//! A machine knows no secrets and believes nobody: it hands on what a client gave and remembers for
//! each connection what the application said about it.

use crate::auth::{Authorization, Challenge, Credentials, Identity, Scheme, ntlm};
use crate::content::Refusal;
use crate::http::headers::Headers;
use std::sync::Arc;

/// Wrong proofs that one connection may give before it is closed.
const FAILURES_MAX: u8 = 8;

/// The scheme that chooses between Kerberos and NTLM.
pub(crate) const NEGOTIATE: &str = "Negotiate";

/// How the bytes `NTLMSSP` and a zero begin in base64; the digit behind them has bits of what follows.
const NTLM_SIGNATURE: &str = "TlRMTVNTUA";

/// How much of a wrong user name is told.
const NAME_CHARS_TOLD: usize = 64;

/// What is known of a connection's client.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// It proved to be them (WMSP-95).
    identity: Option<Arc<Identity>>,
    /// NTLM has begun; good for the next message.
    handshake: Option<Arc<ntlm::Handshake>>,
    failures: u8,
    /// The client calls NTLM by the name of Negotiate, and must be answered so.
    negotiates: bool,
}

/// How a challenge is put to a client.
#[derive(Debug)]
pub(crate) struct Demand {
    /// Values of `WWW-Authenticate`, one line each.
    pub headers: Vec<String>,
    /// A scheme that holds for the connection is among them.
    pub binds: bool,
    /// It failed too often: the connection is to be closed.
    pub tired: bool,
    /// Whose proof was wrong, for the report.
    pub rejected: Option<String>,
}

impl Access {
    /// What a request gives to prove who asks. `method` and `target` are what a Digest is computed
    /// over, unless a proxy between protocols tells the method that the client signed
    /// (X-Proxy-Client-Verb).
    ///
    /// A scheme that is not known counts as nothing, so that the client is told which ones are.
    pub fn credentials(
        &mut self,
        headers: &Headers,
        method: &str,
        target: String,
    ) -> Result<Option<Credentials>, String> {
        let bare = headers.get("Authorization").and_then(bare_ntlm);
        let given = match (&bare, headers.get("Authorization")) {
            (Some(ntlm), _) => Authorization::parse(ntlm).map_err(|e| e.to_string())?,
            (None, Some(value)) => Authorization::parse(value).map_err(|e| e.to_string())?,
            (None, None) => None,
        };
        if matches!(given, Some(Authorization::Ntlm(_))) {
            self.negotiates = bare.is_some();
        }
        Ok(match given {
            Some(Authorization::Basic { user, password }) => {
                Some(Credentials::Basic { user, password })
            }
            Some(Authorization::Digest(authorization)) => {
                let verb = headers.get("X-Proxy-Client-Verb").map(str::trim);
                let method = verb.filter(|v| !v.is_empty()).unwrap_or(method);
                Some(Credentials::Digest {
                    authorization,
                    method: method.to_owned(),
                    target,
                })
            }
            Some(Authorization::Ntlm(token)) => {
                // Who begins anew may be somebody else.
                self.identity = None;
                Some(Credentials::Ntlm {
                    token,
                    handshake: self.handshake.take(),
                })
            }
            None => self.identity.clone().map(Credentials::Connection),
        })
    }

    /// The application said who the connection belongs to.
    pub fn remember(&mut self, identity: Arc<Identity>) {
        self.identity = Some(identity);
    }

    /// Put a challenge to the client, who accepts these schemes (WMSP-93).
    pub fn demand<'a>(
        &mut self,
        challenge: &Challenge,
        accepted: impl Iterator<Item = &'a str>,
    ) -> Demand {
        let offers = challenge.choose(accepted);
        for offer in &offers {
            if let crate::auth::Offer::Ntlm { handshake } = offer {
                self.handshake.clone_from(handshake);
            }
        }
        let rejected = challenge.rejected.as_ref();
        let rejected = rejected.map(|user| user.chars().take(NAME_CHARS_TOLD).collect::<String>());
        if rejected.is_some() {
            self.failures = self.failures.saturating_add(1);
        }
        Demand {
            headers: offers.iter().map(|o| self.named(o.header())).collect(),
            binds: offers.iter().any(|o| o.scheme() == Scheme::Ntlm),
            tired: self.failures >= FAILURES_MAX,
            rejected,
        }
    }
}

impl Access {
    /// NTLM under the name that the client has for it (WMHTTP-105).
    fn named(&self, header: String) -> String {
        match header.strip_prefix(Scheme::Ntlm.name()) {
            Some(rest) if self.negotiates => format!("{NEGOTIATE}{rest}"),
            _ => header,
        }
    }
}

/// `Negotiate` with a message of NTLM that nothing is wrapped around, which some clients send, as
/// NTLM's own header (WMHTTP-105).
fn bare_ntlm(value: &str) -> Option<String> {
    let (name, token) = value.split_once([' ', '\t'])?;
    let token = token.trim_start();
    let bare = name.eq_ignore_ascii_case(NEGOTIATE) && token.starts_with(NTLM_SIGNATURE);
    bare.then(|| format!("{} {token}", Scheme::Ntlm.name()))
}

/// Status and words for a refusal of the application.
pub(crate) fn explain(refusal: Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::NotFound => (404, "no such content"),
        Refusal::Forbidden => (403, "forbidden"),
        Refusal::Busy => (503, "a limit is reached"),
        Refusal::Taken => (409, "another encoder publishes there"),
        Refusal::Unavailable => (503, "the publishing point has no source"),
        Refusal::Unsupported => (400, "the content cannot be served in this way"),
        Refusal::Corrupt => (500, "the content is damaged"),
        Refusal::Internal => (500, "internal error"),
    }
}
