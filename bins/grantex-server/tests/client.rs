//! The client crate against the real binary: the whole life of a grant, in both formats.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a failed unwrap is a failed test, and waits have deadlines"
)]

mod support;

use grantex_client::api::{
    AuditFilter, AuthorizeRequest, DelegateRequest, ExchangeRequest, GrantFilter, LogEntry, Paging, RefreshRequest,
    RegisterAgent, Tokens,
};
use grantex_client::{Attenuate, Client, OnlineCheck, Requirements, Secret, TokenFormat, Verifier, VerifyError};
use support::{Directory, Server};

const KEY: &str = "seeded-sandbox-key-0123456789";
const ISSUER: &str = "https://auth.example";

struct World {
    client: Client,
    verifier: Verifier,
    agent: String,
    other: String,
    // Dropped in this order.
    _server: Server,
    _directory: Directory,
}

impl World {
    async fn start() -> Self {
        let directory = Directory::new();
        let environment = [("SEED_SANDBOX_KEY", KEY), ("JWT_ISSUER", ISSUER)];
        let server = Server::start(&directory.0, &environment);
        let address = format!("http://127.0.0.1:{}", server.port);
        let key = || Secret::new(KEY.to_owned());
        // A busy machine may be slow, and none of this is about time.
        let client = Client::builder(&address, key())
            .deadline(support::PATIENCE)
            .build()
            .unwrap();
        let online = OnlineCheck::builder(&address, key())
            .deadline(support::PATIENCE)
            .build()
            .unwrap();
        let verifier = Verifier::builder(&address)
            .issuer(ISSUER)
            .revocation(online)
            .deadline(support::PATIENCE);
        let register = async |name: &str| client.register_agent(&RegisterAgent::new(name)).await.unwrap().agent_id;
        Self {
            agent: register("Assistant").await,
            other: register("Helper").await,
            verifier: verifier.build().unwrap(),
            client,
            _server: server,
            _directory: directory,
        }
    }

    async fn issue(&self, format: TokenFormat) -> Tokens {
        let request = AuthorizeRequest::new(&self.agent, "user-1", ["read", "payments:initiate:max_500"]);
        let opened = self.client.authorize(&request).await.unwrap();
        let exchange = ExchangeRequest::new(opened.code.unwrap(), &self.agent).format(format);
        self.client.exchange(&exchange).await.unwrap()
    }

    async fn verdict(&self, token: &Secret<String>) -> Result<(), VerifyError> {
        let needs = Requirements::new().scope("read");
        self.verifier.verify(token.expose(), &needs).await.map(|_| ())
    }
}

#[tokio::test]
async fn tokens_of_both_formats_are_verified_until_they_are_revoked() {
    let world = World::start().await;
    let (client, issued) = (&world.client, world.issue(TokenFormat::Both).await);
    let biscuit = issued.biscuit_token.clone().unwrap();
    for token in [&issued.grant_token, &biscuit] {
        let needs = Requirements::new().scope("read").scope_up_to("payments:initiate", 500);
        let found = world.verifier.verify(token.expose(), &needs).await.unwrap();
        assert_eq!(found.grant_id(), issued.grant_id);
        assert_eq!(found.agent_did(), format!("did:grantex:{}", world.agent));
        assert_eq!(found.expires_at(), issued.expires_at);
        assert!(client.verify_token(token, None).await.unwrap().valid);
    }
    let refreshed = client
        .refresh(&RefreshRequest::new(issued.refresh_token, &world.agent))
        .await
        .unwrap();
    assert_eq!(world.verdict(&refreshed.grant_token).await, Ok(()));
    let child = client
        .delegate(&DelegateRequest::new(
            refreshed.grant_token.clone(),
            &world.other,
            ["read"],
        ))
        .await
        .unwrap();
    let found = world
        .verifier
        .verify(child.grant_token.expose(), &Requirements::new())
        .await
        .unwrap();
    assert_eq!(
        (found.parent_grant_id(), found.delegation_depth()),
        (Some(issued.grant_id.as_str()), 1)
    );

    client.revoke_grant(&issued.grant_id).await.unwrap();
    for token in [
        &issued.grant_token,
        &biscuit,
        &refreshed.grant_token,
        &child.grant_token,
    ] {
        assert_eq!(world.verdict(token).await, Err(VerifyError::Revoked));
        assert!(!client.introspect(token).await.unwrap().active);
    }
    assert_eq!(
        client.revoke_grant(&issued.grant_id).await.unwrap_err().status(),
        Some(404)
    );
}

#[tokio::test]
async fn a_narrowed_biscuit_falls_with_its_block() {
    let world = World::start().await;
    let issued = world.issue(TokenFormat::Biscuit).await;
    let narrowed = Attenuate::new(issued.grant_token.expose())
        .unwrap()
        .scopes(["read"])
        .ceiling(5_000, "EUR")
        .hand_to(format!("did:grantex:{}", world.other))
        .build()
        .unwrap();
    let found = world
        .verifier
        .verify(narrowed.expose(), &Requirements::new().spends(10, "EUR"))
        .await
        .unwrap();
    assert_eq!(found.agent_did(), format!("did:grantex:{}", world.other));
    let too_much = Requirements::new().spends(5_001, "EUR");
    assert_eq!(world.verifier.allows(&found, &too_much), Err(VerifyError::Ceiling));
    let more = Requirements::new().scope("payments:initiate:max_500");
    assert!(world.verifier.allows(&found, &more).is_err());

    world
        .client
        .revoke_block(found.chain().unwrap().own_revocation_id())
        .await
        .unwrap();
    assert_eq!(world.verdict(&narrowed).await, Err(VerifyError::Revoked));
    assert_eq!(world.verdict(&issued.grant_token).await, Ok(()));
    world.client.revoke(&issued.grant_token).await.unwrap();
    assert_eq!(world.verdict(&issued.grant_token).await, Err(VerifyError::Revoked));
}

#[tokio::test]
async fn what_was_done_is_logged_and_listed() {
    let world = World::start().await;
    let (client, issued) = (&world.client, world.issue(TokenFormat::Jwt).await);
    let authorized = world
        .verifier
        .verify(issued.grant_token.expose(), &Requirements::new())
        .await
        .unwrap();
    let entry = client
        .log_audit(&LogEntry::of(&authorized, "file.read").detail("path", "/x"))
        .await
        .unwrap();
    let listed = client
        .audit_entries(&AuditFilter::new().grant(&issued.grant_id), &Paging::first())
        .await
        .unwrap();
    assert_eq!(listed.items, [entry]);
    let grants = client
        .grants(
            &GrantFilter::new().agent(&world.agent).status("active"),
            &Paging::first().size(5),
        )
        .await;
    assert_eq!(grants.unwrap().items, [client.grant(&issued.grant_id).await.unwrap()]);
    assert_eq!(client.agents(&Paging::first().size(1)).await.unwrap().items.len(), 1);
    assert_eq!(client.agent(&world.agent).await.unwrap().name, "Assistant");

    client.revoke_token(authorized.token_id()).await.unwrap();
    assert_eq!(world.verdict(&issued.grant_token).await, Err(VerifyError::Revoked));
}
