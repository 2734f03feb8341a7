//! The store of a system whose way of keeping roots is not known. It is shown, so that nobody takes it for trusted.

use super::certificate::CaCertificate;
use super::command::CommandLine;
use super::machine::Machine;
use super::store::{Entry, Ours, Refusal, Store, StoreKind};

#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) machine: Machine,
}

impl Store for Unknown {
    fn name(&self) -> String {
        let name = self.machine.distribution_name();
        format!("System ({})", name.as_deref().unwrap_or("unknown"))
    }

    fn kind(&self) -> StoreKind {
        StoreKind::System
    }

    fn look(&self, _: &Ours) -> Result<Vec<Entry>, Refusal> {
        Ok(Vec::new())
    }

    fn check(&self) -> Result<(), Refusal> {
        Err(Refusal::Failed("how this system keeps its roots is not known".to_owned()))
    }

    fn add(&self, _: &CaCertificate) -> Result<(), Refusal> {
        self.check()
    }

    fn remove(&self, _: &[Entry]) -> Result<(), Refusal> {
        self.check()
    }

    fn adding(&self, _: &CaCertificate) -> Vec<CommandLine> {
        Vec::new()
    }

    fn removing(&self, _: &[Entry]) -> Vec<CommandLine> {
        Vec::new()
    }
}
