//! All that it takes to classify an image: a recipe, its weights, trained heads and the names of the classes.

mod file;

use std::path::{Path, PathBuf};

use backbone::{Compute, ImageSize, Weights};
use fused_head::Parameters;
use head::{Average, Ensemble, Head, Run};
use recipe::{ImageForm, Recipe, Tap, TapShape};

use crate::Error;

/// Trained heads of the same classes with everything that turns an image into their inputs. They may differ in shape, and in
/// the taps that they take.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) recipe: Recipe,
    taps: Vec<Tap>,
    class_names: Vec<String>,
    heads: Vec<Head>,
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
    /// As [`Model::of_run`].
    pub fn of_ensemble(ensemble: &Ensemble, weights: &WeightsFile) -> Result<Model, Error> {
        let mut heads = Vec::new();
        let mut common: Option<(Recipe, Vec<String>)> = None;
        for run in ensemble.runs() {
            let HeadOfRun { recipe, class_names, head } = HeadOfRun::read(run)?;
            heads.push(head);
            let found = (recipe, class_names);
            if common.get_or_insert_with(|| found.clone()) != &found {
                let first = ensemble.runs()[0].folder().display();
                let found = format!(
                    "it records the features of {first}, but another recipe or other classes"
                );
                return Err(Error::Contradiction { path: run.folder().to_path_buf(), found });
            }
        }
        let (recipe, class_names) = common.expect("an ensemble has a run");
        let path = ensemble.runs()[0].folder();
        let weights = match weights {
            WeightsFile::At(path) => Weights::read(path)?,
            WeightsFile::In(folder) => {
                Weights::read(&backbone::find_weights(folder, recipe.weights)?)?
            }
        };
        weights.check(&recipe)?;
        Model::of_parts(recipe, class_names, heads, ensemble.average(), weights, path)
    }

    /// The model of these parts, which come from the run or the model file `path`.
    ///
    /// # Errors
    /// If they contradict each other.
    fn of_parts(
        recipe: Recipe,
        class_names: Vec<String>,
        heads: Vec<Head>,
        average: Average,
        weights: Weights,
        path: &Path,
    ) -> Result<Model, Error> {
        let recipe = reduced(recipe, heads.iter().map(|head| head.taps.as_slice()), path)?;
        heads.iter().try_for_each(|head| check_classes(&class_names, &head.parameters, path))?;
        let first = &heads[0].taps;
        let are_alike = heads.iter().all(|head| head.taps == *first);
        let taps = if are_alike { first } else { &recipe.taps }.clone();
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

    /// The taps that heads take: in the order in which their rows are joined if that is the same for all heads, else in
    /// the network's order.
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// The names of the classes, in the order of the heads' outputs.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The [taps](Model::taps) that heads take, each with the shape of its rows: `[C, H, W]`, or `[C]` if it is pooled.
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

    /// The heads, each with its taps.
    pub fn heads(&self) -> &[Head] {
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
    /// A model of a head on all taps of the recipe.
    pub(crate) fn for_test(recipe: Recipe, parameters: Parameters, weights: Weights) -> Model {
        let taps = recipe.taps.clone();
        Model::of_heads_for_test(recipe, vec![Head { taps, parameters }], weights)
    }

    /// A model of these parts.
    pub(crate) fn of_heads_for_test(recipe: Recipe, heads: Vec<Head>, weights: Weights) -> Model {
        let classes = heads[0].parameters.shape().classes;
        let class_names = (0..classes).map(|class| class.to_string()).collect();
        let average = Average::default();
        Model::of_parts(recipe, class_names, heads, average, weights, "a test".as_ref())
            .expect("the parts of tests fit")
    }
}

/// What a run says about its head.
struct HeadOfRun {
    recipe: Recipe,
    class_names: Vec<String>,
    head: Head,
}

impl HeadOfRun {
    fn read(run: &Run) -> Result<HeadOfRun, Error> {
        let config = run.config();
        let folder = || run.folder().to_path_buf();
        let recipe = config.recipe.clone().ok_or_else(|| Error::NoRecipe { run: folder() })?;
        let recipe: Recipe = serde_json::from_value(recipe)
            .map_err(|source| Error::Recipe { path: folder(), source })?;
        let head = Head { taps: config.taps.clone(), parameters: run.calibrated_parameters()? };
        let class_names = run.class_names()?;
        check_classes(&class_names, &head.parameters, run.folder())?;
        reduced(recipe.clone(), [head.taps.as_slice()].into_iter(), run.folder())?;
        Ok(HeadOfRun { recipe, class_names, head })
    }
}

/// The recipe with those of its taps that heads take. `of_heads` are the taps of each.
fn reduced<'a>(
    recipe: Recipe,
    of_heads: impl Iterator<Item = &'a [Tap]> + Clone,
    path: &Path,
) -> Result<Recipe, Error> {
    let contradiction = |found| Err(Error::Contradiction { path: path.to_path_buf(), found });
    for taps in of_heads.clone() {
        if let Some(missing) = taps.iter().find(|tap| !recipe.taps.contains(tap)) {
            return contradiction(format!(
                "its heads take the tap {missing}, which its recipe does not have"
            ));
        }
        let is_twice = |&at: &usize| taps[..at].contains(&taps[at]);
        if let Some(twice) = (0..taps.len()).find(is_twice) {
            return contradiction(format!("a head takes the tap {} twice", taps[twice]));
        }
        if taps.is_empty() {
            return contradiction("a head takes no tap".to_owned());
        }
    }
    let ImageForm { height, width, .. } = recipe.image;
    if let Err(found) = ImageSize::new(height, width) {
        return contradiction(found);
    }
    let is_taken = |tap: &&Tap| of_heads.clone().any(|taps| taps.contains(tap));
    let kept: Vec<Tap> = recipe.taps.iter().filter(is_taken).cloned().collect();
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
