//! From the bytes of an upstream's answer to what the client gets.

use http1::{BodyLength, HeadScan, Parsed, RequestKind, ResponseHead};

use super::Shared;
use super::request::Plan;
use super::upgrade;

/// The head of an answer as a version of HTTP sends it to the client.
pub(crate) trait AnswerHead: Sized {
    /// Status of the answer that takes an upgrade.
    const SWITCHED: u16;

    /// Of a 1xx.
    fn interim(head: &ResponseHead<'_>) -> Self;

    /// Of the answer that takes an upgrade.
    fn switched(head: &ResponseHead<'_>) -> Self;

    /// Whether an answer with this status, to a request for a WebSocket, would be taken for the upgrade.
    fn looks_switched(_status: u16) -> bool {
        false
    }

    /// Of the answer proper. `close` says that the client's connection ends after this exchange, whatever it asked for.
    fn answer(head: &ResponseHead<'_>, plan: &Plan, close: bool) -> Outgoing<Self>;
}

/// An answer proper, as it goes to the client.
pub(crate) struct Outgoing<H> {
    pub(crate) head: H,
    /// How the body is framed.
    pub(crate) to: BodyLength,
    /// Whether the client may send another request on its connection.
    pub(crate) keep_alive: bool,
}

/// Whether an answer without a body may say how long one would be: that of a GET, or of what is cached. That of a 204 may
/// not (RFC 9110, section 8.6).
pub(crate) fn announces_length(status: u16, to: RequestKind) -> bool {
    status == 304 || to == RequestKind::Head && status != 204
}

/// What an upstream has answered.
pub(crate) enum Answered<H> {
    /// The head is not complete.
    Partial,
    /// A 1xx, to be passed on before the answer proper.
    Interim(H),
    /// The upgrade was taken: both connections are the new protocol's from here on.
    Switched(H),
    /// The answer.
    Final {
        status: u16,
        out: Outgoing<H>,
        from: BodyLength,
        /// Whether the upstream takes another request on this connection.
        reusable: bool,
    },
    /// Not an answer to what was asked.
    Bad(&'static str),
}

/// Reads the head that `input` starts with. Returns the bytes that it took, too. `close` as in [`AnswerHead::answer`].
pub(crate) fn read<H: AnswerHead>(
    input: &[u8],
    scan: &mut HeadScan,
    plan: &Plan,
    close: bool,
    shared: &Shared,
) -> (usize, Answered<H>) {
    let mut slots = http1::slots();
    let head = match ResponseHead::parse(input, &mut slots, &shared.limits, scan, plan.kind) {
        Ok(Parsed::Complete(head)) => head,
        Ok(Parsed::Partial) => return (0, Answered::Partial),
        Err(error) => return (0, Answered::Bad(error.reason())),
    };
    *scan = HeadScan::default();
    let answered = match head.status {
        101 => match &plan.accept_key {
            None => Answered::Bad("unsolicited_101"),
            Some(key) if upgrade::is_valid(&head, key) => Answered::Switched(H::switched(&head)),
            Some(_) => Answered::Bad("bad_websocket_accept"),
        },
        status if plan.accept_key.is_some() && H::looks_switched(status) => Answered::Bad("no_upgrade"),
        100..=199 => Answered::Interim(H::interim(&head)),
        status => {
            let out = H::answer(&head, plan, close);
            Answered::Final { status, out, from: head.body, reusable: head.keep_alive }
        }
    };
    (head.len, answered)
}
