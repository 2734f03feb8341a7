use http1::{BodyError, BodyLength, BodyReader, BodyWriter, Limits, Piece};

use crate::reading::{Body, body};

fn chunked(input: impl AsRef<[u8]>) -> Result<Body, &'static str> {
    let limits = Limits { trailer_bytes: 64, ..Limits::default() };
    body(BodyLength::Chunked, input.as_ref(), &[], &limits).map_err(|error| error.reason())
}

#[test]
fn chunked_bodies() {
    for (input, payload, trailers, rest) in [
        ("0\r\n\r\n", "", None, 0),
        ("0\r\n\r\nGET", "", None, 3),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", None, 0),
        ("5\r\nhello\r\n00006\r\n world\r\n000\r\n\r\n", "hello world", None, 0),
        ("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", None, 0),
        ("0000000000000001;a=b;c=\"\\\"d\t\"\r\nx\r\n0;e\r\n\r\n", "x", None, 0),
        ("1\r\n\r\r\n2\r\n\r\n\r\n0\r\n\r\n", "\r\r\n", None, 0),
        ("0\r\nA: b\r\nc-D:  e\tf \r\n\r\nG", "", Some("A: b\r\nc-D: e\tf\r\n"), 1),
        ("0\r\nA:\r\n\r\n", "", Some("A: \r\n"), 0),
        ("0\r\nContent-Length: 1\r\nHOST: a\r\n\r\n", "", None, 0),
        ("0\r\nTransfer-Encoding: a\r\nA: b\r\nX-Forwarded-For: b\r\n\r\n", "", Some("A: b\r\n"), 0),
        ("0\r\ncontent_length: 1\r\nTE: a\r\nSet-Cookie: a\r\nA: b\r\n\r\n", "", Some("A: b\r\n"), 0),
    ] {
        let expected =
            Body { payload: payload.into(), trailers: trailers.map(Into::into), taken: input.len() - rest, done: true };
        assert_eq!(chunked(input), Ok(expected), "{input:?}");
    }
}

#[test]
fn chunked_bodies_refused() {
    for (input, reason) in [
        ("\r\n", "bad_chunk_size"),
        ("\n", "bad_chunk_size"),
        (" 1\r\n", "bad_chunk_size"),
        ("1 \r\n", "bad_chunk_size"),
        ("1 ;a\r\n", "bad_chunk_size"),
        ("+1\r\n", "bad_chunk_size"),
        ("-1\r\n", "bad_chunk_size"),
        ("0x1\r\n", "bad_chunk_size"),
        ("1_0\r\n", "bad_chunk_size"),
        ("g\r\n", "bad_chunk_size"),
        (";a\r\n", "bad_chunk_size"),
        ("00000000000000001\r\n", "bad_chunk_size"),
        ("10000000000000000\r\n", "bad_chunk_size"),
        ("1\nx", "bad_chunk_end"),
        ("1\rx", "bad_chunk_end"),
        ("1\r\r\n", "bad_chunk_end"),
        ("1\r\nxx", "bad_chunk_end"),
        ("1\r\nx\n", "bad_chunk_end"),
        ("1\r\nx\rx", "bad_chunk_end"),
        ("1\r\nx0\r\n\r\n", "bad_chunk_end"),
        ("1;a\nx", "bad_chunk_end"),
        ("1;a\rx", "bad_chunk_end"),
        ("1;a\0", "bad_chunk_extension"),
        ("1;\x7f", "bad_chunk_extension"),
        ("1;\u{e9}", "bad_chunk_extension"),
        ("0\r\n\rx", "bad_trailer"),
        ("0\r\n\n", "bad_trailer"),
        ("0\r\nA\r\n", "bad_trailer"),
        ("0\r\nA: b\n", "bad_trailer"),
        ("0\r\nA: b\rc", "bad_trailer"),
        ("0\r\nA: \0", "bad_trailer"),
        ("0\r\nA : b\r\n", "bad_trailer"),
        ("0\r\n A: b\r\n", "bad_trailer"),
        ("0\r\nA: b\r\n c\r\n", "bad_trailer"),
        ("0\r\n: b\r\n", "bad_trailer"),
    ] {
        assert_eq!(chunked(input), Err(reason), "{input:?}");
    }
    assert_eq!(chunked(format!("0\r\nA: {}\r\n\r\n", "b".repeat(59))).map(|body| body.done), Ok(true));
    assert_eq!(chunked(format!("0\r\nA: {}\r\n\r\n", "b".repeat(60))), Err("trailer_too_large"));
    let extensions = |bytes: usize| "1;23456789\r\nx\r\n".repeat(bytes / 9) + "0\r\n\r\n";
    assert_eq!(chunked(extensions(4095)).map(|body| body.done), Ok(true));
    assert_eq!(chunked(extensions(4104)), Err("chunk_extensions_too_large"));
    let fields = "A:\r\n".repeat(129);
    let refused = body(BodyLength::Chunked, format!("0\r\n{fields}\r\n").as_bytes(), &[], &Limits::default());
    assert_eq!(refused, Err(BodyError::TrailerTooLarge));
}

