//! The routes: what each takes and gives, and the table of them all.

mod admin;
mod agents;
mod anomalies;
mod anomaly_channels;
mod anomaly_responses;
mod anomaly_rules;
mod audit;
mod authorize;
mod consent;
mod consent_pages;
mod delegate;
mod deliveries;
mod developers;
mod discovery;
mod events;
mod grants;
mod health;
mod listing;
mod oauth;
mod offline_delegations;
mod policies;
mod policy_bundles;
mod policy_checks;
mod principal;
mod redirect;
mod revocation;
mod statics;
mod table;
mod token;
mod verify;
mod webhooks;

use actix_web::web::{Data, ServiceConfig};
use grantex_core::store::Store;

use crate::app::App;
use crate::boundary::UNMATCHED;
use crate::endpoint::Endpoint;
pub(crate) use consent_pages::problem as problem_page;
use table::Table;

/// Mounts all routes into an actix app, or into a scope of one.
///
/// ```no_run
/// # use grantex_core::store::Store;
/// fn mount<S: Store>(app: actix_web::web::Data<grantex_http::App<S>>) -> actix_web::Scope {
///     actix_web::web::scope("/auth").configure(grantex_http::routes(app))
/// }
/// ```
pub fn routes<S: Store>(app: Data<App<S>>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let mut table = Table::new(app);
        fill(&mut table);
        table.mount(config);
    }
}

/// The templates of all routes and of what matches none: the values of the `route` label and of a rate limit's `endpoint`.
pub fn route_templates() -> Vec<&'static str> {
    let mut templates: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
    templates.push(UNMATCHED);
    templates.sort_unstable();
    templates.dedup();
    templates
}

macro_rules! table {
    ($($endpoint:expr => $handler:path,)+) => {
        /// Every route.
        pub(crate) static ENDPOINTS: &[Endpoint] = &[$($endpoint),+];

        fn fill<S: Store>(table: &mut Table<S>) {
            $(table.on($endpoint, $handler);)+
        }
    };
}

// In the order in which paths are tried: the ones asked most often first.
table! {
    verify::VERIFY => verify::verify,
    revocation::STATUS => revocation::status,
    token::EXCHANGE => token::exchange,
    token::REFRESH => token::refresh,
    authorize::AUTHORIZE => authorize::authorize,
    audit::LOG => audit::log,
    health::HEALTH => health::health,
    discovery::JWKS => discovery::jwks,
    verify::GRANT_VERIFY => verify::verify_grant,
    delegate::DELEGATE => delegate::delegate,
    revocation::REVOKE => revocation::revoke,
    agents::LIST => agents::list,
    agents::REGISTER => agents::register,
    grants::LIST => grants::list,
    audit::LIST => audit::list,
    events::LIST => events::list,
    events::STREAM => events::stream,
    events::SOCKET => events::socket,
    oauth::INTROSPECT => oauth::introspect,
    oauth::REVOKE => oauth::revoke,
    developers::SIGNUP => developers::signup,
    developers::ME => developers::me,
    developers::UPDATE => developers::update,
    developers::ROTATE => developers::rotate,
    principal::OPEN => principal::open,
    principal::GRANTS => principal::grants,
    principal::AUDIT => principal::audit,
    health::READY => health::ready,
    health::METRICS => health::metrics,
    discovery::BISCUIT_KEYS => discovery::biscuit_keys,
    discovery::DID => discovery::did,
    discovery::METADATA => discovery::metadata,
    discovery::OPENAPI => discovery::openapi,
    consent_pages::SHOW => consent_pages::show,
    consent_pages::APPROVED => consent_pages::approved,
    consent_pages::DENIED => consent_pages::denied,
    statics::PERMISSIONS => statics::permissions,
    agents::GET => agents::get,
    agents::UPDATE => agents::update,
    agents::UPDATE_BY_POST => agents::update,
    agents::DELETE => agents::delete,
    authorize::APPROVE => authorize::approve,
    authorize::DENY => authorize::deny,
    consent::SHOW => consent::show,
    consent::APPROVE => consent::approve,
    consent::DENY => consent::deny,
    consent_pages::APPROVE => consent_pages::approve,
    consent_pages::DENY => consent_pages::deny,
    grants::GET => grants::get,
    offline_delegations::LIST => offline_delegations::list,
    grants::REVOKE => grants::revoke,
    audit::GET => audit::get,
    principal::REVOKE => principal::revoke,
    policies::LIST => policies::list,
    policies::CREATE => policies::create,
    policy_checks::SIMULATE => policy_checks::simulate,
    policy_checks::VALIDATE => policy_checks::validate,
    policy_bundles::SYNC => policy_bundles::sync,
    policy_bundles::LIST => policy_bundles::list,
    policy_bundles::ACTIVE => policy_bundles::active,
    policies::GET => policies::get,
    policies::UPDATE => policies::update,
    policies::DELETE => policies::delete,
    webhooks::LIST => webhooks::list,
    webhooks::CREATE => webhooks::create,
    webhooks::GET => webhooks::get,
    webhooks::UPDATE => webhooks::update,
    webhooks::DELETE => webhooks::delete,
    webhooks::PAUSE => webhooks::pause,
    webhooks::RESUME => webhooks::resume,
    webhooks::ROTATE => webhooks::rotate,
    webhooks::TEST => webhooks::test,
    webhooks::STATISTICS => webhooks::statistics,
    deliveries::LIST => deliveries::list,
    deliveries::GET => deliveries::get,
    deliveries::REDELIVER => deliveries::redeliver,
    deliveries::RECOVER => deliveries::recover,
    anomalies::DETECT => anomalies::detect,
    anomalies::LIST => anomalies::list,
    anomalies::ACKNOWLEDGE => anomalies::acknowledge,
    anomalies::ALERTS => anomalies::alerts,
    anomalies::ALERT => anomalies::alert,
    anomalies::ACKNOWLEDGE_ALERT => anomalies::acknowledge_alert,
    anomalies::RESOLVE_ALERT => anomalies::resolve_alert,
    anomalies::METRICS => anomalies::metrics,
    anomaly_responses::MODE => anomaly_responses::mode,
    anomaly_responses::SET_MODE => anomaly_responses::set_mode,
    anomaly_responses::POLICIES => anomaly_responses::policies,
    anomaly_responses::SET_POLICIES => anomaly_responses::set_policies,
    anomaly_rules::RULES_LIST => anomaly_rules::list,
    anomaly_rules::RULE_CREATE => anomaly_rules::create,
    anomaly_rules::RULE_CHANGE => anomaly_rules::change,
    anomaly_rules::RULE_DELETE => anomaly_rules::delete,
    anomaly_rules::MUTES => anomaly_rules::mutes,
    anomaly_rules::MUTE => anomaly_rules::mute,
    anomaly_rules::UNMUTE => anomaly_rules::unmute,
    anomaly_channels::LIST => anomaly_channels::list,
    anomaly_channels::CREATE => anomaly_channels::create,
    anomaly_channels::CHANGE => anomaly_channels::change,
    anomaly_channels::DELETE => anomaly_channels::delete,
    anomaly_channels::TEST => anomaly_channels::test,
    admin::SET_PLAN => admin::set_plan,
    statics::ASSET => statics::asset,
}
