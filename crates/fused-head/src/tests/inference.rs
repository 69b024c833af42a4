//! Trained heads give the logits that their training's evaluation sees, whatever the batch size, the
//! threads, the other heads, and the form of the rows.

use super::{SparseRows, features, isas, labels, trainer};
use crate::{
    Columns, Error, HeadConfig, HeadShape, HiddenLayers, Inference, Parameters, Row, Trainer,
    isa::Isa,
};

const SHAPE: HeadShape =
    HeadShape { inputs: 700, hidden: HiddenLayers::two(130), classes: 11, input_norm: None };

/// Heads after two steps, so that running averages are not what they began with.
fn trained(isa: Isa) -> Trainer {
    let configs = [0.0, 0.5, 0.8].map(|p| HeadConfig {
        dropout: vec![p; 3],
        seed: 3,
        ..HeadConfig::default()
    });
    let mut trainer = trainer(SHAPE, &configs, 32, 2, isa);
    for step in 0..2 {
        let data = features(32, SHAPE.inputs, 0.3, step);
        let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
        trainer.step(&rows, &labels(32, SHAPE.classes, step), &[1e-3; 3]).unwrap();
    }
    trainer
}

#[test]
fn logits_are_those_of_the_trainer_whatever_the_batch_and_the_threads() {
    let data = features(150, SHAPE.inputs, 0.3, 9);
    let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
    for isa in isas() {
        let mut trainer = trained(isa);
        let expected = trainer.logits(&rows).unwrap();
        let heads = [0, 1, 2].map(|head| trainer.parameters(head));
        for threads in [1, 2, 3, 5] {
            for batch_size in [1, 7, 64, 150] {
                let mut inference = Inference::with_isa(&heads, threads, isa).unwrap();
                let mut found = vec![Vec::new(); heads.len()];
                for batch in rows.chunks(batch_size) {
                    for (all, logits) in found.iter_mut().zip(inference.logits(batch).unwrap()) {
                        all.extend(logits);
                    }
                }
                assert!(found == expected, "{isa:?}, {threads} threads, batches of {batch_size}");
            }
            let mut alone = Inference::with_isa(&heads[1..2], threads, isa).unwrap();
            assert!(alone.logits(&rows).unwrap()[0] == expected[1], "{isa:?}, {threads} threads");
        }
    }
}

/// Counting the largest logits gives the hits of the trainer's own evaluation.
#[test]
fn hits_are_those_of_the_trainers_evaluation() {
    let data = features(200, SHAPE.inputs, 0.3, 5);
    let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
    let labels = labels(200, SHAPE.classes, 5);
    for isa in isas() {
        let mut trainer = trained(isa);
        let evaluated = trainer.evaluate(&rows, &labels).unwrap();
        let heads = [0, 1, 2].map(|head| trainer.parameters(head));
        let logits = Inference::with_isa(&heads, 2, isa).unwrap().logits(&rows).unwrap();
        for (evaluated, logits) in evaluated.iter().zip(logits) {
            let hits = logits.chunks(SHAPE.classes).zip(&labels).filter(|(logits, label)| {
                let label = logits[**label as usize];
                logits.iter().all(|&logit| logit <= label)
            });
            assert_eq!(hits.count(), evaluated.hits as usize);
        }
    }
}

/// In either width of the columns, whatever zeros are written down, and whether vectors are full or not.
#[test]
fn sparse_rows_give_the_logits_of_dense_ones() {
    for density in [0.0, 0.02, 0.3, 1.0] {
        let data = features(20, SHAPE.inputs, density, 6);
        let rows: Vec<Row<'_>> = data.chunks(SHAPE.inputs).map(Row::Dense).collect();
        let lists = SparseRows::of(&data, SHAPE.inputs);
        for isa in isas() {
            let mut trainer = trained(isa);
            let expected = trainer.logits(&rows).unwrap();
            let heads = [0, 1, 2].map(|head| trainer.parameters(head));
            let mut inference = Inference::with_isa(&heads, 2, isa).unwrap();
            for sparse in [lists.narrow(), lists.wide()] {
                assert!(inference.logits(&sparse).unwrap() == expected, "{isa:?}, {density}");
            }
        }
    }
}

