//! Generates the gRPC types from the proto file, without a `protoc` on the machine.

use std::{env, error::Error, fs, path::PathBuf};

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
    Ok(())
}
