//! Changes to one agent at the same time.

use std::sync::Arc;

use grantex_core::agent::{Agent, AgentChanges, AgentError, AgentStatus};
use grantex_core::scope::Scopes;
use grantex_core::testing::SeededRandom;
use grantex_core::token::crypto::{KeyPair, MasterKey};
use grantex_core::token::signer::{Algorithm, KeyRing, Signer, Verifier};
use grantex_core::{Grantex, Settings};
use grantex_store::AnyStore;
use slog::{Discard, Logger, o};
use tokio::task::JoinSet;

use crate::{Replicas, Tenant};

/// The service over a store, with keys that nothing here needs.
fn service(store: AnyStore) -> Grantex<AnyStore> {
    let pair = Arc::new(KeyPair::generate(Algorithm::Es256).unwrap().0);
    let signer = Arc::clone(&pair) as Arc<dyn Signer>;
    let ring = KeyRing::new(Arc::clone(&signer), signer, vec![pair as Arc<dyn Verifier>]);
    let sealer = MasterKey::parse(&"11".repeat(32)).unwrap();
    let settings = Settings::new("https://auth.example");
    Grantex::builder(store, settings, ring, sealer, SeededRandom::new(1)).build()
}

/// Changes an agent on one of the servers.
fn change(
    service: &Grantex<AnyStore>,
    tenant: &Tenant,
    changes: AgentChanges,
) -> impl Future<Output = Result<Agent, AgentError>> + Send + 'static {
    let (service, developer, id) = (service.clone(), tenant.developer.clone(), tenant.agent.id.clone());
    async move {
        let ctx = service.context(Logger::root(Discard, o!()), "race".to_owned());
        service.update_agent(&ctx, &developer, id, changes).await
    }
}

/// Four writers change a field each, on both servers: a writer that put back what it had read before would undo another's change,
/// a suspension for instance.
pub async fn no_change_of_an_agent_undoes_another(stores: Replicas) {
    let services = stores.clone().map(service);
    let tenant = Tenant::new(&stores[0], 90).await;
    for round in 0..24 {
        let status = [AgentStatus::Suspended, AgentStatus::Active][round % 2];
        let wanted = Agent {
            name: format!("name {round}"),
            description: format!("description {round}"),
            scopes: Scopes::from_stored(&format!("scope:{round}")),
            status,
            ..tenant.agent.clone()
        };
        let none = AgentChanges::default;
        let changes = [
            AgentChanges {
                name: Some(wanted.name.clone()),
                ..none()
            },
            AgentChanges {
                status: Some(wanted.status),
                ..none()
            },
            AgentChanges {
                scopes: Some(wanted.scopes.clone()),
                ..none()
            },
            AgentChanges {
                description: Some(wanted.description.clone()),
                ..none()
            },
        ];
        let mut writers = JoinSet::new();
        for (number, changes) in changes.into_iter().enumerate() {
            writers.spawn(change(&services[(round + number) % 2], &tenant, changes));
        }
        for written in writers.join_all().await {
            written.unwrap();
        }
        let found = services[round % 2]
            .agent(&tenant.developer, tenant.agent.id.clone())
            .await
            .unwrap()
            .unwrap();
        let wanted = Agent {
            updated_at: found.updated_at,
            ..wanted
        };
        assert_eq!(found, wanted, "round {round}");
    }
}

/// Changes race with the deletion: each is either made before it or refused, and none brings the agent back.
pub async fn no_change_of_an_agent_survives_its_deletion(stores: Replicas) {
    let services = stores.clone().map(service);
    for round in 0..6 {
        let tenant = Tenant::new(&stores[0], 91 + round).await;
        let mut writers = JoinSet::new();
        for number in 0..24 {
            let server = services[number % 2].clone();
            if number == 12 {
                let (developer, id) = (tenant.developer.clone(), tenant.agent.id.clone());
                writers.spawn(async move {
                    let ctx = server.context(Logger::root(Discard, o!()), "race".to_owned());
                    server.delete_agent(&ctx, &developer, id).await.unwrap();
                });
                continue;
            }
            let changes = AgentChanges {
                name: Some(format!("name {number}")),
                ..AgentChanges::default()
            };
            let change = change(&server, &tenant, changes);
            writers.spawn(async move {
                match change.await {
                    Ok(_) | Err(AgentError::NotFound) => {}
                    Err(error) => panic!("{error}"),
                }
            });
        }
        writers.join_all().await;
        for service in &services {
            let found = service.agent(&tenant.developer, tenant.agent.id.clone()).await;
            assert_eq!(found.unwrap(), None);
        }
    }
}
