//! What a stream of server-sent events carries.

use http_body_util::BodyExt;
use hyper::body::Incoming;

/// What is told is a few hundred bytes, and a few thousand at most; one line that does not end is none.
const LINE_MAX: usize = 1 << 20;

/// The `data` lines of a body. Dropping it ends the connection.
pub(super) struct DataLines {
    body: Incoming,
    read: Vec<u8>,
}

impl DataLines {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, read: Vec::new() }
    }

    /// The next one; `None` at the end, however it came.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            while let Some(end) = self.read.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if let Some(data) = line.strip_prefix(b"data: ") {
                    return Some(data.to_vec());
                }
            }
            if self.read.len() > LINE_MAX {
                tracing::debug!("a line of events has no end");
                return None;
            }
            let frame = self.body.frame().await?.ok()?;
            self.read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    }
}
