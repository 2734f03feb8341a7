//! `HealthChecker`.

use mastra_router::{HealthChecker, HealthPath, RouterError, Target, TargetScheme};
use napi_derive::napi;

use crate::config::{invalid, time};
use crate::error::to_js;
use crate::route::{NativeHealth, target_port};

#[napi]
pub struct NativeHealthChecker {
    checker: HealthChecker,
}

#[napi]
impl NativeHealthChecker {
    #[napi(constructor)]
    pub fn new(path: String, timeout_ms: f64, failure_threshold: u32) -> napi::Result<Self> {
        let read = || {
            let path = HealthPath::parse(&path).map_err(|error| invalid("healthCheck.path", error.to_string()))?;
            let path = path.ok_or_else(|| invalid("healthCheck.path", "it is empty".to_owned()))?;
            let timeout = time("healthCheck.timeoutMs", Some(timeout_ms), Default::default())?;
            Ok::<_, RouterError>(HealthChecker::new(path, timeout, failure_threshold))
        };
        Ok(Self { checker: read().map_err(to_js)? })
    }

    #[napi]
    pub async fn check(
        &self,
        host: String,
        port: u32,
        scheme: Option<String>,
        path: Option<String>,
    ) -> napi::Result<NativeHealth> {
        let read = || {
            let scheme = scheme.as_deref().map_or(Ok(TargetScheme::Http), TargetScheme::parse)?;
            let target = Target::parse(&host, target_port(&host, port)?)?.over(scheme);
            Ok::<_, RouterError>((target, path.as_deref().map_or(Ok(None), HealthPath::parse)?))
        };
        let (target, path) = read().map_err(to_js)?;
        Ok(self.checker.check(&target, path.as_ref()).await.into())
    }

    #[napi]
    pub fn should_mark_unhealthy(&self, failures: u32) -> bool {
        self.checker.should_mark_unhealthy(failures)
    }
}
