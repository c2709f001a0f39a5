//! How a push is seen while it runs: bars on a terminal, rate-limited lines in a job log.
//!
//! A job log gets no carriage returns and no timestamps (GitLab adds its own): a line for each reference at most
//! every few seconds, and only when something moved.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressStyle};

use crate::console::{Console, Verbosity};

/// The least time between two lines for one reference.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The progress of all references of a push.
#[derive(Clone, Debug)]
pub struct Progress {
    console: Console,
    bars: Option<MultiProgress>,
}

impl Progress {
    /// Bars if stderr is a terminal, else lines; neither if `console` is quiet.
    #[must_use]
    pub fn new(console: &Console) -> Self {
        let on_terminal = std::io::stderr().is_terminal() && console.verbosity() > Verbosity::Quiet;
        Self {
            console: console.clone(),
            bars: on_terminal.then(MultiProgress::new),
        }
    }

    /// Starts to follow one reference.
    #[must_use]
    pub fn follow(&self, reference: &str) -> ReferenceProgress {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(0));
            let template = "{prefix} {bar:24} {bytes}/{total_bytes} {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(reference.to_owned());
            bar
        });
        ReferenceProgress {
            progress: self.clone(),
            reference: reference.to_owned(),
            layers: BTreeMap::new(),
            bar,
            last_line: Instant::now(),
            last_text: String::new(),
        }
    }

    /// A note that does not disturb the bars.
    pub fn note(&self, message: impl Display) {
        self.undisturbed(|| self.console.note(&message));
    }

    /// A detail that does not disturb the bars.
    pub fn detail(&self, message: impl Display) {
        self.undisturbed(|| self.console.detail(&message));
    }

    /// A warning that does not disturb the bars.
    pub fn warn(&self, message: impl Display) {
        self.undisturbed(|| self.console.warn(&message));
    }

    fn undisturbed(&self, print: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }
}

/// The progress of one reference.
#[derive(Debug)]
pub struct ReferenceProgress {
    progress: Progress,
    reference: String,
    layers: BTreeMap<String, Layer>,
    bar: Option<ProgressBar>,
    last_line: Instant,
    last_text: String,
}

#[derive(Debug, Default)]
struct Layer {
    current: u64,
    total: u64,
    is_done: bool,
    /// The seconds of the countdown to the next try, while there is one.
    retry_in: Option<u64>,
}

impl ReferenceProgress {
    /// Takes in what the daemon says of a layer.
    pub fn layer(&mut self, id: &str, status: &str, current: Option<u64>, total: Option<u64>) {
        let layer = self.layers.entry(id.to_owned()).or_default();
        layer.total = total.unwrap_or(layer.total);
        layer.current = current.unwrap_or(layer.current).min(layer.total);
        if matches!(status, "Pushed" | "Layer already exists" | "Unavailable")
            || status.starts_with("Mounted from")
        {
            layer.is_done = true;
            layer.current = layer.total;
        }
        let retry_in = status
            .strip_prefix("Retrying in ")
            .and_then(|rest| rest.split(' ').next()?.parse().ok());
        // The daemon counts down second by second; each countdown is worth one line.
        if retry_in > layer.retry_in {
            self.progress
                .detail(format!("{}: layer {id}: {status}", self.reference));
        }
        layer.retry_in = retry_in;
        self.show();
    }

    fn show(&mut self) {
        let done = self.layers.values().filter(|layer| layer.is_done).count();
        let current = self.layers.values().map(|layer| layer.current).sum();
        let total = self.layers.values().map(|layer| layer.total).sum();
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(current);
            bar.set_message(format!("{done}/{} layers", self.layers.len()));
            return;
        }
        if self.last_line.elapsed() < LINE_INTERVAL {
            return;
        }
        let bytes = if total > 0 {
            format!(", {} of {}", DecimalBytes(current), DecimalBytes(total))
        } else {
            String::new()
        };
        let text = format!(
            "{}: {done} of {} layers{bytes}",
            self.reference,
            self.layers.len()
        );
        if text != self.last_text {
            self.progress.note(&text);
            self.last_text = text;
        }
        self.last_line = Instant::now();
    }
}

impl Drop for ReferenceProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
