//! `hallgate completions` and `hallgate man`: what a shell and a reader know of the command line, from its own definition.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use super::{CANNOT, cannot};

/// Print a shell's completions for hallgate
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

/// Print hallgate's manual page, or write that of every command
#[derive(Debug, Args)]
pub struct Man {
    /// Write the pages of all commands into this folder
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Runs `completions`. 0.
#[must_use]
pub fn complete(options: &Completions, mut definition: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut definition, "hallgate", &mut script);
    written(&script)
}

/// Runs `man`. 0: printed or written; 2: it cannot be written.
#[must_use]
pub fn man(options: &Man, definition: Command) -> ExitCode {
    if let Some(folder) = &options.folder {
        return match clap_mangen::generate_to(definition, folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => cannot(format_args!("`{}` cannot be written: {error}", folder.display())),
        };
    }
    let mut page = Vec::new();
    match clap_mangen::Man::new(definition).render(&mut page) {
        Ok(()) => written(&page),
        Err(error) => cannot(error),
    }
}

/// A reader that has gone away needs no more.
fn written(bytes: &[u8]) -> ExitCode {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = cannot(format_args!("stdout cannot be written: {error}"));
            ExitCode::from(CANNOT)
        }
        _ => ExitCode::SUCCESS,
    }
}
