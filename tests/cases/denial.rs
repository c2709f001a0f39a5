//! AWS's own words, which moto does not speak: each is told with the side that can act, and is never retried.

use crate::support::fake_aws::{FakeAws, ROLE, ecr_error, sts_error};
use crate::support::files::Folder;
use crate::support::peer::{Peer, Reply, reply};
use crate::support::program::{Program, Run};

const REFUSED: &str = "User: arn:aws:iam::111111111111:user/builder is not authorized to perform: sts:AssumeRole on \
                       resource: arn:aws:iam::022222222222:role/OurThingBuildRole";

fn login(aws: &Peer) -> Program {
    Program::with_fake_aws(&["login", "--verify", "never"], aws)
        .env("CROSSDOCK_EXTERNAL_ID", "some_key_build")
}

/// The run, and how often AWS was called.
fn assume_role_answered_with(answer: Reply) -> (Run, usize) {
    let aws = FakeAws {
        assume_role: answer,
        ..FakeAws::working("http://127.0.0.1:1")
    }
    .serve();
    let folder = Folder::new();
    let run = login(&aws).env("DOCKER_CONFIG", folder.path()).run();
    assert_eq!(folder.names(), [""; 0]);
    let calls = aws.requests().len();
    (run, calls)
}

#[test]
fn every_wording_of_a_refusal_names_who_can_act() {
    for (message, hints) in [
        (
            REFUSED.to_owned(),
            &[
                "AWS does not say which side refused; both must hold: account 111111111111 must allow",
                "and account 022222222222 must have this role",
                "an external id of 14 characters was sent",
            ][..],
        ),
        (
            format!("{REFUSED} because no identity-based policy allows the sts:AssumeRole action"),
            &[
                "the caller's own policies do not allow it: account 111111111111 must allow arn:aws:iam::111111111111:user/builder the action sts:AssumeRole on arn:aws:iam::022222222222:role/OurThingBuildRole",
            ],
        ),
        (
            format!("{REFUSED} because no role trust policy allows the sts:AssumeRole action"),
            &[
                "the role's trust policy does not let the caller in as it stands: account 022222222222 must have this role, and its trust policy must name 111111111111",
            ],
        ),
        (
            format!("{REFUSED} because no resource-based policy allows the sts:AssumeRole action"),
            &["account 022222222222 must have this role"],
        ),
        (
            format!("{REFUSED} with an explicit deny in a service control policy"),
            &["denied explicitly by a service control policy"],
        ),
        (
            format!("{REFUSED} with an explicit deny in an identity-based policy"),
            &["denied explicitly by an identity-based policy"],
        ),
        (
            REFUSED.replace("sts:AssumeRole", "sts:TagSession"),
            &["the action sts:TagSession on"],
        ),
    ] {
        let (run, calls) =
            assume_role_answered_with(sts_error("403 Forbidden", "AccessDenied", &message));
        assert_eq!(calls, 1, "a refusal was retried");
        let run = run.code(4).says(&format!(
            "AccessDenied: {message} (request id 3f1b0c2e-denied)"
        ));
        hints.iter().fold(run, |run, hint| run.says(hint));
    }
}

#[test]
fn other_answers_of_sts_have_their_exit_codes_and_remedies() {
    for (status, code, message, exit_code, hint, calls) in [
        (
            "403 Forbidden",
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            3,
            "AWS does not know this access key id",
            1,
        ),
        (
            "403 Forbidden",
            "ExpiredToken",
            "The security token included in the request is expired",
            3,
            "the source session is over",
            1,
        ),
        (
            "403 Forbidden",
            "SignatureDoesNotMatch",
            "Signature expired: 20261121T100000Z is now earlier than 20261121T101500Z",
            3,
            "this machine's clock is off",
            1,
        ),
        (
            "403 Forbidden",
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
            3,
            "the secret access key does not belong",
            1,
        ),
        (
            "400 Bad Request",
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            2,
            "the role exists and trusts the caller; shorten --session-duration",
            1,
        ),
        (
            "400 Bad Request",
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
            2,
            "lasts an hour at most",
            1,
        ),
        (
            "403 Forbidden",
            "RegionDisabledException",
            "STS is not activated in this region for account:022222222222.",
            4,
            "account 022222222222 must activate STS in eu-central-1",
            1,
        ),
        (
            "400 Bad Request",
            "Throttling",
            "Rate exceeded",
            5,
            "did not recover within 3 attempts",
            3,
        ),
        (
            "503 Service Unavailable",
            "ServiceUnavailable",
            "The request has failed due to a temporary failure of the server.",
            5,
            "did not recover within 3 attempts",
            3,
        ),
    ] {
        let (run, counted) = assume_role_answered_with(sts_error(status, code, message));
        run.code(exit_code).says(code).says(hint);
        assert_eq!(counted, calls, "{code}: calls of AWS");
    }
}

