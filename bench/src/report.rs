//! What a part found: figures, tables and charts, kept as JSON and shown as Markdown.

mod chart;
mod figure;
mod page;
mod table;

pub use chart::{Bars, Chart, Lines};
pub use figure::{Figure, Goal, median, ratios};
pub use page::write;
pub use table::Table;

use serde::{Deserialize, Serialize};

/// All that a part found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// What was compared, and how.
    pub method: String,
    /// What has to be said beside the figures.
    pub notes: Vec<String>,
    /// Single figures.
    pub figures: Vec<Figure>,
    /// Figures of contenders, side by side.
    pub tables: Vec<Table>,
    /// The same to look at.
    pub charts: Vec<Chart>,
}
