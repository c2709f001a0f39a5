//! An AWS that says what moto cannot: AWS's exact denial texts, throttling, tokens of our choice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::peer::{Peer, Reply, Request, json as json_reply, reply, reply_with};

pub const BUILDER: &str = "arn:aws:iam::111111111111:user/builder";
pub const ROLE: &str = "arn:aws:iam::022222222222:role/OurThingBuildRole";
pub const SOURCE_SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
pub const SESSION_SECRET: &str = "fake/session/secret/access/key/0123456789";
pub const SESSION_TOKEN: &str = "fakeSessionTokenThatMustNeverBeSeen0123456789==";
/// With colons, and longer than any text that is cut.
pub const PASSWORD: &str = concat!(
    "fake:ecr:password:that:must:never:be:seen:0123456789abcdefghijklmnopqrstuvwxyz:ABCDEFGHIJKLMNOPQRSTUVWXYZ:",
    "first:0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrst:",
    "second:0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrs:",
    "third:0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrst=="
);

/// What the fake answers; each can be replaced.
#[derive(Clone)]
pub struct FakeAws {
    pub assume_role: Reply,
    pub caller: Reply,
    pub token: Reply,
}

impl FakeAws {
    /// Everything goes well, and the registry is at `endpoint` (a URL).
    pub fn working(endpoint: &str) -> Self {
        Self {
            assume_role: assumed_role(),
            caller: caller(BUILDER),
            token: token(endpoint, 4_102_444_800),
        }
    }

    /// One that serves tokens with `password`, for the registry at port 1.
    pub fn with_password(password: &str) -> Peer {
        let endpoint = "http://127.0.0.1:1";
        Self {
            token: token_with(endpoint, 4_102_444_800, password),
            ..Self::working(endpoint)
        }
        .serve()
    }

    /// Serves on a TCP port; its URL is for `AWS_ENDPOINT_URL`.
    pub fn serve(self) -> Peer {
        Peer::on_tcp(move |request| self.answer(request))
    }

    fn answer(&self, request: &Request) -> Reply {
        if request.headers.contains_key("x-amz-target") {
            return self.token.clone();
        }
        if request.body.contains("Action=AssumeRole&") {
            return self.assume_role.clone();
        }
        self.caller.clone()
    }
}

pub fn assumed_role() -> Reply {
    reply(
        "200 OK",
        "text/xml",
        &format!(
            r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><AssumedRoleId>AROAX:s</AssumedRoleId><Arn>arn:aws:sts::022222222222:assumed-role/OurThingBuildRole/s</Arn></AssumedRoleUser>
<Credentials><AccessKeyId>ASIAFAKEFAKEFAKEFAKE</AccessKeyId><SecretAccessKey>{SESSION_SECRET}</SecretAccessKey>
<SessionToken>{SESSION_TOKEN}</SessionToken><Expiration>2099-12-31T23:59:59Z</Expiration></Credentials>
</AssumeRoleResult><ResponseMetadata><RequestId>fake-request</RequestId></ResponseMetadata></AssumeRoleResponse>"#
        ),
    )
}

pub fn caller(arn: &str) -> Reply {
    let account = arn.split(':').nth(4).unwrap();
    reply(
        "200 OK",
        "text/xml",
        &format!(
            r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>{arn}</Arn><UserId>AIDAX</UserId><Account>{account}</Account></GetCallerIdentityResult>
<ResponseMetadata><RequestId>fake-request</RequestId></ResponseMetadata></GetCallerIdentityResponse>"#
        ),
    )
}

/// An STS error as AWS sends it.
pub fn sts_error(status: &str, code: &str, message: &str) -> Reply {
    let body = format!(
        r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>{code}</Code><Message>{message}</Message></Error><RequestId>3f1b0c2e-denied</RequestId></ErrorResponse>"#
    );
    reply_with(
        status,
        &[
            ("Content-Type", "text/xml"),
            ("x-amzn-RequestId", "3f1b0c2e-denied"),
        ],
        &body,
    )
}

/// An ECR error as AWS sends it.
pub fn ecr_error(code: &str, message: &str) -> Reply {
    json_reply(
        "400 Bad Request",
        &json!({"__type": code, "message": message}),
    )
}

/// A token for the registry at `endpoint` that ends at `expires_at` (seconds since 1970).
pub fn token(endpoint: &str, expires_at: u64) -> Reply {
    token_with(endpoint, expires_at, PASSWORD)
}

fn token_with(endpoint: &str, expires_at: u64, password: &str) -> Reply {
    json_reply(
        "200 OK",
        &json!({"authorizationData": [{
            "authorizationToken": STANDARD.encode(format!("AWS:{password}")),
            "expiresAt": expires_at,
            "proxyEndpoint": endpoint,
        }]}),
    )
}