#[test]
fn an_answer_that_is_not_of_aws_says_so() {
    let (run, _) = assume_role_answered_with(reply(
        "407 Proxy Authentication Required",
        "text/html",
        "<html>",
    ));
    run.code(5)
        .says("HTTP status 407 without an AWS error in it: something on the way answered")
        .says("HTTPS_PROXY");
    let (run, _) = assume_role_answered_with(reply("403 Forbidden", "text/html", "<html>"));
    run.code(5).does_not_say("must allow");
}

#[test]
fn aws_that_cannot_be_reached_is_exit_5() {
    let folder = Folder::new();
    Program::new(&["login", "--verify", "never"])
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env(
            "AWS_SECRET_ACCESS_KEY",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        )
        .env("CROSSDOCK_ROLE_ARN", ROLE)
        .env("DOCKER_CONFIG", folder.path())
        .run()
        .code(5)
        .says("could not ask STS in eu-central-1 for AssumeRole: ")
        .says("Connection refused")
        .says("check that this machine reaches STS in eu-central-1");
}

#[test]
fn refusals_of_ecr_name_the_role_and_the_right() {
    let refusing = |code, message| {
        FakeAws {
            token: ecr_error(code, message),
            ..FakeAws::working("http://127.0.0.1:1")
        }
        .serve()
    };
    let aws = refusing(
        "AccessDeniedException",
        "User: arn:aws:sts::022222222222:assumed-role/OurThingBuildRole/s is not authorized to perform: \
         ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the \
         ecr:GetAuthorizationToken action",
    );
    login(&aws)
        .run()
        .code(4)
        .says("could not get an ECR authorization token in eu-central-1: AccessDeniedException: User:")
        .says("must allow arn:aws:iam::022222222222:role/OurThingBuildRole the action ecr:GetAuthorizationToken");
    let aws = refusing(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    );
    // A session that was made a moment ago and is refused is not the fault of the source's keys; without a role it is.
    login(&aws).run().code(4);
    login(&aws)
        .without("CROSSDOCK_ROLE_ARN")
        .without("CROSSDOCK_EXTERNAL_ID")
        .run()
        .code(3);
}

#[test]
fn the_session_is_named_after_the_job() {
    let aws = FakeAws::working("http://127.0.0.1:1").serve();
    let folder = Folder::new();
    let program = || login(&aws).env("DOCKER_CONFIG", folder.path());
    program()
        .env("CI_JOB_ID", "1001")
        .env("CI_PIPELINE_ID", "42")
        .env("CI_PROJECT_PATH_SLUG", "team-app")
        .run()
        .code(0);
    program().run().code(0);
    program()
        .env("CI_JOB_ID", "1001")
        .env("CROSSDOCK_SESSION_NAME", "mine")
        .env("CROSSDOCK_SESSION_DURATION", "15m")
        .run()
        .code(0);
    let bodies: Vec<_> = aws
        .requests()
        .into_iter()
        .filter(|request| request.body.contains("Action=AssumeRole&"))
        .map(|request| request.body)
        .collect();
    for (body, session) in bodies.iter().zip(["team-app-42-1001", "crossdock", "mine"]) {
        assert!(
            body.contains(&format!("RoleSessionName={session}&")),
            "{session}: {body}"
        );
        assert!(body.contains("ExternalId=some_key_build"), "{body}");
    }
    assert_eq!(bodies.len(), 3);
    assert!(bodies[2].contains("DurationSeconds=900"), "{}", bodies[2]);
    assert!(!bodies[1].contains("DurationSeconds"), "{}", bodies[1]);
}
