"""Proves that the sandbox refuses and allows what AWS would, before anybody relies on it.

A test against an AWS that says yes to everything proves nothing, so `up` ends with this. It reads
the same variables that the tests get.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

import engine

DENIED = ("AccessDenied", "AccessDeniedException")
problems: list[str] = []


def client(service: str, key: str, secret: str, token: str | None = None) -> Any:
    return boto3.client(
        service,
        endpoint_url=os.environ["SANDBOX_AWS_ENDPOINT"],
        region_name=os.environ["SANDBOX_REGION"],
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )


def user(service: str, name: str) -> Any:
    prefix = f"SANDBOX_{name}_"
    return client(
        service, os.environ[f"{prefix}ACCESS_KEY_ID"], os.environ[f"{prefix}SECRET_ACCESS_KEY"]
    )


def assume(sts: Any, role: str, external_id: str | None) -> dict[str, str]:
    extra = {} if external_id is None else {"ExternalId": external_id}
    return sts.assume_role(RoleArn=role, RoleSessionName="check", **extra)["Credentials"]


def as_role(service: str, credentials: dict[str, str]) -> Any:
    keys = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    return client(service, *(credentials[key] for key in keys))


def expect(what: str, wanted: Any, actual: Any) -> None:
    if actual != wanted:
        problems.append(f"{what}: expected {wanted}, got {actual}")


def expect_denied(what: str, call: Any) -> None:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] not in DENIED:
            problems.append(f"{what}: expected AccessDenied, got {error}")
    else:
        problems.append(f"{what}: expected AccessDenied, but it was allowed")


def registry_status(host: str, password: str | None) -> int:
    request = urllib.request.Request(f"http://{host}/v2/")
    if password is not None:
        basic = b64encode(f"AWS:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {basic}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def main() -> None:
    env = os.environ
    role, right_id = env["SANDBOX_ROLE_ARN"], env["SANDBOX_EXTERNAL_ID"]
    open_role, no_ecr_role = env["SANDBOX_OPEN_ROLE_ARN"], env["SANDBOX_NO_ECR_ROLE_ARN"]
    builder, stranger = user("sts", "BUILDER"), user("sts", "STRANGER")

    # Who may assume what.
    expect_denied("the wrong external id", lambda: assume(builder, role, "wrong"))
    expect_denied("no external id", lambda: assume(builder, role, None))
    expect_denied("the stranger", lambda: assume(stranger, role, right_id))
    expect_denied("the stranger, open role", lambda: assume(stranger, open_role, None))
    expect_denied("no such role", lambda: assume(builder, f"{role}Missing", right_id))
    assume(builder, open_role, None)
    assume(builder, open_role, "superfluous")
    credentials = assume(builder, role, right_id)
    identity = as_role("sts", credentials).get_caller_identity()
    expect("the role's account", env["SANDBOX_OURTHING_ACCOUNT"], identity["Account"])

    # What the role may do, and where its token leads.
    ecr = as_role("ecr", credentials)
    host = env["SANDBOX_OURTHING_REGISTRY"]
    for who, answer in (
        ("the role", ecr.get_authorization_token()),
        ("the pusher", user("ecr", "PUSHER").get_authorization_token()),
    ):
        data = answer["authorizationData"][0]
        expect(f"{who}'s registry", f"http://{host}", data["proxyEndpoint"])
        token = b64decode(data["authorizationToken"]).decode()
        expect(f"{who}'s token", f"AWS:{env['SANDBOX_OURTHING_REGISTRY_PASSWORD']}", token)
    ecr.describe_repositories(repositoryNames=["demo/app"])
    expect_denied("CreateRepository", lambda: ecr.create_repository(repositoryName="more"))
    no_ecr = as_role("ecr", assume(builder, no_ecr_role, right_id))
    expect_denied("a token for the role without ECR", no_ecr.get_authorization_token)

    # What the registries think of it.
    for account, other in (("BUILD", "OURTHING"), ("OURTHING", "BUILD")):
        host = env[f"SANDBOX_{account}_REGISTRY"]
        own_password = env[f"SANDBOX_{account}_REGISTRY_PASSWORD"]
        other_password = env[f"SANDBOX_{other}_REGISTRY_PASSWORD"]
        expect(f"{account}'s registry, no password", 401, registry_status(host, None))
        expect(f"{account}'s registry", 200, registry_status(host, own_password))
        expect(f"{account}'s registry, wrong one", 401, registry_status(host, other_password))

    # Whether the daemon reaches the registries: one in a virtual machine would not.
    login = {
        "username": "AWS",
        "password": env["SANDBOX_OURTHING_REGISTRY_PASSWORD"],
        "serveraddress": env["SANDBOX_OURTHING_REGISTRY"],
    }
    docker = env["SANDBOX_DOCKER_HOST"].removeprefix("unix://")
    expect("the daemon's login", 200, engine.call(docker, "POST", "/auth", login))

    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
