//! What the machine is, for the head of a report.

use serde::{Deserialize, Serialize};

/// The hardware and kernel.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
}

impl Machine {
    /// Reads `/proc`; what is not there is called unknown.
    pub fn read() -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let memory =
            field(&file("/proc/meminfo"), "MemTotal").and_then(|kib| kib.strip_suffix(" kB")?.parse::<u64>().ok());
        let kernel = file("/proc/sys/kernel/osrelease");
        Self {
            cpu: field(&file("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            cores,
            memory_mib: memory.unwrap_or(0) / 1024,
            kernel: if kernel.is_empty() {
                "unknown".to_owned()
            } else {
                kernel.trim().to_owned()
            },
        }
    }
}

/// The value of the first `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    let of_line = |line: &str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    text.lines().find_map(of_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 1\nmodel name\t: Fast CPU: 2\nMemTotal:  2048 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Fast CPU: 2"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("2048 kB"));
        assert_eq!(field(text, "absent"), None);
    }
}
