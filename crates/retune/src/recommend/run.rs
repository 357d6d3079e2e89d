//! A run: floors, training, figures and the bundle, from a plan.

use std::collections::BTreeMap;
use std::time::Instant;

use burn::module::Module as _;
use burn::tensor::{Tensor, TensorData};
use retune_eval::ranking::{self, Answer, History as PastHistory, Past, Popularity, Scorer};
use retune_eval::{Cost, Event};
use retune_kernels::process;

use super::bundle::{self, Saved};
use super::figures::{BEFORE, Measured, Rival};
use super::job::{Job, Pace};
use super::plan::Plan;
use super::popularity::Prior;
use super::rank::{self, Asked, Side};
use super::recommender::{Form, Known, Recommender};
use super::sequences::History;
use super::texts::{TextEncoder, TextVectors, Whitening};
use super::{Mode, figures};
use crate::error::{Error, Result};
use crate::methods::MethodRecipe;
use crate::methods::lora::Lora;
use crate::proof::Meter;
use crate::recipe::VerdictLevel;
use crate::run::{Begun, Finished, Flow, gates, recorder, stage};
use crate::run_folder::{RunFolder, Started};
use crate::scoring::{cpu, to_host};
use crate::train::state::Snapshot;
use crate::weights::{LoadReport, Place};

/// Seven days in nanoseconds.
pub(super) const WEEK: i64 = ranking::floors::WEEK * retune_data::interactions::SECOND;

type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// Carries out a plan. Its folder appears at `plan.out` at once and becomes a bundle when all of it is there.
///
/// # Errors
/// Diverged training, a full disk, a damaged checkpoint.
pub fn train(plan: Plan, on: &mut (dyn FnMut(&Event) -> Flow + Send)) -> Result<Finished> {
    let begun = Begun::new(&plan.recipe, &plan.out, started(&plan)?);
    begun.carried_out(None, on, |folder, from, on| {
        carry_out(&plan, folder, from, on)
    })
}

/// Goes on with the unfinished run in `plan.out`: the result is the same, bit for bit, as without the break.
///
/// # Errors
/// As [`train`]; data, base model or recipe that are not those the run was begun with.
pub fn resume(
    plan: Plan,
    force: bool,
    on: &mut (dyn FnMut(&Event) -> Flow + Send),
) -> Result<Finished> {
    let begun = Begun::new(&plan.recipe, &plan.out, started(&plan)?);
    begun.carried_out(Some(force), on, |folder, from, on| {
        carry_out(&plan, folder, from, on)
    })
}

/// What the plan stands on: hashes of the data files, of the text encoder and of the recommender gone on from.
pub(super) fn started(plan: &Plan) -> Result<Started> {
    let mut base = plan
        .encoder
        .as_ref()
        .map_or(BTreeMap::new(), |encoder| encoder.files.clone());
    base.extend(plan.origin.iter().map(|origin| {
        (
            origin.parent.reference.clone(),
            origin.parent.sha256.clone(),
        )
    }));
    Ok(Started {
        retune: env!("CARGO_PKG_VERSION").to_string(),
        data: plan.data_hashes()?,
        base,
    })
}

/// What every model of a run is trained and asked on.
pub(super) struct Ground<'a> {
    pub plan: &'a Plan,
    /// Rows of the users to learn from.
    pub users: Vec<usize>,
    pub valid: Asked<'a>,
    pub test: Asked<'a>,
    /// What is known of the items, in the gradient graph's device.
    pub known: Known,
    /// The logarithm of popularity that new items are given.
    pub new: f32,
    pub seed: u64,
}

