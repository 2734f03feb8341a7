//! The router in the background: how it is started, found, logs, ends by itself, and makes room for the next one.

pub(crate) mod activation;
pub(crate) mod door;
pub(crate) mod hand_over;
pub(crate) mod idle;
pub(crate) mod log;
pub(crate) mod making_room;
pub(crate) mod origin;
pub(crate) mod reach;
pub(crate) mod spawn;