/// A head in evaluation is linear but for its ReLUs, so differences are the gradient up to rounding, unless a
/// unit changes its sign on the way.
#[test]
fn gradients_are_those_of_finite_differences() {
    const STEP: f32 = 1.0 / 64.0;
    let isa = Isa::detect();
    let mut trainer = trained(isa);
    let heads = [0, 1, 2].map(|head| trainer.parameters(head));
    let mut inference = Inference::with_isa(&heads, 2, isa).unwrap();
    let row = features(1, SHAPE.inputs, 0.3, 12);
    for class in [0, SHAPE.classes - 1] {
        let gradients = inference.input_gradients(&row, class).unwrap();
        // Of every seventh input, whether it is 0 or not.
        let inputs: Vec<usize> = (0..SHAPE.inputs).step_by(7).collect();
        let moved: Vec<Vec<f32>> = inputs
            .iter()
            .flat_map(|&input| [STEP, -STEP].map(|step| (input, step)))
            .map(|(input, step)| {
                let mut moved = row.clone();
                moved[input] += step;
                moved
            })
            .collect();
        let rows: Vec<Row<'_>> = moved.iter().map(|row| Row::Dense(row)).collect();
        let logits = inference.logits(&rows).unwrap();
        for (gradient, logits) in gradients.iter().zip(logits) {
            assert_eq!(gradient.len(), SHAPE.inputs);
            let largest = gradient.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
            assert!(largest > 0.01);
            let of_class: Vec<f32> =
                logits.into_iter().skip(class).step_by(SHAPE.classes).collect();
            for (pair, &input) in of_class.chunks(2).zip(&inputs) {
                let difference = (pair[0] - pair[1]) / (2.0 * STEP);
                let error = (difference - gradient[input]).abs();
                assert!(error < 0.02 * largest, "{input}: {difference}, {}", gradient[input]);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let shape = HeadShape::new(3, 8, 2);
    let head = Parameters::glorot(shape, 0);
    let other = Parameters::glorot(HeadShape { classes: 3, ..shape }, 0);
    let new = |heads: &[Parameters], threads| Inference::new(heads, threads).unwrap_err();
    assert_eq!(new(&[], 1), Error::NoHeads);
    assert_eq!(new(&[head.clone(), other], 1), Error::OtherShape { head: 1 });
    assert_eq!(new(std::slice::from_ref(&head), 0), Error::Zero { field: "threads" });
    let empty = Parameters::zeros(HeadShape { classes: 0, ..shape });
    assert_eq!(new(&[empty], 1), Error::Zero { field: "classes" });

    let mut inference = Inference::new(&[head], 1).unwrap();
    let mut refused = |row: Row<'_>| inference.logits(&[Row::Dense(&[0.0; 3]), row]).unwrap_err();
    fn sparse(columns: &[u32]) -> Row<'_> {
        Row::Sparse { columns: columns.into(), values: &[1.0; 2] }
    }
    let length = Error::RowLength { row: 1, expected: 3, actual: 2 };
    assert_eq!(refused(Row::Dense(&[0.0; 2])), length);
    let length = Error::SparseLength { row: 1, columns: 1, values: 2 };
    assert_eq!(refused(sparse(&[0])), length);
    let column = Error::Column { row: 1, column: 3, inputs: 3 };
    assert_eq!(refused(sparse(&[0, 3])), column);
    for columns in [[1, 1], [2, 1]] {
        let order = Error::ColumnOrder { row: 1, column: columns[1], before: columns[0] };
        assert_eq!(refused(sparse(&columns)), order);
    }
    let too_many = Row::Sparse { columns: Columns::U16(&[0, 1, 2, 3]), values: &[1.0; 4] };
    assert_eq!(refused(too_many), column);
    assert_eq!(inference.logits(&[]).unwrap_err(), Error::NoRows);
    let mut refused = |row: &[f32], class| inference.input_gradients(row, class).unwrap_err();
    assert_eq!(refused(&[0.0; 2], 0), Error::RowLength { row: 0, expected: 3, actual: 2 });
    assert_eq!(refused(&[0.0; 3], 2), Error::Class { class: 2, classes: 2 });
}