impl<'a> Ground<'a> {
    /// Learning from the users of these rows, and asking everybody.
    pub fn of(plan: &'a Plan, users: Vec<usize>, texts: Option<Tensor<2>>, seed: u64) -> Self {
        let taken = users.iter().map(|row| plan.histories.train(*row));
        let untaken = plan.recipe.recommend.untaken;
        let Prior { logarithms, new } = Prior::of(taken, plan.items(), untaken);
        let popularity = TensorData::new(logarithms, [plan.items(), 1]);
        Self {
            plan,
            valid: Asked::of_users(&plan.histories, Side::Valid, &users),
            test: Asked::of(&plan.histories, Side::Test),
            known: Known {
                texts,
                categories: Some(plan.categories.shares(&plan.catalogue, true)),
                popularity: Some(Tensor::from_data(popularity, &cpu(true))),
            },
            users,
            new,
            seed,
        }
    }

    pub fn job<'b>(&'b self, form: &'b Form) -> Job<'b> {
        let histories = &self.plan.histories;
        let learn = self
            .users
            .iter()
            .copied()
            .filter(|row| histories.train(*row).len() > 1)
            .map(|row| {
                let key = u64::from(histories.users[row]);
                (key, History::learned(histories, row))
            });
        Job {
            form,
            pace: Pace {
                seed: self.seed,
                ..self.plan.pace.clone()
            },
            known: self.known.of(form),
            learn: learn.collect(),
            select: &self.valid,
            items: self.plan.items(),
            seen: self.plan.seen,
        }
    }

    /// Answers of a model to the test's questions, and the vectors of items they rest on.
    pub fn tested(
        &self,
        model: &Recommender,
        form: &Form,
        name: &str,
        on: On,
    ) -> (Vec<Answer>, Tensor<2>) {
        stage(on, name, Some(self.test.next.len() as u64));
        let plain = model.valid();
        let known = self.known.of(form).plain();
        let items = rank::item_vectors(&plain, &known, self.plan.items());
        let mut progress = |done: usize| {
            on(&Event::Progress { done: done as u64 });
        };
        let of = (&form.body, &items);
        let answers = rank::answers(&plain, of, &self.test, self.plan.seen, &mut progress);
        (
            answers.into_iter().map(|(answer, _)| answer).collect(),
            items,
        )
    }
}

fn carry_out(
    plan: &Plan,
    mut folder: RunFolder,
    from: Option<Snapshot>,
    on: On,
) -> Result<Finished> {
    let clock = Instant::now();
    let mut record = recorder(on);
    let (texts, whitening) = texts(plan, &mut |event| record(event, &mut folder))?;
    let everybody = (0..plan.histories.len()).collect();
    let ground = Ground::of(plan, everybody, texts, plan.recipe.seed);
    let (model, loaded) = begin(plan, &plan.form, plan.recipe.seed)?;
    let mut rivals = counted(&ground, &mut |event| record(event, &mut folder))?;
    before(&ground, &model, &mut rivals, &mut |event| {
        record(event, &mut folder)
    });
    let meter = Meter::start();
    let fitted = tune(&ground, model, from, (&mut folder, &mut record))?;
    let (interrupted, steps) = (fitted.interrupted, (fitted.best_step, fitted.steps));
    let mut cost = Cost {
        trained_parameters: Some(trained(&fitted.model) as u64),
        ..meter.cost()
    };
    let mut on = |event: &Event| record(event, &mut folder);
    let (answers, vectors) = ground.tested(&fitted.model, &plan.form, "evaluate", &mut on);
    if !interrupted {
        from_scratch(&ground, &mut rivals, &mut on)?;
    }
    cost.peak_rss_bytes = process::peak_resident_bytes();
    let measured = Measured::of(plan, &ground.test, answers, rivals, cost);
    stage(&mut on, "save", None);
    let lora = (plan.recipe.recommend.mode == Mode::Lora).then(|| lora(plan).scale());
    let manifest = bundle::save(
        &folder,
        Saved {
            plan,
            weights: bundle::weights(&fitted.model, lora),
            whitening: whitening.as_ref(),
            vectors: to_host(vectors),
            new: ground.new,
            loaded,
            steps,
            seconds: clock.elapsed().as_secs_f64(),
        },
    )?;
    figures::write(&folder, plan, (&manifest, &measured))?;
    folder.publish()?;
    Ok(Finished {
        bundle: plan.out.clone(),
        gates: gates(&plan.recipe, &measured.evaluated),
        require: plan.recipe.require,
        evaluated: measured.evaluated,
        before_after: measured.before_after,
        seconds: clock.elapsed().as_secs_f64(),
        peak_bytes: process::peak_resident_bytes(),
        forecast: None,
        interrupted,
    })
}

