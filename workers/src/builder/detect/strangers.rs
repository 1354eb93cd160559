//! Languages that are recognised only to say that they are not known, so that nobody has to guess why.

use crate::builder::tree::Name;

const STRANGERS: [(&str, &str); 16] = [
    ("Gemfile", "Ruby"),
    ("composer.json", "PHP"),
    ("index.php", "PHP"),
    ("mix.exs", "Elixir"),
    ("build.gradle", "Java with Gradle"),
    ("build.gradle.kts", "Java with Gradle"),
    ("build.sbt", "Scala"),
    ("project.clj", "Clojure"),
    ("deno.json", "Deno"),
    ("deno.jsonc", "Deno"),
    ("pubspec.yaml", "Dart"),
    ("Package.swift", "Swift"),
    ("stack.yaml", "Haskell"),
    ("gleam.toml", "Gleam"),
    ("build.zig", "Zig"),
    ("CMakeLists.txt", "C or C++"),
];

/// Which of them it looks like.
pub(super) fn name(names: &[Name]) -> Option<String> {
    let known = STRANGERS.iter().find(|(file, _)| names.iter().any(|entry| entry.name == *file));
    let by_ending =
        || names.iter().find(|entry| entry.name.ends_with(".csproj") || entry.name.ends_with(".sln"));
    known
        .map(|(file, language)| format!("{file}: {language}"))
        .or_else(|| by_ending().map(|entry| format!("{}: .NET", entry.name)))
}
