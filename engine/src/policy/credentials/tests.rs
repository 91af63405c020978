//! What a guard makes of credentials. Basic, whose check needs a core, is tested with real clients.

use super::*;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// A directory that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("ringcast-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Place(path)
    }

    fn users(&self) -> PathBuf {
        self.0.join("users.toml")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What is decided without waiting.
fn judge(guard: &Guard, credentials: Option<Credentials>) -> Verdict {
    let mut judging = pin!(guard.judge(credentials, Time(1)));
    match judging
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(verdict) => verdict,
        Poll::Pending => panic!("waits"),
    }
}

fn challenge(verdict: Verdict) -> Challenge {
    match verdict {
        Verdict::Challenge(challenge) => *challenge,
        Verdict::Granted { user, .. } => panic!("{user} is let in"),
        Verdict::Busy => panic!("busy"),
    }
}

fn guard(place: &Place, methods: &[AuthMethod]) -> Guard {
    Guard::open(&AuthConfig {
        methods: methods.to_vec(),
        users: place.users(),
        realm: "r".to_owned(),
    })
    .expect("users")
}

fn set(place: &Place, name: &str, realm: &str, password: &str) {
    crate::policy::users::set_password(&place.users(), name, realm, password, [1; 16])
        .expect("writable");
}

/// A proof without qop for `/a`.
fn proof(guard: &Guard, user: &str, password: &str) -> Option<Credentials> {
    let nonce = lock(&guard.nonces).issue(Time(1));
    // HA1 is the MD5 of three parts with colons between them; with a colon in the method so are the
    // other hashes.
    let hash = |a: &str, b: &str, c: &str| protocols::auth::hex(&digest::ha1(a, b, c));
    let response = hash(&hash(user, "r", password), &nonce, &hash("G", "ET", "/a"));
    let text = format!(
        "username=\"{user}\", realm=\"r\", nonce=\"{nonce}\", uri=\"/a\", response={response}"
    );
    Some(Credentials::Digest {
        authorization: Box::new(digest::Authorization::parse(&text).expect("well-formed")),
        method: "G:ET".to_owned(),
        target: "/a".to_owned(),
    })
}

// WMSP-93, WMSP-94
#[test]
fn everything_is_offered_in_the_configured_order() {
    let place = Place::new("guard-offers");
    set(&place, "alice", "r", "x");
    let guard = guard(
        &place,
        &[AuthMethod::Digest, AuthMethod::Basic, AuthMethod::Ntlm],
    );
    let challenge = challenge(judge(&guard, None));
    let offered: Vec<String> = challenge.offers.iter().map(Offer::header).collect();
    assert!(offered[0].starts_with("Digest realm=\"r\""));
    assert_eq!(offered[1..], ["Basic realm=\"r\"", "NTLM"]);
    assert_eq!(challenge.rejected, None);
}

// WMSP-94
#[test]
fn digest_is_believed_once_and_only_from_users_of_the_realm() {
    let place = Place::new("guard-digest");
    set(&place, "alice", "r", "x");
    set(&place, "bob", "other", "x");
    let guard = guard(&place, &[AuthMethod::Digest]);
    let right = proof(&guard, "alice", "x");
    match judge(&guard, right.clone()) {
        Verdict::Granted { user, identity } => {
            assert_eq!((&*user, identity), ("alice", None));
        }
        other => panic!("{:?}", challenge(other)),
    }
    let again = challenge(judge(&guard, right));
    assert!(again.offers[0].header().ends_with("stale=true"));
    assert_eq!(again.rejected, None);
    for (user, password) in [("alice", "y"), ("bob", "x"), ("nobody", "")] {
        let challenge = challenge(judge(&guard, proof(&guard, user, password)));
        assert_eq!(challenge.rejected.as_deref(), Some(user));
        assert!(!challenge.offers[0].header().contains("stale"));
    }
}

// WMSP-95
#[test]
fn an_identity_holds_as_long_as_its_user() {
    let place = Place::new("guard-identity");
    set(&place, "alice", "r", "x");
    set(&place, "bob", "r", "x");
    let one = guard(&place, &[AuthMethod::Ntlm]);
    let identity = |scope: &Arc<str>| {
        Some(Credentials::Connection(Arc::new(Identity {
            user: "alice".into(),
            realm: Arc::clone(scope),
        })))
    };
    let let_in =
        |guard: &Guard, credentials| matches!(judge(guard, credentials), Verdict::Granted { .. });
    assert!(let_in(&one, identity(&one.scope)));
    assert!(let_in(
        &guard(&place, &[AuthMethod::Ntlm]),
        identity(&one.scope)
    ));
    assert!(
        !let_in(&one, identity(&"elsewhere".into())),
        "users of another file"
    );
    assert!(!let_in(
        &guard(&place, &[AuthMethod::Basic]),
        identity(&one.scope)
    ));
    crate::policy::users::remove(&place.users(), "alice").expect("writable");
    assert!(let_in(&one, identity(&one.scope)));
    one.reload().expect("readable");
    assert!(!let_in(&one, identity(&one.scope)));
}

// WMSP-95
#[test]
fn ntlm_begins_with_a_challenge_that_is_new_each_time() {
    let place = Place::new("guard-ntlm");
    set(&place, "alice", "r", "x");
    let guard = guard(&place, &[AuthMethod::Basic, AuthMethod::Ntlm]);
    let ask = |token: &[u8]| {
        challenge(judge(
            &guard,
            Some(Credentials::Ntlm {
                token: token.to_vec(),
                handshake: None,
            }),
        ))
    };
    let negotiate = b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\xa2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let (first, second) = (ask(negotiate), ask(negotiate));
    let header = |c: &Challenge| {
        let chosen = c.choose(std::iter::empty());
        assert_eq!(chosen.len(), 1, "goes on with NTLM alone");
        chosen[0].header()
    };
    assert!(header(&first).starts_with("NTLM TlRMTVNTUAAC"));
    assert_ne!(header(&first), header(&second));
    assert_eq!(first.rejected, None);
    assert_eq!(ask(b"NTLMSSP\0\x07\0\0\0").rejected.as_deref(), Some(""));
}

