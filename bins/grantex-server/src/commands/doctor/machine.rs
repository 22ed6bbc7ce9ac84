//! The machine: room for the embedded store.

use std::path::Path;

use crate::config::{Config, DatabaseUrl};
use crate::error::Failure;

use super::findings::Findings;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Looks at the file system of the embedded store.
pub fn look(config: &Config, findings: &mut Findings) -> Result<(), Failure> {
    let path = match &config.database.url {
        DatabaseUrl::Sqlite(path) => path,
        DatabaseUrl::Postgres(_) => {
            return findings.ok(
                "disk",
                "nothing is kept here; watch the disk of the database where it is",
            );
        }
    };
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !directory.exists() {
        let shown = directory.display();
        return findings.ok("disk", format!("{shown} does not exist yet; the first start makes it"));
    }
    let stat = match rustix::fs::statvfs(directory) {
        Ok(stat) => stat,
        Err(error) => {
            let what = format!("the file system of {} cannot be asked: {error}", directory.display());
            return findings.failed(
                "disk",
                what,
                "mount it, and let the server's account enter the directory",
            );
        }
    };
    let room = Room {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
    };
    let what = format!(
        "{} of {} are free at {}",
        size(room.free),
        size(room.total),
        directory.display()
    );
    let advice = "make room or enlarge it; a full disk stops every write (JANITOR_KEEP_* says what is kept how long)";
    match room.state() {
        State::Enough => findings.ok("disk", what),
        State::Little => findings.warning("disk", what, advice),
        State::None => findings.failed("disk", what, advice),
    }?;
    write_ahead_log(path, findings)
}

/// It is bounded in ordinary work; a long reader or a copy tool can keep it from being written back.
fn write_ahead_log(database: &Path, findings: &mut Findings) -> Result<(), Failure> {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    match std::fs::metadata(&name) {
        Ok(wal) if wal.len() > GIB => findings.warning(
            "disk",
            format!("the write-ahead log of the embedded store takes {}", size(wal.len())),
            "end programs that hold the database open for long (backups, shells); it is written back then",
        ),
        Ok(_) | Err(_) => Ok(()),
    }
}

struct Room {
    free: u64,
    total: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Enough,
    Little,
    None,
}

impl Room {
    fn state(&self) -> State {
        let below = |part: u64, bytes: u64| self.free < bytes && self.free < self.total / part;
        if self.free < 64 * MIB || below(50, GIB) {
            State::None
        } else if self.free < 512 * MIB || below(10, 10 * GIB) {
            State::Little
        } else {
            State::Enough
        }
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    match bytes {
        GIB.. => format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
        _ => format!("{} MiB", bytes / MIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_failure_and_a_nearly_full_one_a_warning() {
        for (free, total, state) in [
            (500 * GIB, 1000 * GIB, State::Enough),
            // Much in bytes, though little of a large disk.
            (20 * GIB, 1000 * GIB, State::Enough),
            (9 * GIB, 1000 * GIB, State::Little),
            (9 * GIB, 20 * GIB, State::Enough),
            (511 * MIB, GIB, State::Little),
            (600 * MIB, 100 * GIB, State::None),
            (63 * MIB, 100 * MIB, State::None),
            (0, 0, State::None),
        ] {
            assert_eq!(Room { free, total }.state(), state, "{} of {}", size(free), size(total));
        }
    }

    #[test]
    fn sizes_are_told_for_people() {
        assert_eq!(size(63 * MIB), "63 MiB");
        assert_eq!(size(GIB + GIB / 2), "1.5 GiB");
    }
}
