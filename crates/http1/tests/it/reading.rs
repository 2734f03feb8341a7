//! Owned results, so that readings of the same bytes can be compared.

use http1::{
    BodyError, BodyLength, BodyReader, HeadScan, Limits, Parsed, Piece, RequestError, RequestHead, RequestKind,
    ResponseError, ResponseHead, slots,
};

/// Everything a head says, as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) text: String,
    pub(crate) body: BodyLength,
    pub(crate) len: usize,
}

pub(crate) fn request(input: &[u8]) -> Result<Option<Head>, RequestError> {
    request_resumed(input, &mut HeadScan::default(), &Limits::default())
}

pub(crate) fn request_resumed(
    input: &[u8],
    scan: &mut HeadScan,
    limits: &Limits,
) -> Result<Option<Head>, RequestError> {
    let mut slots = slots();
    Ok(match RequestHead::parse(input, &mut slots, limits, scan)? {
        Parsed::Partial => None,
        Parsed::Complete(head) => {
            let (body, len) = (head.body, head.len);
            let text = format!("{:?}", RequestHead { len: 0, ..head });
            Some(Head { text, body, len })
        }
    })
}

pub(crate) fn response(input: &[u8], to: RequestKind) -> Result<Option<Head>, ResponseError> {
    response_resumed(input, &mut HeadScan::default(), to)
}

pub(crate) fn response_resumed(
    input: &[u8],
    scan: &mut HeadScan,
    to: RequestKind,
) -> Result<Option<Head>, ResponseError> {
    let mut slots = slots();
    Ok(match ResponseHead::parse(input, &mut slots, &Limits::default(), scan, to)? {
        Parsed::Partial => None,
        Parsed::Complete(head) => Some(Head { text: format!("{head:?}"), body: head.body, len: head.len }),
    })
}

/// What came of a body: its payload, its trailers, and the bytes of the input it took.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Body {
    pub(crate) payload: Vec<u8>,
    pub(crate) trailers: Option<Vec<u8>>,
    pub(crate) taken: usize,
    pub(crate) done: bool,
}

/// Reads a body that comes in parts which end at the given positions.
pub(crate) fn body(length: BodyLength, input: &[u8], ends: &[usize], limits: &Limits) -> Result<Body, BodyError> {
    let mut reader = BodyReader::new(length, limits);
    let mut body = Body::default();
    for &end in ends.iter().chain([&input.len()]) {
        let end = end.min(input.len()).max(body.taken);
        loop {
            let run = reader.run();
            match reader.read(&input[body.taken..end])? {
                Piece::Data { skip, len } => {
                    assert!(len > 0);
                    assert!(skip > 0 || run == 0 || run >= len as u64);
                    body.taken += skip;
                    body.payload.extend_from_slice(&input[body.taken..body.taken + len]);
                    body.taken += len;
                }
                Piece::More { skip } => {
                    body.taken += skip;
                    assert_eq!(body.taken, end);
                    break;
                }
                Piece::End { skip } => {
                    body.taken += skip;
                    body.done = true;
                    assert!(reader.is_done());
                    assert_eq!(reader.end_of_input(), Ok(()));
                    body.trailers = reader.trailers().map(<[u8]>::to_vec);
                    return Ok(body);
                }
            }
        }
    }
    assert_eq!(reader.trailers(), None);
    let end = reader.end_of_input();
    body.done = length == BodyLength::UntilClose;
    assert_eq!(end, if body.done || reader.is_done() { Ok(()) } else { Err(BodyError::Truncated) });
    Ok(body)
}
