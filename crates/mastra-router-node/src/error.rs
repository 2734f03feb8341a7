//! Errors on their way to JavaScript.

use mastra_router::RouterError;

/// An error whose reason is JSON with `code`, `message` and `hint`: TypeScript makes an `EdgeRouterError` of it.
pub(crate) fn to_js(error: RouterError) -> napi::Error {
    let (code, hint) = (error.code().to_owned(), error.hint());
    let (message, hint) = match error {
        // The message is the seed's, to the letter; who holds the ports goes with what to do.
        RouterError::NoPortAvailable { start, end, .. } => {
            let whole = error.to_string();
            let message = format!("No available ports in range {start}-{end}");
            let held = whole.strip_prefix(&message).and_then(|rest| rest.strip_prefix(": "));
            let hint = hint.map(|hint| held.map_or_else(|| hint.clone(), |held| format!("{hint} ({held})")));
            (message, hint)
        }
        error => (error.to_string(), hint),
    };
    napi::Error::from_reason(serde_json::json!({ "code": code, "message": message, "hint": hint }).to_string())
}

/// An error of what blocks, for a thread that could not be had.
pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, RouterError> + Send + 'static,
) -> napi::Result<R> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(RouterError::Thread { source: std::io::Error::other(error) })).map_err(to_js)
}
