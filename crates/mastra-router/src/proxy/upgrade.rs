//! Upgrades to WebSocket, the one protocol that may take over a connection.

use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http1::{RequestHead, ResponseHead};
use sha1::{Digest, Sha1};

/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What an upstream must answer as `Sec-WebSocket-Accept`, if the request asks for WebSocket and nothing else. Any other
/// upgrade is not passed on: h2c would open a way round the router's rules, and what is unknown could do as much.
pub(crate) fn accept_key(head: &RequestHead<'_>) -> Option<Box<str>> {
    let upgrade = head.upgrade?;
    if !upgrade.trim().eq_ignore_ascii_case("websocket") || head.method != "GET" {
        return None;
    }
    Some(accepts(head.fields.get("sec-websocket-key")?))
}

/// The `Sec-WebSocket-Accept` that answers this key (RFC 6455, section 4.2.2).
pub(crate) fn accepts(key: &[u8]) -> Box<str> {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(digest).into()
}

/// A key for a handshake that the client did not make one for: over HTTP/2 there is none (RFC 8441, section 5). It only
/// has to be another one each time, so the randomness of the standard library's hasher is enough.
pub(crate) fn new_key() -> String {
    let bits = || RandomState::new().hash_one(SystemTime::now()).to_be_bytes();
    STANDARD.encode([bits(), bits()].concat())
}

/// Whether a 101 is the answer to the upgrade that was asked for: only then do both sides speak the same protocol.
pub(crate) fn is_valid(head: &ResponseHead<'_>, accept_key: &str) -> bool {
    head.upgrade.is_some_and(|upgrade| upgrade.trim().eq_ignore_ascii_case("websocket"))
        && head.fields.get("sec-websocket-accept").is_some_and(|sent| sent == accept_key.as_bytes())
}
