//! The tables, as in `migrations/`.
#![allow(missing_docs, reason = "the migrations explain the columns")]

diesel::table! {
    developers (id) {
        id -> Text,
        name -> Text,
        email -> Nullable<Text>,
        mode -> Text,
        plan -> Text,
        fido_rp_name -> Nullable<Text>,
        api_key_hash -> Text,
        created_at -> BigInt,
        policy_version -> BigInt,
        active_grants -> BigInt,
        event_seq -> BigInt,
        caller_seq -> BigInt,
        caller_hash -> Nullable<Text>,
        caller_id -> Nullable<Text>,
        caller_at -> Nullable<BigInt>,
        server_seq -> BigInt,
        server_hash -> Nullable<Text>,
        server_id -> Nullable<Text>,
        server_at -> Nullable<BigInt>,
        subscriptions -> Text,
    }
}

diesel::table! {
    agents (id) {
        id -> Text,
        developer_id -> Text,
        name -> Text,
        description -> Text,
        scopes -> Text,
        is_restricted -> Bool,
        status -> Text,
        created_at -> BigInt,
        updated_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
        cleared_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    auth_requests (id) {
        id -> Text,
        developer_id -> Text,
        agent_id -> Text,
        principal_id -> Text,
        scopes -> Text,
        redirect_uri -> Nullable<Text>,
        state -> Nullable<Text>,
        expires_in -> BigInt,
        audience -> Nullable<Text>,
        code_challenge -> Nullable<Text>,
        created_at -> BigInt,
        expires_at -> BigInt,
        status -> Text,
        code_hash -> Nullable<Text>,
        code_expires_at -> Nullable<BigInt>,
        consumed_at -> Nullable<BigInt>,
        grant_id -> Nullable<Text>,
    }
}

diesel::table! {
    grants (id) {
        id -> Text,
        developer_id -> Text,
        agent_id -> Text,
        principal_id -> Text,
        scopes -> Text,
        audience -> Nullable<Text>,
        issued_at -> BigInt,
        expires_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        revoked_by -> Nullable<Text>,
        parent_grant_id -> Nullable<Text>,
        delegation_depth -> BigInt,
        delegators -> Text,
        is_counted -> Bool,
    }
}

diesel::table! {
    tokens (id) {
        id -> Text,
        grant_id -> Text,
        developer_id -> Text,
        key_id -> Text,
        issued_at -> BigInt,
        expires_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        refresh_hash -> Text,
        refresh_expires_at -> BigInt,
        refresh_used_at -> Nullable<BigInt>,
        successor_id -> Nullable<Text>,
        replay_key_hash -> Nullable<Text>,
        replay_sealed -> Nullable<Text>,
        ends_at -> BigInt,
        biscuit_key_id -> Nullable<Text>,
    }
}

diesel::table! {
    revoked_blocks (developer_id, revocation_id) {
        developer_id -> Text,
        revocation_id -> Text,
        revoked_at -> BigInt,
    }
}

diesel::table! {
    offline_delegations (developer_id, revocation_id) {
        developer_id -> Text,
        revocation_id -> Text,
        parent_revocation_id -> Nullable<Text>,
        grant_id -> Text,
        token_id -> Text,
        agent_did -> Text,
        depth -> BigInt,
        scopes -> Text,
        audience -> Nullable<Text>,
        ceilings -> Text,
        blocks -> Text,
        expires_at -> BigInt,
        first_seen_at -> BigInt,
    }
}

diesel::table! {
    audit_entries (developer_id, chain, seq) {
        developer_id -> Text,
        chain -> Text,
        seq -> BigInt,
        id -> Text,
        agent_id -> Text,
        agent_did -> Text,
        grant_id -> Text,
        principal_id -> Text,
        action -> Text,
        metadata -> Text,
        status -> Text,
        timestamp -> BigInt,
        prev_hash -> Nullable<Text>,
        hash -> Text,
        trace_id -> Nullable<Text>,
    }
}

diesel::table! {
    events (developer_id, seq) {
        developer_id -> Text,
        seq -> BigInt,
        id -> Text,
        kind -> Text,
        payload -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        algorithm -> Text,
        sealed_private_key -> Text,
        public_jwk -> Text,
        state -> Text,
        created_at -> BigInt,
        activates_at -> BigInt,
        retired_at -> Nullable<BigInt>,
        removed_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    webhooks (id) {
        id -> Text,
        developer_id -> Text,
        url -> Text,
        events -> Text,
        description -> Nullable<Text>,
        state -> Text,
        disabled_reason -> Nullable<Text>,
        sealed_secret -> Text,
        sealed_previous_secret -> Nullable<Text>,
        previous_until -> Nullable<BigInt>,
        created_at -> BigInt,
        updated_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
        failures -> BigInt,
        openings -> BigInt,
        failing_since -> Nullable<BigInt>,
        resumes_at -> Nullable<BigInt>,
        last_success_at -> Nullable<BigInt>,
        last_failure_at -> Nullable<BigInt>,
        delivered -> BigInt,
        retried -> BigInt,
        failed -> BigInt,
        claimed_by -> Nullable<Text>,
        claimed_until -> Nullable<BigInt>,
        channel -> Nullable<Text>,
    }
}

diesel::table! {
    webhook_deliveries (id) {
        id -> Text,
        webhook_id -> Text,
        developer_id -> Text,
        event_id -> Text,
        event_seq -> BigInt,
        kind -> Text,
        order_key -> Text,
        payload -> Text,
        status -> Text,
        attempts -> BigInt,
        next_attempt_at -> BigInt,
        last_status -> Nullable<BigInt>,
        last_error -> Nullable<Text>,
        sent_to -> Nullable<Text>,
        created_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        traceparent -> Nullable<Text>,
    }
}

diesel::table! {
    policies (id) {
        id -> Text,
        developer_id -> Text,
        name -> Text,
        effect -> Text,
        priority -> BigInt,
        agent_id -> Nullable<Text>,
        principal_id -> Nullable<Text>,
        scopes -> Nullable<Text>,
        audience -> Nullable<Text>,
        time_of_day_start -> Nullable<Text>,
        time_of_day_end -> Nullable<Text>,
        time_zone -> Nullable<Text>,
        days_of_week -> Nullable<Text>,
        weight -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    policy_bundles (id) {
        id -> Text,
        developer_id -> Text,
        format -> Text,
        version -> Text,
        sha256 -> Text,
        content -> Text,
        file_count -> BigInt,
        is_active -> Bool,
        created_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(tokens, grants, agents);
diesel::allow_tables_to_appear_in_same_query!(auth_requests, developers);
diesel::allow_tables_to_appear_in_same_query!(auth_requests, agents);

diesel::table! {
    anomaly_cursors (developer_id) {
        developer_id -> Text,
        version -> BigInt,
        caller_seq -> BigInt,
        server_seq -> BigInt,
    }
}

diesel::table! {
    agent_activities (developer_id, agent_id) {
        developer_id -> Text,
        agent_id -> Text,
        activity -> Text,
        updated_at -> BigInt,
    }
}

diesel::table! {
    anomalies (id) {
        id -> Text,
        developer_id -> Text,
        kind -> Text,
        custom_rule -> Nullable<Text>,
        rule_id -> Text,
        severity -> Text,
        status -> Text,
        agent_id -> Nullable<Text>,
        principal_id -> Nullable<Text>,
        subject_key -> Text,
        description -> Text,
        evidence -> Text,
        level -> BigInt,
        window_start -> BigInt,
        window_end -> BigInt,
        detected_at -> BigInt,
        acknowledged_at -> Nullable<BigInt>,
        resolved_at -> Nullable<BigInt>,
        notes -> Text,
    }
}

diesel::table! {
    anomaly_rule_overrides (developer_id, kind) {
        developer_id -> Text,
        kind -> Text,
        is_enabled -> Bool,
        thresholds -> Text,
    }
}

diesel::table! {
    anomaly_rules (id) {
        id -> Text,
        developer_id -> Text,
        rule_id -> Text,
        name -> Text,
        description -> Nullable<Text>,
        severity -> Text,
        condition_text -> Text,
        is_enabled -> Bool,
        created_at -> BigInt,
    }
}

diesel::table! {
    anomaly_mutes (id) {
        id -> Text,
        developer_id -> Text,
        kind -> Nullable<Text>,
        agent_id -> Nullable<Text>,
        starts_at -> BigInt,
        ends_at -> BigInt,
        reason -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    anomaly_response_policies (developer_id) {
        developer_id -> Text,
        mode -> Text,
        policies -> Text,
    }
}

diesel::table! {
    anomaly_responses (anomaly_id) {
        anomaly_id -> Text,
        developer_id -> Text,
        agent_id -> Text,
        action -> Text,
        after_at -> Nullable<BigInt>,
        after_id -> Nullable<Text>,
        revoked -> BigInt,
        grant_ids -> Text,
        created_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(anomaly_cursors, developers);
