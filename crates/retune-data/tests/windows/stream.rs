//! Random streams of events and labels: late, too late, repeated, incomplete, and labelled at any time.

use retune_data::windows::EventRow;

/// Numbers that look random.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `n` (xorshift*).
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// An event that owns its texts.
#[derive(Debug, Clone, Default)]
pub struct Event {
    pub id: Option<String>,
    pub time: i64,
    pub amount: Option<f64>,
    pub entities: Vec<Option<String>>,
    pub label: Option<bool>,
    pub label_time: Option<i64>,
}

impl Event {
    /// Calls `with` with the event as the engine takes it.
    pub fn with<T>(&self, with: impl FnOnce(&EventRow<'_>) -> T) -> T {
        let entities: Vec<Option<&str>> = self.entities.iter().map(Option::as_deref).collect();
        with(&EventRow {
            id: self.id.as_deref(),
            time: self.time,
            amount: self.amount,
            entities: &entities,
            label: self.label,
            label_time: self.label_time,
        })
    }
}

pub enum Message {
    Event(Event),
    /// Of an event by number, whether it was a fraud, known from when on.
    Label(String, bool, i64),
}

/// About `n` events of a few entities, with labels between them.
pub fn messages(seed: u64, n: usize) -> Vec<Message> {
    let mut dice = Dice::new(seed + 1);
    let mut out = Vec::new();
    // Friday evening, so that the stream sees a weekend and a night.
    let mut now = 1_522_447_000_i64;
    let mut ids: Vec<String> = Vec::new();
    for at in 0..n {
        now += match dice.below(20) {
            0..=7 => 0,
            8..=18 => dice.below(8) as i64,
            _ => dice.below(120) as i64,
        };
        let time = match dice.below(20) {
            0 => now - dice.below(20) as i64,
            1 if dice.one_in(2) => now - 15 - dice.below(60) as i64,
            _ => now,
        };
        let again = dice.one_in(40) && !ids.is_empty();
        let id = if again {
            let back = dice.below(ids.len().min(60) as u64) as usize;
            ids[ids.len() - 1 - back].clone()
        } else {
            format!("event number {at}")
        };
        let name = |of: u64, dice: &mut Dice| {
            // The first is by far the most frequent.
            let one = dice.below(of).min(dice.below(of));
            (!dice.one_in(25)).then(|| format!("{one}"))
        };
        let label = (!dice.one_in(3)).then(|| dice.one_in(4));
        out.push(Message::Event(Event {
            id: (!dice.one_in(30)).then(|| id.clone()),
            time,
            // Quarters, whose sums are exact however they are added.
            amount: (!dice.one_in(15)).then(|| dice.below(4000) as f64 / 4.0 - 20.0),
            entities: vec![name(9, &mut dice), name(5, &mut dice), name(30, &mut dice)],
            label,
            label_time: dice.one_in(3).then(|| time + dice.below(400) as i64),
        }));
        ids.push(id);
        if dice.one_in(3) {
            let back = dice.below(ids.len().min(150) as u64) as usize;
            let id = ids[ids.len() - 1 - back].clone();
            let at = now - 50 + dice.below(150) as i64;
            out.push(Message::Label(id, dice.one_in(3), at));
        }
    }
    out
}
