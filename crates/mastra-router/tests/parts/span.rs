//! Free ports next to each other, which no other test of this process uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use mastra_router::PortRange;

/// Above the last port that browsers block, below those the system gives to outgoing connections and to port 0, which
/// other tests use by the thousand.
const FIRST: u16 = 10_100;
const LAST: u16 = 32_000;

/// `count` free ports. Each process begins somewhere else, each call goes on where the last one ended.
pub(crate) fn free_span(count: u16) -> PortRange {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let width = LAST - FIRST - count;
    let offset = std::process::id().wrapping_mul(7919) % u32::from(width);
    for _ in 0..1000 {
        let next = NEXT.fetch_add(count, Ordering::SeqCst);
        let start = FIRST + u16::try_from((offset + u32::from(next)) % u32::from(width)).unwrap();
        let range = PortRange { start, end: start + count - 1 };
        if (range.start..=range.end).all(is_free) {
            return range;
        }
    }
    panic!("no {count} free ports next to each other");
}

fn is_free(port: u16) -> bool {
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    any.into_iter().all(|ip| TcpListener::bind((ip, port)).is_ok())
}
