//! The lines of a Dockerfile of ours.

/// The scripts of `RUN` lines. They are constants: what comes from outside is a word or a file to them, which
/// no shell looks into.
pub(super) mod script {
    /// Directories for a user without rights.
    pub(in super::super) const PLACES: &str =
        "set -e; mkdir -p -- \"$1\" \"$2\"; chown -- \"$3\" \"$1\" \"$2\"";

    /// Variables out of their files, then the command where it belongs.
    pub(in super::super) const COMMAND: &str = "set -e
for f in /run/switchback/variables/*; do
  if [ -f \"$f\" ]; then v=$(cat \"$f\"; printf x); export \"${f##*/}=${v%x}\"; fi
done
if [ -d /run/switchback/words ]; then
  set --
  for f in /run/switchback/words/*; do v=$(cat \"$f\"; printf x); set -- \"$@\" \"${v%x}\"; done
fi
cd -- \"$1\"
shift
exec \"$@\"";

    /// The same for cargo, which builds in the cache; its programs belong to the service, and the next build
    /// of another revision must not find them.
    pub(in super::super) const CARGO: &str = "set -e
for f in /run/switchback/variables/*; do
  if [ -f \"$f\" ]; then v=$(cat \"$f\"; printf x); export \"${f##*/}=${v%x}\"; fi
done
if [ -d /run/switchback/words ]; then
  set --
  for f in /run/switchback/words/*; do v=$(cat \"$f\"; printf x); set -- \"$@\" \"${v%x}\"; done
fi
cd -- \"$1\"
d=$PWD
shift
\"$@\"
if [ -d \"$CARGO_TARGET_DIR/release\" ]; then
  mkdir -p \"$d/target/release\"
  find \"$CARGO_TARGET_DIR/release\" -maxdepth 1 -type f -perm -100 ! -name '*.so' \\
    -exec mv -f -- {} \"$d/target/release/\" ';'
fi";

    /// The pages, wherever a build left them.
    pub(in super::super) const PAGES: &str = "set -e
cd -- \"$1\"
for d in \"$2\" dist build out .output/public _site docs/.vitepress/dist public; do
  if [ -f \"$d/index.html\" ]; then
    mkdir -p -- \"$3\"
    if [ \"$d\" = . ]; then
      for f in * .well-known; do if [ -e \"$f\" ]; then cp -R -- \"$f\" \"$3/\"; fi; done
    else
      cp -R -- \"$d/.\" \"$3/\"
    fi
    exit 0
  fi
done
echo \"there is no index.html in $2, dist, build, out or public after the build\" >&2
exit 1";

    /// The archive under the name that the plan starts it by.
    pub(in super::super) const ARCHIVE: &str = "set -e
cd -- \"$1\"
if [ -f \"$2\" ]; then exit 0; fi
n=0
for f in target/*.jar target/*.war; do
  case \"$f\" in *-sources.jar|*-javadoc.jar|*-tests.jar|*/original-*) continue;; esac
  if [ -f \"$f\" ]; then n=$((n + 1)); found=$f; fi
done
if [ $n -eq 1 ]; then ln -- \"$found\" \"$2\"; exit 0; fi
echo \"the build made no $2, and $n other archives; set finalName in pom.xml\" >&2
exit 1";

    /// Serves pages.
    pub(in super::super) const SERVE: &str = "exec httpd -f -p \"${PORT:-8080}\" -h /site";
}

/// A `RUN` line.
#[derive(Clone, Debug, Default)]
pub(super) struct RunLine {
    /// What it is known by in the report.
    pub(super) marker: String,
    /// The script that is run.
    pub(super) script: &'static str,
    /// The words that it is given.
    pub(super) words: Vec<String>,
    /// Secrets that are words, in their order, in the place of `words`.
    pub(super) secret_words: Vec<String>,
    /// Secrets that are variables, and the variables' names.
    pub(super) variables: Vec<(String, String)>,
    /// Whether the service's cache is there.
    pub(super) cached: bool,
}

impl RunLine {
    pub(super) fn constant(script: &'static str, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { script, words, ..Self::default() }
    }
}

/// Puts a file together.
#[derive(Debug, Default)]
pub(super) struct Writer(String);

impl Writer {
    /// A line with nothing from outside in it.
    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// A variable of ours.
    pub(super) fn constant(&mut self, keyword: &str, name: &str, value: &str) {
        self.line(&format!("{keyword} {name}=\"{value}\""));
    }

    pub(super) fn copy(&mut self, from: &str, to: &str, owner: &str) {
        self.line(&format!("COPY --chown={owner} [{}, {}]", word(from), word(&format!("{to}/"))));
    }

    pub(super) fn copy_from_build(&mut self, from: &str, to: &str, owner: &str) {
        let (from, to) = (word(from), word(&format!("{to}/")));
        self.line(&format!("COPY --from=build --chown={owner} [{from}, {to}]"));
    }

    pub(super) fn program(&mut self, script: &str) {
        self.line(&format!("CMD [\"/bin/sh\", \"-c\", {}]", word(script)));
    }

    pub(super) fn run(&mut self, run: &RunLine) {
        let mut line = "RUN".to_owned();
        if run.cached {
            line.push_str(" --mount=type=cache,id=build,target=/cache,sharing=locked,uid=10001,gid=10001");
        }
        let secret = |id: &str, target: String| {
            format!(
                " --mount=type=secret,id={id},target={target},uid=10001,gid=10001,mode=0400,required=true"
            )
        };
        if !run.variables.is_empty() || !run.secret_words.is_empty() {
            // The places of the mounts are made in memory, too: the engine would leave them in the image.
            line.push_str(" --mount=type=tmpfs,target=/run/switchback");
        }
        for (id, name) in &run.variables {
            line.push_str(&secret(id, format!("/run/switchback/variables/{name}")));
        }
        for (n, id) in run.secret_words.iter().enumerate() {
            line.push_str(&secret(id, format!("/run/switchback/words/{n:04}")));
        }
        let fixed = ["/bin/sh", "-c", run.script, &run.marker];
        let words: Vec<String> =
            fixed.into_iter().chain(run.words.iter().map(String::as_str)).map(word).collect();
        line.push_str(&format!(" [{}]", words.join(", ")));
        self.line(&line);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A word in JSON, in which everything but letters, digits and a few signs is a number: no parser of
/// Dockerfiles, of whatever version, finds a variable, a quote, a heredoc or the end of the line in it.
pub(super) fn word(text: &str) -> String {
    let mut json = String::from("\"");
    let mut units = [0; 2];
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || " ./_=:@,+-".contains(character) {
            json.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut units) {
            json.push_str(&format!("\\u{unit:04x}"));
        }
    }
    json.push('"');
    json
}
