//! Agents.

use super::support::{FAR, Tenant, odd_texts};
use crate::agent::{Agent, AgentStatus};
use crate::clock::Lifetime;
use crate::id::AgentId;
use crate::page::PageRequest;
use crate::scope::Scopes;
use crate::store::{DeletedAgent, Store};
use crate::testing::fixtures::Fixtures;

pub async fn an_agent_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(10);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let hundred = Scopes::parse((0..100).map(|n| format!("{n}:{}", "ü".repeat(250))).collect()).unwrap();
    let mut all = vec![
        Agent {
            scopes: Scopes::default(),
            is_restricted: false,
            ..fixtures.agent(&tenant.developer)
        },
        Agent {
            scopes: Scopes::default(),
            is_restricted: true,
            ..fixtures.agent(&tenant.developer)
        },
        Agent {
            scopes: hundred,
            status: AgentStatus::Suspended,
            ..fixtures.agent(&tenant.developer)
        },
        // Order and repetition are the caller's business.
        Agent {
            scopes: Scopes::from_stored("write read write a,b \"q\""),
            updated_at: FAR,
            ..fixtures.agent(&tenant.developer)
        },
    ];
    all.extend(odd_texts().into_iter().map(|text| Agent {
        name: text.clone(),
        description: text,
        ..fixtures.agent(&tenant.developer)
    }));
    for agent in all {
        commit!(store, [agent], |tx| tx.insert_agent(&agent).await?);
        let (own, foreign) = (tenant.developer.id.clone(), other.developer.id.clone());
        let found = query!(store, [own, foreign, agent], |tx| (
            tx.agent(&own, &agent.id).await?,
            tx.agent(&foreign, &agent.id).await?
        ));
        assert_eq!(found, (Some(agent), None));
    }
}

pub async fn an_update_replaces_what_may_change<S: Store>(store: S) {
    let fixtures = Fixtures::new(11);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let before = Agent {
        scopes: Scopes::default(),
        is_restricted: false,
        ..fixtures.agent(&tenant.developer)
    };
    commit!(store, [before], |tx| tx.insert_agent(&before).await?);
    let after = Agent {
        name: "Renamed ✓".into(),
        description: String::new(),
        scopes: Scopes::from_stored("mail:send"),
        is_restricted: true,
        status: AgentStatus::Suspended,
        updated_at: before.updated_at.plus(Lifetime::seconds(9)),
        ..before.clone()
    };
    assert!(commit!(store, [after], |tx| tx.update_agent(&after).await?));
    let id = tenant.developer.id.clone();
    assert_eq!(
        query!(store, [id, after], |tx| tx.agent(&id, &after.id).await?),
        Some(after.clone())
    );

    // A later emptied list keeps the agent restricted.
    let emptied = Agent {
        scopes: Scopes::default(),
        status: AgentStatus::Active,
        ..after.clone()
    };
    assert!(commit!(store, [emptied], |tx| tx.update_agent(&emptied).await?));
    assert_eq!(
        query!(store, [id, emptied], |tx| tx.agent(&id, &emptied.id).await?),
        Some(emptied.clone())
    );

    let foreign = Agent {
        developer_id: other.developer.id.clone(),
        name: "Stolen".into(),
        ..emptied.clone()
    };
    let unknown = fixtures.agent(&tenant.developer);
    assert!(!commit!(store, [foreign], |tx| tx.update_agent(&foreign).await?));
    assert!(!commit!(store, [unknown], |tx| tx.update_agent(&unknown).await?));
    assert_eq!(
        query!(store, [id, emptied], |tx| tx.agent(&id, &emptied.id).await?),
        Some(emptied)
    );
    let (id, untouched) = (id, tenant.agent);
    assert_eq!(
        query!(store, [id, untouched], |tx| tx.agent(&id, &untouched.id).await?),
        Some(untouched)
    );
}

pub async fn a_hidden_agent_is_gone_from_every_read<S: Store>(store: S) {
    let fixtures = Fixtures::new(12);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let (id, agent, now) = (tenant.developer.id.clone(), tenant.agent.clone(), fixtures.now());
    let foreign = other.developer.id.clone();

    assert!(
        !commit!(store, [foreign, agent], |tx| tx
            .hide_agent(&foreign, &agent.id, now)
            .await?),
        "not their agent"
    );
    assert!(commit!(store, [id, agent], |tx| tx
        .hide_agent(&id, &agent.id, now)
        .await?));
    assert!(
        !commit!(store, [id, agent], |tx| tx.hide_agent(&id, &agent.id, now).await?),
        "hidden already"
    );
    assert!(!commit!(store, [agent], |tx| tx.update_agent(&agent).await?));
    let (found, page, count) = query!(store, [id, agent], |tx| (
        tx.agent(&id, &agent.id).await?,
        tx.agents(&id, &PageRequest::default()).await?,
        tx.count_agents_up_to(&id, 10).await?
    ));
    assert_eq!((found, page.items, page.next, count), (None, vec![], None, 0));
}

pub async fn hidden_agents_wait_until_they_are_cleared<S: Store>(store: S) {
    let fixtures = Fixtures::new(13);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (id, now) = (tenant.developer.id.clone(), fixtures.now());
    let mut hidden: Vec<AgentId> = Vec::new();
    for _ in 0..3 {
        let agent = fixtures.agent(&tenant.developer);
        commit!(store, [id, agent], |tx| {
            tx.insert_agent(&agent).await?;
            assert!(tx.hide_agent(&id, &agent.id, now).await?);
        });
        hidden.push(agent.id);
    }
    // A live agent is not to be cleared, whoever asks.
    let live = tenant.agent.id.clone();
    commit!(store, [live], |tx| tx.mark_agent_cleared(&live, now).await?);

    hidden.sort();
    let mut cleared = Vec::new();
    for expected in [2, 1, 0] {
        let batch = query!(store, [], |tx| tx.agents_to_clear(2).await?);
        assert_eq!(batch.len(), expected);
        for DeletedAgent {
            developer_id,
            agent_id: agent,
            deleted_at,
        } in batch
        {
            assert_eq!((developer_id, deleted_at), (id.clone(), now));
            commit!(store, [agent], |tx| tx.mark_agent_cleared(&agent, now).await?);
            cleared.push(agent);
        }
    }
    cleared.sort();
    assert_eq!(cleared, hidden);
    assert!(query!(store, [id, live], |tx| tx.agent(&id, &live).await?).is_some());
}

pub async fn counting_stops_at_the_limit<S: Store>(store: S) {
    let fixtures = Fixtures::new(14);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    for _ in 0..3 {
        let agent = fixtures.agent(&tenant.developer);
        commit!(store, [agent], |tx| tx.insert_agent(&agent).await?);
    }
    let (own, foreign) = (tenant.developer.id, other.developer.id);
    let counts = query!(store, [own, foreign], |tx| [
        tx.count_agents_up_to(&own, 0).await?,
        tx.count_agents_up_to(&own, 3).await?,
        tx.count_agents_up_to(&own, 4).await?,
        tx.count_agents_up_to(&own, 5_000).await?,
        tx.count_agents_up_to(&foreign, 5_000).await?,
    ]);
    assert_eq!(counts, [0, 3, 4, 4, 1]);
}
