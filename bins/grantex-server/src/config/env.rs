//! Reading the environment: injected, so that tests bring their own; every problem is kept, so that all are told at once.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use grantex_core::clock::Lifetime;
use grantex_core::secret::Secret;

/// A variable: what is documented of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    /// Name.
    pub name: &'static str,
    /// The default, as documented.
    pub default: &'static str,
    /// What it sets.
    pub about: &'static str,
    /// Whether its value must not be shown; then `NAME_FILE` may name a file that holds it.
    pub is_secret: bool,
}

impl Variable {
    /// A variable whose value may be shown.
    pub const fn new(name: &'static str, default: &'static str, about: &'static str) -> Self {
        Self {
            name,
            default,
            about,
            is_secret: false,
        }
    }

    /// A variable whose value is never shown.
    pub const fn secret(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            default: "",
            about,
            is_secret: true,
        }
    }
}

/// Something that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub name: String,
    /// What is wrong with it; never holds a secret.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.what)
    }
}

type ReadFile = Box<dyn Fn(&Path) -> std::io::Result<String>>;

/// The environment that a configuration is read from.
pub struct Env {
    variables: BTreeMap<String, String>,
    read_file: ReadFile,
    problems: Vec<Problem>,
    asked: Vec<&'static str>,
}

impl Env {
    /// The process's environment. Values that are not UTF-8 are taken for absent, except that they are a problem when asked for.
    pub fn of_process() -> Self {
        let mut problems = Vec::new();
        let mut variables = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(variables.insert(name, value)),
                Err(_) if super::is_known(&name) => problems.push(Problem {
                    name,
                    what: "is not UTF-8".to_owned(),
                }),
                Err(_) => {}
            }
        }
        Self {
            variables,
            read_file: Box::new(|path| std::fs::read_to_string(path)),
            problems,
            asked: Vec::new(),
        }
    }

    /// An environment of these variables and files.
    #[cfg(test)]
    pub fn of(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let files: BTreeMap<String, String> = own(files);
        let read_file = move |path: &Path| {
            files
                .get(&path.display().to_string())
                .cloned()
                .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
        };
        Self {
            variables: own(variables),
            read_file: Box::new(read_file),
            problems: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// The value, trimmed; an empty value counts as absent.
    pub fn text(&mut self, variable: &'static Variable) -> Option<String> {
        self.asked.push(variable.name);
        self.variables
            .get(variable.name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    /// The value of a secret, from the variable itself or from the file that `NAME_FILE` names.
    pub fn secret(&mut self, variable: &'static Variable) -> Option<Secret<String>> {
        let direct = self.text(variable);
        let file_name = format!("{}_FILE", variable.name);
        let path = self
            .variables
            .get(&file_name)
            .filter(|path| !path.trim().is_empty())
            .cloned();
        match (direct, path) {
            (Some(_), Some(_)) => {
                self.problem(
                    &file_name,
                    format!("is set together with {}; set one of them", variable.name),
                );
                None
            }
            (Some(value), None) => Some(Secret::new(value)),
            (None, Some(path)) => match (self.read_file)(Path::new(path.trim())) {
                Ok(content) if content.trim().is_empty() => {
                    self.problem(&file_name, "names an empty file");
                    None
                }
                Ok(content) => Some(Secret::new(content.trim().to_owned())),
                Err(error) => {
                    self.problem(&file_name, format!("cannot be read: {}", error.kind()));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// The value as `parse` reads it, or `default` when it is absent or a problem.
    pub fn parsed<T>(
        &mut self,
        variable: &'static Variable,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let Some(text) = self.text(variable) else {
            return default;
        };
        match parse(&text) {
            Ok(value) => value,
            Err(what) if variable.is_secret => {
                self.problem(variable.name, what);
                default
            }
            Err(what) => {
                self.problem(variable.name, format!("{what}, not {text:?}"));
                default
            }
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, variable: &'static Variable, default: bool) -> bool {
        self.parsed(variable, default, |text| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        })
    }

    /// A span like `30s`, `15m`, `24h` or `7d`.
    pub fn lifetime(&mut self, variable: &'static Variable, default: Lifetime) -> Lifetime {
        self.parsed(variable, default, |text| {
            Lifetime::parse(text).ok_or_else(|| "must be a span like 30s, 15m, 24h or 7d".to_owned())
        })
    }

    /// A span, for timers.
    pub fn duration(&mut self, variable: &'static Variable, default: Duration) -> Duration {
        let millis = i64::try_from(default.as_millis()).unwrap_or(i64::MAX);
        let lifetime = self.lifetime(variable, Lifetime::millis(millis));
        Duration::from_millis(u64::try_from(lifetime.as_millis()).unwrap_or(0))
    }

    /// A whole number in a range.
    pub fn number(&mut self, variable: &'static Variable, default: u32, range: std::ops::RangeInclusive<u32>) -> u32 {
        self.parsed(variable, default, |text| {
            text.parse()
                .ok()
                .filter(|number| range.contains(number))
                .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// A whole number from 1.
    pub fn positive(&mut self, variable: &'static Variable, default: NonZeroU32) -> NonZeroU32 {
        self.parsed(variable, default, |text| {
            text.parse().map_err(|_| "must be a whole number from 1".to_owned())
        })
    }

    /// Notes a problem.
    pub fn problem(&mut self, name: &str, what: impl Into<String>) {
        self.problems.push(Problem {
            name: name.to_owned(),
            what: what.into(),
        });
    }

    /// Every problem so far.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The names that were asked for.
    #[cfg(test)]
    pub fn asked(&self) -> &[&'static str] {
        &self.asked
    }
}
