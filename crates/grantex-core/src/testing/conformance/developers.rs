//! Accounts and their keys.

use super::support::{FAR, Tenant, odd_texts};
use crate::developer::{Developer, Mode};
use crate::id::DeveloperId;
use crate::plan::Plan;
use crate::store::Store;
use crate::testing::fixtures::Fixtures;

pub async fn a_developer_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(1);
    assert!(query!(store, [], |tx| tx.has_no_developer().await?));
    let mut all = vec![
        Developer {
            email: None,
            mode: Mode::Sandbox,
            plan: Plan::Free,
            created_at: FAR,
            ..fixtures.developer()
        },
        Developer {
            fido_rp_name: Some(String::new()),
            plan: Plan::Pro,
            ..fixtures.developer()
        },
    ];
    for (index, text) in odd_texts().into_iter().enumerate() {
        let email = Some(format!("{text}{index}"));
        all.push(Developer {
            name: text.clone(),
            email,
            fido_rp_name: Some(text),
            ..fixtures.developer()
        });
    }
    for developer in all {
        let (id, key_hash, other_hash) = (developer.id.clone(), fixtures.hash(), fixtures.hash());
        let before = query!(store, [id, key_hash], |tx| (
            tx.developer(&id).await?,
            tx.developer_by_key(&key_hash).await?
        ));
        assert_eq!(before, (None, None));
        assert!(commit!(store, [developer, key_hash], |tx| tx
            .insert_developer(&developer, &key_hash)
            .await?));
        let (by_id, by_key, by_other) = query!(store, [id, key_hash, other_hash], |tx| (
            tx.developer(&id).await?,
            tx.developer_by_key(&key_hash).await?,
            tx.developer_by_key(&other_hash).await?
        ));
        assert_eq!(by_id.as_ref(), Some(&developer));
        assert_eq!(by_key.as_ref(), Some(&developer));
        assert_eq!(by_other, None);
    }
    assert!(!query!(store, [], |tx| tx.has_no_developer().await?));
}

pub async fn an_email_is_unique_and_a_refusal_leaves_the_unit_usable<S: Store>(store: S) {
    let fixtures = Fixtures::new(2);
    let first = Tenant::create(&store, &fixtures).await.developer;
    let second = Developer {
        email: first.email.clone(),
        ..fixtures.developer()
    };
    let third = fixtures.developer();
    let hashes = (fixtures.hash(), fixtures.hash());
    let accepted = commit!(store, [second, third, hashes], |tx| {
        let is_second_in = tx.insert_developer(&second, &hashes.0).await?;
        (is_second_in, tx.insert_developer(&third, &hashes.1).await?)
    });
    assert_eq!(accepted, (false, true));
    let found = query!(store, [second, third, hashes], |tx| (
        tx.developer(&second.id).await?,
        tx.developer_by_key(&hashes.0).await?,
        tx.developer(&third.id).await?
    ));
    assert_eq!(found, (None, None, Some(third)));
}

pub async fn developers_without_an_email_do_not_collide<S: Store>(store: S) {
    let fixtures = Fixtures::new(3);
    for _ in 0..2 {
        let (developer, hash) = (
            Developer {
                email: None,
                ..fixtures.developer()
            },
            fixtures.hash(),
        );
        assert!(commit!(store, [developer, hash], |tx| tx
            .insert_developer(&developer, &hash)
            .await?));
    }
}

pub async fn a_key_is_replaced_only_by_who_knows_the_old_one<S: Store>(store: S) {
    let fixtures = Fixtures::new(4);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let (id, old, new, third) = (
        tenant.developer.id.clone(),
        tenant.key_hash.clone(),
        fixtures.hash(),
        fixtures.hash(),
    );
    let unknown: DeveloperId = fixtures.id();

    assert!(
        !commit!(store, [id, new, third], |tx| tx
            .replace_api_key(&id, &third, &new)
            .await?),
        "a wrong old key"
    );
    let foreign = other.key_hash.clone();
    assert!(
        !commit!(store, [id, foreign, new], |tx| tx
            .replace_api_key(&id, &foreign, &new)
            .await?),
        "somebody else's key"
    );
    assert!(!commit!(store, [unknown, old, new], |tx| tx
        .replace_api_key(&unknown, &old, &new)
        .await?));
    assert!(commit!(store, [id, old, new], |tx| tx
        .replace_api_key(&id, &old, &new)
        .await?));
    assert!(
        !commit!(store, [id, old, third], |tx| tx
            .replace_api_key(&id, &old, &third)
            .await?),
        "it was replaced already"
    );

    let found = query!(store, [old, new, foreign], |tx| (
        tx.developer_by_key(&old).await?,
        tx.developer_by_key(&new).await?,
        tx.developer_by_key(&foreign).await?
    ));
    assert_eq!(found, (None, Some(tenant.developer), Some(other.developer)));
}

pub async fn plan_and_display_name_are_set<S: Store>(store: S) {
    let fixtures = Fixtures::new(5);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    let unknown: DeveloperId = fixtures.id();

    let unknown_is_set = commit!(store, [unknown], |tx| (
        tx.set_plan(&unknown, Plan::Free).await?,
        tx.set_fido_rp_name(&unknown, "nobody").await?
    ));
    assert_eq!(unknown_is_set, (false, false));
    for plan in Plan::ALL.iter().copied() {
        assert!(commit!(store, [id], |tx| tx.set_plan(&id, plan).await?));
        assert_eq!(query!(store, [id], |tx| tx.developer(&id).await?).unwrap().plan, plan);
        assert_eq!(tenant.head(&store).await.plan, plan);
    }
    assert!(commit!(store, [id], |tx| tx.set_fido_rp_name(&id, "Zoë's").await?));
    let expected = Developer {
        fido_rp_name: Some("Zoë's".into()),
        ..tenant.developer
    };
    assert_eq!(query!(store, [id], |tx| tx.developer(&id).await?), Some(expected));
    let id = other.developer.id.clone();
    assert_eq!(
        query!(store, [id], |tx| tx.developer(&id).await?),
        Some(other.developer),
        "nobody else is changed"
    );
}

pub async fn ids_are_listed_in_order_and_in_pieces<S: Store>(store: S) {
    let fixtures = Fixtures::new(6);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(Tenant::create(&store, &fixtures).await.developer.id);
    }
    ids.sort();
    let mut listed = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let after = listed.last().cloned();
        let piece = query!(store, [after], |tx| tx.developer_ids(after.as_ref(), 2).await?);
        sizes.push(piece.len());
        if piece.is_empty() {
            break;
        }
        listed.extend(piece);
    }
    assert_eq!((listed, sizes), (ids, vec![2, 2, 1, 0]));
}
