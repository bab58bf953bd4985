//! What a submission's source and parameters are judged by: the type-validator, without which nothing is accepted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use qflow_model::{
    definition::{Definition, Problem, Source},
    ids::Digest,
    value::Produced,
};
use serde::{Deserialize, Serialize};

/// A parameter as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// To be read by the declared type.
    Text(String),
    /// Plain JSON.
    Json(String),
    /// Content that was uploaded.
    Upload(Upload),
}

/// Content of a file or folder that was uploaded before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Of the content.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// `file`, `folder`.
    pub kind: String,
    /// What nodes see it as.
    pub name: String,
}

/// A parameter that is unknown, missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterError {
    /// `unknown`, `missing`, `wrong`, …
    pub code: String,
    /// For people.
    pub message: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// What the validator says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// What the source defines; nothing where there are errors.
    pub definition: Option<Definition>,
    /// Everything wrong with it, warnings included.
    pub problems: Vec<Problem>,
    /// The chosen workflow.
    pub workflow: String,
    /// Its parameters, defaults included.
    pub parameters: BTreeMap<String, Produced>,
    /// What is wrong with those given.
    pub parameter_errors: Vec<ParameterError>,
}

impl Judged {
    /// Whether nothing stands against it.
    pub fn is_sound(&self) -> bool {
        self.definition.is_some() && self.parameter_errors.is_empty() && self.problems.iter().all(|p| p.warning)
    }
}

/// Why there is no judgement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody answers: a retry helps.
    #[error("the type-validator does not answer: {0}")]
    Unavailable(String),
    /// It refuses the question.
    #[error("{0}")]
    Refused(String),
    /// Its answer does not read.
    #[error("the type-validator's answer does not read: {0}")]
    Unreadable(String),
}

/// Who judges.
#[async_trait]
pub trait Validator: Send + Sync + 'static {
    /// Judges a source, and parameters for a workflow of it where they are given.
    async fn judge(
        &self,
        source: &Source,
        workflow: &str,
        parameters: Option<&[(String, Given)]>,
    ) -> Result<Judged, Error>;
}