#[test]
fn the_largest_chunk_counts_down() {
    let mut reader = BodyReader::new(BodyLength::Chunked, &Limits::default());
    assert_eq!(reader.run(), 0);
    assert_eq!(reader.read(b"fFfFfFfFfFfFfFfF\r\nab"), Ok(Piece::Data { skip: 18, len: 2 }));
    assert_eq!(reader.run(), u64::MAX - 2);
    assert_eq!(reader.read(b""), Ok(Piece::More { skip: 0 }));
    assert_eq!(reader.end_of_input(), Err(BodyError::Truncated));
    assert_eq!(reader.read(b"a"), Err(BodyError::Truncated));
}

#[test]
fn other_lengths() {
    let limits = Limits::default();
    let mut reader = BodyReader::new(BodyLength::Length(5), &limits);
    assert_eq!((reader.run(), reader.is_done()), (5, false));
    assert_eq!(reader.read(b""), Ok(Piece::More { skip: 0 }));
    assert_eq!(reader.read(b"abc"), Ok(Piece::Data { skip: 0, len: 3 }));
    assert_eq!((reader.run(), reader.is_done()), (2, false));
    assert_eq!(reader.read(b"deGET"), Ok(Piece::Data { skip: 0, len: 2 }));
    assert!(reader.is_done());
    assert_eq!(reader.read(b"GET"), Ok(Piece::End { skip: 0 }));

    for length in [BodyLength::Empty, BodyLength::Length(0)] {
        let mut reader = BodyReader::new(length, &limits);
        assert!(reader.is_done());
        assert_eq!(reader.read(b"GET"), Ok(Piece::End { skip: 0 }));
        assert_eq!(reader.end_of_input(), Ok(()));
    }

    let mut reader = BodyReader::new(BodyLength::UntilClose, &limits);
    assert_eq!(reader.read(b""), Ok(Piece::More { skip: 0 }));
    assert_eq!(reader.read(b"abc"), Ok(Piece::Data { skip: 0, len: 3 }));
    assert!(!reader.is_done());
    assert_eq!(reader.end_of_input(), Ok(()));
    assert!(reader.is_done());

    let mut reader = BodyReader::new(BodyLength::Chunked, &limits);
    assert_eq!(reader.read(b"x"), Err(BodyError::BadChunkSize));
    assert_eq!(reader.read(b"0\r\n\r\n"), Err(BodyError::BadChunkSize));
    assert_eq!(reader.end_of_input(), Err(BodyError::BadChunkSize));
}

#[test]
fn a_reader_is_small() {
    assert!(size_of::<BodyReader>() <= 48, "{}", size_of::<BodyReader>());
}

#[test]
fn writers() {
    let mut room = [0; 20];
    let mut out = Vec::new();
    let mut writer = BodyWriter::new(BodyLength::Chunked);
    for (len, size) in [(1, "1\r\n"), (0x1000, "1000\r\n"), (usize::MAX, "ffffffffffffffff\r\n")] {
        assert_eq!(writer.before(len, &mut room), size.as_bytes());
        assert_eq!(writer.after(), b"\r\n");
    }
    assert_eq!(writer.before(0, &mut room), b"");
    assert_eq!(writer.after(), b"");
    assert_eq!(writer.finish(Some(b"A: b\r\n"), &mut out), Ok(()));
    assert_eq!(writer.finish(None, &mut out), Ok(()));
    assert_eq!(out, b"0\r\nA: b\r\n\r\n");

    for (length, writes, end) in [
        (BodyLength::Length(5), &[2, 3][..], Ok(())),
        (BodyLength::Length(5), &[2, 2], Err(BodyError::LengthMismatch)),
        (BodyLength::Length(5), &[2, 4], Err(BodyError::LengthMismatch)),
        (BodyLength::Length(0), &[], Ok(())),
        (BodyLength::Empty, &[], Ok(())),
        (BodyLength::Empty, &[1], Err(BodyError::LengthMismatch)),
        (BodyLength::UntilClose, &[1, 2], Ok(())),
    ] {
        let mut out = Vec::new();
        let mut writer = BodyWriter::new(length);
        for &len in writes {
            assert_eq!(writer.before(len, &mut room), b"");
            assert_eq!(writer.after(), b"");
        }
        assert_eq!(writer.finish(Some(b"A: b\r\n"), &mut out), end, "{length:?} {writes:?}");
        assert!(out.is_empty());
    }
}
