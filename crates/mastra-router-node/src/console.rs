//! What the library warns of, on its way to the program's console.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use napi::Status;
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::events::Listener;

/// One for each JavaScript environment that loaded the addon.
static LISTENERS: Mutex<Vec<Listener<String>>> = Mutex::new(Vec::new());

/// Has the function called with each warning and error of the library.
#[napi]
pub fn on_warning(#[napi(ts_arg_type = "(warning: string) => void")] listener: Listener<String>) {
    let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
    if listeners.is_empty() {
        // A second time it is there already.
        let _ = tracing_subscriber::registry().with(ToConsole).try_init();
    }
    listeners.push(listener);
}

struct ToConsole;

impl<S: Subscriber> Layer<S> for ToConsole {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::WARN || !event.metadata().target().starts_with("mastra_router") {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
        // The first one whose environment has not ended: a warning is the process's, and is said once.
        while let Some(listener) = listeners.first() {
            match listener.call(text.whole(), ThreadsafeFunctionCallMode::NonBlocking) {
                Status::Ok | Status::QueueFull => return,
                _ => drop(listeners.remove(0)),
            }
        }
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn whole(&self) -> String {
        let whole = format!("{}{}", self.message, self.fields);
        // It ends up in terminals.
        whole.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            _ if value.is_empty() => Ok(()),
            name => write!(self.fields, " {name}={value}"),
        };
    }
}
