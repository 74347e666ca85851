//! `hallgate init`: a folder that works: configuration, rules, one worker and a policy, and what to do with it next.

mod template;

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use template::{POLICIES, Template, TemplateParts, UsualUpstream};

use super::{cannot, say, upstream_url};
use crate::hall::tokens::entry::secret;

/// How many files of a folder are named.
const NAMED: usize = 10;
/// What stands for the upstream's address in a template.
const PLACE: &str = "UPSTREAM_URL";

/// Write a folder that works: configuration, rules, one worker, a policy, and the token where somebody needs one
///
/// What is written is explained in it. The next commands are printed.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The folder; it is made where it is missing
    #[arg(value_name = "FOLDER", default_value = "conf")]
    folder: PathBuf,
    /// What the gate stands before, or who asks the Hall
    #[arg(long = "for", value_name = "TEMPLATE")]
    template: Template,
    /// Where requests go, when that is not where the template's usually go
    #[arg(long, value_name = "URL", value_parser = upstream_url)]
    to: Option<String>,
    /// Write into a folder that is not empty, over the files that have the same names
    #[arg(long)]
    force: bool,
}

/// A file to be written: its name in the folder, its text, and whether nobody else may read it.
struct NewFile {
    name: String,
    text: String,
    secret: bool,
    /// What it is, for those who see it listed.
    what: &'static str,
}

/// Runs the command. 0: the folder is written; 2: it is not, and nothing of it.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let parts = options.template.parts();
    let made = address(options, &parts).and_then(|url| {
        let files = files(options.template, &parts, url)?;
        refuse_others(&options.folder, options.force)?;
        write(&options.folder, &files).map_err(|error| {
            format!("`{}` cannot be written: {error}: name a folder that can", options.folder.display())
        })?;
        Ok(files)
    });
    match made {
        Ok(files) => {
            tell(options, &parts, &files);
            ExitCode::SUCCESS
        }
        Err(why) => cannot(why),
    }
}

/// Where requests go; `None`: nowhere.
fn address<'a>(options: &'a Options, parts: &TemplateParts) -> Result<Option<&'a str>, String> {
    let name = options.template.name();
    match (options.to.as_deref(), parts.upstream) {
        (Some(_), UsualUpstream::Nowhere) => {
            Err(format!("`--to` has no meaning for `{name}`, which forwards nothing: leave it out"))
        }
        (None, UsualUpstream::Such(example)) => {
            Err(format!("`--for {name}` needs your own address: add `--to`, such as `--to {example}`"))
        }
        (None, UsualUpstream::Usually(url)) => Ok(Some(url)),
        (None, UsualUpstream::Nowhere) => Ok(None),
        (Some(url), _) => match repeated(url, parts.configuration) {
            Some(path) => Err(format!(
                "`--to {url}`: the paths of requests begin with `{path}`, too: write `{}`",
                url.trim_end_matches('/').trim_end_matches(path)
            )),
            None => Ok(Some(url)),
        },
    }
}

/// The path at the end of a URL that the routes of a configuration begin with, too: together they would be one that no upstream has.
fn repeated<'u>(url: &'u str, configuration: &str) -> Option<&'u str> {
    let url = url.trim_end_matches('/');
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let path = url.get(host..).and_then(|rest| rest.find('/').and_then(|slash| rest.get(slash..)))?;
    let begins = |quote: &str| configuration.contains(&format!("path: {quote}{path}/"));
    (begins("") || begins("\"")).then_some(path)
}

fn files(template: Template, parts: &TemplateParts, url: Option<&str>) -> Result<Vec<NewFile>, String> {
    // A text of JSON is one of YAML, too, whatever is in it.
    let url = serde_json::Value::from(url.unwrap_or_default()).to_string();
    let open = |name: &str, text: String, what| NewFile { name: name.to_owned(), text, secret: false, what };
    let mut files = vec![
        open("hallgate.yaml", parts.configuration.replace(PLACE, &url), "where it listens, and what it asks"),
        open("rules.json", parts.rules.to_owned(), "what is allowed on data of which label"),
        open(
            &format!("workers/{}.json", parts.worker_id),
            parts.worker.to_owned(),
            "who asks, and what it may do at all",
        ),
        open("policies/base.cedar", POLICIES.to_owned(), "what no rule can allow"),
    ];
    if template == Template::Make {
        let secret = secret().map_err(|error| format!("there is no randomness for a token: {error}"))?;
        let text = format!("{secret}\n");
        files.push(NewFile {
            name: "token".to_owned(),
            text,
            secret: true,
            what: "the session token; only you can read it",
        });
    }
    Ok(files)
}

