//! All that it takes to classify an image: a recipe, its weights, trained heads and the names of the classes.

mod file;

use std::path::{Path, PathBuf};

use backbone::{Compute, ImageSize, Weights};
use fused_head::Parameters;
use head::{Average, Ensemble, Run};
use recipe::{ImageForm, Recipe, Tap, TapShape};

use crate::Error;

/// Trained heads of one shape with everything that turns an image into their input.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) recipe: Recipe,
    taps: Vec<Tap>,
    class_names: Vec<String>,
    heads: Vec<Parameters>,
    average: Average,
    weights: Weights,
}

/// The weights of a model's network.
#[derive(Debug, Clone)]
pub enum WeightsFile {
    /// This canonical file, which must have those of the recipe.
    At(PathBuf),
    /// The file in this folder that has those of the recipe.
    In(PathBuf),
}

impl Model {
    /// The model of a run.
    ///
    /// # Errors
    /// If the run has not ended, is damaged, or records no recipe, or the recipe's weights are not there.
    pub fn of_run(run: &Run, weights: &WeightsFile) -> Result<Model, Error> {
        Model::of_ensemble(&Ensemble::of(run.clone()), weights)
    }

    /// The model of several runs, whose heads are averaged.
    ///
    /// # Errors
    /// As [`Model::of_run`], or if the heads differ in their taps or their shape.
    pub fn of_ensemble(ensemble: &Ensemble, weights: &WeightsFile) -> Result<Model, Error> {
        let mut models =
            ensemble.runs().iter().map(|run| HeadOfRun::read(run).map(|head| (run, head)));
        let (first, HeadOfRun { recipe, taps, class_names, parameters }) =
            models.next().expect("an ensemble has a run")?;
        let mut heads = vec![parameters];
        for model in models {
            let (run, other) = model?;
            if (&other.recipe, &other.taps, &other.class_names) != (&recipe, &taps, &class_names) {
                let both = [first, run].map(|run| run.folder().to_path_buf());
                return Err(Error::DifferentRecipes { both });
            }
            if other.parameters.shape() != heads[0].shape() {
                let both = [first, run].map(|run| run.folder().to_path_buf());
                return Err(Error::DifferentShapes { both });
            }
            heads.push(other.parameters);
        }
        let weights = match weights {
            WeightsFile::At(path) => Weights::read(path)?,
            WeightsFile::In(folder) => {
                Weights::read(&backbone::find_weights(folder, recipe.weights)?)?
            }
        };
        weights.check(&recipe)?;
        let average = ensemble.average();
        Ok(Model { recipe, taps, class_names, heads, average, weights })
    }

    /// How an image becomes features; its taps are those that the heads take, in the network's order.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The recipe by which this program computes features: with later numerics, if these have replaced those of
    /// the features that the heads were trained on.
    ///
    /// # Errors
    /// If this program computes neither.
    pub fn computed_recipe(&self) -> Result<Recipe, Error> {
        let numerics = Compute::with_numerics_or_later(&self.recipe.numerics)?.numerics()?;
        Ok(Recipe { numerics, ..self.recipe.clone() })
    }

    /// The taps whose rows are joined, in this order.
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// The names of the classes, in the order of the heads' outputs.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The taps whose rows are joined, each with the shape of its rows: `[C, H, W]`, or `[C]` if it is
    /// pooled.
    ///
    /// # Errors
    /// If the network does not have one of the recipe's taps.
    pub(crate) fn tap_shapes(&self) -> Result<Vec<(Tap, TapShape)>, Error> {
        let shapes = backbone::shapes(&self.recipe)?;
        let shape_of = |tap: &Tap| {
            let at = self.recipe.taps.iter().position(|known| known == tap);
            shapes[at.expect("the recipe has the heads' taps")].clone()
        };
        Ok(self.taps.iter().map(|tap| (tap.clone(), shape_of(tap))).collect())
    }

    /// The parameters of the heads, all of one shape.
    pub fn heads(&self) -> &[Parameters] {
        &self.heads
    }

    /// What of several heads is averaged.
    pub fn average(&self) -> Average {
        self.average
    }

    /// The weights of the network.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

#[cfg(test)]
impl Model {
    /// A model of these parts.
    pub(crate) fn for_test(recipe: Recipe, head: Parameters, weights: Weights) -> Model {
        let taps = recipe.taps.clone();
        let class_names = (0..head.shape().classes).map(|class| class.to_string()).collect();
        let average = Average::default();
        Model { recipe, taps, class_names, heads: vec![head], average, weights }
    }
}

/// What a run says about its head.
struct HeadOfRun {
    recipe: Recipe,
    taps: Vec<Tap>,
    class_names: Vec<String>,
    parameters: Parameters,
}

impl HeadOfRun {
    fn read(run: &Run) -> Result<HeadOfRun, Error> {
        let config = run.config();
        let folder = || run.folder().to_path_buf();
        let recipe = config.recipe.clone().ok_or_else(|| Error::NoRecipe { run: folder() })?;
        let recipe: Recipe = serde_json::from_value(recipe)
            .map_err(|source| Error::Recipe { path: folder(), source })?;
        let taps = config.taps.clone();
        let recipe = reduced(recipe, &taps, run.folder())?;
        let class_names = run.class_names()?;
        let parameters = run.calibrated_parameters()?;
        check_classes(&class_names, &parameters, run.folder())?;
        Ok(HeadOfRun { recipe, taps, class_names, parameters })
    }
}

/// The recipe with those of its taps that the heads take.
fn reduced(recipe: Recipe, taps: &[Tap], path: &Path) -> Result<Recipe, Error> {
    if let Some(missing) = taps.iter().find(|tap| !recipe.taps.contains(tap)) {
        let found = format!("its heads take the tap {missing}, which its recipe does not have");
        return Err(Error::Contradiction { path: path.to_path_buf(), found });
    }
    let ImageForm { height, width, .. } = recipe.image;
    if let Err(found) = ImageSize::new(height, width) {
        return Err(Error::Contradiction { path: path.to_path_buf(), found });
    }
    let kept: Vec<Tap> = recipe.taps.iter().filter(|tap| taps.contains(tap)).cloned().collect();
    Ok(Recipe { taps: kept, ..recipe })
}

/// Checks that there is a name for every output of a head.
fn check_classes(names: &[String], parameters: &Parameters, path: &Path) -> Result<(), Error> {
    let (outputs, classes) = (parameters.shape().classes, names.len());
    if outputs == classes {
        return Ok(());
    }
    let found = format!("its head has {outputs} outputs, but its classes are {classes}");
    Err(Error::Contradiction { path: path.to_path_buf(), found })
}
