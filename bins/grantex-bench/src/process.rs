//! CPU time and memory of processes, from `/proc`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::BenchError;

/// The unit of CPU time in `/proc/PID/stat`: Linux shows user space hundredths of a second whatever the kernel counts in.
const TICKS_PER_SECOND: u64 = 100;

/// One process's line of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time of all its threads.
    own: u64,
    /// The same of children that ended and were waited for.
    reaped: u64,
}

/// CPU time of one process, its children not included.
pub fn cpu_time(pid: u32) -> Result<Duration, BenchError> {
    Ok(ticks(stat(pid)?.own))
}

/// CPU time of the generator itself.
pub fn own_cpu_time() -> Result<Duration, BenchError> {
    cpu_time(std::process::id())
}

/// CPU time of a process and all its descendants, those that ended included.
pub fn tree_cpu_time(root: u32) -> Result<Duration, BenchError> {
    stat(root)?;
    let failed = |source| BenchError::Process { pid: root, source };
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end between the listing and the reading; its parent then has its time.
        if let Ok(stat) = stat(pid) {
            all.insert(pid, stat);
        }
    }
    Ok(ticks(tree_ticks(root, &all)))
}

fn tree_ticks(root: u32, all: &BTreeMap<u32, Stat>) -> u64 {
    let mut total = 0;
    let mut waiting = vec![root];
    let mut left = all.clone();
    while let Some(pid) = waiting.pop() {
        let Some(stat) = left.remove(&pid) else { continue };
        total += stat.own + stat.reaped;
        waiting.extend(
            all.iter()
                .filter(|(_, child)| child.parent == pid)
                .map(|(child, _)| *child),
        );
    }
    total
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 1_000 / TICKS_PER_SECOND)
}

fn stat(pid: u32) -> Result<Stat, BenchError> {
    let path = format!("/proc/{pid}/stat");
    let line = std::fs::read_to_string(&path).map_err(|source| BenchError::Process { pid, source })?;
    parse_stat(&line).ok_or(BenchError::ProcFormat { path })
}

fn parse_stat(line: &str) -> Option<Stat> {
    // The name in parentheses may itself hold spaces and parentheses.
    let (_, after_name) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // proc(5) numbers fields from 1 and the state after the name is 3.
    Some(Stat {
        parent: u32::try_from(number(4 - 3)?).ok()?,
        own: number(14 - 3)? + number(15 - 3)?,
        reaped: number(16 - 3)? + number(17 - 3)?,
    })
}

/// Resident memory of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub resident_kib: u64,
    /// The most there ever was.
    pub peak_kib: u64,
}

/// What `/proc/PID/status` says about memory.
pub fn memory(pid: u32) -> Result<Memory, BenchError> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).map_err(|source| BenchError::Process { pid, source })?;
    parse_memory(&text).ok_or(BenchError::ProcFormat { path })
}

fn parse_memory(text: &str) -> Option<Memory> {
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    Some(Memory {
        resident_kib: kib("VmRSS:")?,
        peak_kib: kib("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_a_hostile_name() {
        let line = "42 (a) b) c) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 5 0 1000 0 0";
        assert_eq!(
            parse_stat(line),
            Some(Stat {
                parent: 7,
                own: 33,
                reaped: 77
            })
        );
        assert_eq!(parse_stat("42 (x) S 7"), None);
    }

    #[test]
    fn a_tree_adds_descendants_and_nobody_else() {
        let stat = |parent, own| Stat { parent, own, reaped: 1 };
        let all = BTreeMap::from([
            (1, stat(0, 500)),
            (10, stat(1, 5)),
            (11, stat(10, 7)),
            (12, stat(11, 9)),
            (20, stat(1, 99)),
        ]);
        assert_eq!(tree_ticks(10, &all), 5 + 7 + 9 + 3);
        assert_eq!(tree_ticks(77, &all), 0);
    }

    #[test]
    fn memory_is_read_in_kib() {
        let text = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n";
        assert_eq!(
            parse_memory(text),
            Some(Memory {
                resident_kib: 1024,
                peak_kib: 2048
            })
        );
        assert_eq!(parse_memory("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_can_be_measured() {
        let pid = std::process::id();
        assert!(memory(pid).unwrap().resident_kib > 0);
        // This order, because the process goes on using time between the two looks.
        let own = cpu_time(pid).unwrap();
        assert!(tree_cpu_time(pid).unwrap() >= own);
    }
}