/// What somebody else has put into the folder is not ours to write over.
fn refuse_others(folder: &Path, force: bool) -> Result<(), String> {
    let there = match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    let there = there.map_err(|error| format!("`{}` cannot be read: {error}", folder.display()))?;
    if there.is_empty() || force {
        return Ok(());
    }
    let mut names: Vec<OsString> = there.into_iter().map(|entry| entry.file_name()).collect();
    names.sort();
    let named: Vec<_> = names.iter().take(NAMED).map(|name| name.to_string_lossy()).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Err(format!(
        "`{}` is not empty: it has {}{more}; name another folder, or write over what has the same name with --force",
        folder.display(),
        named.join(", "),
    ))
}

/// Writes all of it beside its place and moves it there when it is whole.
fn write(folder: &Path, files: &[NewFile]) -> io::Result<()> {
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)?;
    let there = folder.exists();
    let beside = tempfile::Builder::new().prefix(".hallgate-init-").tempdir_in(if there { folder } else { parent })?;
    let whole = beside.path().join("whole");
    for file in files {
        let path = whole.join(&file.name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mode = if file.secret { 0o600 } else { 0o644 };
        let mut written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        written.write_all(file.text.as_bytes())?;
        written.sync_all()?;
    }
    if !there {
        return fs::rename(whole, folder);
    }
    for file in files {
        let place = folder.join(&file.name);
        place.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::rename(whole.join(&file.name), place)?;
    }
    Ok(())
}

fn tell(options: &Options, parts: &TemplateParts, files: &[NewFile]) {
    let folder = options.folder.display();
    let longest = files.iter().map(|file| file.name.len()).max().unwrap_or_default();
    say(format_args!("{folder} is written:\n"));
    for NewFile { name, what, .. } in files {
        say(format_args!("  {name:longest$}  {what}"));
    }
    say("\nNext:\n");
    if !parts.credential.is_empty() {
        say(format_args!(
            "  export {}=...   # the upstream's own: the gate's alone, no app needs it",
            parts.credential
        ));
    }
    say(format_args!("  hallgate serve --config {folder}/hallgate.yaml"));
    say("\nand in another terminal:\n");
    if options.template == Template::Make {
        say(format_args!("  export HALL_SESSION_TOKEN=$(cat {folder}/token)"));
    }
    for variable in parts.app {
        say(format_args!("  export {variable}"));
    }
    say(format_args!("  curl -sS {}", parts.allowed));
    if parts.denied.starts_with('-') {
        say(format_args!("  curl -sS {} {}   # denied, and says why", parts.allowed, parts.denied));
    } else {
        say(format_args!("  # {}, and says why", parts.denied));
    }
    say(format_args!("  hallgate audit verify --ledger {folder}/ledger --key {folder}/hallgate.key.pub"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_routes_begin_with_is_not_said_twice() {
        let openai = Template::Openai.parts().configuration;
        assert_eq!(repeated("https://api.openai.com/v1", openai), Some("/v1"));
        assert_eq!(repeated("https://api.openai.com/v1/", openai), Some("/v1"));
        let gemini = Template::Gemini.parts().configuration;
        assert_eq!(repeated("http://127.0.0.1:1/v1beta", gemini), Some("/v1beta"));
        for fine in
            ["https://api.openai.com", "https://api.openai.com/", "https://models.example.org/openai", "nothing"]
        {
            assert_eq!(repeated(fine, openai), None, "{fine}");
        }
    }

    #[test]
    fn what_is_there_is_written_over_by_force_alone_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file =
            |name: &str, text: &str| NewFile { name: name.to_owned(), text: text.to_owned(), secret: true, what: "" };
        fs::write(folder.path().join("a"), "old").unwrap();
        fs::write(folder.path().join("mine"), "mine").unwrap();
        let refused = refuse_others(folder.path(), false).unwrap_err();
        assert!(refused.contains("it has a, mine;"), "{refused}");
        refuse_others(folder.path(), true).unwrap();
        write(folder.path(), &[file("a", "new"), file("b/c", "new")]).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!([read("a"), read("b/c"), read("mine")], ["new", "new", "mine"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left beside them");
    }
}
