//! The addresses of the endpoint, looked up once for the hundreds of connections that a stage opens at the same moment: as many
//! look-ups are what name servers drop packets over, and each then waits for seconds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use tokio::sync::Mutex;

/// As long as AWS says that its endpoints' addresses hold, roughly.
const HOLDS: Duration = Duration::from_secs(30);

/// A name's addresses, when they were found, and how often they were given since.
#[derive(Debug)]
struct Found {
    name: String,
    addresses: Vec<IpAddr>,
    at: Instant,
    given: usize,
}

/// The system's resolver, with a memory.
#[derive(Clone, Debug, Default)]
pub(super) struct CachingResolver(Arc<Mutex<Vec<Found>>>);

impl CachingResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveDnsError> {
        // Held while looking up, so that all others wait for this one.
        let mut known = self.0.lock().await;
        known.retain(|found| found.at.elapsed() < HOLDS);
        let index = match known.iter().position(|found| found.name == name) {
            Some(index) => index,
            None => {
                let addresses = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
                let addresses = addresses.map(|address| address.ip()).collect();
                known.push(Found { name: name.to_owned(), addresses, at: Instant::now(), given: 0 });
                known.len() - 1
            }
        };
        let found = &mut known[index];
        found.given += 1;
        Ok(turned(&found.addresses, found.given))
    }
}

impl ResolveDns for CachingResolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(self.resolve(name))
    }
}

/// The same addresses, another one first: connections spread. The family that the system prefers stays first.
fn turned(addresses: &[IpAddr], by: usize) -> Vec<IpAddr> {
    let mut out = addresses.to_vec();
    let family = |address: &IpAddr| address.is_ipv4();
    let leading = out.iter().take_while(|address| family(address) == family(&out[0])).count();
    if leading > 1 {
        out[..leading].rotate_left(by % leading);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_turns_within_their_family() {
        let all: Vec<IpAddr> =
            ["10.0.0.1", "10.0.0.2", "10.0.0.3", "::1"].iter().map(|text| text.parse().unwrap()).collect();
        let firsts: Vec<String> = (0..4).map(|by| turned(&all, by)[0].to_string()).collect();
        assert_eq!(firsts, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1"]);
        assert_eq!(turned(&all, 2)[3], all[3]);
        assert!(turned(&[], 1).is_empty());
    }

    #[test]
    fn a_name_is_looked_up_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let resolver = CachingResolver::default();
        runtime.block_on(async {
            assert!(!resolver.resolve("localhost").await.unwrap().is_empty());
            assert!(!resolver.resolve("localhost").await.unwrap().is_empty());
            assert_eq!(resolver.0.lock().await.len(), 1);
        });
    }
}
