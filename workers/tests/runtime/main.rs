//! The process runtime and what it stands on, driven with real processes: `workers-stand-in` is the
//! platform's executable and plays the programs.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod death;
#[cfg(test)]
mod files;
#[cfg(test)]
mod installation;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod process;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod release_command;
