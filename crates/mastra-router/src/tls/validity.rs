//! When a certificate is valid, in whole seconds, which is all that X.509 has.

use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;

pub(super) const DAY: i64 = 24 * 60 * 60;

/// From the first second to the last one, both included; seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Validity {
    /// `days` long, and begun a little before `now`, since the clocks of containers and virtual machines are often behind.
    pub(super) fn around(now: SystemTime, days: u32) -> Self {
        let length = i64::from(days) * DAY;
        let not_before = seconds(now) - DAY.min(length / 4);
        Self { not_before, not_after: not_before + length - 1 }
    }

    pub(super) fn within(self, outer: Self) -> Self {
        Self { not_before: self.not_before.max(outer.not_before), not_after: self.not_after.min(outer.not_after) }
    }

    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() }
    }

    /// Seconds from the first to the last, both counted.
    pub(super) fn length(self) -> i64 {
        self.not_after.saturating_sub(self.not_before).saturating_add(1)
    }

    pub(super) fn is_over(self, now: SystemTime) -> bool {
        seconds(now) > self.not_after
    }

    /// Why an authority with this validity is not used, if so. One that begins late was made while the clock was ahead, and
    /// clients whose clocks are right refuse it; up to a day, and a clock that cannot be right itself, say nothing.
    pub(super) fn fault_at(self, now: SystemTime) -> Option<&'static str> {
        /// 2026 began then. Machines without a battery are in 1970 until they have asked for the time.
        const NO_EARLIER: i64 = 1_767_225_600;
        let now = seconds(now);
        if now > self.not_after {
            Some("has expired")
        } else if now >= NO_EARLIER && self.not_before > now.saturating_add(DAY) {
            Some("begins in the future")
        } else {
            None
        }
    }

    pub(super) fn end(self) -> SystemTime {
        system_time(self.not_after)
    }
}

/// Seconds since 1970; 0 for times before.
pub(super) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

pub(super) fn system_time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// A time as people and other programs are told, in whole seconds.
pub(super) fn rfc3339(time: SystemTime) -> String {
    /// The last second of the year 9999: the format has no later one.
    const LAST: i64 = 253_402_300_799;
    humantime::format_rfc3339_seconds(system_time(seconds(time).min(LAST))).to_string()
}

/// A time as rcgen takes it.
pub(super) fn date_time(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A time as rustls takes it.
pub(super) fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
