//! Playlists and announcements.

pub mod asx;
