//! Java, built by Maven: `pom.xml`. By the installed Maven, or by the wrapper in the repository where there
//! is none.

use domain::plan::Language;

use crate::builder::detect::Look;
use crate::builder::detect::found::{Begin, Found, Part, quote};
use crate::builder::detect::pom::Pom;

pub(super) fn look(look: &Look) -> Option<Found> {
    let pom = Pom::parse(&look.tree.text("pom.xml")?);
    let wrapper = !look.tools.has("mvn") && look.tree.has("mvnw");
    let maven = if wrapper { "./mvnw" } else { "mvn" };
    let mut seen = vec!["pom.xml".to_owned()];
    if wrapper {
        seen.push("mvnw".into());
    }
    let needs: &[_] = if wrapper { &[] } else { &[(Part::Build, "mvn")] };
    Some(
        Found::new(Language::Java, seen, start(&pom))
            .with_build(vec![format!("{maven} --batch-mode --no-transfer-progress -DskipTests package")])
            .with_needs(needs)
            .with_needs(&[(Part::Start, "java")]),
    )
}

/// The archive that Maven will make, by the names that its own defaults give it. The builder sees to it that
/// there is one of that name, whatever the build called it.
fn start(pom: &Pom) -> Result<Begin, String> {
    if pom.mentions("artifactId", "quarkus-maven-plugin") {
        let command = "java -Dquarkus.http.port=$PORT -jar target/quarkus-app/quarkus-run.jar";
        return Ok(Begin::Command(command.into()));
    }
    let packaging = pom.get("project/packaging").unwrap_or_else(|| "jar".into());
    if packaging == "pom" {
        return Err("pom.xml only gathers modules: name the one to run by `root` under [service]".into());
    }
    let artifact = pom.get("project/artifactId").ok_or("pom.xml has no artifactId")?;
    let version = pom.get("project/version").or_else(|| pom.get("project/parent/version"));
    let name = pom
        .get("project/build/finalName")
        .or_else(|| Some(format!("{artifact}-{}", version?)))
        .unwrap_or(artifact);
    let archive = quote(&format!("target/{name}.{packaging}"));
    if pom.mentions("artifactId", "spring-boot-maven-plugin") {
        return Ok(Begin::Command(format!("java -Dserver.port=$PORT -jar {archive}")));
    }
    if packaging != "jar" {
        return Err(format!("a {packaging} without Spring Boot needs a server to run in"));
    }
    Ok(Begin::Command(format!("java -jar {archive}")))
}
