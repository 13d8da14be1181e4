//! Generates the gRPC types from the proto file, without a `protoc` on the machine, and finds out
//! which commit is built.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The commit, where sources are built without their git repository.
const COMMIT_VARIABLE: &str = "MAYFLY_COMMIT";

fn main() -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new(["src/server/proto"])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_file("fulcio.proto")?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("fulcio.descriptors"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(compiler.file_descriptor_set())?;
    println!("cargo::rerun-if-changed=src/server/proto/fulcio.proto");
    println!("cargo::rustc-env=MAYFLY_BUILD_COMMIT={}", commit()?);
    Ok(())
}

/// The hash of the commit: the same sources give the same text, whoever builds them.
fn commit() -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={COMMIT_VARIABLE}");
    if let Some(head) = head() {
        return Ok(head);
    }
    let Ok(given) = env::var(COMMIT_VARIABLE) else {
        return Ok("unknown".to_owned());
    };
    let is_hash = (7..=64).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_hash {
        true => Ok(given),
        false => Err(format!("{COMMIT_VARIABLE} is not the hash of a commit").into()),
    }
}

/// What is checked out here. `None` without git, and where the sources lie inside of another
/// repository, whose commit says nothing about them.
fn head() -> Option<String> {
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let head = git(&["rev-parse", "--verify", "HEAD"])?;
    // The log of HEAD has a line for each move. Without one, HEAD or what it names moves.
    let watched = match existing("logs/HEAD") {
        Some(log) => vec![Some(log), existing("HEAD")],
        None => {
            let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"])?;
            vec![existing("HEAD"), existing(&branch), existing("packed-refs")]
        }
    };
    for file in watched.into_iter().flatten() {
        println!("cargo::rerun-if-changed={file}");
    }
    Some(head)
}

/// The path of a file of the repository. One that is not there would have this run each time.
fn existing(name: &str) -> Option<String> {
    git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists())
}

fn git(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // A hook that builds has set them, maybe for another repository.
    command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    let output = command.args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
