//! A safetensors file, written piece by piece: its header lists sizes that are known before.

use std::io::Write;

use feature_cache::SplitName;
use serde_json::{Map, json};

use super::{Failed, Rows, Sink, Table, write_floats};

/// The splits by the numbers that stand for them in the file.
const SPLITS: [SplitName; 3] = [SplitName::Train, SplitName::Val, SplitName::Test];

/// Writes `labels` `[N]` (int64, −1 without a label), `features` `[N, D]` (float32), `splits` `[N]` (uint8,
/// an index into the metadata's `split_names`) and `ids` `[N, L]` (uint8: UTF-8, padded with zeros). The
/// If there are distorted copies, also `views` `[N]` (int64): 0 for an image itself. The
/// metadata has `class_names` and `split_names`, both JSON.
pub(super) fn write(mut sink: Sink, table: &Table<'_>, rows: Rows<'_>) -> Result<Sink, Failed> {
    let count = table.rows.len();
    let longest = table.rows.iter().map(|row| row.id.len()).max().unwrap_or(0).max(1);
    let mut header = Map::new();
    header.insert(
        "__metadata__".to_owned(),
        json!({
            "class_names": json!(table.class_names).to_string(),
            "split_names": json!(SPLITS.map(SplitName::as_str)).to_string(),
        }),
    );
    let mut end = 0;
    for (name, dtype, size, shape) in [
        ("labels", "I64", 8, vec![count]),
        ("views", "I64", 8, vec![count]),
        ("features", "F32", 4, vec![count, table.width]),
        ("splits", "U8", 1, vec![count]),
        ("ids", "U8", 1, vec![count, longest]),
    ] {
        if name == "views" && !table.has_views {
            continue;
        }
        let start = end;
        end += size * shape.iter().product::<usize>();
        let tensor = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
        header.insert(name.to_owned(), tensor);
    }
    let mut header = serde_json::Value::from(header).to_string();
    // The numbers that follow are aligned.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    sink.write_all(&(header.len() as u64).to_le_bytes())?;
    sink.write_all(header.as_bytes())?;

    for row in &table.rows {
        sink.write_all(&row.label.unwrap_or(-1).to_le_bytes())?;
    }
    for row in table.rows.iter().filter(|_| table.has_views) {
        sink.write_all(&row.view.to_le_bytes())?;
    }
    rows.each(|vector| Ok(write_floats(&mut sink, vector)?))?;
    for row in &table.rows {
        let index = SPLITS.iter().position(|split| *split == row.split);
        sink.write_all(&[index.expect("there are three splits") as u8])?;
    }
    let mut padded = vec![0; longest];
    for row in &table.rows {
        padded.fill(0);
        padded[..row.id.len()].copy_from_slice(row.id.as_bytes());
        sink.write_all(&padded)?;
    }
    Ok(sink)
}
