//! Names to addresses, each of which is checked before anything connects to it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use grantex_core::store::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::policy::CallPolicy;

/// How many lookups of the system's resolver may run at once. Each occupies a thread until the resolver answers, which somebody's
/// slow name server can delay by half a minute; the runtime has 512 such threads, and others need them.
const CONCURRENT_LOOKUPS: usize = 64;

/// Finds the addresses of names.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of a host, in the order in which they should be tried. May be dropped before it is done.
    fn lookup<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The machine's resolver: what `/etc/hosts`, `/etc/resolv.conf` and the like say.
#[derive(Debug, Clone)]
pub struct SystemLookup {
    slots: Arc<Semaphore>,
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(CONCURRENT_LOOKUPS)),
        }
    }
}

impl Lookup for SystemLookup {
    fn lookup<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let slot = Arc::clone(&self.slots)
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            let host = host.to_owned();
            // In a task of its own, because the thread stays occupied when the caller gives up, and the slot must too.
            let lookup = tokio::spawn(async move {
                let _slot = slot;
                let found = tokio::net::lookup_host((host, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}

/// Why a name led to no address that may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    /// One of its addresses may not be called.
    #[error("the name resolves to an address that may not be called")]
    Refused,
    /// It has no address, or none was found in time.
    #[error("the name has no address")]
    NotFound,
}

/// The resolver that the client connects by: one lookup for each new connection, whose answer is checked and then used. Nothing
/// is looked up a second time, so that a name cannot change in between.
pub(crate) struct CheckedResolver {
    pub lookup: Arc<dyn Lookup>,
    pub policy: Arc<CallPolicy>,
    pub deadline: Duration,
}

impl CheckedResolver {
    async fn addresses(
        lookup: Arc<dyn Lookup>,
        policy: Arc<CallPolicy>,
        deadline: Duration,
        host: &str,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let addresses = tokio::time::timeout(deadline, lookup.lookup(host))
            .await
            .map_err(|_| ResolveError::NotFound)?
            .map_err(|_| ResolveError::NotFound)?;
        if addresses.is_empty() {
            return Err(ResolveError::NotFound);
        }
        // One forbidden address is enough: a public host has no reason to name one, and whoever mixes them is probing.
        if !addresses.iter().all(|address| policy.allows(*address)) {
            return Err(ResolveError::Refused);
        }
        Ok(addresses)
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, policy, deadline) = (Arc::clone(&self.lookup), Arc::clone(&self.policy), self.deadline);
        Box::pin(async move {
            let addresses = Self::addresses(lookup, policy, deadline, name.as_str()).await?;
            // The client puts the URL's port in place of 0.
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as Addrs)
        })
    }
}
