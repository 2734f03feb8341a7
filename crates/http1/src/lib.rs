//! A strict HTTP/1.1 codec made for relaying.
