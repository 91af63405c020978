//! Result codes of reports (mmsp.md 6). MS-MMSP itself fixes only those of EndOfStream; the others are
//! chosen from the published lists, so none is of our own making (MMSP-109).

/// Success; in ReportEndOfStream: nothing follows.
pub const S_OK: u32 = 0;
/// In ReportEndOfStream: another entry follows.
pub const MORE: u32 = 1;
/// Access was denied, or too many proofs were wrong.
pub const E_ACCESSDENIED: u32 = 0x8007_0005;
/// A field is malformed.
pub const E_INVALIDARG: u32 = 0x8007_0057;
/// No such path.
pub const ERROR_PATH_NOT_FOUND: u32 = 0x8007_0003;
/// Any failure.
pub const E_FAIL: u32 = 0x8000_4005;
/// No bandwidth left.
pub const NS_E_NETWORK_BUSY: u32 = 0xC00D_000E;
/// No session left.
pub const NS_E_TOO_MANY_SESS: u32 = 0xC00D_000F;
/// The transport asked for is not offered.
pub const NS_E_PROTOCOL_MISMATCH: u32 = 0xC00D_0012;
/// No such content.
pub const NS_E_FILE_NOT_FOUND: u32 = 0xC00D_001A;
/// The name cannot be one of a content.
pub const NS_E_INVALID_NAME: u32 = 0xC00D_001C;
/// Our fault.
pub const NS_E_INTERNAL: u32 = 0xC00D_0024;
/// Not in this state, or of another file.
pub const NS_E_INVALID_REQUEST: u32 = 0xC00D_002B;
/// No bandwidth left for this content.
pub const NS_E_FILE_BANDWIDTH_LIMIT: u32 = 0xC00D_0030;
/// The live source is absent.
pub const NS_E_NO_STREAM: u32 = 0xC00D_0033;
/// No such stream.
pub const NS_E_INVALID_STREAM: u32 = 0xC00D_003C;
/// The port announced cannot be one.
pub const NS_E_BAD_PORT: u32 = 0xC00D_0043;
/// The play rate is not offered.
pub const NS_E_STRIDE_REFUSED: u32 = 0xC00D_0045;
/// The publishing point was removed.
pub const NS_E_POINT_REMOVED: u32 = 0xC00D_145A;
/// The publishing point was stopped.
pub const NS_E_POINT_STOPPED: u32 = 0xC00D_145E;
/// The server takes no new clients.
pub const NS_E_NO_NEW_CONNECTIONS: u32 = 0xC00D_151D;
/// The content is damaged.
pub const NS_E_MEDIA_PARSER_INVALID_FORMAT: u32 = 0xC00D_1581;
/// What we ask did not answer as it should.
pub const NS_E_UPSTREAM_FAILED: u32 = 0xC00D_2EE4;
/// What we ask did not answer in time.
pub const NS_E_UPSTREAM_TIMEOUT: u32 = 0xC00D_2EE5;
/// The protocol is turned off.
pub const NS_E_MMS_NOT_SUPPORTED: u32 = 0xC00D_2EFA;

/// True if the code says that something failed.
pub const fn is_failure(hr: u32) -> bool {
    hr & 0x8000_0000 != 0
}

/// Name of a code of this module.
pub const fn name(hr: u32) -> Option<&'static str> {
    Some(match hr {
        S_OK => "S_OK",
        MORE => "S_FALSE",
        E_ACCESSDENIED => "E_ACCESSDENIED",
        E_INVALIDARG => "E_INVALIDARG",
        ERROR_PATH_NOT_FOUND => "ERROR_PATH_NOT_FOUND",
        E_FAIL => "E_FAIL",
        NS_E_NETWORK_BUSY => "NS_E_NETWORK_BUSY",
        NS_E_TOO_MANY_SESS => "NS_E_TOO_MANY_SESS",
        NS_E_PROTOCOL_MISMATCH => "NS_E_PROTOCOL_MISMATCH",
        NS_E_FILE_NOT_FOUND => "NS_E_FILE_NOT_FOUND",
        NS_E_INVALID_NAME => "NS_E_INVALID_NAME",
        NS_E_INTERNAL => "NS_E_INTERNAL_SERVER_ERROR",
        NS_E_INVALID_REQUEST => "NS_E_INVALID_REQUEST",
        NS_E_FILE_BANDWIDTH_LIMIT => "NS_E_FILE_BANDWIDTH_LIMIT",
        NS_E_NO_STREAM => "NS_E_NO_STREAM",
        NS_E_INVALID_STREAM => "NS_E_INVALID_STREAM",
        NS_E_BAD_PORT => "NS_E_INVALID_PORT",
        NS_E_STRIDE_REFUSED => "NS_E_STRIDE_REFUSED",
        NS_E_POINT_REMOVED => "NS_E_PUBLISHING_POINT_REMOVED",
        NS_E_POINT_STOPPED => "NS_E_PUBLISHING_POINT_STOPPED",
        NS_E_NO_NEW_CONNECTIONS => "NS_E_NO_NEW_CONNECTIONS",
        NS_E_MEDIA_PARSER_INVALID_FORMAT => "NS_E_MEDIA_PARSER_INVALID_FORMAT",
        NS_E_UPSTREAM_FAILED => "NS_E_UPSTREAM_FAILED",
        NS_E_UPSTREAM_TIMEOUT => "NS_E_UPSTREAM_TIMEOUT",
        NS_E_MMS_NOT_SUPPORTED => "NS_E_MMS_NOT_SUPPORTED",
        _ => return None,
    })
}
