//! From the bytes of an upstream's answer to what the client gets.

use http1::{BodyLength, HeadScan, Parsed, RequestKind, ResponseHead, Version};

use super::Shared;
use super::request::Plan;
use super::rewrite::response_fields;
use super::upgrade;

/// What an upstream has answered.
pub(crate) enum Answered {
    /// The head is not complete.
    Partial,
    /// A 1xx, to be passed on before the answer proper.
    Interim(Vec<u8>),
    /// The upgrade was taken: both connections are the new protocol's from here on.
    Switched(Vec<u8>),
    /// The answer.
    Final {
        /// The head as the client gets it.
        head: Vec<u8>,
        from: BodyLength,
        to: BodyLength,
        /// Whether the upstream takes another request on this connection.
        reusable: bool,
        /// Whether the client may send another request on its connection.
        keep_alive: bool,
    },
    /// Not an answer to what was asked.
    Bad(&'static str),
}

/// Reads the head that `input` starts with. Returns the bytes that it took, too. `close` says that the client's
/// connection ends after this exchange, whatever it asked for.
pub(crate) fn read(input: &[u8], scan: &mut HeadScan, plan: &Plan, close: bool, shared: &Shared) -> (usize, Answered) {
    let mut slots = http1::slots();
    let head = match ResponseHead::parse(input, &mut slots, &shared.limits, scan, plan.kind) {
        Ok(Parsed::Complete(head)) => head,
        Ok(Parsed::Partial) => return (0, Answered::Partial),
        Err(error) => return (0, Answered::Bad(error.reason())),
    };
    *scan = HeadScan::default();
    let answered = match head.status {
        101 => switched(&head, plan),
        100..=199 => Answered::Interim(interim(&head)),
        _ => answer(&head, plan, close),
    };
    (head.len, answered)
}

fn switched(head: &ResponseHead<'_>, plan: &Plan) -> Answered {
    let Some(key) = &plan.accept_key else { return Answered::Bad("unsolicited_101") };
    if !upgrade::is_valid(head, key) {
        return Answered::Bad("bad_websocket_accept");
    }
    let mut out = Vec::with_capacity(head.len + 64);
    http1::write_status_line(&mut out, 101, head.reason);
    response_fields(&head.fields, None, &mut out);
    out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    http1::end_head(&mut out);
    Answered::Switched(out)
}

fn interim(head: &ResponseHead<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len);
    http1::write_status_line(&mut out, head.status, head.reason);
    response_fields(&head.fields, None, &mut out);
    http1::end_head(&mut out);
    out
}

fn answer(head: &ResponseHead<'_>, plan: &Plan, close: bool) -> Answered {
    // A body without a length ends with the connection; a client that knows chunks is told its end instead, so that it
    // can keep its own connection and tell a whole body from one that broke off.
    let to = match (head.body, plan.version) {
        (BodyLength::Chunked | BodyLength::UntilClose, Version::Http10) => BodyLength::UntilClose,
        (BodyLength::UntilClose, Version::Http11) => BodyLength::Chunked,
        (length, _) => length,
    };
    let keep_alive = plan.keep_alive && !close && to != BodyLength::UntilClose;
    let mut out = Vec::with_capacity(head.len + 128);
    http1::write_status_line(&mut out, head.status, head.reason);
    response_fields(&head.fields, plan.prefix.as_deref(), &mut out);
    if to == BodyLength::Empty {
        // The length that a GET would have had, or that the cached body has (RFC 9110, section 8.6).
        let announced =
            head.fields.get("content-length").filter(|_| plan.kind == RequestKind::Head || head.status == 304);
        if let Some(length) = announced {
            http1::write_field(&mut out, "Content-Length", length);
        }
    } else {
        http1::write_length(&mut out, to);
    }
    if !keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    http1::end_head(&mut out);
    Answered::Final { head: out, from: head.body, to, reusable: head.keep_alive, keep_alive }
}
