//! Versions of the engine with holes that are known, named when a worker starts.
//!
//! From notes of this project (2026-11); a distribution may have closed a hole without changing the version,
//! which only its own list of changes tells.

use bollard::models::SystemVersion;

/// What a component's versions suffer from.
struct Hole {
    component: &'static str,
    /// Closed from these versions on; each is the first of its series, the last stands for all later ones.
    closed_in: &'static [[u32; 3]],
    what: &'static str,
}

const HOLES: [Hole; 4] = [
    Hole {
        component: "runc",
        closed_in: &[[1, 2, 8], [1, 3, 3]],
        what: "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: a container can reach the host",
    },
    Hole {
        component: "Engine",
        closed_in: &[[29, 3, 1]],
        what: "CVE-2026-34040: plugins that authorise requests can be passed by",
    },
    Hole {
        component: "Engine",
        closed_in: &[[29, 5, 1]],
        what: "CVE-2026-41567, CVE-2026-41568, CVE-2026-42306: copying files to or from a container runs its \
               programs as root; Switchback never does that, and nobody else should",
    },
    Hole {
        component: "Engine",
        closed_in: &[[27, 1, 1]],
        what: "CVE-2024-41110: plugins that authorise requests do not see all of a request",
    },
];

/// What an operator should know of this engine, a line each; none is good.
pub(super) fn of(version: &SystemVersion) -> Vec<String> {
    let components = version.components.iter().flatten();
    let mut found: Vec<(String, String)> =
        components.map(|component| (component.name.clone(), component.version.clone())).collect();
    if !found.iter().any(|(name, _)| name == "Engine") {
        found.extend(version.version.clone().map(|version| ("Engine".to_owned(), version)));
    }
    let lines = found.iter().flat_map(|(name, version)| {
        let holes = HOLES.iter().filter(move |hole| hole.component == name && hole.is_open_in(version));
        holes.map(move |hole| hole.line(version))
    });
    lines.collect()
}

impl Hole {
    fn is_open_in(&self, version: &str) -> bool {
        let Some(version) = numbers(version) else { return false }; // Nothing is known of it.
        let series = self.closed_in.iter().find(|closed| closed[..2] == version[..2]);
        let closed = series.or(self.closed_in.last());
        closed.is_some_and(|closed| version < *closed)
    }

    fn line(&self, version: &str) -> String {
        let closed: Vec<String> =
            self.closed_in.iter().map(|[major, minor, patch]| format!("{major}.{minor}.{patch}")).collect();
        let component = if self.component == "Engine" { "Docker Engine" } else { self.component };
        format!("{component} {version}: {} (closed in {})", self.what, closed.join(", "))
    }
}

/// `20.10.24+dfsg1` is 20.10.24.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.trim_start_matches('v').splitn(3, '.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..digits].parse::<u32>().ok()
    });
    Some([parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use bollard::models::SystemVersionComponents;

    use super::*;

    fn of_versions(engine: &str, runc: &str) -> Vec<String> {
        let component = |(name, version): (&str, &str)| SystemVersionComponents {
            name: name.into(),
            version: version.into(),
            details: None,
        };
        let components = Some([("Engine", engine), ("runc", runc)].map(component).into());
        of(&SystemVersion { components, ..SystemVersion::default() })
    }

    #[test]
    fn an_old_engine_is_named_with_what_is_wrong_and_where_it_is_closed() {
        let lines = of_versions("20.10.24+dfsg1", "1.1.5+ds1");
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("runc 1.1.5+ds1: CVE-2025-31133")
            && line.ends_with("(closed in 1.2.8, 1.3.3)")));
        assert!(lines.iter().any(|line| line.starts_with("Docker Engine 20.10.24+dfsg1: CVE-2026-41567")));
    }

    #[test]
    fn each_series_is_closed_by_its_own_version() {
        assert_eq!(of_versions("29.5.1", "1.2.8"), Vec::<String>::new());
        assert_eq!(of_versions("29.5.1", "1.4.0"), Vec::<String>::new());
        assert_eq!(of_versions("29.5.1", "1.3.2").len(), 1);
        assert_eq!(of_versions("29.5.0", "1.3.3").len(), 1);
        assert_eq!(of_versions("unknown", "unknown"), Vec::<String>::new());
    }
}
