//! The doing of a push: look what the tag holds, tag, push, and read the stream to its end.
//!
//! Registries are pushed to at the same time. In one repository the first tag goes first, so that its layers go
//! up once; the others, which then only need their manifest, go together.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

use super::outcome::{Held, PushError, ReferenceOutcome, Refusal, Status, TargetOutcome};
use super::plan::Plan;
use crate::account::AccountId;
use crate::docker::daemon::{Daemon, DaemonError, LocalImage, RegistryLogin};
use crate::docker::events::{Event, PushStream};
use crate::ecr::repository::Tag;
use crate::error::Failure;
use crate::progress::{Progress, ReferenceProgress};
use crate::registry::client::{RegistryClient, RegistryError, RemoteManifest};

/// ECR takes about ten manifests a second ("Amazon ECR service quotas", `PutImage`).
const TAGS_AT_ONCE: usize = 4;
/// Podman is silent until a push is done, so its silence means nothing before so long.
const PODMAN_PATIENCE: Duration = Duration::from_hours(1);

/// One registry to push to, with all that it takes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The login, which names the host.
    pub login: RegistryLogin,
    /// A client of the registry itself, for the look before the push.
    pub client: RegistryClient,
    /// The registry's account, where it is known.
    pub account: Option<AccountId>,
    /// The registry's region.
    pub region: String,
}

/// A push that is about to be done.
#[derive(Debug)]
pub struct Push<'a> {
    /// The daemon that has the image.
    pub daemon: &'a Daemon,
    /// The image's name or id there.
    pub image: &'a str,
    /// What the daemon says of it.
    pub local: &'a LocalImage,
    /// Repository and tags.
    pub plan: &'a Plan,
    /// The longest silence in the push stream.
    pub idle_timeout: Duration,
    /// Where progress is shown.
    pub progress: &'a Progress,
}

