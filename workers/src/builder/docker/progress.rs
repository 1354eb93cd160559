//! What BuildKit reports, in the lines that a person follows: each step by its name when it begins, what it
//! prints, and that it was taken from the cache.

use std::collections::HashMap;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};
use eventlog::logs::{Channel, MAX_LINE_BYTES};

use crate::output::Output;

/// How long the name of a step is shown, in characters.
const NAME_SHOWN: usize = 160;
/// Beginnings of the names of steps that are BuildKit's own.
const INTERNAL: [&str; 2] = ["[internal]", "copy /context"];

/// How much a build may print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { lines: 50_000, bytes: 20 << 20 }
    }
}

/// What was said so far.
pub(super) struct Progress {
    output: Output,
    /// Texts by which a step of a Dockerfile of ours is known, and what it is called.
    names: Vec<(String, String)>,
    steps: HashMap<String, Step>,
    left: LogLimits,
    /// The last step that failed: its name and BuildKit's words.
    failed: Option<(String, String)>,
}

#[derive(Default)]
struct Step {
    said: bool,
    cached: bool,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Progress {
    pub(super) fn new(output: Output, names: Vec<(String, String)>, limits: LogLimits) -> Self {
        Self { output, names, steps: HashMap::new(), left: limits, failed: None }
    }

    /// The step that failed, and why.
    pub(super) fn failed(&self) -> Option<&(String, String)> {
        self.failed.as_ref()
    }

    pub(super) async fn show(&mut self, status: StatusResponse) {
        for vertex in &status.vertexes {
            self.vertex(vertex).await;
        }
        for log in status.logs {
            let channel = if log.stream == 2 { Channel::Err } else { Channel::Out };
            self.print(&log.vertex, channel, &log.msg).await;
        }
        // What a step printed last may lack its line break.
        for vertex in status.vertexes.iter().filter(|vertex| vertex.completed.is_some()) {
            self.print_rest(&vertex.digest).await;
        }
    }

    async fn vertex(&mut self, vertex: &Vertex) {
        let name = self.name_of(&vertex.name);
        if !vertex.error.is_empty() && !vertex.error.contains("context canceled") {
            self.failed = Some((name.clone(), vertex.error.clone()));
        }
        if vertex.started.is_none() || INTERNAL.iter().any(|internal| vertex.name.starts_with(internal)) {
            return;
        }
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if !step.said {
            step.said = true;
            self.output.say(name.clone()).await;
        }
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if vertex.cached && !step.cached && !name.contains("] FROM ") {
            step.cached = true;
            self.output.say(format!("{name}: unchanged, taken from the cache")).await;
        }
    }

    fn name_of(&self, name: &str) -> String {
        let known = self.names.iter().find(|(text, _)| name.contains(text));
        match known {
            Some((_, called)) => called.clone(),
            None => shortened(name),
        }
    }

    async fn print(&mut self, vertex: &str, channel: Channel, bytes: &[u8]) {
        let step = self.steps.entry(vertex.to_owned()).or_default();
        let buffer = if channel == Channel::Err { &mut step.err } else { &mut step.out };
        buffer.extend_from_slice(bytes);
        let mut lines = vec![];
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            lines.push(buffer.drain(..=end).collect::<Vec<u8>>());
        }
        if buffer.len() > MAX_LINE_BYTES {
            lines.push(std::mem::take(buffer));
        }
        for line in lines {
            self.line(channel, &line).await;
        }
    }

    async fn print_rest(&mut self, vertex: &str) {
        let Some(step) = self.steps.get_mut(vertex) else { return };
        let rest =
            [(Channel::Out, std::mem::take(&mut step.out)), (Channel::Err, std::mem::take(&mut step.err))];
        for (channel, bytes) in rest.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            self.line(channel, &bytes).await;
        }
    }

    async fn line(&mut self, channel: Channel, bytes: &[u8]) {
        if self.left.lines == 0 || self.left.bytes == 0 {
            return;
        }
        self.left.lines -= 1;
        self.left.bytes = self.left.bytes.saturating_sub(bytes.len() as u64);
        let text = String::from_utf8_lossy(bytes);
        // What a terminal would have written over, such as a progress bar, is left out.
        let text = text.trim_end_matches(['\r', '\n']).rsplit('\r').next().unwrap_or_default();
        self.output.line(channel, text).await;
        if self.left.lines == 0 || self.left.bytes == 0 {
            self.output.say("the build prints more than is kept; the rest of it is left out").await;
        }
    }
}

/// Without the mounts, which say nothing to a person.
fn shortened(name: &str) -> String {
    let words = name.split(' ').filter(|word| !word.starts_with("--mount="));
    let mut text = words.collect::<Vec<_>>().join(" ");
    if text.chars().count() > NAME_SHOWN {
        text = text.chars().take(NAME_SHOWN).chain(" …".chars()).collect();
    }
    text
}