/// Whitened vectors of the items' texts, and the whitening: that of the recommender gone on from, or one fitted here.
pub(super) fn texts(plan: &Plan, on: On) -> Result<(Option<Tensor<2>>, Option<Whitening>)> {
    let Some(base) = &plan.encoder else {
        return Ok((None, None));
    };
    let texts = &plan.catalogue.texts;
    stage(on, "texts", Some(texts.len() as u64));
    let encoder = TextEncoder::open(base, plan.recipe.products())?;
    let vectors = encoder.vectors(texts, &plan.cache, &mut |done| {
        on(&Event::Progress { done: done as u64 });
    })?;
    let known = plan
        .origin
        .as_ref()
        .and_then(|origin| origin.whitening.clone());
    let whitening = known.unwrap_or_else(|| Whitening::fit(&taken(plan, &vectors)));
    Ok((Some(whitening.of(&vectors, true)), Some(whitening)))
}

/// The vectors of the items that somebody took and that have a text.
fn taken(plan: &Plan, vectors: &TextVectors) -> TextVectors {
    let known = plan.events.items.len();
    let rows = vectors
        .values
        .chunks_exact(vectors.width)
        .zip(&plan.catalogue.texts)
        .take(known);
    let values: Vec<f32> = rows
        .filter(|(_, text)| !text.is_empty())
        .flat_map(|(row, _)| row.to_vec())
        .collect();
    TextVectors {
        width: vectors.width,
        values,
    }
}

/// A model at its start, in the gradient graph, with what does not train frozen.
pub(super) fn begin(plan: &Plan, form: &Form, seed: u64) -> Result<(Recommender, LoadReport)> {
    let mode = plan.recipe.recommend.mode;
    let place = Place {
        adapters: mode.updates(&lora(plan)),
        ..Place::cpu(true, plan.recipe.products())
    };
    let (model, report) = match &plan.origin {
        Some(origin) => {
            let known = (plan.catalogue.ids.as_slice(), &plan.categories);
            origin.model(form, known, &place, seed)?
        }
        None => bundle::fresh(form, &place, seed)?,
    };
    Ok((mode.prepare(model), report))
}

/// The options of low-rank updates.
fn lora(plan: &Plan) -> Lora {
    match &plan.recipe.method {
        MethodRecipe::Lora(lora) => lora.clone(),
        _ => Lora::default(),
    }
}

fn trained(model: &Recommender) -> usize {
    let params = crate::weights::params(model).into_iter();
    params
        .filter(|named| named.trained)
        .map(|named| named.shape.iter().product::<usize>())
        .sum()
}

/// Models that the tuned one is held against.
pub(super) struct Rivals {
    pub found: Vec<Rival>,
    /// Those that were left out, and why.
    pub absent: BTreeMap<String, String>,
    pub popularity: Popularity,
}

/// The floors that only count, fitted on everything before each user's test.
fn counted(ground: &Ground, on: On) -> Result<Rivals> {
    let plan = ground.plan;
    let histories = &plan.histories;
    let users: Vec<PastHistory> = (0..histories.len())
        .map(|row| PastHistory {
            items: histories.known(row),
            times: histories.known_times(row),
        })
        .collect();
    let past =
        Past::new(&users, plan.items()).map_err(|error| Error::Internal(error.to_string()))?;
    let mut rivals = Rivals {
        found: Vec::new(),
        absent: BTreeMap::new(),
        popularity: Popularity::of(&past),
    };
    stage(on, "floors", None);
    let meter = Meter::start();
    let questions = ground.test.questions();
    for (name, floor) in ranking::floors::fit(&past, WEEK) {
        let floor: Box<dyn Scorer> = match floor {
            Ok(floor) => floor,
            Err(why) => {
                rivals.absent.insert(name.to_string(), why);
                continue;
            }
        };
        let answers = ranking::answer_all(floor.as_ref(), &questions, plan.items(), plan.seen);
        rivals.found.push(Rival {
            name,
            answers,
            cost: meter.cost(),
        });
    }
    Ok(rivals)
}

