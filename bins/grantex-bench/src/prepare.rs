//! Makes what an operation consumes: codes, grants and tokens. None of this is timed.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::account::Account;
use crate::connection::Target;
use crate::drive::{Amount, Client, Driven, connect, drive};
use crate::error::BenchError;
use crate::measure::Operation;
use crate::work::{IssuedGrant, Work};

/// Live grants each client of refresh, verify and status takes turns with.
const GRANTS_PER_CLIENT: u64 = 16;
/// Codes all clients of an exchange have together for the warm-up.
const WARM_UP_CODES: usize = 6_400;

/// The server, the developers and the clients of a run.
pub struct Setup {
    pub target: Target,
    pub accounts: Vec<Arc<Account>>,
    pub clients: usize,
    /// Tells this run's principals and idempotency keys from those of earlier ones.
    nonce: String,
}

impl Setup {
    pub fn new(target: Target, accounts: Vec<Arc<Account>>, clients: usize) -> Result<Self, BenchError> {
        if clients == 0 || accounts.is_empty() {
            return Err(BenchError::Usage(
                "at least one client and one developer are needed".to_owned(),
            ));
        }
        let mut random = [0; 4];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| BenchError::Usage("the system gives no random bytes".to_owned()))?;
        Ok(Self {
            target,
            accounts,
            clients,
            nonce: format!("{:08x}", u32::from_be_bytes(random)),
        })
    }

    /// A client's developer and tag, client after client.
    fn posts(&self) -> impl Iterator<Item = (&Arc<Account>, String)> {
        let accounts = self.accounts.iter().cycle();
        accounts
            .take(self.clients)
            .enumerate()
            .map(|(index, account)| (account, format!("{}-{index}", self.nonce)))
    }

    fn client(&self, work: Work) -> Client {
        Client::new(&self.target, work)
    }

    /// One client for each filling up its developer's grants.
    pub fn fill(&self) -> Vec<Client> {
        self.posts()
            .map(|(account, tag)| self.client(Work::fill(account, &tag)))
            .collect()
    }

    /// The clients of an operation with all they need, except that an exchange gets its codes by
    /// [`Self::give_codes`].
    pub async fn prepare(&self, operation: Operation) -> Result<Vec<Client>, BenchError> {
        let works: Vec<Work> = match operation {
            Operation::Health => self.posts().map(|(account, tag)| Work::health(account, &tag)).collect(),
            Operation::Authorize => self
                .posts()
                .map(|(account, tag)| Work::authorize(account, &tag))
                .collect(),
            Operation::Audit => self.posts().map(|(account, tag)| Work::audit(account, &tag)).collect(),
            Operation::Exchange => self
                .posts()
                .map(|(account, tag)| Work::exchange(account, &tag, Vec::new()))
                .collect(),
            Operation::Refresh => {
                self.with_grants(|account, tag, grants| Some(Work::refresh(account, tag, grants)))
                    .await?
            }
            Operation::Verify => {
                self.with_grants(|account, tag, grants| Some(Work::verify(account, tag, grants)))
                    .await?
            }
            Operation::Status => self.with_grants(Work::status).await?,
        };
        Ok(works.into_iter().map(|work| self.client(work)).collect())
    }

    async fn with_grants(
        &self,
        work: impl Fn(&Arc<Account>, &str, &[IssuedGrant]) -> Option<Work>,
    ) -> Result<Vec<Work>, BenchError> {
        let posts: Vec<_> = self.posts().collect();
        let codes = self.codes(&vec![GRANTS_PER_CLIENT; posts.len()]).await?;
        let exchanging = posts.iter().zip(codes).map(|((account, tag), codes)| {
            let mut client = self.client(Work::collect_grants(account, tag, codes));
            client.budget = GRANTS_PER_CLIENT;
            client
        });
        let exchanged = self.finish("preparing grants", exchanging.collect()).await?;
        let grants = exchanged.into_iter().map(|client| client.work.into_grants());
        let works: Option<Vec<Work>> = posts
            .iter()
            .zip(grants)
            .map(|((account, tag), grants)| work(account, tag, &grants))
            .collect();
        works.ok_or_else(|| BenchError::Usage("a grant token has no readable jti".to_owned()))
    }

    /// Fresh codes, as many for each client as it wants.
    async fn codes(&self, wanted: &[u64]) -> Result<Vec<Vec<String>>, BenchError> {
        let authorizing = self.posts().zip(wanted).map(|((account, tag), wanted)| {
            let mut client = self.client(Work::collect_codes(account, &tag));
            client.budget = *wanted;
            client
        });
        let authorized = self.finish("preparing codes", authorizing.collect()).await?;
        Ok(authorized.into_iter().map(|client| client.work.into_codes()).collect())
    }

    /// Tops an exchange's clients up to that many codes each; does nothing for other operations.
    pub async fn give_codes(
        &self,
        operation: Operation,
        clients: &mut [Client],
        each: &[u64],
    ) -> Result<(), BenchError> {
        if operation != Operation::Exchange {
            return Ok(());
        }
        let missing = clients
            .iter()
            .zip(each)
            .map(|(client, wanted)| wanted.saturating_sub(u64::try_from(client.work.codes_left()).unwrap_or(u64::MAX)));
        let codes = self.codes(&missing.collect::<Vec<_>>()).await?;
        for (client, codes) in clients.iter_mut().zip(codes) {
            client.work.add_codes(codes);
        }
        Ok(())
    }

    /// The codes for a warm-up.
    pub fn warm_up_codes(&self) -> Vec<u64> {
        let each = WARM_UP_CODES.div_ceil(self.clients);
        vec![u64::try_from(each).unwrap_or(1); self.clients]
    }

    /// Connects the clients anew.
    pub async fn connect(&self, what: &'static str, clients: &mut [Client]) -> Result<(), BenchError> {
        connect(clients).await.map_err(|source| BenchError::Unreachable {
            what,
            authority: self.target.authority().to_owned(),
            source,
        })
    }

    /// Drives clients through their budgets; a single failure ends the run.
    async fn finish(&self, what: &'static str, mut clients: Vec<Client>) -> Result<Vec<Client>, BenchError> {
        self.connect(what, &mut clients).await?;
        let (clients, Driven { tally, .. }) = drive(clients, Amount::Counted).await?;
        match tally.failure_count() {
            0 => Ok(clients),
            failures => Err(BenchError::Preparation {
                what,
                failures,
                kinds: tally.describe_failures(),
            }),
        }
    }
}
