"""Sets up both accounts with real IAM calls, as the two teams would.

Runs while the AWS side does not yet check anything, and turns the checks on at its end. Prints the
users' access keys as JSON.

usage: seed.py SETTINGS.json
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

import boto3

POWER_USER = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"


def policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def administrator(settings: dict[str, str], account: str) -> boto3.Session:
    """moto takes the account from the role's ARN, and before the checks are on the role need not
    exist: so this is how one becomes somebody in an account that has nobody yet."""
    sts = boto3.client(
        "sts",
        region_name=settings["region"],
        endpoint_url=settings["endpoint"],
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )
    answer = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/seed", RoleSessionName="seed")[
        "Credentials"
    ]
    return boto3.Session(
        aws_access_key_id=answer["AccessKeyId"],
        aws_secret_access_key=answer["SecretAccessKey"],
        aws_session_token=answer["SessionToken"],
        region_name=settings["region"],
    )


def user(iam: Any, name: str) -> dict[str, str]:
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def seed(settings: dict[str, str]) -> dict[str, dict[str, str]]:
    build, ourthing = settings["build"], settings["ourthing"]
    endpoint = settings["endpoint"]

    def role_arn(name: str) -> str:
        return f"arn:aws:iam::{ourthing}:role/{name}"

    # OURTHING: who may come in, and what they may do there.
    session = administrator(settings, ourthing)
    iam = session.client("iam", endpoint_url=endpoint)
    trust_build: dict[str, Any] = {
        "Principal": {"AWS": f"arn:aws:iam::{build}:root"},
        "Action": "sts:AssumeRole",
    }
    with_id = {"Condition": {"StringEquals": {"sts:ExternalId": settings["external_id"]}}}
    roles = {
        "OurThingBuildRole": policy(**trust_build, **with_id),
        "OurThingOpenRole": policy(**trust_build),
        "OurThingNoEcrRole": policy(**trust_build, **with_id),
    }
    for name, trust in roles.items():
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    for name in ("OurThingBuildRole", "OurThingOpenRole"):
        iam.attach_role_policy(RoleName=name, PolicyArn=POWER_USER)
    pusher = user(iam, "pusher")
    iam.attach_user_policy(UserName="pusher", PolicyArn=POWER_USER)
    ecr = session.client("ecr", endpoint_url=endpoint)
    ecr.create_repository(repositoryName="demo/app")

    # BUILD: the user whose one policy names the role. The roles that only tests know are in a
    # second policy, so that the first stays as users have it.
    iam = administrator(settings, build).client("iam", endpoint_url=endpoint)
    builder = user(iam, "builder")
    iam.put_user_policy(
        UserName="builder",
        PolicyName="AssumeOurThingBuildRole",
        PolicyDocument=policy(Action="sts:AssumeRole", Resource=role_arn("OurThingBuildRole")),
    )
    others = [role_arn("OurThingOpenRole"), role_arn("OurThingNoEcrRole")]
    iam.put_user_policy(
        UserName="builder",
        PolicyName="AssumeSandboxRoles",
        PolicyDocument=policy(Action="sts:AssumeRole", Resource=others),
    )
    stranger = user(iam, "stranger")

    checks_on = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", data=b"0", method="POST")
    checks_on.add_header("Content-Type", "text/plain")  # moto finds no body in a form
    urllib.request.urlopen(checks_on, timeout=10).close()
    return {"builder": builder, "stranger": stranger, "pusher": pusher}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(json.dumps(seed(json.load(file))))
