//! Of `doctor`.

pub(super) const HELP: &str = "\
It starts no router and writes nothing, and takes less than two seconds. With --quiet, only what is not well is shown.
--json gives an array of {check, status, message, fix, code}.

Exit codes: 0 nothing is wrong, though there may be warnings; 1 something is.";
