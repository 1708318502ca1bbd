//! The generated part of `include/inocula_backend.h` is what `inocula_core::op` says.
//!
//! `cargo xtask abi check` runs this; `cargo xtask abi write` runs it with `INOCULA_WRITE_HEADER`
//! set, which writes the part anew.

use std::path::Path;

use inocula_core::op::OpCode;

const BEGIN: &str = " * BEGIN GENERATED from inocula_core::op by `cargo xtask abi write`\n";
const END: &str = " * END GENERATED\n */\n";

/// The table as a comment, then the codes as an enumeration.
fn generated() -> String {
    let mut text = String::new();
    let rule = format!(
        " *   {:<4}  {:<17}  {:<8}  {:<58}  {}",
        "code", "name", "operands", "ints", "floats"
    );
    text.push_str(&format!("{}\n", rule.trim_end()));
    for &code in OpCode::ALL {
        let operands = match (code, code.arity()) {
            (OpCode::Concat, _) => "*".to_owned(),
            (_, n) => n.to_string(),
        };
        let (ints, floats) = code.layout();
        let line = format!(
            " *   {:<4}  {:<17}  {operands:<8}  {ints:<58}  {floats}",
            code as u16,
            code.name()
        );
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    text.push_str(" */\nenum {\n");
    let last = OpCode::ALL.len() - 1;
    for (i, code) in OpCode::ALL.iter().enumerate() {
        let comma = if i == last { "" } else { "," };
        let (name, number) = (code.name().to_uppercase(), *code as u16);
        text.push_str(&format!("    INOCULA_OP_{name} = {number}{comma}\n"));
    }
    text.push_str("};\n/*\n");
    text
}

#[test]
fn the_header_lists_the_operations_of_this_version() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/inocula_backend.h");
    let header = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = header.split_once(BEGIN).expect("the BEGIN line of the generated part");
    let (_, after) = rest.split_once(END).expect("the END line of the generated part");
    let want = format!("{before}{BEGIN}{}{END}{after}", generated());
    if std::env::var_os("INOCULA_WRITE_HEADER").is_some() {
        std::fs::write(&path, &want).unwrap();
    }
    assert!(
        header == want || std::env::var_os("INOCULA_WRITE_HEADER").is_some(),
        "the header is behind op/code.rs or op/codec.rs: run `cargo xtask abi write`"
    );
}

#[test]
fn the_header_states_the_version_of_the_interface() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/inocula_backend.h");
    let header = std::fs::read_to_string(path).unwrap();
    use inocula_core::abi::types::{MAJOR, MINOR};
    for line in [
        format!("#define INOCULA_ABI_MAJOR {MAJOR}\n"),
        format!("#define INOCULA_ABI_MINOR {MINOR}\n"),
        format!("#define INOCULA_MAX_RANK {}\n", inocula_core::aval::MAX_RANK),
    ] {
        assert!(header.contains(&line), "{line}");
    }
}
