//! S3 as the environment describes it, by the names that its other tools read too.

use std::{path::Path as FilePath, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, Certificate, ClientOptions, Error as Said, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    prefix::PrefixStore,
};

use crate::{innermost, open::Unopened};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request may take, which moves a part at most: 8 MiB at 1.2 Mbit/s.
const REQUEST: Duration = Duration::from_secs(60);
/// For how long a request is tried again, however often that is: past it whoever waits is told, well before an attempt's lease is over.
const RETRY: Duration = Duration::from_secs(15);
/// The pauses between, doubling from the first to the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Secrets that may be given by a file.
const SECRETS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// What the environment says of S3.
pub(crate) struct Settings(Vec<(AmazonS3ConfigKey, String)>);

fn setting(name: &str, why: impl Into<String>) -> Unopened {
    Unopened::Setting { name: name.to_owned(), why: why.into() }
}

impl Settings {
    /// Reads the environment: `AWS_…`, and the contents of `AWS_…_FILE` where that is a secret's. What is empty is not set.
    pub(crate) fn read(variables: impl Iterator<Item = (String, String)>) -> Result<Self, Unopened> {
        let mut known = Vec::new();
        for (name, value) in variables.filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty()) {
            let secret = name.strip_suffix("_FILE").filter(|name| SECRETS.contains(name));
            let value = match secret {
                Some(_) => content(&name, &value)?,
                None => value,
            };
            let key = secret.unwrap_or(&name).to_ascii_lowercase().parse();
            // Others are for other tools; the bucket stands in the address, and how long what may take stands here.
            if let Ok(key) = key
                && !matches!(key, AmazonS3ConfigKey::Bucket | AmazonS3ConfigKey::Client(_))
            {
                let twice = known.iter().any(|(other, _)| *other == key && SECRETS.contains(&secret.unwrap_or(&name)));
                if twice {
                    let name = secret.unwrap_or(&name);
                    return Err(setting(name, format!("give it itself or by {name}_FILE, not both")));
                }
                known.push((key, value));
            }
        }
        Ok(Self(known))
    }

    fn get(&self, key: AmazonS3ConfigKey) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }

    fn endpoint(&self) -> Option<&str> {
        self.get(AmazonS3ConfigKey::S3Endpoint).or_else(|| self.get(AmazonS3ConfigKey::Endpoint))
    }

    /// The store at `BUCKET[/PREFIX]`.
    pub(crate) fn store(&self, place: &str, trust: Option<&FilePath>) -> Result<Arc<dyn ObjectStore>, Unopened> {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            let why = format!("`s3://{place}` names no bucket: write s3://BUCKET or s3://BUCKET/PREFIX");
            return Err(setting("QFLOW_BLOBS_URL", why));
        }
        // Not shown: what is no name may be a password.
        if !bucket.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
            let why = "a bucket's name has letters, digits, `.`, `-` and `_`; who asks is said by AWS_ACCESS_KEY_ID and \
                       AWS_SECRET_ACCESS_KEY[_FILE], where by AWS_ENDPOINT_URL";
            return Err(setting("QFLOW_BLOBS_URL", why));
        }
        if let Some(endpoint) = self.endpoint()
            && !reqwest::Url::parse(endpoint)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        {
            return Err(setting(
                "AWS_ENDPOINT_URL",
                format!("`{endpoint}` is neither http://HOST[:PORT] nor https://HOST[:PORT]"),
            ));
        }
        // The process's own, once: what speaks TLS here takes what it finds.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            // Other servers know a bucket by its path; and a name with a dot is not in Amazon's certificate.
            .with_virtual_hosted_style_request(self.endpoint().is_none() && !bucket.contains('.'))
            .with_retry(RetryConfig {
                backoff: BackoffConfig { init_backoff: PAUSE.0, max_backoff: PAUSE.1, base: 2.0 },
                max_retries: usize::MAX,
                retry_timeout: RETRY,
            });
        for (key, value) in &self.0 {
            builder = builder.with_config(*key, value);
        }
        let in_the_clear = self.endpoint().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let mut options =
            ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST).with_allow_http(in_the_clear);
        if let Some(file) = trust {
            let unreadable = |why: String| setting("QFLOW_CA_BUNDLE", format!("read `{}`: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(error.to_string()))?;
            options = certificates.into_iter().fold(options, ClientOptions::with_root_certificate);
            options = options.with_no_system_certificates(true);
        }
        let store = builder.with_client_options(options).build().map_err(|source| {
            let remedy = "look at AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned();
            Unopened::Unusable { url: format!("s3://{place}"), remedy, said: innermost(&source) }
        })?;
        let prefix = prefix.trim_matches('/');
        Ok(if prefix.is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) })
    }

    /// What to look at, where the probe failed like this.
    pub(crate) fn remedy(&self, place: &str, said: &Said) -> String {
        let bucket = place.split('/').next().unwrap_or_default();
        let at = self.endpoint().unwrap_or("Amazon (set AWS_ENDPOINT_URL for another)");
        let from = if self.get(AmazonS3ConfigKey::AccessKeyId).is_some() {
            "those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY[_FILE]"
        } else {
            "of this machine's role, since AWS_ACCESS_KEY_ID is not set"
        };
        match said {
            Said::NotFound { .. } => format!("there is no bucket `{bucket}` at {at}: make it, or name another"),
            Said::PermissionDenied { .. } | Said::Unauthenticated { .. } => format!(
                "{at} refuses the credentials, {from}: look at them, and at their right to read, write, list and delete in `{bucket}`"
            ),
            _ => format!(
                "{at} does not take what it must, with credentials {from}: look at AWS_ENDPOINT_URL, AWS_REGION, the network, and \
                 QFLOW_CA_BUNDLE where it is TLS"
            ),
        }
    }
}

