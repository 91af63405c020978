//! Result codes (msbd.md 2.7). None is of our own making, so none has bit 29 set (MSBD-61).

/// Success.
pub const S_OK: u32 = 0;
/// Our fault.
pub const E_FAIL: u32 = 0x8000_4005;
/// The request is malformed.
pub const E_INVALIDARG: u32 = 0x8007_0057;
/// Limits of the network are reached.
pub const NS_E_NETWORK_BUSY: u32 = 0xC00D_000E;
/// Too many sessions.
pub const NS_E_TOO_MANY_SESS: u32 = 0xC00D_000F;
/// Not here: no such channel, no multicast, or not for this client.
pub const NS_E_FILE_NOT_FOUND: u32 = 0xC00D_001A;
/// There is no stream, or none yet.
pub const NS_E_NO_STREAM: u32 = 0xC00D_0033;

/// True if a code tells of a failure.
pub const fn is_failure(hr: u32) -> bool {
    hr & 0x8000_0000 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    // MSBD-61
    #[test]
    fn none_is_of_our_own_making() {
        let ours = [
            E_FAIL,
            E_INVALIDARG,
            NS_E_NETWORK_BUSY,
            NS_E_TOO_MANY_SESS,
            NS_E_FILE_NOT_FOUND,
            NS_E_NO_STREAM,
        ];
        assert!(
            ours.iter()
                .all(|hr| is_failure(*hr) && hr & 0x2000_0000 == 0)
        );
        assert!(!is_failure(S_OK));
    }
}
