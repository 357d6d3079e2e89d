//! The entities of one column: their histories by identifier, in the order in which they were last seen.

use std::collections::HashMap;

use super::history::{History, HistoryPlan};
use super::key::Key;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// A history and its place in the order.
#[derive(Debug, Clone)]
struct Slot {
    key: Key,
    history: History,
    /// The slots seen next later and next earlier.
    newer: u32,
    older: u32,
}

/// The entities of one column.
#[derive(Debug, Clone)]
pub(super) struct Entities {
    pub plan: HistoryPlan,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32>,
    newest: u32,
    oldest: u32,
    /// The history of an entity without events.
    empty: History,
}

impl Entities {
    pub fn new(plan: HistoryPlan) -> Self {
        Self {
            empty: History::new(&plan),
            plan,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            newest: NONE,
            oldest: NONE,
        }
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The slot of an entity that has events; [`NONE`] for any other.
    pub fn find(&self, key: Key) -> u32 {
        self.by_key.get(&key).copied().unwrap_or(NONE)
    }

    /// The history in a slot; an empty one for [`NONE`].
    pub fn history(&self, slot: u32) -> &History {
        self.slots
            .get(slot as usize)
            .map_or(&self.empty, |slot| &slot.history)
    }

    pub fn history_mut(&mut self, slot: u32) -> Option<(&mut History, &HistoryPlan)> {
        let slot = self.slots.get_mut(slot as usize)?;
        Some((&mut slot.history, &self.plan))
    }

    /// The slot of an entity, which is the last seen from now on. Makes one where there is none; if there are `most`
    /// already, the entity idle longest is forgotten, and the second value is true.
    pub fn see(&mut self, key: Key, most: usize) -> (u32, bool) {
        let mut at = self.find(key);
        let mut forgot = false;
        if at == NONE {
            if self.by_key.len() >= most {
                self.forget(self.oldest);
                forgot = true;
            }
            at = self.place(key);
            self.by_key.insert(key, at);
        } else {
            self.unlink(at);
        }
        self.link(at);
        (at, forgot)
    }

    /// Forgets an entity and its events.
    pub fn forget(&mut self, at: u32) {
        self.unlink(at);
        let slot = &mut self.slots[at as usize];
        self.by_key.remove(&slot.key);
        slot.key = Key::NONE;
        slot.history = History::default();
        self.free.push(at);
    }

    /// Identifiers and histories, the entity idle longest first.
    pub fn in_order(&self) -> impl Iterator<Item = (Key, &History)> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at as usize)?;
            at = slot.newer;
            Some((slot.key, &slot.history))
        })
    }

    fn place(&mut self, key: Key) -> u32 {
        let slot = Slot {
            key,
            history: History::new(&self.plan),
            newer: NONE,
            older: NONE,
        };
        if let Some(at) = self.free.pop() {
            self.slots[at as usize] = slot;
            return at;
        }
        self.slots.push(slot);
        (self.slots.len() - 1) as u32
    }

    fn link(&mut self, at: u32) {
        let before = self.newest;
        let slot = &mut self.slots[at as usize];
        slot.older = before;
        slot.newer = NONE;
        match self.slots.get_mut(before as usize) {
            Some(before) => before.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: u32) {
        let Slot { newer, older, .. } = self.slots[at as usize];
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entity_idle_longest_is_forgotten_first() {
        let mut entities = Entities::new(HistoryPlan::default());
        let key = |name: &str| Key::of(name);
        let order =
            |entities: &Entities| -> Vec<Key> { entities.in_order().map(|(key, _)| key).collect() };
        for name in ["a", "b", "c", "a"] {
            assert!(!entities.see(key(name), 3).1);
        }
        assert_eq!(order(&entities), ["b", "c", "a"].map(key));
        assert!(entities.see(key("d"), 3).1);
        assert_eq!(order(&entities), ["c", "a", "d"].map(key));
        assert_eq!(entities.find(key("b")), NONE);
        let middle = entities.find(key("a"));
        entities.forget(middle);
        assert_eq!(order(&entities), ["c", "d"].map(key));
        assert_eq!(entities.see(key("e"), 3), (middle, false));
        assert_eq!(order(&entities), ["c", "d", "e"].map(key));
        assert_eq!(entities.len(), 3);
    }
}
