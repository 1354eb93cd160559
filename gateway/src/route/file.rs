//! Routes on the disk, so that an edge serves after a restart whatever else is away.
//!
//! It is what the log said up to a position; the rest is read from the log when that can be reached. One that
//! cannot be read is none: then the log is read from its beginning.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use domain::hostname::Hostname;
use domain::id::ServiceId;
use domain::service::release::ReleaseNumber;
use domain::stream::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ServiceRoutes;

const FORMAT: u32 = 1;

/// Everything that routes are made of, up to a position of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The services.
    pub services: HashMap<ServiceId, ServiceRoutes>,
    /// Hostnames of releases that were cut and have no traffic yet.
    pub cut: HashMap<(ServiceId, ReleaseNumber), BTreeSet<Hostname>>,
    /// Up to where.
    pub position: Position,
    /// Whose log it is, where that is known.
    pub installation: Option<Uuid>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    installation: Option<Uuid>,
    position: Position,
    services: Vec<(ServiceId, ServiceRoutes)>,
    cut: Vec<(ServiceId, ReleaseNumber, BTreeSet<Hostname>)>,
}

/// Where routes are kept.
#[derive(Clone, Debug)]
pub struct RouteFile {
    path: PathBuf,
}

impl RouteFile {
    /// A file; it need not be there yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// What the file says. Nothing, when there is none that can be used.
    #[must_use]
    pub fn read(&self) -> Option<Known> {
        let text = std::fs::read(&self.path).ok()?;
        let content: Content = serde_json::from_slice(&text).ok()?;
        (content.format == FORMAT).then(|| Known {
            services: content.services.into_iter().collect(),
            cut: content
                .cut
                .into_iter()
                .map(|(service, release, names)| ((service, release), names))
                .collect(),
            position: content.position,
            installation: content.installation,
        })
    }

    /// Writes it whole, or leaves it as it was. It blocks for a moment.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(&self, known: &Known) -> io::Result<()> {
        let content = Content {
            format: FORMAT,
            installation: known.installation,
            position: known.position,
            services: known.services.iter().map(|(id, routes)| (*id, routes.clone())).collect(),
            cut: known.cut.iter().map(|((id, release), names)| (*id, *release, names.clone())).collect(),
        };
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&serde_json::to_vec(&content)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let service = ServiceId(Uuid::from_u128(7));
        let hostnames: BTreeSet<Hostname> = ["shop.localhost".parse().unwrap()].into();
        let live = Some((ReleaseNumber(3), vec![]));
        Known {
            services: [(service, ServiceRoutes { hostnames: hostnames.clone(), live })].into(),
            cut: [((service, ReleaseNumber(4)), hostnames)].into(),
            position: Position(9),
            installation: Some(Uuid::from_u128(1)),
        }
    }

    #[test]
    fn what_was_written_is_read_and_what_is_broken_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routes.json");
        let file = RouteFile::new(&path);
        assert_eq!(file.read(), None);
        file.write(&known()).unwrap();
        assert_eq!(file.read(), Some(known()));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(file.read(), None);
    }
}
