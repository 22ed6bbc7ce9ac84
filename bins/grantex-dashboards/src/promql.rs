//! The queries that panels are made of.
//!
//! A series is written as its name, with matchers where it needs some: `metric` or `metric{status="failed"}`. The matchers that
//! choose server and instance are added here.

/// The matchers that every series gets.
pub const CHOSEN: &str = r#"job=~"$job",instance=~"$instance""#;

/// The series of the chosen servers.
pub fn series(selector: &str) -> String {
    selector.strip_suffix('}').and_then(|s| s.split_once('{')).map_or_else(
        || format!("{selector}{{{CHOSEN}}}"),
        |(name, matchers)| format!("{name}{{{CHOSEN},{matchers}}}"),
    )
}

/// How much a counter grows a second, over all instances.
pub fn rate(counter: &str) -> String {
    format!("sum(rate({}[$__rate_interval]))", series(counter))
}

/// The same for each value of these labels.
pub fn rate_by(labels: &str, counter: &str) -> String {
    format!("sum by ({labels}) (rate({}[$__rate_interval]))", series(counter))
}

/// By how much a counter has grown in the time that is shown.
pub fn growth(counter: &str) -> String {
    format!("sum(increase({}[$__range]))", series(counter))
}

/// A gauge, summed over all instances.
pub fn sum(gauge: &str) -> String {
    format!("sum({})", series(gauge))
}

/// The same for each value of these labels.
pub fn sum_by(labels: &str, gauge: &str) -> String {
    format!("sum by ({labels}) ({})", series(gauge))
}

/// The largest value of a gauge for each value of these labels: for gauges that every instance reads from the same store.
pub fn max_by(labels: &str, gauge: &str) -> String {
    format!("max by ({labels}) ({})", series(gauge))
}

/// The largest value of a gauge.
pub fn max(gauge: &str) -> String {
    format!("max({})", series(gauge))
}

/// A quantile of a histogram, over all instances.
pub fn quantile(q: f64, histogram: &str) -> String {
    quantile_by(q, "", histogram)
}

/// The same for each value of this label.
pub fn quantile_by(q: f64, label: &str, histogram: &str) -> String {
    let labels = if label.is_empty() {
        "le".to_owned()
    } else {
        format!("le, {label}")
    };
    let bucket = histogram.split_once('{').map_or_else(
        || format!("{histogram}_bucket"),
        |(name, rest)| format!("{name}_bucket{{{rest}"),
    );
    format!("histogram_quantile({q}, {})", rate_by(&labels, &bucket))
}

/// The part in the whole; nothing while there is no whole.
pub fn share(part: &str, whole: &str) -> String {
    format!("{part} / ({whole} > 0)")
}

/// Zero where there is nothing: for series that begin with their first event.
pub fn or_zero(expr: &str) -> String {
    format!("({expr} or vector(0))")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_servers_are_added_to_every_series() {
        assert_eq!(series("up"), r#"up{job=~"$job",instance=~"$instance"}"#);
        assert_eq!(
            series(r#"x{status="failed"}"#),
            r#"x{job=~"$job",instance=~"$instance",status="failed"}"#
        );
    }

    #[test]
    fn quantiles_add_buckets_up_before_they_are_taken() {
        assert_eq!(
            quantile_by(0.5, "job", r#"x_seconds{a="b"}"#),
            r#"histogram_quantile(0.5, sum by (le, job) (rate(x_seconds_bucket{job=~"$job",instance=~"$instance",a="b"}[$__rate_interval])))"#
        );
    }
}
