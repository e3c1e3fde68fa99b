//! The progress line: what runs now and how long it still takes. On a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress line, or nothing.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// A line for `units` of work if `shown`.
    pub(crate) fn new(shown: bool, units: u64) -> Self {
        if !shown {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(Some(units), ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{bar:20} {percent:>3} %  {eta:>4} left  {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// Says what runs now.
    pub(crate) fn say(&self, what: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.to_owned());
        }
    }

    /// So much of the work is done.
    pub(crate) fn reach(&self, units: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(units);
        }
    }

    /// Prints while the line is out of the way.
    pub(crate) fn aside(&self, print: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
