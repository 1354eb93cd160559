//! What moves while something takes time: on a terminal only, and gone when it is over.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ui::Ui;

/// How often it is drawn, in times a second.
const DRAWN_PER_SECOND: u8 = 10;

/// One line at the end of what is printed. It is taken away when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Something that takes an unknown time.
    pub(crate) fn waiting(ui: &Ui) -> Self {
        Self::new(ui, None, "{spinner} {msg} {elapsed:.dim}")
    }

    /// So many bytes to be moved.
    pub(crate) fn of_bytes(ui: &Ui, bytes: u64) -> Self {
        Self::new(ui, Some(bytes), "{spinner} {msg} {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec}")
    }

    fn new(ui: &Ui, length: Option<u64>, template: &str) -> Self {
        let target = if ui.can_draw() {
            ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(length, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if ui.can_draw() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self(bar)
    }

    /// What is going on.
    pub(crate) fn message(&self, text: String) {
        self.0.set_message(text);
    }

    /// So many bytes more.
    pub(crate) fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Starts again from nothing.
    pub(crate) fn restart(&self) {
        self.0.set_position(0);
    }

    /// Does something that prints, above the line.
    pub(crate) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
