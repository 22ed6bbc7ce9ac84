//! What every [`Store`] must do, as named cases.
//!
//! Each case asks for a store of its own, without rows, and panics where the store does not do as the ports say:
//!
//! ```
//! use grantex_core::testing::{MemoryStore, conformance};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! conformance::run(async || MemoryStore::new()).await;
//! # });
//! ```
//!
//! Some cases race several units against each other. They say little about a store that runs everything on the caller's
//! task, and something about every other one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failing check must panic: that is what a case reports by"
)]

#[macro_use]
mod support;

mod agents;
mod anomalies;
mod audit;
mod auth_requests;
mod authority;
mod blocks;
mod deliveries;
mod developers;
mod events;
mod grants;
mod janitor;
mod keys;
mod ledger;
mod listings;
mod policies;
mod races;
mod responses;
mod tokens;
mod trees;
mod units;
mod webhooks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::store::{BoxFuture, Store};

/// One thing that a store must do.
pub struct Case<S> {
    /// What, as `area::rule`.
    pub name: &'static str,
    run: fn(S) -> BoxFuture<'static, ()>,
}

impl<S: Store> Case<S> {
    /// Runs the case on a store without rows.
    ///
    /// # Panics
    /// When the store does not do as the ports say.
    pub async fn run(&self, store: S) {
        (self.run)(store).await;
    }
}

macro_rules! case_list {
    ($($area:ident { $($rule:ident,)+ })+) => {
        /// All cases, for test harnesses that want to run or name them one by one.
        pub fn cases<S: Store>() -> Vec<Case<S>> {
            vec![$($(Case {
                name: concat!(stringify!($area), "::", stringify!($rule)),
                run: |store| Box::pin($area::$rule(store)),
            },)+)+]
        }
    };
}

/// Runs every case, each on a new store, and then tells all that failed.
///
/// # Panics
/// When any case failed; what each one found is in the panic messages before.
pub async fn run<S: Store>(make: impl AsyncFn() -> S) {
    let mut failed = Vec::new();
    let cases = cases::<S>();
    for case in &cases {
        let store = make().await;
        if !is_passed(case.run(store)).await {
            failed.push(case.name);
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} conformance cases failed: {}",
        failed.len(),
        cases.len(),
        failed.join(", ")
    );
}

/// Whether a case ends without a panic.
async fn is_passed(case: impl Future<Output = ()>) -> bool {
    let mut case = pin!(case);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| case.as_mut().poll(cx))) {
        Ok(Poll::Ready(())) => Poll::Ready(true),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(false),
    })
    .await
}

