//! Certificates: a local authority that is constrained by name, what it issues for hosts of routes, or the user's own.
//!
//! [`TlsManager`] answers the proxy. Below it, [`issuing`] mints and keeps certificates, [`authority`] and [`leaf`] are what
//! is minted, [`issued`] is what other servers use, [`own`] follows files of the user, [`fixed`] is one pair in memory,
//! [`making`] lets many wait for one making, [`directory`] is the disk, and [`look`] what is there.

mod authority;
mod directory;
mod fixed;
mod issued;
mod issuing;
mod leaf;
mod leaf_name;
mod look;
mod making;
mod manager;
mod own;
mod pair;
mod routed;
mod serving;
mod settings;
mod validity;

pub use authority::AuthorityInfo;
pub use issued::IssuedFiles;
pub use look::CertificateInfo;
pub use manager::TlsManager;
pub use settings::{Clock, OwnFiles, TlsSettings};
