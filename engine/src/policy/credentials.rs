//! Proof of who a client is: what a point's [`Guard`] makes of credentials (WMSP-93, WMSP-94).

use super::users::{User, Users};
use crate::ops::config::{AuthConfig, AuthMethod};
use crate::rt;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use protocols::auth::digest::{self, Nonces, Use};
use protocols::auth::ntlm::{self, Handshake, Message};
use protocols::auth::{Challenge, Credentials, Identity, Offer, Password, hmac_md5};
use protocols::machine::Time;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Passwords of a point that are checked or wait to be at a time: each takes tens of milliseconds
/// and 19 MiB on a thread that also opens files.
const CHECKS_MAX: usize = 16;
/// A password that was right is not hashed again for so long: a player asks several times to begin.
const VERIFIED_FOR: Duration = Duration::from_secs(60);
/// Right passwords that are remembered, under a keyed hash.
const VERIFIED_COUNT_MAX: usize = 4096;
/// Longest NetBIOS name.
const NETBIOS_CHARS_MAX: usize = 15;
/// From 1601 to 1970, seconds.
const FILE_TIME_EPOCH: u64 = 11_644_473_600;

/// A hash that no password has, so that unknown users take as long as known ones.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
    $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What a guard decides.
pub enum Verdict {
    /// The client is this user.
    Granted {
        /// Name.
        user: Arc<str>,
        /// To be remembered for the connection.
        identity: Option<Arc<Identity>>,
    },
    /// It must prove itself, or has failed to.
    Challenge(Box<Challenge>),
    /// Too many are being checked.
    Busy,
}

/// Asks the clients of a point who they are. Shared by all cores; touched when a content is opened,
/// never on the media path.
pub struct Guard {
    config: AuthConfig,
    realm: Arc<str>,
    /// Whose names an identity holds for: points with the same file share it.
    scope: Arc<str>,
    netbios: String,
    users: Mutex<Arc<Users>>,
    nonces: Mutex<Nonces>,
    key: [u8; 32],
    verified: Mutex<HashMap<[u8; 16], Time>>,
    checks: AtomicUsize,
}

/// One of the places among the checks.
struct Check<'a>(&'a AtomicUsize);

impl Drop for Check<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Guard {
    /// Read the users file.
    ///
    /// # Errors
    /// As [`Users::load`], and if there is no randomness.
    pub fn open(config: &AuthConfig) -> io::Result<Guard> {
        let host = rt::host_name();
        let label = host.split('.').next().unwrap_or_default();
        let name: String = label.chars().filter(char::is_ascii).collect();
        let netbios: String = name
            .to_ascii_uppercase()
            .chars()
            .take(NETBIOS_CHARS_MAX)
            .collect();
        Ok(Guard {
            realm: config.realm.as_str().into(),
            scope: config.users.display().to_string().into(),
            netbios: match netbios.is_empty() {
                true => "RINGCAST".to_owned(),
                false => netbios,
            },
            users: Mutex::new(Arc::new(Users::load(&config.users)?)),
            nonces: Mutex::new(Nonces::new(rt::random_seed()?)),
            key: rt::random_seed()?,
            verified: Mutex::default(),
            checks: AtomicUsize::new(0),
            config: config.clone(),
        })
    }

    /// Read the users file again.
    ///
    /// # Errors
    /// As [`Users::load`]; then the users are as before.
    pub fn reload(&self) -> io::Result<()> {
        let users = Arc::new(Users::load(&self.config.users)?);
        *lock(&self.users) = users;
        lock(&self.verified).clear();
        Ok(())
    }

    /// Decide. `now` is the cores' common time.
    pub async fn judge(&self, credentials: Option<Credentials>, now: Time) -> Verdict {
        let Some(credentials) = credentials else {
            return self.challenge(now, None);
        };
        let method = match &credentials {
            Credentials::Basic { .. } => AuthMethod::Basic,
            Credentials::Digest { .. } => AuthMethod::Digest,
            Credentials::Ntlm { .. } | Credentials::Connection(_) => AuthMethod::Ntlm,
        };
        if !self.config.methods.contains(&method) {
            return self.challenge(now, None);
        }
        match credentials {
            Credentials::Basic { user, password } => self.basic(user, password, now).await,
            Credentials::Digest {
                authorization,
                method,
                target,
            } => self.digest(&authorization, &method, &target, now),
            Credentials::Ntlm { token, handshake } => self.ntlm(&token, handshake.as_deref(), now),
            // Users may have been removed since.
            Credentials::Connection(identity) => {
                let user = Arc::clone(&identity.user);
                let known = lock(&self.users).get(&user).is_some();
                match known && identity.realm == self.scope {
                    true => Verdict::Granted {
                        user,
                        identity: None,
                    },
                    false => self.challenge(now, None),
                }
            }
        }
    }

    async fn basic(&self, name: String, password: Password, now: Time) -> Verdict {
        let users = Arc::clone(&lock(&self.users));
        let found = users.get(&name);
        let user = found.map(|u| Arc::clone(&u.name));
        let mark = user.as_ref().map(|user| {
            let parts = [user.as_bytes(), &[0], password.reveal().as_bytes()];
            hmac_md5(&self.key, &parts)
        });
        if let (Some(user), Some(mark)) = (&user, &mark)
            && self.is_verified(mark, now)
        {
            return granted(user);
        }
        let check = Check(&self.checks);
        if self.checks.fetch_add(1, Relaxed) >= CHECKS_MAX {
            return Verdict::Busy;
        }
        let hash = found.and_then(|u| u.argon2.clone());
        let right = rt::blocking(move || is_right(hash, &password)).await;
        drop(check);
        match (user, mark) {
            (Some(user), Some(mark)) if right => {
                // A reload in between has made the old users' marks void.
                if Arc::ptr_eq(&users, &lock(&self.users)) {
                    self.note_verified(mark, now);
                }
                granted(&user)
            }
            _ => self.challenge(now, Some(name)),
        }
    }

