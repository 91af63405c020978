//! Alternative bit rates: a player gets the streams it selected, whole, and no others.
