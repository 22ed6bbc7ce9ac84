//! What a dashboard is made of.

/// A dashboard.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// The file name without `-dashboard.json`.
    pub name: &'static str,
    /// The last part of its address in Grafana: `/d/<uid>`.
    pub uid: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Whom it helps with what.
    pub description: &'static str,
    /// Variables besides the data source, the job and the instance, which all dashboards have.
    pub variables: Vec<Variable>,
    /// Links besides the one to the other dashboards.
    pub links: Vec<Link>,
    /// The panels, from top to bottom.
    pub rows: Vec<Row>,
    /// Rules of Grafana's dashboard linter that it breaks on purpose.
    pub exceptions: Vec<Exception>,
}

/// A variable of a dashboard.
#[derive(Debug, Clone)]
pub struct Variable {
    /// What `$…` refers to it.
    pub name: &'static str,
    /// What people see.
    pub label: &'static str,
    /// Where its values come from.
    pub values: Values,
}

/// Where the values of a variable come from.
#[derive(Debug, Clone)]
pub enum Values {
    /// A query such as `label_values(metric, label)`; `is_multiple` lets people choose several, or all.
    Query {
        /// The query.
        query: String,
        /// Whether several may be chosen.
        is_multiple: bool,
    },
    /// Whatever people type; this to begin with.
    Typed(&'static str),
}

/// A link in the head of a dashboard.
#[derive(Debug, Clone)]
pub struct Link {
    /// What people read.
    pub title: &'static str,
    /// What is there.
    pub tooltip: &'static str,
    /// Where it leads; may use variables.
    pub url: &'static str,
}

/// A heading with its panels, which flow from left to right.
#[derive(Debug, Clone)]
pub struct Row {
    /// The heading.
    pub title: &'static str,
    /// What is below it.
    pub panels: Vec<Panel>,
}

/// A rule of Grafana's dashboard linter that is broken on purpose.
#[derive(Debug, Clone)]
pub struct Exception {
    /// The name of the rule.
    pub rule: &'static str,
    /// The panels it is broken by; all of them when empty.
    pub panels: Vec<&'static str>,
    /// Why.
    pub reason: &'static str,
}

/// A panel. Made by [`stat`], [`gauge`], [`lines`], [`stacked`] or [`table`], then completed by its methods.
#[derive(Debug, Clone)]
pub struct Panel {
    /// The title.
    pub title: &'static str,
    /// What it shows, and what to do when it looks bad.
    pub description: &'static str,
    /// How it looks.
    pub view: View,
    /// The unit of its values.
    pub unit: Unit,
    /// Columns of 24.
    pub width: u64,
    /// Its queries.
    pub queries: Vec<Query>,
    /// From where on values are bad.
    pub levels: Levels,
    /// What is shown instead of nothing.
    pub when_empty: Option<&'static str>,
}

/// A query of a panel.
#[derive(Debug, Clone)]
pub struct Query {
    /// `PromQL`.
    pub expr: String,
    /// The name of its series.
    pub legend: &'static str,
}

/// How a panel looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A number.
    Stat,
    /// A number on a scale from 0 to 1.
    Gauge,
    /// Lines over time.
    Lines,
    /// Areas over time, on top of each other.
    Stacked,
    /// The newest values as rows.
    Table,
}

/// The unit of a panel's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Count,
    /// A number of things a second.
    PerSecond,
    /// A number of things a minute.
    PerMinute,
    /// A share, 1 being all.
    Share,
    /// A time span in seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A factor, such as a burn rate.
    Factor,
}

/// From where on values are bad.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Levels {
    /// There is no bad.
    None,
    /// Above the first a warning, above the second critical.
    Above(f64, f64),
    /// Below the first a warning, below the second critical.
    Below(f64, f64),
}

/// A row.
pub const fn row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, panels }
}

/// The newest value as a number, an eighth of the width.
pub const fn stat(title: &'static str, description: &'static str) -> Panel {
    Panel::new(View::Stat, 4, title, description)
}

/// The newest value on a scale from 0 to 1.
pub const fn gauge(title: &'static str, description: &'static str) -> Panel {
    Panel::new(View::Gauge, 4, title, description).unit(Unit::Share)
}

/// Lines over time.
pub const fn lines(title: &'static str, description: &'static str) -> Panel {
    Panel::new(View::Lines, 8, title, description)
}

/// Areas over time that add up.
pub const fn stacked(title: &'static str, description: &'static str) -> Panel {
    Panel::new(View::Stacked, 8, title, description)
}

/// The newest values as rows.
pub const fn table(title: &'static str, description: &'static str) -> Panel {
    Panel::new(View::Table, 8, title, description)
}

impl Panel {
    const fn new(view: View, width: u64, title: &'static str, description: &'static str) -> Self {
        Self {
            title,
            description,
            view,
            unit: Unit::Count,
            width,
            queries: Vec::new(),
            levels: Levels::None,
            when_empty: None,
        }
    }

    /// With this unit.
    #[must_use]
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// This many of 24 columns wide.
    #[must_use]
    pub const fn width(mut self, columns: u64) -> Self {
        self.width = columns;
        self
    }

    /// With one more query.
    #[must_use]
    pub fn query(mut self, expr: impl Into<String>, legend: &'static str) -> Self {
        self.queries.push(Query {
            expr: expr.into(),
            legend,
        });
        self
    }

    /// Values above these are a warning, and critical.
    #[must_use]
    pub const fn bad_above(mut self, warning: f64, critical: f64) -> Self {
        self.levels = Levels::Above(warning, critical);
        self
    }

    /// Values below these are a warning, and critical.
    #[must_use]
    pub const fn bad_below(mut self, warning: f64, critical: f64) -> Self {
        self.levels = Levels::Below(warning, critical);
        self
    }

    /// What to show when there is nothing, for example no traffic.
    #[must_use]
    pub const fn when_empty(mut self, text: &'static str) -> Self {
        self.when_empty = Some(text);
        self
    }
}
