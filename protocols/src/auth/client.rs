//! What a client answers to a challenge: Basic, and Digest with MD5 (RFC 2617).

use super::digest::{Fields, ha1, md5};
use super::{Password, Scheme, base64, hex};

/// A challenge that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answerable {
    /// The password itself.
    Basic,
    /// A proof for each request.
    Digest {
        /// Realm.
        realm: String,
        /// Nonce.
        nonce: String,
        /// To be sent back as it is.
        opaque: Option<String>,
        /// With counted uses of the nonce; else as before RFC 2617.
        counted: bool,
        /// The nonce alone was refused, what was proven with it was right.
        stale: bool,
    },
}

impl Answerable {
    /// The best one of the challenges of a reply, each the value of one header line: Digest before
    /// Basic. `None` if there is none that can be answered here.
    pub fn best<'a>(challenges: impl IntoIterator<Item = &'a str>) -> Option<Answerable> {
        let all = challenges.into_iter().filter_map(Answerable::read);
        all.min_by_key(|answerable| *answerable == Answerable::Basic)
    }

    fn read(challenge: &str) -> Option<Answerable> {
        let challenge = challenge.trim();
        let (name, rest) = challenge.split_once([' ', '\t']).unwrap_or((challenge, ""));
        match Scheme::parse(name)? {
            Scheme::Basic => Some(Answerable::Basic),
            Scheme::Digest => {
                let mut fields = Fields::read(rest).ok()?;
                let md5 = |a: &String| a.eq_ignore_ascii_case("MD5");
                let qop = fields.take("qop");
                let auth = |q: &str| q.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth"));
                let known = fields.take("algorithm").as_ref().is_none_or(md5)
                    && qop.as_deref().is_none_or(auth);
                let stale = fields.take("stale");
                known.then_some(Answerable::Digest {
                    realm: fields.take("realm")?,
                    nonce: fields.take("nonce")?,
                    opaque: fields.take("opaque"),
                    counted: qop.is_some(),
                    stale: stale.is_some_and(|s| s.eq_ignore_ascii_case("true")),
                })
            }
            Scheme::Ntlm => None,
        }
    }
}

/// Answers challenges with one user's password.
#[derive(Clone, Debug)]
pub struct Prover {
    user: String,
    password: Password,
    to: Answerable,
    count: u32,
}

impl Prover {
    /// Answers `to`.
    pub fn new(user: String, password: Password, to: Answerable) -> Prover {
        Prover {
            user,
            password,
            to,
            count: 0,
        }
    }

    /// Value of the `Authorization` of the next request. `cnonce` is for this request alone, random;
    /// `uri` as it stands in the request line.
    pub fn header(&mut self, method: &str, uri: &str, cnonce: [u8; 8]) -> String {
        let Answerable::Digest {
            realm,
            nonce,
            opaque,
            counted,
            ..
        } = &self.to
        else {
            let pair = format!("{}:{}", self.user, self.password.reveal());
            return format!("Basic {}", base64::encode(pair.as_bytes()));
        };
        self.count += 1;
        let first = hex(&ha1(&self.user, realm, self.password.reveal()));
        let second = hex(&md5(&[method, uri]));
        let (nc, cnonce) = (format!("{:08x}", self.count), hex(&cnonce));
        let response = match counted {
            true => md5(&[&first, nonce, &nc, &cnonce, "auth", &second]),
            false => md5(&[&first, nonce, &second]),
        };
        let mut text = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{}\"",
            escaped(&self.user),
            escaped(realm),
            escaped(nonce),
            hex(&response)
        );
        if *counted {
            text.push_str(&format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = opaque {
            text.push_str(&format!(", opaque=\"{}\"", escaped(opaque)));
        }
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::super::digest::{self, Authorization};
    use super::*;

    const OF_2617: &str = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
                           nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                           opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";

    fn prover(challenge: &str) -> Prover {
        let to = Answerable::best([challenge]).expect("a challenge");
        Prover::new("Mufasa".into(), Password::new("Circle Of Life".into()), to)
    }

    #[test]
    fn proofs_are_what_a_server_checks() {
        for challenge in [OF_2617, "digest realm=\"a\\\"b\", nonce=x, algorithm=md5"] {
            let mut prover = prover(challenge);
            for count in 1..4 {
                let header = prover.header("DESCRIBE", "rtsp://h/a b", [count; 8]);
                let fields = header.strip_prefix("Digest ").unwrap();
                let read = Authorization::parse(fields).unwrap();
                let key = digest::ha1("Mufasa", &read.realm, "Circle Of Life");
                assert!(read.proves(&key, "DESCRIBE"));
                assert!(!read.proves(&key, "PLAY"));
                let nc = read.count.map(|c| c.nc);
                assert_eq!(nc, (challenge == OF_2617).then_some(count.into()));
                assert_eq!(header.contains("5ccc069c"), challenge == OF_2617);
            }
        }
    }

    #[test]
    fn the_best_of_what_is_known_is_answered() {
        let basic = "Basic realm=\"x\"";
        assert_eq!(Answerable::best([basic]), Some(Answerable::Basic));
        assert!(matches!(
            Answerable::best([basic, "NTLM", OF_2617]),
            Some(Answerable::Digest { .. })
        ));
        assert_eq!(Answerable::best(["NTLM", "Negotiate"]), None);
        for strange in [
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"y\", algorithm=SHA-256",
            "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
        ] {
            assert_eq!(Answerable::best([strange]), None, "{strange}");
        }
        assert_eq!(
            prover("Basic").header("PLAY", "*", [0; 8]),
            "Basic TXVmYXNhOkNpcmNsZSBPZiBMaWZl"
        );
    }
}
