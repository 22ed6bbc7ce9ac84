//! Whether a Prometheus sees the servers, has the rules, and knows whom to tell.

use std::collections::BTreeMap;

use grantex_core::clock::Clock;
use serde_json::Value;
use url::Url;

use super::findings::Findings;
use super::services::{Services, items, quote, text};
use crate::cli::DoctorOptions;
use crate::error::Failure;

/// The rules that are shipped.
const RULES: [&str; 7] = [
    include_str!("../../../../../deploy/prometheus/rules/availability.yml"),
    include_str!("../../../../../deploy/prometheus/rules/database.yml"),
    include_str!("../../../../../deploy/prometheus/rules/grantex.yml"),
    include_str!("../../../../../deploy/prometheus/rules/security.yml"),
    include_str!("../../../../../deploy/prometheus/rules/slo.yml"),
    include_str!("../../../../../deploy/prometheus/rules/thresholds.yml"),
    include_str!("../../../../../deploy/prometheus/rules/webhooks.yml"),
];

/// Always fires, to show that alerting works.
const WATCHDOG: &str = "GrantexWatchdog";

/// Looks at the Prometheus that is named.
pub async fn look(
    services: &Services,
    options: &DoctorOptions,
    clock: &dyn Clock,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let Some(base) = &options.prometheus else { return Ok(()) };
    let targets = match services.json(base, "/api/v1/targets", &[("state", "active")]).await {
        Ok(targets) => targets,
        Err(why) => {
            return findings.failed(
                "prometheus",
                format!("cannot be asked: {why}"),
                "start it, check the address, and give a token by --bearer-token-file if it wants one",
            );
        }
    };
    self::targets(&targets, &options.job, findings)?;
    services
        .clock(base, "/-/healthy", "Prometheus", clock, findings)
        .await?;
    rules(services, base, findings).await?;
    receivers(services, base, findings).await
}

fn targets(targets: &Value, job: &str, findings: &mut Findings) -> Result<(), Failure> {
    let ours: Vec<&Value> = items(targets, "/data/activeTargets")
        .iter()
        .filter(|target| text(target, "/labels/job") == job)
        .collect();
    if ours.is_empty() {
        return findings.failed(
            "targets",
            format!("Prometheus has no target of the job {job}"),
            "add the server to its scrape_configs under the name grantex, which the rules expect (docs/monitoring.md#prometheus)",
        );
    }
    let mut up = 0;
    for target in &ours {
        let instance = text(target, "/labels/instance");
        match text(target, "/health") {
            "up" => up += 1,
            "down" => {
                let error = text(target, "/lastError");
                let what = format!("{instance} is down: {}", quote(error));
                findings.failed("targets", what, why_down(error))?;
            }
            _ => findings.warning(
                "targets",
                format!("{instance} has not been scraped yet"),
                "ask again after the scrape interval",
            )?,
        }
    }
    match up {
        0 => Ok(()),
        _ => findings.ok("targets", format!("{up} of {} are up", ours.len())),
    }
}

fn why_down(error: &str) -> &'static str {
    if error.contains("401") || error.contains("403") {
        "give Prometheus the METRICS_API_KEY of the server as authorization.credentials_file"
    } else if error.contains("429") {
        "scrape every 15 s or less often, or raise RATE_LIMIT_METRICS_PER_MINUTE"
    } else if error.contains("404") {
        "set METRICS_ENABLED=true, and check metrics_path"
    } else {
        "start the server, and let Prometheus reach its port (docs/runbooks/GrantexHealthCheckFailing.md)"
    }
}

/// The names of the alerts that are shipped.
fn shipped() -> impl Iterator<Item = &'static str> {
    RULES
        .iter()
        .flat_map(|file| file.lines())
        .filter_map(|line| line.trim_start().strip_prefix("- alert: "))
        .map(str::trim)
}

async fn rules(services: &Services, base: &Url, findings: &mut Findings) -> Result<(), Failure> {
    let loaded = match services.json(base, "/api/v1/rules", &[("type", "alert")]).await {
        Ok(loaded) => loaded,
        Err(why) => return findings.failed("rules", format!("cannot be asked for: {why}"), "see Prometheus's log"),
    };
    // By name: whether one of the rules of this name is there, whether one fires.
    let mut known: BTreeMap<&str, (bool, bool)> = shipped().map(|name| (name, (false, false))).collect();
    let rules = items(&loaded, "/data/groups")
        .iter()
        .flat_map(|group| items(group, "/rules"));
    for rule in rules {
        let name = text(rule, "/name");
        let Some((is_loaded, fires)) = known.get_mut(name) else {
            continue;
        };
        *is_loaded = true;
        *fires |= text(rule, "/state") == "firing";
        if text(rule, "/health") == "err" {
            findings.failed(
                "rules",
                format!("{name} cannot be evaluated: {}", quote(text(rule, "/lastError"))),
                "use the rules of this version of the server (deploy/prometheus/rules)",
            )?;
        }
    }
    let missing: Vec<&str> = known
        .iter()
        .filter(|(_, (is_loaded, _))| !is_loaded)
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        findings.ok("rules", format!("all {} alerts are loaded", known.len()))?;
    } else {
        findings.failed(
            "rules",
            format!(
                "{} of {} alerts are not loaded: {}",
                missing.len(),
                known.len(),
                missing.join(" ")
            ),
            "name deploy/prometheus/rules/*.yml in rule_files, and reload Prometheus",
        )?;
    }
    let firing: Vec<&str> = known
        .iter()
        .filter(|(name, (_, fires))| *fires && **name != WATCHDOG)
        .map(|(name, _)| *name)
        .collect();
    match firing.is_empty() {
        true => findings.ok("alerts", "none fires"),
        false => findings.warning(
            "alerts",
            format!("these fire: {}", firing.join(" ")),
            "each has a page in docs/runbooks",
        ),
    }
}

async fn receivers(services: &Services, base: &Url, findings: &mut Findings) -> Result<(), Failure> {
    let told = match services.json(base, "/api/v1/alertmanagers", &[]).await {
        Ok(told) => told,
        Err(why) => {
            return findings.failed(
                "alerting",
                format!("cannot be asked for: {why}"),
                "see Prometheus's log",
            );
        }
    };
    match items(&told, "/data/activeAlertmanagers").len() {
        0 => findings.failed(
            "alerting",
            "Prometheus knows no Alertmanager",
            "name one under alerting.alertmanagers; alerts reach nobody otherwise",
        ),
        count => findings.ok("alerting", format!("Prometheus tells {count} Alertmanager")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_rule_file_is_known() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/prometheus/rules");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        files.sort();
        let mut known = RULES.map(str::to_owned).to_vec();
        known.sort();
        assert_eq!(known, files);
        assert!(shipped().any(|name| name == WATCHDOG));
        assert!(shipped().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric())));
    }
}
