//! MMSP, the Microsoft Media Server protocol (MS-MMSP): `mms://`, `mmst://` and `mmsu://`.

pub mod message;
