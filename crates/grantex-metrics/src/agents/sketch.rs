//! Which of very many agents are busy, in little memory: the space-saving sketch of Metwally, Agrawal and El Abbadi
//! ("Efficient computation of frequent and top-k elements in data streams", 2005).

use std::collections::HashMap;

use grantex_core::id::AgentId;

/// Counts agents in a fixed number of places. When all are taken, a new agent takes the place of the one seen least and
/// inherits its count as its error, so that counts are never too low and [`Sketch::hit`] tells what is certain.
pub struct Sketch {
    places: usize,
    place_of: HashMap<AgentId, usize>,
    agents: Vec<AgentId>,
    // Apart from the names, so that looking for the least walks over numbers that lie together.
    counts: Vec<u64>,
    errors: Vec<u64>,
}

impl Sketch {
    /// A sketch of this many places; none at all sees nobody.
    pub fn new(places: usize) -> Self {
        Self {
            places,
            place_of: HashMap::with_capacity(places),
            agents: Vec::with_capacity(places),
            counts: Vec::with_capacity(places),
            errors: Vec::with_capacity(places),
        }
    }

    /// Counts an agent; tells how often it was seen for certain.
    pub fn hit(&mut self, agent: &AgentId) -> u64 {
        if let Some(place) = self.place_of.get(agent).copied() {
            return self.count(place);
        }
        if self.agents.len() < self.places {
            self.place_of.insert(agent.clone(), self.agents.len());
            self.agents.push(agent.clone());
            self.counts.push(1);
            self.errors.push(0);
            return 1;
        }
        let least = self.counts.iter().enumerate().min_by_key(|(_, count)| **count);
        let Some((place, inherited)) = least.map(|(place, count)| (place, *count)) else {
            return 0;
        };
        if let (Some(name), Some(error)) = (self.agents.get_mut(place), self.errors.get_mut(place)) {
            self.place_of.remove(name);
            self.place_of.insert(agent.clone(), place);
            name.clone_from(agent);
            *error = inherited;
        }
        self.count(place)
    }

    fn count(&mut self, place: usize) -> u64 {
        let (Some(count), Some(error)) = (self.counts.get_mut(place), self.errors.get(place)) else {
            return 0;
        };
        *count += 1;
        *count - error
    }

    /// Forgets an agent.
    pub fn remove(&mut self, agent: &AgentId) {
        let Some(place) = self.place_of.remove(agent) else {
            return;
        };
        self.agents.swap_remove(place);
        self.counts.swap_remove(place);
        self.errors.swap_remove(place);
        if let Some(moved) = self.agents.get(place) {
            self.place_of.insert(moved.clone(), place);
        }
    }

    /// Halves every count: what was seen long ago counts for less.
    pub fn age(&mut self) {
        for count in self.counts.iter_mut().chain(&mut self.errors) {
            *count /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use grantex_core::clock::Timestamp;
    use grantex_core::id::new_id;
    use grantex_core::testing::SeededRandom;

    use super::*;

    fn agents(count: usize) -> Vec<AgentId> {
        let random = SeededRandom::new(7);
        (0..count).map(|_| new_id(&random, Timestamp::from_millis(0))).collect()
    }

    #[test]
    fn what_it_tells_is_certain_and_it_never_grows() {
        let mut sketch = Sketch::new(8);
        let crowd = agents(10_000);
        let busy = &crowd[0];
        let mut seen = 0;
        for stranger in &crowd[1..] {
            seen += 1;
            assert!(sketch.hit(busy) <= seen, "never more than it was");
            assert_eq!(sketch.hit(stranger), 1, "seen for the first time");
            assert!(sketch.agents.len() <= 8 && sketch.place_of.len() == sketch.agents.len());
        }
        // Of 20,000 hits one in two was the busy one's; it cannot have lost its place but at the beginning.
        assert!(sketch.hit(busy) > seen - 16);
    }

    #[test]
    fn the_forgotten_and_the_aged_count_for_less() {
        let mut sketch = Sketch::new(4);
        let agents = agents(4);
        for agent in &agents {
            for _ in 0..8 {
                sketch.hit(agent);
            }
        }
        sketch.age();
        assert_eq!(sketch.hit(&agents[1]), 5);
        sketch.remove(&agents[0]);
        sketch.remove(&agents[0]);
        assert_eq!(sketch.hit(&agents[3]), 5, "it was moved to the free place");
        assert_eq!(sketch.hit(&agents[0]), 1);
    }

    #[test]
    fn a_sketch_without_places_sees_nobody() {
        assert_eq!(Sketch::new(0).hit(&agents(1)[0]), 0);
    }
}
