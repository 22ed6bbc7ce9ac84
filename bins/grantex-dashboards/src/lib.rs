//! The Grafana dashboards of the Grantex server, described as data.
//!
//! [`dashboards`] holds one module a dashboard: rows of panels, each with its queries and a description that says what to do.
//! [`grafana`] lays them out and writes Grafana's JSON; [`files()`] says which files there are. Nothing here talks to a server.

pub mod dashboards;
pub mod files;
pub mod grafana;
pub mod model;
pub mod promql;

pub use files::files;
