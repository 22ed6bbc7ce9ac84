use std::collections::BTreeMap;

use async_trait::async_trait;
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::RunQueryDsl;
use grantex_core::agent::{Agent, AgentStatus};
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::grant::{Ancestor, Grant, GrantFilter, GrantStatus, RevokedBy};
use grantex_core::id::{AgentId, DeveloperId, GrantId};
use grantex_core::page::{Cursor, Page, PageRequest};
use grantex_core::store::{GrantReads, GrantWrites, PrincipalGrant, RevokedTree};

use super::super::Db;
use super::{CHUNK, ConnTx, all, skip};
use crate::rows::{AgentRow, GrantRow, Place, grant_state};
use crate::schema::{agents, developers, grants};
use crate::statements::Fixed;

/// Everything above a grant, in one statement. Delegation is at most 10 deep; the bound only stops a loop that cannot be.
struct Above<'a> {
    parent: &'a str,
}

impl QueryId for Above<'_> {
    type QueryId = Above<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Above<'_> {
    type SqlType = (Text, Nullable<BigInt>, Nullable<Text>);
}

impl QueryFragment<Db> for Above<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql(
            "WITH RECURSIVE above (id, agent_id, revoked_at, parent_grant_id, distance) AS (\
             SELECT id, agent_id, revoked_at, parent_grant_id, 1 FROM grants WHERE id = ",
        );
        out.push_bind_param::<Text, str>(self.parent)?;
        out.push_sql(
            " UNION ALL \
             SELECT g.id, g.agent_id, g.revoked_at, g.parent_grant_id, a.distance + 1 \
             FROM above a JOIN grants g ON g.id = a.parent_grant_id WHERE a.distance < 64) \
             SELECT a.id, a.revoked_at, agents.status FROM above a \
             LEFT JOIN agents ON agents.id = a.agent_id AND agents.deleted_at IS NULL ORDER BY a.distance",
        );
        Ok(())
    }
}

/// Counts the grants that are in force among those of a query that limits them, so that no more rows are looked at.
#[derive(QueryId)]
struct CountInForce<Q> {
    last: Q,
    now: i64,
}

impl<Q: Query> Query for CountInForce<Q> {
    type SqlType = BigInt;
}

impl<Q: QueryFragment<Db>> QueryFragment<Db> for CountInForce<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql("SELECT COUNT(*) FROM (");
        self.last.walk_ast(out.reborrow())?;
        out.push_sql(") AS looked_at WHERE revoked_at IS NULL AND expires_at > ");
        out.push_bind_param::<BigInt, _>(&self.now)
    }
}

fn grant_id(text: &str) -> Result<GrantId, StoreError> {
    Place {
        table: "grants",
        id: text,
    }
    .expect("id", GrantId::parse(text))
}

fn ancestor((id, revoked_at, status): (String, Option<i64>, Option<String>)) -> Result<Ancestor, StoreError> {
    let agent_status = match status {
        Some(text) => Some(
            Place {
                table: "agents",
                id: &id,
            }
            .expect("status", AgentStatus::parse(&text))?,
        ),
        None => None,
    };
    Ok(Ancestor {
        grant_id: grant_id(&id)?,
        state: grant_state(revoked_at),
        agent_status,
    })
}

