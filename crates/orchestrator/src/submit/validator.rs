//! The type-validator over the wire.

use std::time::Duration;

use async_trait::async_trait;
use qflow_model::{definition::Source, limits};
use qflow_proto::v1::{self, type_validator_service_client::TypeValidatorServiceClient};
use qflow_service::AuthedChannel;
use serde::de::DeserializeOwned;
use tonic::{Code, Request, Status};

use crate::validate::{Error, Given, Judged, Validator};

/// How long a judgement may take: reading the largest submission takes a fraction of it.
const DEADLINE: Duration = Duration::from_secs(15);

/// A type-validator elsewhere.
pub struct Remote(TypeValidatorServiceClient<AuthedChannel>);

impl Remote {
    /// The one at the end of a channel.
    pub fn new(channel: AuthedChannel) -> Self {
        let client = TypeValidatorServiceClient::new(channel);
        // A definition is written out longer than its source.
        Self(
            client
                .max_decoding_message_size(2 * limits::MESSAGE_BYTES)
                .max_encoding_message_size(limits::MESSAGE_BYTES),
        )
    }
}

#[async_trait]
impl Validator for Remote {
    async fn judge(
        &self,
        source: &Source,
        workflow: &str,
        parameters: Option<&[(String, Given)]>,
    ) -> Result<Judged, Error> {
        let parameter = |(name, given): &(String, Given)| {
            let value = match given {
                Given::Text(text) => v1::parameter::Value::Text(text.clone()),
                Given::Json(json) => v1::parameter::Value::Json(json.clone()),
                Given::Upload(upload) => v1::parameter::Value::Upload(v1::Upload {
                    digest: upload.digest.to_string(),
                    size: upload.size,
                    kind: upload.kind.clone(),
                    name: upload.name.clone(),
                }),
            };
            v1::Parameter { name: name.clone(), value: Some(value) }
        };
        let mut request = Request::new(v1::ValidateWorkflowRequest {
            source: Some(wire_source(source)),
            workflow: workflow.to_owned(),
            with_parameters: parameters.is_some(),
            parameters: parameters.unwrap_or_default().iter().map(parameter).collect(),
        });
        request.set_timeout(DEADLINE);
        let answer = self.0.clone().validate_workflow(request).await.map_err(|e| error(&e))?.into_inner();
        Ok(Judged {
            definition: read(&answer.definition_json)?,
            problems: read(&answer.problems_json)?.unwrap_or_default(),
            workflow: answer.workflow,
            parameters: read(&answer.parameters_json)?.unwrap_or_default(),
            parameter_errors: read(&answer.parameter_errors_json)?.unwrap_or_default(),
        })
    }
}

fn wire_source(source: &Source) -> v1::Source {
    let files = source.files.iter().map(|(path, text)| v1::SourceFile { path: path.clone(), text: text.clone() });
    v1::Source { entry: source.entry.clone(), files: files.collect() }
}

fn error(status: &Status) -> Error {
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted => {
            Error::Refused(status.message().to_owned())
        }
        code => Error::Unavailable(format!("{code:?}: {}", status.message())),
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<Option<T>, Error> {
    if json.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(json).map(Some).map_err(|e| Error::Unreadable(e.to_string()))
}