case_list! {
    responses {
        a_response_policy_is_read_back_as_it_was_written,
        what_is_to_be_done_waits_until_it_is_done,
    }
    anomalies {
        an_anomaly_is_read_back_as_it_was_written,
        a_finding_is_raised_once_a_window,
        anomalies_are_listed_newest_first_and_filtered,
        anomalies_are_counted,
        a_cursor_is_advanced_from_the_version_that_was_seen,
        developers_whose_chains_grew_are_found,
        activities_are_replaced_and_forgotten,
        the_first_grants_are_those_of_their_pair,
        a_rule_book_holds_what_was_put_into_it,
        what_is_over_is_removed_in_pieces,
    }
    developers {
        a_developer_is_read_back_as_it_was_written,
        an_email_is_unique_and_a_refusal_leaves_the_unit_usable,
        developers_without_an_email_do_not_collide,
        a_key_is_replaced_only_by_who_knows_the_old_one,
        plan_and_display_name_are_set,
        ids_are_listed_in_order_and_in_pieces,
    }
    agents {
        an_agent_is_read_back_as_it_was_written,
        an_update_replaces_what_may_change,
        a_hidden_agent_is_gone_from_every_read,
        hidden_agents_wait_until_they_are_cleared,
        counting_stops_at_the_limit,
    }
    auth_requests {
        a_request_is_read_back_as_it_was_written,
        a_request_is_approved_once,
        a_request_is_denied_once,
        an_expired_request_cannot_be_decided,
        a_code_is_consumed_once_and_still_found,
        a_code_is_consumed_only_by_its_hash_and_in_time,
        a_request_that_is_not_approved_cannot_be_consumed,
    }
    grants {
        a_grant_is_read_back_as_it_was_written,
        ancestors_are_named_from_the_nearest_to_the_root,
        only_a_grant_in_force_can_be_touched,
        a_principals_grants_are_those_in_force_newest_first,
        an_agents_grants_are_those_stored_as_active,
    }
    trees {
        a_cascade_passes_through_revoked_grants,
        a_cascade_tells_how_many_counted,
        a_cascade_reaches_wide_and_deep,
        a_cascade_stays_with_its_developer,
        expired_grants_are_uncounted_once,
    }
    tokens {
        a_token_comes_with_its_grant_and_agent,
        a_token_is_found_by_its_refresh_token,
        the_first_token_is_the_one_that_succeeds_none,
        a_refresh_token_is_used_once,
        a_kept_answer_can_be_forgotten,
        a_token_is_revoked_once_and_by_its_developer,
    }
    blocks {
        a_block_is_revoked_once_and_by_its_developer,
        revocations_of_blocks_are_removed_by_age,
        a_root_key_is_needed_while_a_biscuit_of_it_lives,
        what_was_handed_on_is_listed_newest_first,
    }
    authority {
        a_refresh_token_is_used_only_while_its_grant_is_in_force,
        no_refresh_token_is_used_below_a_deleted_agent,
        a_code_is_consumed_only_while_its_agent_is_active,
        a_grant_is_handed_on_only_while_all_concerned_may_act,
    }
    ledger {
        everything_in_a_ledger_is_there_afterwards,
        the_head_advances_and_the_next_unit_builds_on_it,
        an_unknown_developer_has_no_head,
        heads_of_developers_are_independent,
        a_second_row_with_the_same_id_fails_the_unit,
        a_large_ledger_fits,
    }
    audit {
        an_entry_is_read_back_as_it_was_written,
        the_chains_are_apart,
        pages_go_on_without_gaps_or_repeats,
        since_is_inclusive_and_until_exclusive,
        filters_compare_exactly_and_combine,
        the_newest_entries_come_newest_first,
    }
    events {
        events_are_read_in_order_behind_a_position,
        a_payload_keeps_its_bytes,
        events_are_paged_newest_first,
        events_are_filtered_by_type_and_time,
        the_range_tells_what_is_kept,
        an_event_is_found_by_its_id,
        heads_tell_the_newest_position_and_the_key,
    }
    listings {
        agents_are_paged_newest_first,
        grants_are_paged_newest_first,
        a_cursor_is_not_moved_by_new_rows,
        grants_are_filtered_by_status_at_the_time_of_the_listing,
        grants_are_filtered_by_agent_and_principal,
    }
    keys {
        a_key_is_read_back_as_it_was_written,
        only_one_first_key_of_an_algorithm_is_accepted,
        a_key_is_retired_and_removed_in_this_order,
        a_removed_key_stays_removed,
        a_key_is_needed_while_a_token_of_it_lives,
    }
    webhooks {
        an_endpoint_is_read_back_as_it_was_written,
        endpoints_are_listed_newest_first_and_deleted_ones_not_at_all,
        what_deliveries_change_and_what_developers_change_is_apart,
        subscriptions_stand_with_the_head_and_ledgers_leave_them_alone,
        an_endpoint_is_claimed_by_one,
        only_endpoints_with_due_work_are_named,
        channels_are_endpoints_that_are_no_webhooks,
    }
    deliveries {
        a_delivery_is_read_back_as_it_was_written,
        an_endpoint_gets_each_event_once,
        deliveries_are_paged_newest_event_first,
        due_deliveries_come_longest_due_first,
        the_first_pending_of_each_key_is_found,
        a_change_leaves_what_it_does_not_name,
        pending_deliveries_are_postponed_and_advanced,
        pending_deliveries_are_given_up_in_batches,
        failed_deliveries_are_queued_again,
        the_backlog_is_counted_by_what_it_waits_for,
        ended_deliveries_go_by_age_and_pending_ones_never,
        what_a_deleted_endpoint_left_goes_in_batches,
    }
    policies {
        a_policy_is_read_back_as_it_was_written,
        a_policy_is_changed_and_removed_by_its_developer_only,
        policies_are_paged_by_priority_then_age,
        policies_are_counted_and_weighed,
        the_policy_version_comes_with_the_developer,
        one_bundle_of_a_format_is_in_force,
        old_bundles_go_and_the_one_in_force_stays,
        a_policy_of_nobody_is_not_there,
    }
    janitor {
        requests_go_when_neither_they_nor_their_code_can_be_used,
        tokens_go_when_both_halves_are_over,
        kept_answers_go_and_their_use_stays,
        events_go_by_age,
        grants_and_audit_entries_stay,
    }
    units {
        a_failed_unit_leaves_nothing_behind,
        a_unit_sees_what_it_wrote,
        a_committed_unit_is_seen_by_the_next_read,
        a_withdrawn_unit_does_nothing,
        a_store_answers_a_ping,
    }
    races {
        one_of_many_consumes_a_code,
        one_of_many_uses_a_refresh_token,
        one_of_many_takes_an_email,
        one_of_many_replaces_a_key,
        one_of_many_inserts_the_first_signing_key,
        appends_to_one_chain_leave_no_gap,
        grants_are_uncounted_once_by_many_sweepers,
        no_child_survives_a_revocation_that_ran_beside_its_birth,
    }
}
