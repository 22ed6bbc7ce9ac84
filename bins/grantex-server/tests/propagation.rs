//! How long a revocation takes to reach clients: two servers on one database, and processes that follow the feed of either.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test, and waits have deadlines"
)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use grantex_client::api::{AuthorizeRequest, ExchangeRequest, RegisterAgent};
use grantex_client::{Client, FeedState, Requirements, RevocationFeed, Secret, Verifier, VerifyError};
use support::{Directory, PATIENCE, Server};
use tokio::time::sleep;
use tokio_postgres::NoTls;

const KEY: &str = "seeded-sandbox-key-0123456789";
const ISSUER: &str = "https://auth.example";
const PROCESSES: usize = 10;
const GRANTS: usize = 20;
/// The one test here: what it starts as processes of their own is this binary again.
const TEST: &str = "clients_of_two_servers_refuse_within_a_second_of_the_commit";

/// A database that goes with the test.
struct Database {
    admin_url: String,
    name: String,
}

async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let running = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    running.await.unwrap().unwrap();
}

impl Database {
    async fn create() -> Self {
        let admin_url = std::env::var("GRANTEX_TEST_POSTGRES_URL")
            .expect("GRANTEX_TEST_POSTGRES_URL must name a PostgreSQL server for tests; `scripts/pg start` prints one");
        let name = format!("grantex_propagation_{}", std::process::id());
        execute(&admin_url, &format!("CREATE DATABASE {name}")).await;
        Self { admin_url, name }
    }

    fn url(&self) -> String {
        let (base, query) = self.admin_url.split_once('?').unwrap_or((&self.admin_url, ""));
        let (server, _) = base.rsplit_once('/').unwrap();
        format!("{server}/{}?{query}", self.name)
    }

    async fn remove(self) {
        execute(&self.admin_url, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

/// A process that follows the feed of one server; it ends when its standard input does.
fn follower(address: &str, tokens: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env("FOLLOWED_SERVER", address)
        .env("FOLLOWED_TOKENS", tokens)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait_for_line(child: &mut Child, wanted: &str) {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let found = lines.any(|line| line.unwrap().ends_with(wanted));
    assert!(found, "the process ended before it was {wanted}");
}

/// The value of a series of the histogram, of both servers together.
fn measured(servers: &[Server], series: &str) -> u64 {
    let name = format!("grantex_revocation_propagation_seconds_{series} ");
    let of = |server: &Server| {
        let (status, text) = server.get("/metrics");
        assert_eq!(status, 200);
        let line = text.lines().find_map(|line| line.strip_prefix(name.as_str()));
        line.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    servers.iter().map(of).sum()
}

#[tokio::test]
async fn clients_of_two_servers_refuse_within_a_second_of_the_commit() {
    if let (Ok(address), Ok(tokens)) = (std::env::var("FOLLOWED_SERVER"), std::env::var("FOLLOWED_TOKENS")) {
        return follow(&address, &tokens).await;
    }
    let (directory, database) = (Directory::new(), Database::create().await);
    let (url, key) = (database.url(), "ab".repeat(32));
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("GRANTEX_MASTER_KEY", key.as_str()),
        ("SEED_SANDBOX_KEY", KEY),
        ("JWT_ISSUER", ISSUER),
        ("RATE_LIMIT_ENABLED", "false"),
    ];
    let servers = [(); 2].map(|()| Server::start(&directory.0, &environment));
    let addresses = [&servers[0], &servers[1]].map(|server| format!("http://127.0.0.1:{}", server.port));
    let clients = addresses.each_ref().map(|address| {
        let client = Client::builder(address, Secret::new(KEY.to_owned()));
        client.deadline(PATIENCE).build().unwrap()
    });
    let agent = clients[0]
        .register_agent(&RegisterAgent::new("Assistant"))
        .await
        .unwrap();
    let (mut grants, mut tokens) = (Vec::new(), Vec::new());
    for number in 0..GRANTS {
        let request = AuthorizeRequest::new(&agent.agent_id, format!("user-{number}"), ["read"]);
        let opened = clients[0].authorize(&request).await.unwrap();
        let exchange = ExchangeRequest::new(opened.code.unwrap(), &agent.agent_id);
        let issued = clients[0].exchange(&exchange).await.unwrap();
        grants.push(issued.grant_id);
        tokens.push(issued.grant_token.expose().clone());
    }
    let tokens = tokens.join("\n");
    let mut followers: Vec<Child> = (0..PROCESSES)
        .map(|number| follower(&addresses[number % 2], &tokens))
        .collect();
    followers.iter_mut().for_each(|child| wait_for_line(child, "ready"));

    for (number, grant) in grants.iter().enumerate() {
        clients[number % 2].revoke_grant(grant).await.unwrap();
    }
    let expected = (PROCESSES * GRANTS) as u64;
    let told = async {
        while measured(&servers, "count") < expected {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("every process tells of every refusal");
    assert_eq!(
        measured(&servers, "count"),
        expected,
        "each tells of the first one only"
    );
    let within = |bound: &str| measured(&servers, &format!("bucket{{le=\"{bound}\"}}"));
    println!(
        "of {expected} refusals {} within 0.1 s, {} within 0.25 s, {} within 1 s",
        within("0.1"),
        within("0.25"),
        within("1")
    );
    assert!(
        within("1") * 100 >= expected * 99,
        "{} of {expected} within a second",
        within("1")
    );

    for mut child in followers {
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
    drop(servers);
    database.remove().await;
}

/// What each process does: it refuses each token once, and ends with its standard input.
async fn follow(address: &str, tokens: &str) {
    let feed = RevocationFeed::builder(address, Secret::new(KEY.to_owned()))
        .start()
        .unwrap();
    feed.reached(FeedState::Live).await;
    let verifier = Verifier::builder(address)
        .issuer(ISSUER)
        .revocation(feed)
        .deadline(PATIENCE)
        .build()
        .unwrap();
    let needs = Requirements::new();
    let mut tokens: Vec<&str> = tokens.lines().collect();
    for token in &tokens {
        verifier.verify(token, &needs).await.unwrap();
    }
    println!("ready");
    while !tokens.is_empty() {
        let mut left = Vec::new();
        for token in tokens {
            match verifier.verify(token, &needs).await {
                Err(VerifyError::Revoked) => {}
                // On a busy machine a sign of life may be late.
                Ok(_) | Err(VerifyError::RevocationUnknown) => left.push(token),
                Err(error) => panic!("{error}"),
            }
        }
        tokens = left;
        sleep(Duration::from_millis(5)).await;
    }
    // What was refused is told in the background until then.
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    end.await.unwrap().unwrap();
}
