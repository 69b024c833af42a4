//! The orders of a kernel's axes in files.

/// The order of the axes of a kernel in a file, as the argument of `np.transpose` that brings it to
/// `[out, in, rows, columns]`: the axis in the file that becomes each of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AxisOrder(pub(super) [usize; 4]);

impl AxisOrder {
    /// `[out, in, rows, columns]`: PyTorch, ONNX, Caffe.
    pub(super) const OIHW: AxisOrder = AxisOrder([0, 1, 2, 3]);
    /// `[rows, columns, in, out]`: TensorFlow and Keras.
    pub(super) const HWIO: AxisOrder = AxisOrder([3, 2, 0, 1]);

    /// The shape in the file of a kernel of `shape` `[out, in, rows, columns]`.
    pub(super) fn shape_in_file(self, shape: [usize; 4]) -> [usize; 4] {
        let mut found = [0; 4];
        for (axis, side) in self.0.into_iter().zip(shape) {
            found[axis] = side;
        }
        found
    }

    /// This order after a transposition by `perm`; `None` if that is not an order of four axes.
    pub(super) fn after(self, perm: &[i64]) -> Option<AxisOrder> {
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        // The axis of the transposed tensor that becomes an axis of the kernel is axis `perm[it]` of the
        // file's tensor.
        (sorted == [0, 1, 2, 3]).then(|| AxisOrder(self.0.map(|axis| perm[axis] as usize)))
    }
}

/// The numbers of an array of `shape`, both in C order, after `np.transpose` with `order`.
pub(super) fn transpose(numbers: Vec<f32>, shape: &[usize], order: &[usize]) -> Vec<f32> {
    debug_assert_eq!(numbers.len(), shape.iter().product::<usize>());
    if order.iter().enumerate().all(|(axis, from)| axis == *from) {
        return numbers;
    }
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let mut out = Vec::with_capacity(numbers.len());
    copy(&numbers, shape, &strides, order, 0, &mut out);
    out
}

/// Appends the sub-array that starts at `at`, over the axes in `order`.
fn copy(
    numbers: &[f32],
    shape: &[usize],
    strides: &[usize],
    order: &[usize],
    at: usize,
    out: &mut Vec<f32>,
) {
    match order {
        [] => out.extend(numbers.get(at)),
        [axis] => out.extend((0..shape[*axis]).map(|index| numbers[at + index * strides[*axis]])),
        [axis, rest @ ..] => {
            for index in 0..shape[*axis] {
                copy(numbers, shape, strides, rest, at + index * strides[*axis], out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of NumPy's documentation and `np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)`.
    #[test]
    fn transpositions_are_those_of_numpy() {
        let range = |count: usize| (0..count).map(|number| number as f32).collect::<Vec<_>>();
        assert_eq!(transpose(range(4), &[2, 2], &[1, 0]), [0.0, 2.0, 1.0, 3.0]);
        assert_eq!(transpose(range(4), &[2, 2], &[0, 1]), range(4));
        let found = transpose(range(24), &[2, 3, 4], &[2, 0, 1]);
        assert_eq!(found[..8], [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0, 5.0]);
        assert_eq!(found[23], 23.0);
        assert!(transpose(vec![], &[0, 3], &[1, 0]).is_empty());
    }

    #[test]
    fn orders_follow_transpositions() {
        let shape = [64, 3, 7, 9];
        assert_eq!(AxisOrder::OIHW.shape_in_file(shape), shape);
        assert_eq!(AxisOrder::HWIO.shape_in_file(shape), [7, 9, 3, 64]);
        // A kernel in TensorFlow's order that a graph transposes before it convolves.
        assert_eq!(AxisOrder::OIHW.after(&[3, 2, 0, 1]), Some(AxisOrder::HWIO));
        // Two transpositions: the file's [in, rows, columns, out] to [rows, columns, in, out] and on.
        let twice = AxisOrder::OIHW.after(&[3, 2, 0, 1]).and_then(|it| it.after(&[1, 2, 0, 3]));
        assert_eq!(twice.map(|it| it.shape_in_file(shape)), Some([3, 7, 9, 64]));
        assert_eq!(AxisOrder::OIHW.after(&[0, 1, 2]), None);
        assert_eq!(AxisOrder::OIHW.after(&[0, 1, 2, 2]), None);
    }
}
