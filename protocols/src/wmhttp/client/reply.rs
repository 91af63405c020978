//! Replies, and what is done next (MS-WMHTTP 3.1.5).

use super::{Client, Cookies, Item, MORE, Refusal, State, Url};
use crate::client::REDIRECT_MAX;
use crate::http::replies::{ReplyHead, Step};
use crate::machine::{CloseHow, Time};
use crate::media::News;

/// Longest body of a reply, which has no use here.
const BODY_LEN_MAX: usize = 64 * 1024;

/// Products that can be pushed to (WMHTTP-48).
const SERVERS: [&str; 2] = ["Cougar", "Rex"];

impl Client {
    pub(super) fn receive(&mut self, now: Time, bytes: &[u8]) {
        if let Some(link) = &mut self.link {
            link.reader.push(bytes);
        }
        let mut ignored = Vec::new();
        let conn = self.link.as_ref().map(|l| l.conn);
        // A reply may end the connection that it came on.
        while let Some(link) = self.link.as_mut().filter(|l| Some(l.conn) == conn) {
            ignored.clear();
            match link.reader.next(&mut ignored) {
                Err(bad) => return self.fail(bad.reason),
                Ok(Step::Wait) => return,
                Ok(Step::Head(head)) => {
                    if !link.due {
                        return self.fail("a reply to nothing");
                    }
                    link.reader.headers_only();
                    link.body_len = 0;
                    if head.status >= 400 && head.status != 401 && head.status != 407 {
                        let reason = self.refusal_text(&head);
                        return self.refuse(Refusal::Status(head.status), reason);
                    }
                    // Those below 200 announce another one.
                    link.head = (head.status >= 200).then_some(head);
                }
                Ok(Step::Body(len)) => {
                    link.body_len += len;
                    if link.body_len > BODY_LEN_MAX {
                        return self.fail("length of a reply's body");
                    }
                }
                Ok(Step::End) => {
                    if let Some(head) = link.head.take() {
                        link.due = false;
                        link.served += 1;
                        link.last = !head.keeps_alive();
                        self.replied(now, &head);
                    }
                }
            }
        }
    }

    fn replied(&mut self, now: Time, head: &ReplyHead) {
        // A proxy's cookies are not the server's.
        if head.status != 407 {
            self.cookies.take(head.all("Set-Cookie"));
        }
        match head.status {
            200..=299 => self.accepted(now, head),
            300..=305 if self.state == State::Setup => self.redirected(now, head),
            401 => self.challenged(now, head, false),
            407 => self.challenged(now, head, true),
            status => {
                let reason = self.refusal_text(head);
                self.refuse(Refusal::Status(status), reason);
            }
        }
    }

    // WMHTTP-48, WMHTTP-49, WMHTTP-50, WMHTTP-53
    fn accepted(&mut self, now: Time, head: &ReplyHead) {
        let server = head.get("Server").unwrap_or_default();
        if !is_known(server) {
            let reason = format!("not a Windows Media server: {}", shown(server));
            return self.refuse(Refusal::Foreign, reason);
        }
        // What players get who ask here (wmhttp.md 9.7).
        if head.has_type("video/x-ms-asf") {
            return self.refuse(Refusal::Foreign, "the server takes this for a player");
        }
        self.using_proxy |= head.get("Via").is_some();
        self.access.accepted();
        self.proxy_access.accepted();
        match self.state {
            State::Setup => {
                self.established = true;
                self.state = State::Ready;
                self.news(News::Described {
                    server: shown(server),
                    features: head.list("Supported").collect::<Vec<_>>().join(", "),
                });
                if self.sent.entry.is_some() {
                    self.start(now);
                }
            }
            State::Full => {
                self.sent.accepted = true;
                self.start(now);
            }
            // Ahead of time: the body cannot be cut short, so it is sent to its end.
            _ => {
                self.sent.accepted = true;
                if let Some(link) = &mut self.link {
                    link.answered = true;
                }
            }
        }
    }

    // WMHTTP-46
    fn redirected(&mut self, now: Time, head: &ReplyHead) {
        let Some(location) = head.get("Location") else {
            return self.fail(format!("status {} without a Location", head.status));
        };
        self.redirects += 1;
        if self.redirects > REDIRECT_MAX {
            return self.fail(format!("more than {REDIRECT_MAX} redirections"));
        }
        let to = match self.url.join(location) {
            Ok(to) => to,
            Err(e) => {
                let reason = format!("Location {}: {e}", shown(location));
                return self.fail(reason);
            }
        };
        self.news(News::Redirected(to.to_string()));
        if head.status == 305 {
            self.proxy = Some(to);
            self.using_proxy = true;
        } else {
            if !self.url.same_server(&to) {
                self.access.revoke();
            }
            self.url = to;
            self.proxy = self
                .config
                .proxy
                .as_deref()
                .and_then(|p| Url::parse(p).ok());
            self.using_proxy = self.proxy.is_some();
        }
        // The server that redirects forgets the session (WMHTTP-63).
        self.cookies = Cookies::default();
        self.close(CloseHow::Flush);
        self.setup(now);
    }

    // WMHTTP-28, WMHTTP-47, WMHTTP-52
    fn challenged(&mut self, now: Time, head: &ReplyHead, proxy: bool) {
        let name = match proxy {
            true => "Proxy-Authenticate",
            false => "WWW-Authenticate",
        };
        let challenges: Vec<String> = head.all(name).map(str::to_owned).collect();
        let access = match proxy {
            true => &mut self.proxy_access,
            false => &mut self.access,
        };
        let answer = access.challenged(&challenges);
        self.news(News::Challenged { proxy, challenges });
        if let Err(reason) = answer {
            let who = match proxy {
                true => "proxy",
                false => "server",
            };
            return self.refuse(Refusal::Credentials, format!("{reason} (by the {who})"));
        }
        match self.state {
            State::Setup => self.setup(now),
            state => {
                self.proves_start |= !proxy;
                self.begin_again();
                if state == State::InProgress {
                    self.close(CloseHow::Flush);
                }
                self.start(now);
            }
        }
    }

    /// The server did not take the body that was being sent. If it has got nothing yet, the session's
    /// header has to go first again.
    fn begin_again(&mut self) {
        if self.sent.accepted {
            return;
        }
        self.sent.begun = false;
        if std::mem::take(&mut self.sent.ended) {
            self.queue.push_front(Item::End(MORE));
        }
    }

    fn refusal_text(&self, head: &ReplyHead) -> String {
        let what = match self.state {
            State::Setup => "PushSetup",
            _ => "PushStart",
        };
        let why = match head.status {
            401 | 403 | 407 => " (no right to push there)",
            404 => " (no such publishing point, or its session is gone)",
            408 => " (nothing came for too long)",
            409 => " (the publishing point is in use)",
            _ => "",
        };
        format!("status {} to the {what}{why}", head.status)
    }
}

fn is_known(server: &str) -> bool {
    server.split_whitespace().any(|product| {
        let token = product.split('/').next().unwrap_or_default();
        SERVERS.iter().any(|s| s.eq_ignore_ascii_case(token))
    })
}

/// The peer's words, fit for a message.
fn shown(text: &str) -> String {
    const LEN_MAX: usize = 128;
    let clean = text.chars().filter(|c| !c.is_control());
    clean.take(LEN_MAX).collect()
}
