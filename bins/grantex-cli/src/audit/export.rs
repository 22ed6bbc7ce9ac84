//! `audit export`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::pages::Pages;
use crate::cli::Export;
use crate::client::Client;
use crate::error::Failure;
use crate::input;
use crate::output::Output;

/// Writes the entries as JSON lines.
pub async fn export(client: &Client, options: &Export, output: &Output) -> Result<(), Failure> {
    let Some(path) = &options.output else {
        let mut out = BufWriter::new(io::stdout().lock());
        write(client, options, &mut out).await?;
        return out.flush().map_err(Failure::writing);
    };
    let mut file = Unfinished::new(input::named(path)?)?;
    let count = write(client, options, &mut file.writer).await?;
    file.finish(path)?;
    match output.is_json() {
        true => output.json(&json!({"entries": count})),
        false => {
            output.note(&format!("{count} entries written to {}", path.display()));
            Ok(())
        }
    }
}

async fn write(client: &Client, options: &Export, out: &mut impl Write) -> Result<u64, Failure> {
    let mut count = 0;
    for chain in options.chain.each() {
        let mut pages = Pages::new(client, *chain, options.since, options.until);
        while let Some(entries) = pages.next().await? {
            for entry in entries {
                writeln!(out, "{entry}").map_err(Failure::writing)?;
                count += 1;
            }
        }
    }
    Ok(count)
}

/// A file under a name of its own until it is complete, so that half an export never passes for one.
struct Unfinished {
    path: PathBuf,
    writer: BufWriter<File>,
    is_finished: bool,
}

impl Unfinished {
    fn new(target: &Path) -> Result<Self, Failure> {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = PathBuf::from(name);
        // Who did what for whom is for nobody else to read.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Failure::Usage(format!("{} cannot be made: {error}", path.display())))?;
        Ok(Self {
            path,
            writer: BufWriter::new(file),
            is_finished: false,
        })
    }

    fn finish(mut self, target: &Path) -> Result<(), Failure> {
        self.writer.flush().map_err(Failure::of("writing the export"))?;
        self.writer
            .get_ref()
            .sync_all()
            .map_err(Failure::of("writing the export"))?;
        fs::rename(&self.path, target).map_err(Failure::of("naming the export"))?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // What is left of a failed export is worth nothing, and its failure is told.
            let _ = fs::remove_file(&self.path);
        }
    }
}
