//! Names of settings: as short as the sweep allows.

use crate::data::{Setting, Sweep};
use crate::numbers::short;

/// Names settings by their differences: always the architecture, and the others only if an architecture was
/// trained with several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming {
    hidden: bool,
    learning_rate: bool,
    schedule: bool,
    weight_decay: bool,
    label_smoothing: bool,
    mixup: bool,
    form: bool,
}

impl Naming {
    pub(crate) fn of(sweep: &Sweep) -> Naming {
        let settings = || sweep.heads.iter().map(|head| head.result.setting());
        let varies = |differ: fn(&Setting, &Setting) -> bool| {
            settings().any(|a| {
                let first = settings().find(|b| b.arch == a.arch);
                first.is_some_and(|first| differ(&a, &first))
            })
        };
        Naming {
            hidden: varies(|a, b| a.hidden != b.hidden),
            learning_rate: varies(|a, b| a.learning_rate != b.learning_rate),
            schedule: varies(|a, b| a.schedule != b.schedule),
            weight_decay: varies(|a, b| a.weight_decay != b.weight_decay),
            label_smoothing: varies(|a, b| a.label_smoothing != b.label_smoothing),
            mixup: varies(|a, b| a.mixup != b.mixup),
            form: varies(|a, b| a.form != b.form),
        }
    }

    /// The name of the setting without p: "keras", "keras, 512 wide, lr 0.01".
    pub(crate) fn without_p(self, setting: &Setting) -> String {
        let mut name = setting.arch.clone();
        if self.hidden {
            name += &format!(", {} wide", setting.hidden);
        }
        if self.form && !setting.form.is_empty() {
            name += &format!(", {}", setting.form);
        }
        if self.learning_rate {
            name += &format!(", lr {}", short(setting.learning_rate));
        }
        if self.schedule {
            name += &format!(", {}", setting.schedule);
        }
        if self.weight_decay {
            name += &format!(", weight decay {}", short(setting.weight_decay));
        }
        if self.label_smoothing {
            name += &format!(", label smoothing {}", short(setting.label_smoothing));
        }
        if self.mixup {
            name += &format!(", mixup {}", short(setting.mixup));
        }
        name
    }

    /// The name of the setting: "keras, p 0.6".
    pub(crate) fn full(self, setting: &Setting) -> String {
        format!("{}, p {}", self.without_p(setting), short(setting.p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Hidden, tests::small_sweep};

    #[test]
    fn settings_are_named_by_what_differs() {
        let mut sweep = small_sweep();
        let keras = sweep.heads.iter_mut().filter(|head| head.result.arch == "keras");
        keras.for_each(|head| head.result.hidden = 256.into());
        // Each architecture has one width, so its name is enough.
        assert_eq!(Naming::of(&sweep).full(&sweep.heads[7].result.setting()), "keras, p 0.6");
        sweep.heads[7].result.hidden = 512.into();
        sweep.heads[7].result.learning_rate = 0.01;
        let naming = Naming::of(&sweep);
        let name = naming.full(&sweep.heads[7].result.setting());
        assert_eq!(name, "keras, 512 wide, lr 0.01, p 0.6");
        sweep.heads[7].result.schedule = "onecycle".into();
        sweep.heads[7].result.weight_decay = 0.1;
        sweep.heads[7].result.label_smoothing = 0.2;
        sweep.heads[7].result.mixup = 0.4;
        let naming = Naming::of(&sweep);
        let name = naming.full(&sweep.heads[7].result.setting());
        let all = "keras, 512 wide, lr 0.01, onecycle, weight decay 0.1, label smoothing 0.2, \
                   mixup 0.4, p 0.6";
        assert_eq!(name, all);
        sweep.heads[7].result.hidden = Hidden::Layers("512/64".into());
        sweep.heads[7].result.form = "tanh".into();
        let name = Naming::of(&sweep).full(&sweep.heads[7].result.setting());
        assert!(name.starts_with("keras, 512/64 wide, tanh, lr 0.01"), "{name}");
    }
}