#[test]
fn schemes_that_are_not_offered_are_not_taken() {
    let place = Place::new("guard-schemes");
    set(&place, "alice", "r", "x");
    let guard = guard(&place, &[AuthMethod::Ntlm]);
    let challenge = challenge(judge(&guard, proof(&guard, "alice", "x")));
    assert_eq!(challenge.offers.len(), 1);
    let basic = Some(Credentials::Basic {
        user: "alice".to_owned(),
        password: Password::new("x".to_owned()),
    });
    assert!(matches!(judge(&guard, basic), Verdict::Challenge(_)));
}

// WMSP-94
#[test]
fn passwords_are_checked_against_their_hash() {
    let place = Place::new("guard-hash");
    set(&place, "alice", "r", "x");
    let users = Users::load(&place.users()).expect("users");
    let alice = users.get("ALICE").expect("in any case");
    let hash = || alice.argon2.clone();
    let password = |text: &str| Password::new(text.to_owned());
    assert!(is_right(hash(), &password("x")));
    assert!(!is_right(hash(), &password("y")));
    assert!(!is_right(None, &password("x")));
    assert!(
        PasswordHash::new(NOBODY).is_ok(),
        "unknown users cost the same"
    );
}

#[test]
fn a_password_that_was_right_is_remembered_for_a_while() {
    let place = Place::new("guard-marks");
    set(&place, "alice", "r", "x");
    let guard = guard(&place, &[AuthMethod::Basic]);
    guard.note_verified([1; 16], Time(0));
    assert!(guard.is_verified(&[1; 16], Time(0) + VERIFIED_FOR));
    assert!(!guard.is_verified(&[2; 16], Time(0)));
    let later = Time(0) + VERIFIED_FOR + Duration::from_micros(1);
    assert!(!guard.is_verified(&[1; 16], later));
    for n in 0..VERIFIED_COUNT_MAX as u64 + 10 {
        let mut mark = [0; 16];
        mark[..8].copy_from_slice(&n.to_le_bytes());
        guard.note_verified(mark, later);
    }
    assert_eq!(lock(&guard.verified).len(), VERIFIED_COUNT_MAX);
    guard.reload().expect("readable");
    assert!(
        lock(&guard.verified).is_empty(),
        "a changed password counts at once"
    );
}

#[test]
fn a_file_that_is_wrong_is_named_without_its_secrets() {
    let place = Place::new("guard-file");
    let load = |text: &str| {
        std::fs::write(place.users(), text).expect("writable");
        Users::load(&place.users()).err().map(|e| e.to_string())
    };
    assert_eq!(load(""), None);
    assert_eq!(
        load("[a]\nnt_hash = \"00112233445566778899aabbccddeeff\"\n"),
        None
    );
    for (text, what) in [
        ("[a]\nnt_hash = \"secret\"\n", "nt_hash is not"),
        (
            "[a]\nha1 = \"00112233445566778899aabbccddeeff\"\n",
            "without its realm",
        ),
        ("[a]\nha1 = \"secret\"\n", "ha1 is not"),
        ("[a]\nargon2 = \"secret\"\n", "argon2 is not"),
        ("[a]\npassword = \"secret\"\n", "unknown field"),
        ("[\"a:b\"]\n", "a name has"),
        ("[a]\n[A]\n", "named twice"),
        ("a = \"secret\"\n", "user \"a\""),
        ("secret\n", "users file"),
    ] {
        let said = load(text).unwrap_or_else(|| panic!("{text:?} is accepted"));
        assert!(said.contains(what), "{said}");
        assert!(
            said.contains("users.toml") && !said.contains("secret"),
            "{said}"
        );
    }
    let missing = Users::load(&place.0.join("none")).err().expect("missing");
    assert!(
        missing.to_string().contains("none: No such file"),
        "{missing}"
    );
}

#[test]
fn users_are_set_changed_and_removed() {
    use crate::policy::users::{Edited, is_exposed, remove, set_password};
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("guard-edit");
    let path = place.users();
    let set = |name: &str, password: &str| set_password(&path, name, "r", password, [7; 16]);
    assert_eq!(set("bob", "1").expect("made"), Edited::Added);
    assert!(!is_exposed(&path), "for the owner only");
    assert_eq!(set("alice", "2").expect("written"), Edited::Added);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("own file");
    assert_eq!(set("bob", "3").expect("written"), Edited::Changed);
    assert!(is_exposed(&path), "the mode stays as it was");
    let text = std::fs::read_to_string(&path).expect("readable");
    let (bob, alice) = (text.find("[bob]"), text.find("[alice]"));
    assert!(bob.is_some() && bob < alice, "the order stays: {text}");
    let users = Users::load(&path).expect("valid");
    let hash = users.get("bob").and_then(|u| u.nt_hash);
    assert_eq!(hash, Some(ntlm::nt_hash("3")));
    assert!(set("a:b", "x").is_err());
    assert_eq!(remove(&path, "bob").expect("written"), Edited::Removed);
    assert_eq!(remove(&path, "bob").expect("read"), Edited::Absent);
    assert_eq!(Users::load(&path).expect("valid").iter().count(), 1);
    let left: Vec<_> = std::fs::read_dir(&place.0).expect("listed").collect();
    assert_eq!(left.len(), 1, "nothing but the file");
}
