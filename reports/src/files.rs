//! The files of a run. Each is written under a temporary name; when all are complete they are renamed into place, so that no reader ever
//! sees half a file and a failure leaves the old ones alone.

mod rows;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use reconverge_simulator::row::TrialResult;
use serde::Serialize;
use thiserror::Error;

use crate::comparison::Comparison;
use crate::figures::figures;
use crate::page::page;
use crate::run::{EpisodeRow, RunInfo};
use crate::table;
use crate::verdict::verdict;

/// Why the files of a run could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The name of the scenario cannot be that of a folder.
    #[error("`{0}` cannot name a folder: letters, digits, `-` and `_` can")]
    Name(String),
    /// The system refused.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes all files of a run: [`Comparison::new`] and then [`write_comparison`], for callers that show nothing besides.
pub fn write_run(
    out_dir: &Path,
    info: &RunInfo,
    results: &[TrialResult],
    episode: &[EpisodeRow],
    broken_budgets: &[String],
) -> Result<PathBuf, WriteError> {
    write_comparison(out_dir, &Comparison::new(info, results), episode, broken_budgets)
}

/// Writes all files of a run into the folder `<scenario name>` under `out_dir`, which may exist and hold other files; only those of this
/// run are replaced. Returns that folder.
///
/// All of them but `timing.csv` have the same bytes for the same run, whatever the order of its results. `broken_budgets` are the words
/// of [`crate::check_budgets`].
pub fn write_comparison(
    out_dir: &Path,
    comparison: &Comparison,
    episode: &[EpisodeRow],
    broken_budgets: &[String],
) -> Result<PathBuf, WriteError> {
    let info = comparison.info;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if info.scenario_name.is_empty() || !info.scenario_name.chars().all(allowed) {
        return Err(WriteError::Name(info.scenario_name.clone()));
    }
    let folder = out_dir.join(&info.scenario_name);
    let mut files = Files { folder: &folder, written: Vec::new() };
    files.write("trials.csv", |out| rows::trials(comparison, out))?;
    files.write("latency.csv", |out| rows::latency(comparison, out))?;
    files.write("timeline.csv", |out| rows::timeline(comparison, out))?;
    files.write("episode.csv", |out| rows::episode(episode, out))?;
    files.write("timing.csv", |out| rows::timing(comparison, out))?;
    files.write_text("summary.csv", &table::csv(comparison))?;
    files.write_text("summary.md", &summary_md(comparison, broken_budgets))?;
    for cell in &comparison.cells {
        for figure in figures(comparison, cell) {
            files.write_text(&format!("figures/{}.svg", figure.file_stem), &figure.svg)?;
        }
    }
    files.write_text("report.html", &page(comparison, episode, broken_budgets))?;
    // Last, so that a manifest vouches for everything beside it.
    files.write_text("manifest.json", &manifest(info))?;
    files.publish()?;
    Ok(folder)
}

/// Files that are complete but still under temporary names. Dropped before [`Files::publish`], it removes them.
struct Files<'a> {
    folder: &'a Path,
    written: Vec<(PathBuf, PathBuf)>,
}

impl Files<'_> {
    fn write(
        &mut self,
        name: &str,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        let path = self.folder.join(name);
        let file_name = path.file_name().expect("every file has a name").to_string_lossy();
        // The process id keeps two runs into one folder apart; it is gone with the rename.
        let temporary = path.with_file_name(format!(".{file_name}.{}.tmp", std::process::id()));
        let fail = |source| WriteError::Io { path: path.clone(), source };
        fs::create_dir_all(path.parent().expect("every file is in a folder")).map_err(fail)?;
        let mut out =
            BufWriter::with_capacity(1 << 16, fs::File::create(&temporary).map_err(fail)?);
        self.written.push((temporary, path.clone()));
        content(&mut out).and_then(|()| out.flush()).map_err(fail)
    }

    fn write_text(&mut self, name: &str, text: &str) -> Result<(), WriteError> {
        self.write(name, |out| out.write_all(text.as_bytes()))
    }

    fn publish(mut self) -> Result<(), WriteError> {
        while !self.written.is_empty() {
            let (temporary, path) = &self.written[0];
            fs::rename(temporary, path)
                .map_err(|source| WriteError::Io { path: path.clone(), source })?;
            self.written.remove(0);
        }
        Ok(())
    }
}

impl Drop for Files<'_> {
    fn drop(&mut self) {
        for (temporary, _) in &self.written {
            // Already on the way out with an error that matters more.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// The outcome in words and the table, with the command that makes them again.
fn summary_md(comparison: &Comparison, broken_budgets: &[String]) -> String {
    let mut text = format!("# {}\n\n", comparison.info.scenario_name);
    for paragraph in
        comparison.info.analysis.trim().split("\n\n").filter(|paragraph| !paragraph.is_empty())
    {
        text += &format!("{}\n\n", table::one_line(paragraph));
    }
    for cell in &comparison.cells {
        if comparison.is_sweep() {
            text += &format!("Cell {}:\n\n", table::one_line(cell.name));
        }
        for sentence in verdict(cell) {
            text += &format!("- {sentence}\n");
        }
        text.push('\n');
    }
    text += &table::markdown(comparison, broken_budgets);
    text += &format!("\n```sh\n{}\n```\n\n", comparison.info.command());
    for (header, meaning) in table::COLUMNS {
        text += &format!("- **{header}**: {meaning}\n");
    }
    text += "\nMeans and percentiles are over all seeds; percentiles come from merged histograms. `summary.csv` has every figure with \
             its interval and its difference from the baseline.\n";
    text
}

/// Everything needed to repeat the run.
fn manifest(info: &RunInfo) -> String {
    #[derive(Serialize)]
    struct Manifest<'a> {
        schema_version: u64,
        reconverge: &'a str,
        command: String,
        scenario: Scenario<'a>,
        overrides: &'a [String],
        strategies: &'a [String],
        baseline: &'a str,
        seeds: Seeds,
    }
    #[derive(Serialize)]
    struct Scenario<'a> {
        name: &'a str,
        digest: String,
        toml: &'a str,
    }
    #[derive(Serialize)]
    struct Seeds {
        from: u64,
        until: u64,
    }
    let manifest = Manifest {
        schema_version: 1,
        reconverge: &info.version,
        command: info.command(),
        scenario: Scenario {
            name: &info.scenario_name,
            digest: format!("{:032x}", info.scenario_digest()),
            toml: &info.scenario_toml,
        },
        overrides: &info.overrides,
        strategies: &info.strategies,
        baseline: &info.baseline,
        seeds: Seeds { from: info.seeds.start, until: info.seeds.end },
    };
    serde_json::to_string_pretty(&manifest).expect("texts and numbers are JSON") + "\n"
}
