//! What deploy/ has for those who install it: the image, the Compose file, the units, the dashboard and the
//! alerts.

mod compose;
mod figures;
mod image;
mod units;

use std::fs;
use std::path::PathBuf;

use yaml_rust2::{Yaml, YamlLoader};

/// A file of deploy/.
fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name).canonicalize().unwrap()
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn yaml(name: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(&read(name)).unwrap();
    assert_eq!(documents.len(), 1, "{name}");
    documents.remove(0)
}
