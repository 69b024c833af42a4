//! The part of the graph that brings images of any size to the network's, as the recipe says.
//!
//! The results are those of the program to rounding, for each fit and filter that is not refused.

use onnx::{Attribute, DataType};
use recipe::{Fit, ImageForm, ResizeFilter};

use super::Builder;
use crate::Error;

/// Refuses what ONNX's operators do not do.
///
/// # Errors
/// If the recipe's fit or filter has no operator.
pub(super) fn check_resizing(form: ImageForm) -> Result<(), Error> {
    let refused = |what: String| Err(Error::OnnxResizing { what });
    match form {
        ImageForm { resize: ResizeFilter::Lanczos, .. } => {
            refused(format!("the filter {}", form.resize))
        }
        ImageForm { fit: Fit::Pad, .. } => refused(format!("the fit {}", form.fit)),
        _ => Ok(()),
    }
}

impl Builder {
    /// Planes `[N, 3, H, W]` brought to the recipe's size as it says; their name.
    pub(super) fn resize(&mut self, form: ImageForm, planes: &str) -> String {
        let size = [form.height as i64, form.width as i64];
        self.integers("images/size", &size);
        if form.fit != Fit::Crop {
            return self.filter(form.resize, planes, "images/size");
        }
        // The smallest size of the same proportions that covers the network's, rounded down: the larger one of
        // either side and, of the other side's, what belongs to it.
        self.integers("images/two", &[2]);
        self.integers("images/four", &[4]);
        let shape = self.node("Shape", &[planes], "images/shape", &[]);
        let sides = ["images/two", "images/four"];
        let sides = self.node("Slice", &[&shape, sides[0], sides[1]], "images/sides", &[]);
        self.integers("images/swap", &[1, 0]);
        let swapped = self.node("Gather", &[&sides, "images/swap"], "images/sides/swapped", &[]);
        self.integers("images/size/swapped", &[size[1], size[0]]);
        let product =
            self.node("Mul", &[&sides, "images/size/swapped"], "images/sides/product", &[]);
        let proportional =
            self.node("Div", &[&product, &swapped], "images/sides/proportional", &[]);
        let covering =
            self.node("Max", &[&proportional, "images/size"], "images/sides/covering", &[]);
        let resized = self.filter(form.resize, planes, &covering);
        // Half of what is too much, rounded to the even neighbour.
        let over = self.node("Sub", &[&covering, "images/size"], "images/over", &[]);
        let half = self.node("Div", &[&over, "images/two"], "images/over/half", &[]);
        let odd = self.node("Mod", &[&half, "images/two"], "images/over/odd", &[]);
        let even = self.node("Add", &[&over, &odd], "images/over/even", &[]);
        let start = self.node("Div", &[&even, "images/two"], "images/start", &[]);
        let end = self.node("Add", &[&start, "images/size"], "images/end", &[]);
        self.integers("images/axes", &[2, 3]);
        self.node("Slice", &[&resized, &start, &end, "images/axes"], "images/cropped", &[])
    }

    /// Planes `[N, 3, H, W]` resized to `size`, the name of two integers; their name.
    fn filter(&mut self, filter: ResizeFilter, planes: &str, size: &str) -> String {
        match filter {
            ResizeFilter::Nearest => self.nearest(planes, size),
            ResizeFilter::Bilinear => {
                let attributes = [
                    Attribute::text("mode", "linear"),
                    Attribute::text("coordinate_transformation_mode", "half_pixel"),
                    // The filter widens when an image is reduced, and at the borders the weights of what lies
                    // outside go to what lies inside.
                    Attribute::int("antialias", 1),
                    Attribute::int("exclude_outside", 1),
                    Attribute::ints("axes", &[2, 3]),
                ];
                // The second and third input, a region and factors, are not given.
                self.node("Resize", &[planes, "", "", size], "images/resized", &attributes)
            }
            ResizeFilter::Bicubic => self.cubic(planes, size),
            ResizeFilter::Lanczos => unreachable!("it was refused"),
        }
    }

