//! Running the command as a person would, in a folder of its own.
#![allow(dead_code)] // Each test binary uses its part of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a run of the command left behind.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code().expect("no signal ended it"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Asserts the exit code; the message shows all of the output.
    #[track_caller]
    pub fn ended(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Asserts that standard error contains all of these.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Ran {
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is missing in:\n{}", self.err);
        }
        self
    }
}

/// An empty folder for one test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if path.exists() {
            fs::remove_dir_all(&path).expect("the folder of an earlier run can go");
        }
        fs::create_dir_all(&path).expect("there is room for tests");
        Folder(path)
    }

    /// Runs the command here, in pipes.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_program(env!("CARGO_BIN_EXE_reconverge").as_ref(), args)
    }

    pub fn run_program(&self, program: &Path, args: &[&str]) -> Ran {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.0).stdin(Stdio::null());
        // What a terminal would allow must not reach a pipe.
        command.env_remove("NO_COLOR").env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
        let ran = Ran::of(command.output().expect("the program starts"));
        let text = format!("{}{}", ran.out, ran.err);
        assert!(!text.contains('\x1b'), "escapes in a pipe: {text:?}");
        ran
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), content).expect("there is room for tests");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("the file is there")
    }

    /// Names of all files below `name`, with their bytes, in order; `timing.csv` is left out because it alone may differ.
    pub fn files(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let root = self.0.join(name);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("the folder is there") {
                let path = entry.expect("readable").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name != "timing.csv") {
                    let name = path.strip_prefix(&root).expect("below it").display().to_string();
                    found.push((name, fs::read(&path).expect("readable")));
                }
            }
        }
        found.sort();
        found
    }

    /// Names of everything directly here, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder is there");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("readable").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}

/// A column of a CSV file without quoted commas before it.
pub fn column(csv: &str, name: &str) -> Vec<String> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let at = header.iter().position(|column| *column == name).expect("the column is there");
    lines.map(|line| line.split(',').nth(at).expect("as wide as the header").to_owned()).collect()
}
