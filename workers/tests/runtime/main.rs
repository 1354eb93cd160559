//! The process runtime and what it stands on, driven with real processes: `workers-stand-in` is the platform's
//! executable and plays the programs.

mod files;
mod process;
mod recorder;
