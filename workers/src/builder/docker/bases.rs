//! The images that builds begin with when a repository has no Dockerfile, and those that the result runs in.

use std::collections::BTreeMap;
use std::fmt;

use domain::source::image::ImageReference;

/// What an image is for. The names are those of the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// Builds and runs Node.js.
    Node,
    /// Builds and runs Python.
    Python,
    /// Builds Go.
    Go,
    /// Runs what Go built.
    GoRun,
    /// Builds Rust.
    Rust,
    /// Runs what Rust built.
    RustRun,
    /// Builds Java, with Maven.
    Java,
    /// Runs Java.
    JavaRun,
    /// Serves files, by the `httpd` of busybox.
    Static,
    /// Runs what is only known by its commands.
    Other,
}

impl Base {
    /// All of them, with their names and what is taken when nothing is set.
    const ALL: [(Self, &'static str, &'static str); 10] = [
        (Self::Node, "node", "docker.io/library/node:22-bookworm-slim"),
        (Self::Python, "python", "docker.io/library/python:3.13-slim-bookworm"),
        (Self::Go, "go", "docker.io/library/golang:1.25-bookworm"),
        (Self::GoRun, "go-run", "docker.io/library/buildpack-deps:bookworm-curl"),
        (Self::Rust, "rust", "docker.io/library/rust:1.90-bookworm"),
        (Self::RustRun, "rust-run", "docker.io/library/buildpack-deps:bookworm-curl"),
        (Self::Java, "java", "docker.io/library/maven:3.9-eclipse-temurin-21"),
        (Self::JavaRun, "java-run", "docker.io/library/eclipse-temurin:21-jre"),
        (Self::Static, "static", "docker.io/library/busybox:1.37"),
        (Self::Other, "other", "docker.io/library/buildpack-deps:bookworm"),
    ];
}

/// Which image is taken for what.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseImages(BTreeMap<Base, ImageReference>);

/// A text that sets no base image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a base image ({why}); it is written NAME=IMAGE, the names are {names}", names = names())]
pub struct InvalidBase {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

fn names() -> String {
    Base::ALL.map(|(_, name, _)| name).join(", ")
}

impl Default for BaseImages {
    fn default() -> Self {
        Self(Base::ALL.map(|(base, _, image)| (base, image.parse().expect("a name, as a test sees"))).into())
    }
}

impl fmt::Debug for BaseImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(base, image)| (base, image.to_string()))).finish()
    }
}

impl BaseImages {
    /// The same image for everything: for a test, or an operator with one image that has all tools.
    #[must_use]
    pub fn all(image: &ImageReference) -> Self {
        Self(Base::ALL.map(|(base, _, _)| (base, image.clone())).into())
    }

    /// Takes another image for something: `node=registry.example/node:22`.
    ///
    /// # Errors
    /// [`InvalidBase`].
    pub fn set(&mut self, text: &str) -> Result<(), InvalidBase> {
        let invalid = |why: String| InvalidBase { text: text.chars().take(200).collect(), why };
        let (name, image) = text.split_once('=').ok_or_else(|| invalid("there is no `=`".into()))?;
        let found = Base::ALL.iter().find(|(_, known, _)| *known == name);
        let (base, _, _) = found.ok_or_else(|| invalid(format!("`{name}` is no such name")))?;
        let image =
            image.parse().map_err(|error: domain::source::image::InvalidImage| invalid(error.to_string()))?;
        self.0.insert(*base, image);
        Ok(())
    }

    /// The image for something.
    #[must_use]
    pub fn of(&self, base: Base) -> &ImageReference {
        &self.0[&base]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_an_image_and_can_have_another() {
        let mut images = BaseImages::default();
        images.set("node=registry.example/node:22").expect("sound");
        assert_eq!(images.of(Base::Node).to_string(), "registry.example/node:22");
        assert_eq!(images.of(Base::Static).registry(), "docker.io");
        for text in ["", "node", "nod=x", "node=-x", "node=a b"] {
            assert!(images.set(text).is_err(), "{text}");
        }
    }
}
