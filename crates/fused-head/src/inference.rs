//! Trained heads of one shape, evaluated.

use std::borrow::Borrow;

use crate::{
    Error, HeadShape, Parameters,
    engine::{EVALUATION_ROWS, Engine},
    head::Head,
    isa::Isa,
    layout::Layout,
    rows::{Row, check_rows, first_column_error},
    workspace::Workspace,
};

/// Largest number of logits in memory at a time, if there are many classes.
const LOGITS: usize = 1 << 24;

/// Trained heads of one shape, with their threads.
///
/// The arithmetic is that of [`Trainer::evaluate`](crate::Trainer::evaluate): without dropout, and with
/// BatchNorm's running averages. A row's logits are the same to the bit whatever other rows and heads there are,
/// whether the row is given dense or sparse, and for any number of threads.
pub struct Inference {
    shape: HeadShape,
    heads: Vec<Head>,
    engine: Engine,
}

impl std::fmt::Debug for Inference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inference")
            .field("shape", &self.shape)
            .field("heads", &self.heads.len())
            .finish_non_exhaustive()
    }
}

impl Inference {
    /// Heads with these parameters, on this many threads. They take the memory of the parameters and
    /// that of the activations of up to 64 rows.
    ///
    /// # Errors
    /// If there is no head, the heads differ in shape, or a size or the number of threads is 0.
    pub fn new<P: Borrow<Parameters>>(heads: &[P], threads: usize) -> Result<Inference, Error> {
        Inference::with_isa(heads, threads, Isa::detect())
    }

    pub(crate) fn with_isa<P: Borrow<Parameters>>(
        heads: &[P],
        threads: usize,
        isa: Isa,
    ) -> Result<Inference, Error> {
        let shape = heads.first().ok_or(Error::NoHeads)?.borrow().shape();
        shape.check()?;
        if threads == 0 {
            return Err(Error::Zero { field: "threads" });
        }
        if let Some(head) = heads.iter().position(|head| head.borrow().shape() != shape) {
            return Err(Error::OtherShape { head });
        }
        let rows = (LOGITS / Layout::new(shape).outputs).clamp(1, EVALUATION_ROWS);
        let engine = Engine::new(shape, heads.len(), rows, threads, isa, Workspace::for_logits);
        let heads = heads.iter().map(|head| Head::for_inference(head.borrow())).collect();
        Ok(Inference { shape, heads, engine })
    }

    /// The form and the sizes of the heads.
    pub fn shape(&self) -> HeadShape {
        self.shape
    }

    /// The logits of every head, `[rows, classes]` each in C order, of any number of rows.
    ///
    /// # Errors
    /// If there is no row, or a row does not fit the heads' inputs.
    pub fn logits(&mut self, rows: &[Row<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        check_rows(self.shape, rows)?;
        let logits = self.engine.logits(&self.heads, rows);
        logits.map_err(|_| first_column_error(self.shape, rows))
    }

    /// The gradient of the logit of `class` with respect to the inputs `row`, of every head: `[inputs]` each.
    /// It is in evaluation, as the logits are.
    ///
    /// # Errors
    /// If the row does not fit the heads' inputs, or there is no such class.
    pub fn input_gradients(&mut self, row: &[f32], class: usize) -> Result<Vec<Vec<f32>>, Error> {
        check_rows(self.shape, &[Row::Dense(row)])?;
        let classes = self.shape.classes;
        if class >= classes {
            return Err(Error::Class { class, classes });
        }
        Ok(self.heads.iter_mut().map(|head| head.input_gradient(row, class)).collect())
    }
}
