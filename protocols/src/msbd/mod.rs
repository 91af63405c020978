//! MSBD: live content from an encoder or a server to a server (MS-MSBD).
