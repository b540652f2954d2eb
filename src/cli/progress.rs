//! Renders the event stream for a person: bars on a terminal, plain lines otherwise, always on standard error.

use std::{
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{complain, counted, human_bytes};
use crate::observe::{Event, Observer};

/// The command line's observer. Remembers warnings for the exit code and for `--json`.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Plain lines instead of a bar.
    lines: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    warnings: Vec<String>,
    phase: &'static str,
    rows: u64,
    /// Objects uploaded or fetched in this phase, and their bytes.
    moved: u64,
    moved_bytes: u64,
    checked_bytes: u64,
}

impl Progress {
    pub(super) fn new(quiet: bool, json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal && !quiet {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_bar} {pos}/{len} {msg} {elapsed}")
            {
                bar.set_style(style);
            }
            bar
        } else {
            ProgressBar::hidden()
        };
        Self { bar, lines: !terminal && !quiet && !json, state: Mutex::default() }
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.state().warnings.clone()
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| complain(&format!("{text}\n")));
    }

    /// A line that only appears where there is no bar.
    fn plain(&self, text: &str) {
        if self.lines {
            self.line(text);
        }
    }
}

impl Observer for Progress {
    fn event(&self, event: Event) {
        match event {
            Event::Phase { name, total } => {
                {
                    let mut state = self.state();
                    state.phase = name;
                    (state.moved, state.moved_bytes) = (0, 0);
                }
                self.bar.set_position(0);
                self.bar.set_length(total.unwrap_or(0));
                self.bar.set_prefix(name);
                self.bar.set_message("");
                self.bar.enable_steady_tick(Duration::from_millis(120));
                self.plain(&match total {
                    Some(total) => format!("{name}: {total}"),
                    None => name.to_owned(),
                });
            }
            Event::TableStarted { table, .. } => self.bar.set_message(table),
            Event::Rows { table, rows } => {
                let total = {
                    let mut state = self.state();
                    state.rows += rows;
                    state.rows
                };
                self.bar.set_message(format!("{table}, {}", counted(total, "row")));
            }
            Event::TableDone { table, rows, chunks_new, bytes_new, .. } => {
                self.bar.inc(1);
                if chunks_new > 0 {
                    self.plain(&table_line(&table, rows, chunks_new, bytes_new));
                }
            }
            Event::Uploaded { bytes, .. } | Event::Fetched { bytes, .. } => {
                self.bar.inc(1);
                let mut state = self.state();
                state.moved += 1;
                state.moved_bytes += bytes;
            }
            Event::Left { objects, bytes } => {
                let (count, total) = {
                    let state = self.state();
                    (state.moved, state.moved_bytes)
                };
                let text = format!("{}, {} in {objects} left", human_bytes(total), human_bytes(bytes));
                self.bar.set_message(text.clone());
                if count > 0 && count % 100 == 0 {
                    self.plain(&format!("{}, {text}", counted(count, "object")));
                }
            }
            Event::Removed { name, .. } => {
                self.bar.inc(1);
                self.bar.set_message(name);
            }
            Event::SnapshotLoaded { snapshot } => {
                self.bar.inc(1);
                self.bar.set_message(format!("snapshot {snapshot}"));
            }
            Event::Checked { files, bytes } => {
                self.bar.inc(files);
                let total = {
                    let mut state = self.state();
                    state.checked_bytes += bytes;
                    state.checked_bytes
                };
                if total > 0 {
                    self.bar.set_message(human_bytes(total));
                }
            }
            Event::Warning { message } => {
                self.line(&format!("warning: {message}"));
                self.state().warnings.push(message);
            }
            Event::Note { message } => {
                if self.lines || !self.bar.is_hidden() {
                    self.line(&message);
                }
            }
        }
    }
}

/// What became of a table that has something new.
fn table_line(table: &impl std::fmt::Display, rows: u64, chunks_new: u64, bytes_new: u64) -> String {
    let (rows, chunks) = (counted(rows, "row"), counted(chunks_new, "new chunk"));
    format!("{table}: {rows}, {chunks}, {}", human_bytes(bytes_new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!(table_line(&"Orders", 1, 1, 900), "Orders: 1 row, 1 new chunk, 900 B");
        assert_eq!(table_line(&"Orders", 4096, 2, 2048), "Orders: 4,096 rows, 2 new chunks, 2.00 KiB");
    }
}