    /// Planes `[N, 3, H, W]` resized by the cubic filter to `size`, the name of two integers; their name. Numbers
    /// are cut to those of pixels after either pass, so that the order of the passes counts: the vertical one comes
    /// first where it removes more than twice as many rows as columns are removed.
    fn cubic(&mut self, planes: &str, size: &str) -> String {
        for (name, integers) in [
            ("images/cubic/zero", &[0][..]),
            ("images/cubic/one", &[1]),
            ("images/cubic/two", &[2]),
            ("images/cubic/four", &[4]),
            ("images/cubic/one-two", &[1, 2]),
        ] {
            self.integers(name, integers);
        }
        self.floats("images/cubic/black", &[], &[0.0]);
        self.floats("images/cubic/white", &[], &[255.0]);
        let part = |builder: &mut Self, of: &str, from: &str, to: &str, name: &str| {
            let [from, to] = [from, to].map(|end| format!("images/cubic/{end}"));
            builder.node("Slice", &[of, &from, &to], &format!("images/cubic/{name}"), &[])
        };
        let lengths =
            [part(self, size, "zero", "one", "rows"), part(self, size, "one", "two", "columns")];
        let pass = |builder: &mut Self, planes: &str, axis: usize, name: &str| {
            let attributes = [
                Attribute::text("mode", "cubic"),
                Attribute::float("cubic_coeff_a", -0.5),
                Attribute::text("coordinate_transformation_mode", "half_pixel"),
                Attribute::int("antialias", 1),
                Attribute::int("exclude_outside", 1),
                Attribute::ints("axes", &[2 + axis as i64]),
            ];
            let wide = format!("{name}/unclipped");
            let inputs = [planes, "", "", &lengths[axis]];
            let wide = builder.node("Resize", &inputs, &wide, &attributes);
            let inputs = [&*wide, "images/cubic/black", "images/cubic/white"];
            builder.node("Clip", &inputs, name, &[])
        };
        let narrow = pass(self, planes, 1, "images/cubic/narrow");
        let horizontal_first = pass(self, &narrow, 0, "images/cubic/horizontal-first");
        let low = pass(self, planes, 0, "images/cubic/low");
        let vertical_first = pass(self, &low, 1, "images/cubic/vertical-first");
        let shape = self.node("Shape", &[planes], "images/cubic/shape", &[]);
        let sides = part(self, &shape, "two", "four", "sides");
        let removed = self.node("Sub", &[&sides, size], "images/cubic/removed", &[]);
        let weighed = ["images/cubic/one-two", "images/cubic/zero"];
        let removed =
            self.node("Mul", &[&removed, weighed[0]], "images/cubic/removed/weighed", &[]);
        let removed = self.node("Max", &[&removed, weighed[1]], "images/cubic/removed/most", &[]);
        let rows = part(self, &removed, "zero", "one", "removed/rows");
        let columns = part(self, &removed, "one", "two", "removed/columns");
        let condition = self.node("Greater", &[&rows, &columns], "images/cubic/condition", &[]);
        let inputs = [&*condition, &vertical_first, &horizontal_first];
        self.node("Where", &inputs, "images/resized", &[])
    }

    /// Planes `[N, 3, H, W]` resized to `size`, the name of two integers, by taking the pixels in which the new centres
    /// lie; their name. The positions are summed up in double precision, as by the program: that decides where a centre
    /// lies between two pixels, and the operator Resize decides otherwise.
    fn nearest(&mut self, planes: &str, size: &str) -> String {
        for (name, integer) in ["zero", "one", "two", "three", "four"].into_iter().zip(0..) {
            self.integers(&format!("images/nearest/{name}"), &[integer]);
        }
        self.floats("images/nearest/half", &[], &[0.5]);
        let double = [Attribute::int("to", DataType::Double as i64)];
        let half = "images/nearest/half";
        let half = self.node("Cast", &[half], "images/nearest/half/double", &double);
        let shape = self.node("Shape", &[planes], "images/nearest/shape", &[]);
        let (zero, one) = ("images/nearest/zero", "images/nearest/one");
        let mut image = planes.to_owned();
        for (name, axis, [from, to], [start, end]) in [
            ("rows", 2, ["two", "three"], ["zero", "one"]),
            ("columns", 3, ["three", "four"], ["one", "two"]),
        ] {
            let [from, to, start, end] =
                [from, to, start, end].map(|number| format!("images/nearest/{number}"));
            let mut node = |operator: &str, inputs: &[&str], output: &str, with: &[Attribute]| {
                self.node(operator, inputs, &format!("images/nearest/{name}/{output}"), with)
            };
            let length = node("Slice", &[&shape, &from, &to], "length", &[]);
            let scaled = node("Slice", &[size, &start, &end], "scaled", &[]);
            let lengths = [(&length, "length/double"), (&scaled, "scaled/double")];
            let [pixels, steps] = lengths.map(|(it, output)| node("Cast", &[it], output, &double));
            let step = node("Div", &[&pixels, &steps], "step", &[]);
            let first = node("Mul", &[&step, &half], "first", &[]);
            let others = node("Sub", &[&scaled, one], "others", &[]);
            let others = node("Expand", &[&step, &others], "others/steps", &[]);
            let along = [Attribute::int("axis", 0)];
            let steps = node("Concat", &[&first, &others], "steps", &along);
            let centres = node("CumSum", &[&steps, zero], "centres", &[]);
            let to_integers = [Attribute::int("to", DataType::Int64 as i64)];
            let pixels = node("Cast", &[&centres], "centres/pixels", &to_integers);
            let last = node("Sub", &[&length, one], "last", &[]);
            let pixels = node("Min", &[&pixels, &last], "pixels", &[]);
            let axis = [Attribute::int("axis", axis)];
            image = node("Gather", &[&image, &pixels], "taken", &axis);
        }
        image
    }
}