#[async_trait]
impl GrantReads for ConnTx<'_> {
    async fn grant(&mut self, developer: &DeveloperId, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        let query = grants::table
            .find(id.as_str().to_owned())
            .filter(grants::developer_id.eq(developer.as_str().to_owned()))
            .select(GrantRow::as_select());
        get!(self, GrantRow, query)?.map(Grant::try_from).transpose()
    }

    async fn grants(
        &mut self,
        developer: &DeveloperId,
        filter: &GrantFilter,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<Grant>, StoreError> {
        let now = now.as_millis();
        let mut query = grants::table
            .filter(grants::developer_id.eq(developer.as_str()))
            .order((grants::issued_at.desc(), grants::id.desc()))
            .limit(i64::from(page.size) + 1)
            .offset(skip(page.offset()))
            .select(GrantRow::as_select())
            .into_boxed();
        if let Some(agent) = &filter.agent_id {
            query = query.filter(grants::agent_id.eq(agent));
        }
        if let Some(principal) = &filter.principal_id {
            query = query.filter(grants::principal_id.eq(principal));
        }
        query = match filter.status {
            Some(GrantStatus::Active) => query
                .filter(grants::revoked_at.is_null())
                .filter(grants::expires_at.gt(now)),
            Some(GrantStatus::Expired) => query
                .filter(grants::revoked_at.is_null())
                .filter(grants::expires_at.le(now)),
            Some(GrantStatus::Revoked) => query.filter(grants::revoked_at.is_not_null()),
            None => query,
        };
        if let Some(cursor) = page.after() {
            query = query
                .filter(grants::issued_at.le(cursor.at))
                .filter(grants::issued_at.lt(cursor.at).or(grants::id.lt(&cursor.id)));
        }
        let rows = query.load::<GrantRow>(self.conn().await?).await;
        let items: Vec<Grant> = all(self.note(rows)?)?;
        Ok(Page::from_overfetched(items, page.size, |grant| Cursor {
            at: grant.issued_at.as_millis(),
            id: grant.id.to_string(),
        }))
    }

    async fn ancestors(&mut self, grant: &Grant) -> Result<Vec<Ancestor>, StoreError> {
        let Some(parent) = &grant.parent_grant_id else {
            return Ok(Vec::new());
        };
        let rows = Above {
            parent: parent.as_str(),
        }
        .load(self.conn().await?)
        .await;
        self.note(rows)?.into_iter().map(ancestor).collect()
    }

    async fn active_grants_of_agent(
        &mut self,
        agent: &AgentId,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<GrantId>, StoreError> {
        let start = Cursor {
            at: i64::MIN,
            id: String::new(),
        };
        let after = after.unwrap_or(&start);
        // As in listings: the first comparison bounds the index scan.
        let query = grants::table
            .filter(grants::agent_id.eq(agent.as_str()))
            .filter(grants::issued_at.ge(after.at))
            .filter(grants::issued_at.gt(after.at).or(grants::id.gt(&after.id)))
            .filter(grants::revoked_at.is_null())
            .order((grants::issued_at, grants::id))
            .limit(i64::from(limit) + 1)
            .select((grants::issued_at, grants::id));
        let rows = query.load::<(i64, String)>(self.conn().await?).await;
        let page = Page::from_overfetched(self.note(rows)?, limit, |(at, id)| Cursor {
            at: *at,
            id: id.clone(),
        });
        Ok(Page {
            items: page
                .items
                .iter()
                .map(|(_, id)| grant_id(id))
                .collect::<Result<_, _>>()?,
            next: page.next,
        })
    }

    async fn count_agent_grants(&mut self, agent: &AgentId, now: Timestamp, among: u64) -> Result<u64, StoreError> {
        let last = grants::table
            .filter(grants::agent_id.eq(agent.as_str()))
            .order((grants::issued_at.desc(), grants::id.desc()))
            .limit(skip(among))
            .select((grants::revoked_at, grants::expires_at));
        let now = now.as_millis();
        let count = CountInForce { last, now }.get_result::<i64>(self.conn().await?).await;
        Ok(u64::try_from(self.note(count)?).unwrap_or(0))
    }

    async fn has_active_grant(
        &mut self,
        developer: &DeveloperId,
        principal: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let in_force = grants::table
            .filter(grants::developer_id.eq(developer.as_str()))
            .filter(grants::principal_id.eq(principal))
            .filter(grants::revoked_at.is_null())
            .filter(grants::expires_at.gt(now.as_millis()));
        let found = select(exists(in_force)).get_result(self.conn().await?).await;
        self.note(found)
    }

    async fn grants_of_principal(
        &mut self,
        developer: &DeveloperId,
        principal: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<PrincipalGrant>, StoreError> {
        let query = grants::table
            .left_join(agents::table.on(agents::id.eq(grants::agent_id).and(agents::deleted_at.is_null())))
            .filter(grants::developer_id.eq(developer.as_str()))
            .filter(grants::principal_id.eq(principal))
            .filter(grants::revoked_at.is_null())
            .filter(grants::expires_at.gt(now.as_millis()))
            .order((grants::issued_at.desc(), grants::id.desc()))
            .limit(i64::from(limit))
            .select((GrantRow::as_select(), Option::<AgentRow>::as_select()));
        let rows = query.load::<(GrantRow, Option<AgentRow>)>(self.conn().await?).await;
        let pair = |(grant, agent): (GrantRow, Option<AgentRow>)| {
            Ok(PrincipalGrant {
                grant: grant.try_into()?,
                agent: agent.map(Agent::try_from).transpose()?,
            })
        };
        self.note(rows)?.into_iter().map(pair).collect()
    }
}

#[async_trait]
impl GrantWrites for ConnTx<'_> {
    async fn touch_active_grant(&mut self, id: &GrantId, heir: &AgentId, now: Timestamp) -> Result<bool, StoreError> {
        let (id, heir, now) = (id.as_str(), heir.as_str(), now.as_millis());
        let locked = super::super::lock_active_grant(self.conn().await?, id, heir, now).await;
        self.note(locked)
    }

    async fn revoke_tree(
        &mut self,
        developer: &DeveloperId,
        root: &GrantId,
        by: RevokedBy,
        now: Timestamp,
    ) -> Result<RevokedTree, StoreError> {
        let mut tree = RevokedTree::default();
        let owned = grants::table
            .find(root.as_str())
            .filter(grants::developer_id.eq(developer.as_str()))
            .filter(grants::revoked_at.is_null());
        let update = diesel::update(owned)
            .set((
                grants::revoked_at.eq(now.as_millis()),
                grants::revoked_by.eq(by.as_str()),
            ))
            .returning((grants::id, grants::is_counted));
        let revoked = Fixed(update).get_results(self.conn().await?).await;
        add(&mut tree, self.note(revoked)?)?;

        // Nothing can be added below a grant once its update above has returned: whoever was adding has committed, and is
        // seen by the next statement. So each level is read when the one above it is settled, and whatever its state.
        let mut level = vec![root.as_str().to_owned()];
        while !level.is_empty() {
            level = self.children_of(developer, &level).await?;
            for chunk in level.chunks(CHUNK) {
                let active = grants::table
                    .filter(grants::id.eq_any(chunk))
                    .filter(grants::revoked_at.is_null());
                let update = diesel::update(active)
                    .set((
                        grants::revoked_at.eq(now.as_millis()),
                        grants::revoked_by.eq(by.as_str()),
                    ))
                    .returning((grants::id, grants::is_counted));
                let revoked = update.get_results(self.conn().await?).await;
                add(&mut tree, self.note(revoked)?)?;
            }
        }
        Ok(tree)
    }

    async fn uncount_expired_grants(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let candidates = grants::table
            .filter(grants::is_counted)
            .filter(grants::revoked_at.is_null())
            .filter(grants::expires_at.le(now.as_millis()))
            .order(grants::expires_at)
            .limit(i64::from(limit))
            .select((grants::developer_id, grants::id));
        let candidates = candidates.load::<(String, String)>(self.conn().await?).await;
        let (mut owners, ids): (Vec<String>, Vec<String>) = self.note(candidates)?.into_iter().unzip();
        owners.sort();
        owners.dedup();
        self.local.forget_head();
        let locked = super::super::lock_developers(self.conn().await?, &owners).await;
        self.note(locked)?;

        let mut counts = BTreeMap::<String, i64>::new();
        for chunk in ids.chunks(CHUNK) {
            let counted = grants::table
                .filter(grants::id.eq_any(chunk))
                .filter(grants::is_counted)
                .filter(grants::revoked_at.is_null());
            let update = diesel::update(counted)
                .set(grants::is_counted.eq(false))
                .returning(grants::developer_id);
            let owners = update.get_results::<String>(self.conn().await?).await;
            for owner in self.note(owners)? {
                *counts.entry(owner).or_default() += 1;
            }
        }
        for (owner, count) in &counts {
            let update = diesel::update(developers::table.find(owner))
                .set(developers::active_grants.eq(developers::active_grants - *count));
            let updated = update.execute(self.conn().await?).await;
            self.note(updated)?;
        }
        Ok(u64::try_from(counts.values().sum::<i64>()).unwrap_or(0))
    }
}

impl ConnTx<'_> {
    pub(super) async fn children_of(
        &mut self,
        developer: &DeveloperId,
        level: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let mut children = Vec::new();
        for chunk in level.chunks(CHUNK) {
            let query = grants::table
                .filter(grants::parent_grant_id.eq_any(chunk))
                .filter(grants::developer_id.eq(developer.as_str()))
                .select(grants::id);
            let ids = query.load::<String>(self.conn().await?).await;
            children.extend(self.note(ids)?);
        }
        Ok(children)
    }
}

fn add(tree: &mut RevokedTree, revoked: Vec<(String, bool)>) -> Result<(), StoreError> {
    for (id, is_counted) in revoked {
        tree.grants.push(grant_id(&id)?);
        tree.counted += i64::from(is_counted);
    }
    Ok(())
}
