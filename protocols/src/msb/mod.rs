//! MSB: live content to a multicast group (MS-MSB).
