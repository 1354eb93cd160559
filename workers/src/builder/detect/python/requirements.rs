//! The packages that an application requires, by name.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::builder::tree::Tree;

/// How many files of requirements include one another.
const FILES_MAX: usize = 10;

/// Their names, in small letters with `-`, and with those of their extras' packages that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Requirements(BTreeSet<String>);

impl Requirements {
    pub(super) fn read(tree: &Tree) -> Self {
        let mut names = BTreeSet::new();
        let mut files = vec!["requirements.txt".to_owned()];
        let mut next = 0;
        while let Some(file) = files.get(next).cloned().filter(|_| next < FILES_MAX) {
            next += 1;
            for line in tree.text(&file).unwrap_or_default().lines().map(str::trim) {
                if let Some(included) =
                    line.strip_prefix("-r ").or_else(|| line.strip_prefix("--requirement "))
                {
                    let directory =
                        file.rsplit_once('/').map_or(String::new(), |(path, _)| format!("{path}/"));
                    files.push(format!("{directory}{}", included.trim()));
                } else {
                    add(&mut names, line);
                }
            }
        }
        if let Some(project) = tree.text("pyproject.toml").and_then(|text| text.parse::<Table>().ok()) {
            dependencies(&project).iter().for_each(|text| add(&mut names, text));
            keys(&mut names, project.get("tool").and_then(|tool| tool.get("poetry")?.get("dependencies")));
        }
        if let Some(pipfile) = tree.text("Pipfile").and_then(|text| text.parse::<Table>().ok()) {
            keys(&mut names, pipfile.get("packages"));
        }
        Self(names)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// `dependencies` under `[project]`.
pub(super) fn dependencies(project: &Table) -> Vec<String> {
    let listed = project.get("project").and_then(|project| project.get("dependencies")?.as_array());
    listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn keys(names: &mut BTreeSet<String>, table: Option<&Value>) {
    for (name, value) in table.and_then(Value::as_table).into_iter().flatten() {
        let extras =
            value.get("extras").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let extras: Vec<_> = extras.collect();
        add(names, &format!("{name}[{}]", extras.join(",")));
    }
}

/// `Name[extra]>=1; marker`.
fn add(names: &mut BTreeSet<String>, requirement: &str) {
    let end = requirement
        .find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
        .unwrap_or(requirement.len());
    let name = requirement[..end].to_ascii_lowercase().replace(['_', '.'], "-");
    if name.is_empty() || name.starts_with('-') {
        return;
    }
    let standard = requirement[end..].starts_with("[standard") || requirement[end..].starts_with("[all");
    if name == "fastapi" && standard {
        names.insert("uvicorn".into());
    }
    names.insert(name);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(files: &[(&str, &str)]) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("in the directory")).expect("made");
            fs::write(path, text).expect("written");
        }
        Requirements::read(&Tree::open(directory.path()).expect("opened")).0.into_iter().collect()
    }

    #[test]
    fn names_are_read_from_every_place_that_lists_them() {
        let text = "# web\nFlask==3.0\nPython_Dotenv>=1 # x\nuvicorn[standard]; python_version>'3'\n\
                    --hash x\n\n-e .\n";
        assert_eq!(read(&[("requirements.txt", text)]), ["flask", "python-dotenv", "uvicorn"]);
        let project = "[project]\ndependencies = ['FastAPI[standard]>=0.1']\n\
                       [tool.poetry.dependencies]\ngunicorn = '*'";
        assert_eq!(read(&[("pyproject.toml", project)]), ["fastapi", "gunicorn", "uvicorn"]);
        let pipfile = "[packages]\ndjango = '*'\n[dev-packages]\npytest = '*'";
        assert_eq!(read(&[("Pipfile", pipfile)]), ["django"]);
    }

    #[test]
    fn files_that_include_one_another_are_read_once_around() {
        let files =
            [("requirements.txt", "-r requirements/base.txt"), ("requirements/base.txt", "a\n-r base.txt")];
        assert_eq!(read(&files), ["a"]);
        assert!(read(&[("requirements.txt", "-r ../../../etc/passwd")]).is_empty());
    }
}
