//! A crew in virtual time: one task that takes as long as the world says.

use lyceum_client_node::{
    Node, NodeError, Worker,
    crew::{Crew, CrewEvent, Listener},
};
use lyceum_core::{Assignment, Upload, Work};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::mpsc;

enum Order {
    Work(u64, Assignment),
    Flush(bool),
    Clear,
}

/// The door to the task.
pub(super) struct SlowCrew(mpsc::UnboundedSender<Order>);

impl SlowCrew {
    /// Starts the task. A unit takes `each`.
    pub(super) fn start(
        node: &Arc<Node>,
        each: Duration,
        listener: Listener,
    ) -> Result<Self, NodeError> {
        let (sender, orders) = mpsc::unbounded_channel();
        let bench = Bench {
            worker: Worker::new(node.clone())?,
            sums: node.sums_units(),
            queue: VecDeque::new(),
            summed: Vec::new(),
            generation: 0,
            flush: false,
            listener,
        };
        tokio::spawn(bench.run(orders, each));
        Ok(Self(sender))
    }

    fn say(&self, order: Order) {
        // A task that is gone has nothing to do any more.
        let _ = self.0.send(order);
    }
}

impl Crew for SlowCrew {
    fn work(&mut self, generation: u64, assignment: Assignment) {
        self.say(Order::Work(generation, assignment));
    }

    fn flush(&mut self, on: bool) {
        self.say(Order::Flush(on));
    }

    fn clear(&mut self) {
        self.say(Order::Clear);
    }
}

struct Bench {
    worker: Worker,
    /// Units of training go into one sum.
    sums: bool,
    queue: VecDeque<(u64, Assignment)>,
    /// Units whose time is over, to be summed together.
    summed: Vec<Assignment>,
    generation: u64,
    flush: bool,
    listener: Listener,
}

impl Bench {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>, each: Duration) {
        loop {
            while let Ok(order) = orders.try_recv() {
                self.obey(order);
            }
            if let Some((generation, unit)) = self.queue.pop_front() {
                tokio::time::sleep(each).await;
                while let Ok(order) = orders.try_recv() {
                    self.obey(order);
                }
                if generation == self.generation {
                    self.done(unit);
                }
                continue;
            }
            if self.flush && !self.summed.is_empty() {
                self.hand_in();
                continue;
            }
            match orders.recv().await {
                Some(order) => self.obey(order),
                None => return,
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Work(generation, assignment) => {
                self.generation = generation;
                self.queue.push_back((generation, assignment));
            }
            Order::Flush(on) => self.flush = on,
            Order::Clear => {
                self.generation += 1;
                self.queue.clear();
                self.summed.clear();
                self.flush = false;
            }
        }
    }

    fn done(&mut self, unit: Assignment) {
        let generation = self.generation;
        if unit.work != Work::Train || !self.sums {
            let result = self.worker.execute(&unit);
            return self.finish(result);
        }
        let (id, clients) = (unit.unit, unit.jobs.len() as u64);
        self.summed.push(unit);
        (self.listener)(CrewEvent::Summed {
            generation,
            unit: id,
            clients,
        });
    }

    fn hand_in(&mut self) {
        let units = std::mem::take(&mut self.summed);
        let mut rest = units.iter().skip(1).cloned();
        let result = self.worker.execute_with(&units[0], || rest.next());
        self.finish(result);
    }

    fn finish(&mut self, result: Result<Upload, NodeError>) {
        let generation = self.generation;
        (self.listener)(match result {
            Ok(mut upload) => {
                // Wall times have no place in a world.
                upload.micros.clear();
                CrewEvent::Finished { generation, upload }
            }
            Err(error) => CrewEvent::Failed(error.to_string()),
        });
    }
}
