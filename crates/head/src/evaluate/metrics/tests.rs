use serde::Deserialize;
use std::collections::BTreeMap;

use super::*;

/// A classifier with its measures by scikit-learn; `make_goldens.py` makes them.
#[derive(Deserialize)]
struct Golden {
    logits: Vec<Vec<f32>>,
    labels: Vec<usize>,
    metrics: BTreeMap<String, f64>,
}

fn scored(logits: &[Vec<f32>], labels: &[usize]) -> ScoredRows {
    let mut rows = ScoredRows::new(labels.len(), logits[0].len());
    for (logits, &label) in logits.iter().zip(labels) {
        let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
        rows.add(&Scores::new(&logits), label);
    }
    rows
}

#[test]
fn measures_are_those_of_scikit_learn() {
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("goldens.json")).unwrap();
    assert_eq!(goldens.len(), 4);
    for golden in goldens {
        let metrics = scored(&golden.logits, &golden.labels).metrics();
        let classes = golden.logits[0].len();
        for (name, expected) in golden.metrics {
            let found = match name.as_str() {
                "top1" => metrics.top1,
                "top5" => metrics.top5.unwrap(),
                "balanced_accuracy" => metrics.balanced_accuracy,
                "macro_f1" => metrics.macro_f1,
                "log_loss" => metrics.log_loss,
                "auroc" => metrics.auroc.unwrap(),
                "calibration_error" => metrics.calibration_error,
                _ => panic!("{name}"),
            };
            let difference = (found.value - expected).abs();
            assert!(difference < 1e-6, "{classes} classes, {name}: {} {expected}", found.value);
            let (low, high) = (found.low.unwrap(), found.high.unwrap());
            assert!(low < high, "{name}");
            // What is not a mean over rows is biased in samples, which have fewer different rows.
            if name != "calibration_error" {
                assert!(low <= found.value && found.value <= high, "{name}: {low} {high}");
            }
        }
        assert_eq!(metrics.top5.is_some(), classes > 5);
    }
}

/// The interval of an accuracy is that of a binomial proportion.
#[test]
fn intervals_are_as_wide_as_theory_says() {
    let logits: Vec<Vec<f32>> = (0..400).map(|row| vec![1.0, [0.0, 2.0][row % 5 / 4]]).collect();
    let metrics = scored(&logits, &[0; 400]).metrics();
    assert_eq!(metrics.top1.value, 0.8);
    let half = 1.96 * (0.8 * 0.2 / 400.0_f64).sqrt();
    for (end, expected) in [(metrics.top1.low, 0.8 - half), (metrics.top1.high, 0.8 + half)] {
        assert!((end.unwrap() - expected).abs() < 0.006, "{end:?} {expected}");
    }
    // Of one class alone, there is no curve.
    assert_eq!(metrics.auroc, None);
}

#[test]
fn a_head_that_has_diverged_is_measured() {
    let metrics = scored(&[vec![f32::NAN, 0.0], vec![1.0, 0.0]], &[0, 0]).metrics();
    assert_eq!(metrics.top1.value, 0.5);
    assert!(metrics.log_loss.value.is_nan());
}
