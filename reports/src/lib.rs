//! Statistics, tables, plots and pages from the rows of Reconverge. Reads rows and histograms; never runs a trial.
//!
//! The same results give the same bytes, whatever the order they arrive in and the machine they are read on.

mod budget;
mod comparison;
mod figures;
mod files;
pub mod human;
pub mod names;
mod page;
mod run;
pub mod stats;
mod summary;
mod table;
mod verdict;

pub use budget::{BudgetError, check_budgets, validate_budgets};
pub use comparison::{Cell, Comparison, Group};
pub use figures::{Figure, PriceCurve, figures, price_figure};
pub use files::{WriteError, write_comparison, write_run};
pub use page::page;
pub use run::{EpisodeRow, RunInfo, default_baseline};
pub use summary::{Difference, Estimate, HONEST_SEEDS, LEAST_SEEDS, Line, metrics};
pub use table::{Colour, csv, json, markdown, terminal};
pub use verdict::{broken_lines, verdict};