fn content(name: &str, file: &str) -> Result<String, Unopened> {
    let text = std::fs::read_to_string(file).map_err(|error| setting(name, format!("read `{file}`: {error}")))?;
    match text.trim() {
        "" => Err(setting(name, format!("`{file}` is empty"))),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Unopened> {
        Settings::read(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn a_secret_is_given_itself_or_by_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hidden\n").unwrap();
        let path = file.path().to_str().unwrap();
        let settings = read(&[("AWS_SECRET_ACCESS_KEY_FILE", path), ("AWS_REGION", ""), ("AWS_PROFILE", "x")]).unwrap();
        assert_eq!(settings.get(AmazonS3ConfigKey::SecretAccessKey), Some("hidden"));
        assert_eq!(settings.0.len(), 1);
        let both = read(&[("AWS_SECRET_ACCESS_KEY_FILE", path), ("AWS_SECRET_ACCESS_KEY", "open")]).err().unwrap();
        assert_eq!(
            both.to_string(),
            "AWS_SECRET_ACCESS_KEY: give it itself or by AWS_SECRET_ACCESS_KEY_FILE, not both"
        );
        let none = read(&[("AWS_SESSION_TOKEN_FILE", "/nowhere")]).err().unwrap().to_string();
        assert!(none.starts_with("AWS_SESSION_TOKEN_FILE: read `/nowhere`: "), "{none}");
    }

    #[test]
    fn a_web_identity_is_read_from_where_it_lies_and_not_taken_for_a_secrets_file() {
        let settings = read(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"), ("AWS_ROLE_ARN", "arn:x")]).unwrap();
        assert_eq!(settings.get(AmazonS3ConfigKey::WebIdentityTokenFile), Some("/var/run/token"));
        assert!(settings.store("bucket", None).is_ok());
    }

    #[test]
    fn what_is_no_address_or_no_bucket_is_told_and_no_password_with_it() {
        for wrong in ["blah", "ftp://host", "http://", "localhost:9000"] {
            let settings = read(&[("AWS_ENDPOINT_URL", wrong)]).unwrap();
            let error = settings.store("bucket", None).err().unwrap().to_string();
            assert!(error.starts_with(&format!("AWS_ENDPOINT_URL: `{wrong}` is neither http://HOST")), "{error}");
        }
        let error = read(&[]).unwrap().store("/prefix", None).err().unwrap().to_string();
        assert_eq!(error, "QFLOW_BLOBS_URL: `s3:///prefix` names no bucket: write s3://BUCKET or s3://BUCKET/PREFIX");
        let error = read(&[]).unwrap().store("key:hidden@bucket/prefix", None).err().unwrap().to_string();
        assert!(error.starts_with("QFLOW_BLOBS_URL: a bucket's name") && !error.contains("hidden"), "{error}");
    }

    /// A server of one answer a connection: it is busy so often, then it takes what it is given. Its address, and how often it was asked.
    async fn busy(times: usize) -> (String, tokio::task::JoinHandle<usize>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            for asked in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"value") {
                    assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "a request ends with what it brings");
                }
                let status = if asked < times { "503 Slow Down" } else { "200 OK" };
                let head =
                    format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                if asked == times {
                    return asked + 1;
                }
            }
            unreachable!("there are numbers for all of them")
        });
        (url, served)
    }

    #[tokio::test]
    async fn a_request_is_tried_again_while_there_is_time_however_often_it_failed() {
        use object_store::{ObjectStoreExt as _, PutPayload, path::Path};
        let (url, served) = busy(9).await;
        let settings =
            read(&[("AWS_ENDPOINT_URL", &url), ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")]);
        let store = settings.unwrap().store("bucket", None).ok().unwrap();
        store.put(&Path::from("name"), PutPayload::from_static(b"value")).await.unwrap();
        assert_eq!(served.await.unwrap(), 10);
    }

    #[test]
    fn half_of_a_key_is_told() {
        let settings = read(&[("AWS_ACCESS_KEY_ID", "id")]).unwrap();
        let error = settings.store("bucket", None).err().unwrap();
        assert!(error.to_string().contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    }
}
