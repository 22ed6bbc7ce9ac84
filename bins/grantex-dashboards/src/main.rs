//! Writes `deploy/grafana` anew; the first argument names another directory.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("deploy/grafana"), PathBuf::from);
    if directory.as_os_str().as_encoded_bytes().starts_with(b"-") {
        eprintln!("usage: grantex-dashboards [DIRECTORY]");
        return ExitCode::from(2);
    }
    match write_all(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("grantex-dashboards: {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn write_all(directory: &Path) -> io::Result<()> {
    for file in grantex_dashboards::files() {
        let path = directory.join(file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, file.text)?;
    }
    Ok(())
}
