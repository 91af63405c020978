//! Parts of URLs that are alike in all protocols.

/// What is wrong with an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityFault {
    /// None is named, or it is no host.
    #[error("no host")]
    Host,
    /// Not a port.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

/// Scheme, authority, and all behind it.
pub(crate) fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, local) = rest.split_at(end);
    Some((scheme, authority, local))
}

/// Host without brackets, and port, of an authority; `usual` if it names none. User and password are
/// left out.
pub(crate) fn host_and_port(authority: &str, usual: u16) -> Result<(String, u16), AuthorityFault> {
    let (host, port) = split_authority(authority).ok_or(AuthorityFault::Host)?;
    let port = match port {
        None | Some("") => usual,
        Some(text) => match text.parse() {
            Ok(port @ 1..) if text.bytes().all(|b| b.is_ascii_digit()) => port,
            _ => return Err(AuthorityFault::Port),
        },
    };
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(AuthorityFault::Host);
    }
    Ok((host.to_owned(), port))
}

/// An authority of a host and a port, which is left out if it is the usual one.
pub(crate) fn authority(host: &str, port: u16, usual: u16) -> String {
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    match port == usual {
        true => host,
        false => format!("{host}:{port}"),
    }
}

/// Path and query as they stand in requests: from `/` on, without fragment, and with what must not stand
/// there written as escapes.
pub(crate) fn target(local: &str) -> String {
    let local = local.split('#').next().unwrap_or("");
    let mut out = String::with_capacity(local.len() + 1);
    if !local.starts_with('/') {
        out.push('/');
    }
    for byte in local.bytes() {
        match byte {
            b'"' | b'<' | b'>' | 0..=b' ' | 0x7F.. => out.push_str(&format!("%{byte:02X}")),
            byte => out.push(char::from(byte)),
        }
    }
    out
}

/// Host without brackets and port of a URL's authority, whose user and password are left out. What stands
/// between an address in brackets and the port's colon is taken as part of the port, which it spoils.
fn split_authority(authority: &str) -> Option<(&str, Option<&str>)> {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, a)| a);
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return Some(match rest {
            "" => (host, None),
            rest => (host, Some(rest.strip_prefix(':').unwrap_or("no colon"))),
        });
    }
    Some(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}
