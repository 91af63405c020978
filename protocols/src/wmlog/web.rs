//! A log resource as web servers offer it, so that .nsc and ASX log URLs may point at this server
//! (wmlog.md 9, MS-WMLOG 2.3).

/// Largest body that is read, bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// The page by which a client recognises a log resource (WMLOG-38).
pub fn page(version: [u16; 4]) -> String {
    let [a, b, c, d] = version.map(|n| n.min(9999));
    format!("<body><h1>WMS ISAPI Log Dll/{a}.{b}.{c}.{d}</h1></body>\r\n")
}

/// True if a page says that logs may be posted to its URL (WMLOG-40).
pub fn is_log_resource(page: &str) -> bool {
    let Some((_, rest)) = page.split_once("<body><h1>") else {
        return false;
    };
    let Some((title, rest)) = rest.split_once("</h1>") else {
        return false;
    };
    let versioned = |version: &str| {
        let numbers: Vec<&str> = version.split('.').collect();
        numbers.len() == 4
            && numbers
                .iter()
                .all(|n| (1..=4).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let named = title == "NetShow ISAPI Log Dll"
        || title
            .strip_prefix("WMS ISAPI Log Dll/")
            .is_some_and(versioned);
    named && rest.contains("</body>")
}

/// The body to post for a log line.
pub fn body(line: &str) -> String {
    format!("{} \t{line}", super::w3c::WEB_PREFIX)
}

/// The log line in a posted body: after the prefix and any mixture of spaces and tabs, which may be
/// missing (WMLOG-39).
pub fn line(body: &str) -> Option<&str> {
    body.trim_start()
        .strip_prefix(super::w3c::WEB_PREFIX)
        .map(str::trim)
}
