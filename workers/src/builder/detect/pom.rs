//! As much of a `pom.xml` as is needed to know what Maven will make of it.

/// How deep elements are followed.
const DEPTH_MAX: usize = 64;

/// The texts of a `pom.xml`, by the path of their element: `project/artifactId`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pom {
    texts: Vec<(String, String)>,
}

impl Pom {
    pub(super) fn parse(text: &str) -> Self {
        let text = without_comments(text);
        let mut path: Vec<&str> = vec![];
        let mut texts = vec![];
        let mut rest = text.as_str();
        while let Some(open) = rest.find('<') {
            let content = rest[..open].trim();
            let Some(length) = rest[open..].find('>') else { break };
            let tag = &rest[open + 1..open + length];
            if let Some(name) = tag.strip_prefix('/') {
                if !content.is_empty() {
                    texts.push((path.join("/"), content.to_owned()));
                }
                // An element that was closed out of order ends those within it.
                if let Some(at) = path.iter().rposition(|open| *open == name.trim()) {
                    path.truncate(at);
                }
            } else if !tag.starts_with(['?', '!']) && !tag.ends_with('/') {
                let name = tag.split_whitespace().next().unwrap_or_default();
                if path.len() == DEPTH_MAX {
                    break;
                }
                path.push(name);
            }
            rest = &rest[open + length + 1..];
        }
        Self { texts }
    }

    /// The first text at a path, with properties filled in; none when there is none or a property is not
    /// known here.
    pub(super) fn get(&self, path: &str) -> Option<String> {
        let text = self.raw(path)?;
        self.filled(text, 0)
    }

    /// Whether some element of that name has that text.
    pub(super) fn mentions(&self, element: &str, text: &str) -> bool {
        self.texts.iter().any(|(path, content)| path.rsplit('/').next() == Some(element) && content == text)
    }

    fn raw(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|(at, _)| at == path).map(|(_, text)| text.as_str())
    }

    fn filled(&self, text: &str, depth: usize) -> Option<String> {
        let Some((before, rest)) = text.split_once("${") else { return Some(text.to_owned()) };
        let (name, after) = rest.split_once('}')?;
        if depth == 8 {
            return None;
        }
        let path = match name.strip_prefix("project.").or_else(|| name.strip_prefix("pom.")) {
            Some(field) => format!("project/{}", field.replace('.', "/")),
            None => format!("project/properties/{name}"),
        };
        let value = self.raw(&path)?;
        self.filled(&format!("{before}{value}{after}"), depth + 1)
    }
}

fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        kept.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"<?xml version="1.0"?>
        <!-- <artifactId>commented</artifactId> -->
        <project xmlns="http://maven.apache.org/POM/4.0.0">
          <parent><artifactId>parent</artifactId><version>3.0</version></parent>
          <artifactId>demo</artifactId>
          <version>${revision}</version>
          <properties><revision>1.${minor}</revision><minor>2</minor><loop>${loop}</loop></properties>
          <build><plugins><plugin><artifactId>spring-boot-maven-plugin</artifactId></plugin></plugins></build>
          <empty/>
        </project>"#;

    #[test]
    fn texts_are_found_by_path_and_properties_are_filled_in() {
        let pom = Pom::parse(TEXT);
        assert_eq!(pom.get("project/artifactId").as_deref(), Some("demo"));
        assert_eq!(pom.get("project/parent/version").as_deref(), Some("3.0"));
        assert_eq!(pom.get("project/version").as_deref(), Some("1.2"));
        assert!(pom.mentions("artifactId", "spring-boot-maven-plugin"));
        assert!(!pom.mentions("artifactId", "commented"));
    }

    #[test]
    fn what_is_unknown_circular_or_broken_is_none() {
        let pom = Pom::parse(TEXT);
        assert_eq!(pom.get("project/properties/loop"), None);
        assert_eq!(pom.get("project/packaging"), None);
        for text in ["", "<", "<a", "<a><b>", "</a></b>", "<!--", "<a>x</b>", &"<a>".repeat(10_000)] {
            assert_eq!(Pom::parse(text).get("project/artifactId"), None);
        }
    }
}