    fn is_verified(&self, mark: &[u8; 16], now: Time) -> bool {
        let verified = lock(&self.verified);
        let at = verified.get(mark);
        at.is_some_and(|at| now.since(*at) <= VERIFIED_FOR)
    }

    fn note_verified(&self, mark: [u8; 16], now: Time) {
        let mut verified = lock(&self.verified);
        if verified.len() >= VERIFIED_COUNT_MAX {
            verified.retain(|_, at| now.since(*at) <= VERIFIED_FOR);
        }
        if verified.len() < VERIFIED_COUNT_MAX {
            verified.insert(mark, now);
        }
    }

    fn digest(
        &self,
        proof: &digest::Authorization,
        method: &str,
        target: &str,
        now: Time,
    ) -> Verdict {
        let users = Arc::clone(&lock(&self.users));
        let user = users.get(&proof.username);
        let secret = user.and_then(|u| ha1_for(u, &self.realm));
        let right = proof.realm == *self.realm
            && proof.is_about(target)
            && proof.proves(&secret.unwrap_or_default(), method);
        let (Some(user), Some(_), true) = (user, secret, right) else {
            return self.challenge(now, Some(proof.username.clone()));
        };
        let count = proof.count.as_ref().map(|c| c.nc);
        let used = lock(&self.nonces).use_up(now, &proof.nonce, count);
        match used {
            Use::Fresh => granted(&user.name),
            Use::Stale => self.offers(now, None, None, true),
        }
    }

    fn ntlm(&self, token: &[u8], handshake: Option<&Handshake>, now: Time) -> Verdict {
        let answer = match Message::parse(token) {
            Ok(Message::Negotiate(negotiate)) => {
                let Ok(seed) = rt::random_seed() else {
                    tracing::error!("no randomness for an NTLM challenge");
                    return Verdict::Busy;
                };
                let nonce = std::array::from_fn(|i| seed[i]);
                let server = ntlm::Server {
                    netbios: &self.netbios,
                    dns: "",
                };
                let begun = Handshake::begin(&negotiate, server, nonce, file_time());
                return self.offers(now, None, Some(Arc::new(begun)), false);
            }
            Ok(Message::Authenticate(answer)) => answer,
            Err(error) => {
                tracing::debug!(%error, "NTLM");
                return self.challenge(now, Some(String::new()));
            }
        };
        let users = Arc::clone(&lock(&self.users));
        let user = users.get(&answer.user);
        let hash = user.and_then(|u| u.nt_hash);
        let right = handshake.is_some_and(|h| h.proves(&answer, &hash.unwrap_or_default()));
        match (user, hash) {
            (Some(user), Some(_)) if right => Verdict::Granted {
                user: Arc::clone(&user.name),
                identity: Some(Arc::new(Identity {
                    user: Arc::clone(&user.name),
                    realm: Arc::clone(&self.scope),
                })),
            },
            _ => self.challenge(now, Some(answer.user)),
        }
    }

    fn challenge(&self, now: Time, rejected: Option<String>) -> Verdict {
        self.offers(now, rejected, None, false)
    }

    fn offers(
        &self,
        now: Time,
        rejected: Option<String>,
        begun: Option<Arc<Handshake>>,
        stale: bool,
    ) -> Verdict {
        let realm = || Arc::clone(&self.realm);
        let offer = |method: &AuthMethod| match method {
            AuthMethod::Basic => Offer::Basic { realm: realm() },
            AuthMethod::Digest => Offer::Digest {
                realm: realm(),
                nonce: lock(&self.nonces).issue(now),
                stale,
            },
            AuthMethod::Ntlm => Offer::Ntlm {
                handshake: begun.clone(),
            },
        };
        Verdict::Challenge(Box::new(Challenge {
            offers: self.config.methods.iter().map(offer).collect(),
            rejected,
        }))
    }
}

fn granted(user: &Arc<str>) -> Verdict {
    Verdict::Granted {
        user: Arc::clone(user),
        identity: None,
    }
}

/// The hash for Digest in this realm.
pub fn ha1_for(user: &User, realm: &str) -> Option<[u8; 16]> {
    let (of, hash) = user.ha1.as_ref()?;
    (of == realm).then_some(*hash)
}

/// Slow: for the blocking thread.
fn is_right(hash: Option<PasswordHash>, password: &Password) -> bool {
    let known = hash.is_some();
    let hash = hash.or_else(|| PasswordHash::new(NOBODY).ok());
    let argon2 = Argon2::default();
    let right = hash.is_some_and(|hash| {
        let checked = argon2.verify_password(password.reveal().as_bytes(), &hash);
        checked.is_ok()
    });
    known && right
}

/// Now, in units of 100 ns since 1601.
fn file_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default() + Duration::from_secs(FILE_TIME_EPOCH);
    u64::try_from(since.as_nanos() / 100).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
