//! What the compiler made of the register blocks.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::{process::Command, time::Duration};

use kernel_support::testing::skipped;
use winograd::RegisterBlock;

/// No multiply-add of a register block for AVX-512 has an index register in its memory operand: see `opaque` in
/// `kernel/microkernel.rs`.
#[test]
fn register_blocks_have_no_indexed_operands() {
    // What is not called would not be in the program.
    for block in RegisterBlock::all() {
        let (flops, peak) = block.measure(Duration::from_millis(1));
        assert!(flops > 0.0 && peak > 0.0, "{block:?}: {flops} {peak}");
    }
    let program = std::env::current_exe().unwrap();
    let options = ["--disassemble", "--demangle", "--no-show-raw-insn"];
    let Ok(output) = Command::new("objdump").args(options).arg(program).output() else {
        return skipped("objdump");
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let mut blocks = 0;
    for function in text.split("\n\n") {
        let Some((name, code)) = function.split_once(">:\n") else { continue };
        if !name.contains("isa::avx512::block_entry") {
            continue;
        }
        blocks += 1;
        let adds: Vec<&str> = code.lines().filter(|line| line.contains("vfmadd")).collect();
        assert!(adds.len() >= 4, "{name}: {code}");
        // `disp(base,index,scale)`, and not `disp(base)`.
        let indexed = adds.iter().find(|line| line.contains("(%") && line.contains(",%r"));
        assert!(indexed.is_none(), "{name}: {indexed:?}");
    }
    let measured = RegisterBlock::all().iter().filter(|block| block.isa() == "avx512").count();
    assert_eq!(blocks, measured);
}
