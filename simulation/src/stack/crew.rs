//! A crew in virtual time: one task that takes as long as the world says.

use lyceum_client_node::{
    Node, NodeError, Worker,
    crew::{Crew, CrewMachine, Failure, Handing, Listener, Step},
};
use lyceum_core::{Assignment, Upload};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// The number of the only worker.
const WORKER: usize = 0;

enum Order {
    Work(u64, Assignment),
    Flush(u64, bool),
    Clear(u64),
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
        let task = Task {
            worker: Worker::new(node.clone())?,
            crew: CrewMachine::new(1, node.sums_units(), Handing::Together),
            hand: Vec::new(),
            listener,
        };
        tokio::spawn(task.run(orders, each));
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

    fn flush(&mut self, generation: u64, on: bool) {
        self.say(Order::Flush(generation, on));
    }

    fn clear(&mut self, generation: u64) {
        self.say(Order::Clear(generation));
    }
}

struct Task {
    worker: Worker,
    crew: CrewMachine,
    /// Units whose time is over, to be worked on together.
    hand: Vec<Assignment>,
    listener: Listener,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>, each: Duration) {
        loop {
            while let Ok(order) = orders.try_recv() {
                self.obey(order);
            }
            let step = self.crew.next(WORKER);
            self.tell();
            match step {
                Step::Begin(unit) | Step::Add(unit) => {
                    tokio::time::sleep(each).await;
                    self.hand.push(unit);
                }
                Step::HandIn => self.hand_in(),
                Step::LetGo => self.hand.clear(),
                Step::Wait => match orders.recv().await {
                    Some(order) => self.obey(order),
                    None => return,
                },
                Step::Leave => return,
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Work(generation, assignment) => self.crew.work(generation, assignment),
            Order::Flush(generation, on) => self.crew.flush(generation, on),
            Order::Clear(generation) => self.crew.clear(generation),
        }
    }

    fn hand_in(&mut self) {
        match self.result() {
            Ok(upload) => self.crew.hand_in(WORKER, upload),
            Err(error) => self.crew.fail(WORKER, Failure::Unit(error.to_string())),
        }
        self.tell();
    }

    fn result(&mut self) -> Result<Upload, NodeError> {
        let units = std::mem::take(&mut self.hand);
        let mut rest = units.iter().skip(1).cloned();
        let mut upload = self.worker.execute_with(&units[0], || rest.next())?;
        // Wall times have no place in a world.
        upload.micros.clear();
        Ok(upload)
    }

    fn tell(&mut self) {
        while let Some(event) = self.crew.poll() {
            (self.listener)(event);
        }
    }
}
