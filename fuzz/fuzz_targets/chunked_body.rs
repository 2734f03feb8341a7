//! The payload does not depend on how the bytes were cut, and is the same read from what was written anew.
#![no_main]

use http1::{BodyError, BodyLength, BodyReader, BodyWriter, Limits, Piece};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { head_bytes: 4096, target_bytes: 256, trailer_bytes: 256 };

#[derive(Debug, Default, PartialEq)]
struct Body {
    payload: Vec<u8>,
    trailers: Option<Vec<u8>>,
    taken: usize,
    done: bool,
}

fn read(input: &[u8], step: usize) -> Result<Body, BodyError> {
    let mut reader = BodyReader::new(BodyLength::Chunked, &LIMITS);
    let mut body = Body::default();
    let mut end = 0;
    loop {
        let run = reader.run();
        match reader.read(&input[body.taken..end])? {
            Piece::Data { skip, len } => {
                assert!(len > 0 && (run == 0 || (skip == 0 && run - len as u64 == reader.run())));
                let start = body.taken + skip;
                body.payload.extend_from_slice(&input[start..start + len]);
                body.taken = start + len;
            }
            Piece::More { skip } => {
                body.taken += skip;
                assert_eq!(body.taken, end);
                if end == input.len() {
                    assert!(!reader.is_done() && reader.trailers().is_none());
                    assert_eq!(reader.end_of_input(), Err(BodyError::Truncated));
                    return Ok(body);
                }
                end = (end + step).min(input.len());
            }
            Piece::End { skip } => {
                body.taken += skip;
                assert!(body.taken <= end && reader.is_done());
                body.done = true;
                body.trailers = reader.trailers().map(<[u8]>::to_vec);
                return Ok(body);
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&step, input)) = input.split_first() else { return };
    let whole = read(input, input.len().max(1));
    assert_eq!(read(input, usize::from(step).max(1)), whole);
    assert_eq!(read(input, 1), whole);

    let Ok(body) = whole else { return };
    if !body.done {
        return;
    }
    assert!(input[..body.taken].ends_with(b"\r\n\r\n"));
    if let Some(trailers) = &body.trailers {
        assert!(trailers.ends_with(b"\r\n") && !trailers.windows(4).any(|window| window == b"\r\n\r\n"));
    }
    let mut written = Vec::new();
    let mut writer = BodyWriter::new(BodyLength::Chunked);
    for run in body.payload.chunks(usize::from(step).max(1)) {
        let mut room = [0; 20];
        written.extend_from_slice(writer.before(run.len(), &mut room));
        written.extend_from_slice(run);
        written.extend_from_slice(writer.after());
    }
    writer.finish(body.trailers.as_deref(), &mut written).expect("a chunked body has no length to miss");
    // Written anew a trailer may be a space longer, and so the section.
    match read(&written, 7) {
        Ok(again) => assert_eq!(again, Body { taken: written.len(), ..body }),
        Err(error) => assert_eq!(error, BodyError::TrailerTooLarge),
    }
});
