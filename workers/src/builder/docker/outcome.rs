//! What BuildKit says of a build that failed, in words for the person who deploys.

use crate::builder::BuildError;
use crate::builder::docker::limits::BuildLimits;
use crate::builder::docker::refused;
use crate::disk::Size;
use crate::output::Mask;

/// How much of BuildKit's words is repeated, in characters.
const SHOWN: usize = 300;

/// Whether the engine stops, and the build with it.
pub(super) fn is_shutdown(why: &str) -> bool {
    ["transport is closing", "EOF", "no active session", "error reading from server"]
        .iter()
        .any(|words| why.contains(words))
}

/// The error of a build.
pub(super) fn of_failure(
    why: &str,
    step: Option<&(String, String)>,
    mask: &Mask,
    limits: &BuildLimits,
) -> BuildError {
    if why.contains("no space left on device") {
        let message = "the disk of the Docker Engine is full; make room on it (`docker system df` says what \
                       takes it)";
        return BuildError { permanent: false, ..refused("disk_full", message) };
    }
    if let Some((name, error)) = step
        && let Some(code) = exit_code(error)
    {
        let name = shown(mask, name);
        let message = match code {
            137 => format!(
                "`{name}` was killed, most likely because it took more than {} of memory",
                Size(limits.memory_bytes)
            ),
            code => format!("`{name}` ended with exit status {code}; its output says why"),
        };
        return refused("build_failed", message);
    }
    let words = step.map_or(why, |(_, error)| error.as_str());
    let words = words.trim_start_matches("failed to solve with frontend dockerfile.v0: ");
    let advice = if words.contains("pull access denied") || words.contains("not found") {
        "; is the name of an image or of a file wrong?"
    } else {
        ""
    };
    refused("build_failed", format!("the image could not be built: {}{advice}", shown(mask, words)))
}

fn exit_code(error: &str) -> Option<u32> {
    let (_, rest) = error.rsplit_once("exit code: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn shown(mask: &Mask, text: &str) -> String {
    let masked = mask.apply(text.replace(['\n', '\r'], " "));
    match masked.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", &masked[..end]),
        None => masked,
    }
}
