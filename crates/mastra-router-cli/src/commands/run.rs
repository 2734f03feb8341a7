//! `run`, `prune`.

use mastra_router::Home;

use super::Outcome;
use crate::cli::{Prune, Run};
use crate::daemon::reach::Reach;
use crate::output::Output;
use crate::run;

pub(crate) async fn run(args: Run, reach: Reach<'_>, output: &Output) -> Outcome {
    run::run(args, reach, output).await
}

pub(crate) async fn prune(args: &Prune, home: &Home, output: &Output) -> Outcome {
    run::prune(args, home, output).await
}
