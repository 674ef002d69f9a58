//! Requests as files: `requests/ID.json` in a run's folder asks, `answers/ID.json` is the answer.

use super::{RunError, Storage};
use lyceum_core::{Answer, Request, Round, Want};
use lyceum_metrics::unreadable;
use std::collections::BTreeSet;

/// Where requests lie.
pub const REQUESTS: &str = "requests";
/// Where answers lie.
pub const ANSWERS: &str = "answers";
/// Bytes of a request, at most.
const MOST: usize = 1 << 20;

/// What was taken from the folder of requests and not yet cleared away.
#[derive(Debug, Default)]
pub(super) struct Letters {
    seen: BTreeSet<String>,
    answered: Vec<String>,
}

impl Letters {
    /// Requests that are new; what cannot be read is answered.
    pub(super) fn new_ones(
        &mut self,
        storage: &mut dyn Storage,
        round: Round,
    ) -> Result<Vec<Request>, RunError> {
        let path = storage.path(REQUESTS);
        let mut names = storage.list(REQUESTS).map_err(RunError::file(path))?;
        names.sort();
        let mut requests = Vec::new();
        for name in names {
            let Some(id) = name.strip_suffix(".json") else {
                continue;
            };
            if !self.seen.insert(id.to_owned()) {
                continue;
            }
            match read(storage, id) {
                Ok(want) => requests.push(Request {
                    id: id.to_owned(),
                    want,
                }),
                Err(reason) => {
                    let answer = Answer {
                        id: id.to_owned(),
                        round,
                        worth: Vec::new(),
                        task: None,
                        refused: Some(reason),
                    };
                    self.answer(storage, &answer)?;
                }
            }
        }
        Ok(requests)
    }

    /// Writes an answer down. Where the same was answered before, after which the process died, a good answer stays.
    pub(super) fn answer(
        &mut self,
        storage: &mut dyn Storage,
        answer: &Answer,
    ) -> Result<(), RunError> {
        let name = format!("{ANSWERS}/{}.json", answer.id);
        let path = storage.path(&name);
        let known = storage.read(&name).map_err(RunError::file(&path))?;
        if known.is_none() || answer.refused.is_none() {
            let json = serde_json::to_vec_pretty(answer);
            let json = json.map_err(|e| RunError::damaged(&path, e))?;
            storage
                .replace(&name, &json)
                .map_err(RunError::file(path))?;
        }
        self.answered.push(answer.id.clone());
        Ok(())
    }

    /// Clears away what was answered, once the state that it led to is safe.
    pub(super) fn clear(&mut self, storage: &mut dyn Storage) -> Result<(), RunError> {
        for id in self.answered.drain(..) {
            let name = format!("{REQUESTS}/{id}.json");
            let path = storage.path(&name);
            storage.remove(&name).map_err(RunError::file(path))?;
        }
        Ok(())
    }
}

fn read(storage: &dyn Storage, id: &str) -> Result<Want, String> {
    let bytes = storage.read(&format!("{REQUESTS}/{id}.json"));
    let bytes = bytes.map_err(|e| e.to_string())?.unwrap_or_default();
    if bytes.len() > MOST {
        return Err(format!("the request has more than {MOST} bytes"));
    }
    serde_json::from_slice(&bytes).map_err(|e| format!("the request: {}", unreadable(&e)))
}