impl Push<'_> {
    /// Pushes to all of `targets`. Failures are part of the outcome.
    pub async fn run(&self, targets: &[Target]) -> Vec<TargetOutcome> {
        join_all(targets.iter().map(|target| self.target(target))).await
    }

    async fn target(&self, target: &Target) -> TargetOutcome {
        let start = Instant::now();
        let mut references = Vec::with_capacity(self.plan.tags.len());
        if let Some((first, others)) = self.plan.tags.split_first() {
            let first = self.reference(target, first.as_str()).await;
            let others = self.others(target, &first, others).await;
            references.push(first);
            references.extend(others);
        }
        TargetOutcome {
            references,
            took: start.elapsed(),
        }
    }

    /// The further tags, unless what became of the first one holds for them, too.
    async fn others(
        &self,
        target: &Target,
        first: &ReferenceOutcome,
        tags: &[Tag],
    ) -> Vec<ReferenceOutcome> {
        let pushes = tags.iter().map(|tag| async move {
            match &first.result {
                Err(error) if error.concerns_repository() => ReferenceOutcome {
                    reference: self.name(target, tag.as_str()),
                    tag: tag.to_string(),
                    result: Err(PushError::NotTried {
                        because: first.tag.clone(),
                        code: error.exit_code(),
                    }),
                    took: Duration::ZERO,
                },
                _ => self.reference(target, tag.as_str()).await,
            }
        });
        stream::iter(pushes).buffered(TAGS_AT_ONCE).collect().await
    }

    fn name(&self, target: &Target, tag: &str) -> String {
        self.plan.reference(&target.login.host, tag)
    }

    async fn reference(&self, target: &Target, tag: &str) -> ReferenceOutcome {
        let start = Instant::now();
        let reference = self.name(target, tag);
        let before = self.look(target, tag).await;
        let result = match before.as_ref().filter(|remote| self.is_same(remote)) {
            Some(remote) => Ok(held(remote)),
            None => self.tag_and_push(target, tag, before.as_ref()).await,
        };
        let took = start.elapsed();
        if let Ok(held) = &result {
            let word = match held.status {
                Status::Pushed => "pushed",
                Status::Unchanged => "unchanged",
            };
            self.progress.note(format!(
                "{word} {reference} ({}, {:.1} s)",
                held.digest,
                took.as_secs_f64()
            ));
        }
        ReferenceOutcome {
            reference,
            tag: tag.to_owned(),
            result,
            took,
        }
    }

    /// What the tag holds now. Not knowing is no reason not to push: the registry has the last word.
    async fn look(&self, target: &Target, tag: &str) -> Option<RemoteManifest> {
        let repository = self.plan.repository.as_str();
        match target.client.manifest(repository, tag).await {
            Ok(found) => found,
            Err(error @ RegistryError::LoginRefused { .. }) => {
                self.progress
                    .detail(format!("{error}; the daemon will try"));
                None
            }
            Err(error) => {
                self.progress.detail(format!(
                    "cannot tell what {repository}:{tag} holds: {error}"
                ));
                None
            }
        }
    }

    /// Whether the tag holds this very image. The classic image store knows an image by its config's digest, the
    /// containerd store by the manifest's.
    fn is_same(&self, remote: &RemoteManifest) -> bool {
        let id = &self.local.id;
        remote.config_digest.as_ref() == Some(id)
            || remote.digest == *id
            || self.local.digests.contains(&remote.digest)
    }

    async fn tag_and_push(
        &self,
        target: &Target,
        tag: &str,
        before: Option<&RemoteManifest>,
    ) -> Result<Held, PushError> {
        let repository = format!("{}/{}", target.login.host, self.plan.repository);
        let reference = format!("{repository}:{tag}");
        if self.image != reference {
            self.daemon.tag(self.image, &repository, tag).await?;
        }
        self.progress.detail(format!("pushing {reference}"));
        match self.stream(target, &repository, tag).await {
            Ok(mut pushed) => {
                if before.is_some_and(|before| before.digest == pushed.digest) {
                    pushed.status = Status::Unchanged;
                }
                Ok(pushed)
            }
            Err(PushFault::Refused(message)) => self.refused(target, tag, before, message).await,
            Err(PushFault::Other(error)) => Err(*error),
        }
    }

    /// A refusal of a taken tag may still be a success: then the tag holds this image, pushed by somebody else
    /// since the look, or known to the daemon by its digest only now.
    async fn refused(
        &self,
        target: &Target,
        tag: &str,
        before: Option<&RemoteManifest>,
        message: String,
    ) -> Result<Held, PushError> {
        let refusal = Refusal::read(&message, self.plan.repository.as_str());
        let mut holds = before.cloned();
        if matches!(refusal, Refusal::TagTaken | Refusal::ManifestRefused) {
            holds = self.look(target, tag).await.or(holds);
            if let Some(remote) = holds.as_ref().filter(|remote| self.is_same(remote)) {
                return Ok(held(remote));
            }
        }
        Err(PushError::Refused {
            refusal,
            message,
            repository: self.plan.repository.to_string(),
            account: target.account.clone(),
            region: target.region.clone(),
            held: holds.map(|remote| remote.digest),
        })
    }

    async fn stream(
        &self,
        target: &Target,
        repository: &str,
        tag: &str,
    ) -> Result<Held, PushFault> {
        let idle = if self.daemon.is_podman() {
            self.idle_timeout.max(PODMAN_PATIENCE)
        } else {
            self.idle_timeout
        };
        let mut bytes = self.daemon.push(repository, tag, &target.login, idle);
        let mut shown = self.progress.follow(&format!("{repository}:{tag}"));
        let mut stream = PushStream::default();
        let mut news = News::new(idle);
        let mut pushed = None;
        loop {
            let chunk = tokio::time::timeout_at(news.deadline(), bytes.next())
                .await
                .map_err(|_| PushError::Idle { idle })?;
            let Some(chunk) = chunk else { break };
            for event in stream.feed(&chunk?)? {
                news.take_in(&event);
                self.take_in(event, &mut shown, &mut pushed)?;
            }
        }
        pushed.filter(|_| !stream.is_cut()).ok_or_else(|| {
            PushFault::Other(Box::new(PushError::NoDigest {
                inside_message: stream.is_cut(),
            }))
        })
    }

    fn take_in(
        &self,
        event: Event,
        shown: &mut ReferenceProgress,
        pushed: &mut Option<Held>,
    ) -> Result<(), PushFault> {
        match event {
            Event::Layer {
                id,
                status,
                current,
                total,
            } => shown.layer(&id, &status, current, total),
            Event::Status(text) => self.progress.detail(text),
            Event::Digest { digest, size } => {
                *pushed = Some(Held {
                    digest,
                    size: size.filter(|_| !self.daemon.is_podman()),
                    status: Status::Pushed,
                });
            }
            Event::Narrowed => self.progress.warn(format!(
                "the daemon holds '{}' for several platforms and pushed only the one that it runs on",
                self.image
            )),
            Event::ContentMissing => self.progress.warn(format!(
                "the daemon does not have all of the content of '{}': was it pulled for another platform?",
                self.image
            )),
            Event::Failed(message) => return Err(PushFault::Refused(message)),
        }
        Ok(())
    }
}

/// When the stream last told something new. The containerd image store repeats each layer's state ten times a second,
/// also when nothing moves, so a line that says what the last one said is silence.
struct News {
    idle: Duration,
    since: tokio::time::Instant,
    layers: HashMap<String, Event>,
}

impl News {
    fn new(idle: Duration) -> Self {
        Self {
            idle,
            since: tokio::time::Instant::now(),
            layers: HashMap::new(),
        }
    }

    fn take_in(&mut self, event: &Event) {
        if let Event::Layer { id, .. } = event {
            if self.layers.get(id) == Some(event) {
                return;
            }
            self.layers.insert(id.clone(), event.clone());
        }
        self.since = tokio::time::Instant::now();
    }

    fn deadline(&self) -> tokio::time::Instant {
        self.since + self.idle
    }
}

fn held(remote: &RemoteManifest) -> Held {
    Held {
        digest: remote.digest.clone(),
        size: Some(remote.size),
        status: Status::Unchanged,
    }
}

/// A refusal whose meaning is still to be found out, or a failure that is clear.
enum PushFault {
    Refused(String),
    Other(Box<PushError>),
}

impl<E: Into<PushError>> From<E> for PushFault {
    fn from(error: E) -> Self {
        match error.into() {
            // Podman answers an early failure with an HTTP status, Docker with an event: they mean the same.
            PushError::Daemon(DaemonError::Refused { message, .. }) => Self::Refused(message),
            PushError::Daemon(DaemonError::Silent { limit, .. }) => {
                Self::Other(Box::new(PushError::Idle { idle: limit }))
            }
            error => Self::Other(Box::new(error)),
        }
    }
}