/// Adds the model before tuning, where the run goes on from one.
fn before(ground: &Ground, model: &Recommender, rivals: &mut Rivals, on: On) {
    let plan = ground.plan;
    if plan.origin.is_none() || plan.recipe.verdict == VerdictLevel::Off {
        return;
    }
    let meter = Meter::start();
    let (answers, _) = ground.tested(model, &plan.form, BEFORE, on);
    rivals.found.push(Rival {
        name: BEFORE,
        answers,
        cost: meter.cost(),
    });
}

/// Adds models from random numbers: the same one, where the run goes on from another, one of ids alone and one of texts
/// alone.
fn from_scratch(ground: &Ground, rivals: &mut Rivals, on: On) -> Result<()> {
    let plan = ground.plan;
    if plan.recipe.verdict == VerdictLevel::Off {
        return Ok(());
    }
    let own = &plan.form;
    let ids = own.ids_alone(plan.items());
    let texts = Form {
        ids: 0,
        ..own.clone()
    };
    let mut forms: Vec<(&'static str, Form)> = vec![("scratch_ids", ids)];
    if own.text > 0 {
        forms.push(("scratch_texts", texts));
    }
    if plan.origin.is_some() {
        forms.insert(0, ("scratch", own.clone()));
    }
    let known = |form: &Form| plan.origin.is_none() && form == own;
    let mut done: Vec<Form> = Vec::new();
    for (name, form) in forms {
        if known(&form) || done.contains(&form) {
            continue;
        }
        let job = ground.job(&form);
        stage(on, name, Some(job.steps().0));
        let meter = Meter::start();
        let place = Place::cpu(true, plan.recipe.products());
        let (model, _) = bundle::fresh(&form, &place, plan.recipe.seed)?;
        let mut watch = |event: &Event| match event {
            Event::Step { step, .. } => on(&Event::Progress { done: *step }),
            _ => Flow::Continue,
        };
        let fitted = job.fit(model, (None, None), &mut watch)?;
        crate::ops::cpu::release();
        if fitted.interrupted {
            let why = "stopped before it was measured".to_string();
            rivals.absent.insert(name.to_string(), why);
            return Ok(());
        }
        let (answers, _) = ground.tested(&fitted.model, &form, name, on);
        rivals.found.push(Rival {
            name,
            answers,
            cost: meter.cost(),
        });
        done.push(form);
    }
    Ok(())
}

type Recorder<'a> = &'a mut dyn FnMut(&Event, &mut RunFolder) -> Flow;

fn tune(
    ground: &Ground,
    model: Recommender,
    from: Option<Snapshot>,
    (folder, record): (&mut RunFolder, Recorder),
) -> Result<crate::train::Fitted<Recommender>> {
    let job = ground.job(&ground.plan.form);
    let begins = Event::Stage {
        name: "train".to_string(),
        total: Some(job.steps().0),
    };
    record(&begins, folder);
    let keep = ground.plan.recipe.train.keep_checkpoints;
    // The loop saves and reports in turn, both into the one folder.
    let shared = std::cell::RefCell::new(&mut *folder);
    let save = &mut |snapshot: &Snapshot| shared.borrow_mut().save(snapshot, keep);
    let on = &mut |event: &Event| record(event, &mut shared.borrow_mut());
    let fitted = job.fit(model, (Some(save), from), on);
    crate::ops::cpu::release();
    fitted
}
