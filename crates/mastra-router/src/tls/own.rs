//! A certificate and key that the user brings, and what becomes of them when the files change.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::sign::CertifiedKey;

use super::directory::{Stamp, read_text, refused};
use super::pair::{self, Unfit};
use super::serving::Serving;
use super::settings::{Clock, OwnFiles};
use super::validity::seconds;
use crate::error::Result;

/// How long a look at the files holds. It is two calls of the system; a handshake costs far more.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct OwnCertificate {
    files: OwnFiles,
    clock: Clock,
    serving: Serving,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    /// The files as they were when they were last read, whether or not they could be used.
    stamps: [Option<Stamp>; 2],
    looked: SystemTime,
}

impl OwnCertificate {
    pub(super) fn open(files: OwnFiles, clock: Clock) -> Result<Self> {
        let serving = Serving::new().map_err(|error| refused("serve", &files.cert, error))?;
        let looked = clock();
        let stamps = stamps(&files);
        let config = serving.with(load(&files, &serving, looked)?);
        let state = Mutex::new(State { config, stamps, looked });
        Ok(Self { files, clock, serving, state })
    }

    /// The certificate, unless it is time to look at the files.
    pub(super) fn fresh(&self) -> Option<Arc<ServerConfig>> {
        let state = self.state();
        // A clock that was set back makes it time as well.
        let is_fresh = (self.clock)().duration_since(state.looked).is_ok_and(|age| age < LOOK_EVERY);
        is_fresh.then(|| state.config.clone())
    }

    /// Looks at the files, and reads them where they changed. What cannot be used is said once, and changes nothing: two
    /// files cannot be replaced in one step, so a pair that does not match may be on its way. Blocks.
    pub(super) fn look(&self) -> Arc<ServerConfig> {
        let now = (self.clock)();
        // Taken before the files are read: what is written meanwhile shows at the next look.
        let stamps = stamps(&self.files);
        let is_changed = stamps != self.state().stamps;
        let loaded = is_changed.then(|| load(&self.files, &self.serving, now));
        let mut state = self.state();
        state.looked = now;
        state.stamps = stamps;
        match loaded {
            Some(Ok(certified)) => {
                tracing::info!(path = %self.files.cert.display(), "the certificate was read again");
                state.config = self.serving.with(certified);
            }
            Some(Err(error)) => tracing::warn!(%error, "the certificate was changed; the one before is served on"),
            None => {}
        }
        state.config.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(files: &OwnFiles) -> [Option<Stamp>; 2] {
    [Stamp::of(&files.cert), Stamp::of(&files.key)]
}

fn load(files: &OwnFiles, serving: &Serving, now: SystemTime) -> Result<Arc<CertifiedKey>> {
    let (cert, key) = (text(&files.cert)?, text(&files.key)?);
    let (certified, validity) = pair::read(cert.as_bytes(), key.as_bytes(), serving).map_err(|unfit| match unfit {
        Unfit::Cert(reason) => refused("use", &files.cert, reason),
        Unfit::Key(reason) => refused("use", &files.key, reason),
        Unfit::Encrypted => {
            let path = files.key.display();
            let remedy = format!("openssl pkey -in {path} -out {path}");
            refused("use", &files.key, format!("it is encrypted; take the passphrase off: {remedy}"))
        }
        Unfit::OtherKey => refused("use", &files.key, format!("it is not the key of {}", files.cert.display())),
    })?;
    if validity.is_over(now) {
        tracing::warn!(path = %files.cert.display(), "the certificate has expired: clients refuse it");
    } else if seconds(now) < validity.not_before {
        tracing::warn!(path = %files.cert.display(), "the certificate is not valid yet: clients refuse it");
    }
    Ok(certified)
}

fn text(path: &Path) -> Result<String> {
    File::open(path).and_then(read_text).map_err(|error| refused("read", path, error))
}
