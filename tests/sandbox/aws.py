"""The sandbox's AWS: moto's server with two accounts, and with what moto gets wrong made right.

moto knows IAM, STS and ECR, checks signatures and evaluates identity policies. It falls short
exactly where crossdock works, so this file replaces:

* AssumeRole's permission check. moto looks the role up in the caller's account, so across
  accounts it lets every external id through, and it knows no account principals.
* The errors of refused requests. moto's XML has one level more than AWS's, and ECR (a JSON
  service) gets XML too: an SDK then finds no error code in them.
* ECR's GetAuthorizationToken, which must lead to a registry that exists: the sandbox's own.

usage: aws.py CONFIG.json PORT     (CONFIG: see control.py; it holds the registries' passwords)
"""

from __future__ import annotations

import json
import re
import sys
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, NoReturn

import moto.server
from moto.core.exceptions import JsonRESTError, _RESTError
from moto.core.responses import ActionResult
from moto.ecr.models import Repository
from moto.ecr.responses import ECRResponse
from moto.iam import access_control
from moto.iam.exceptions import NotFoundException
from moto.iam.models import Role, iam_backends
from moto.sts.models import sts_backends

REGISTRIES: dict[str, dict[str, str]] = {}  # account id -> {"host", "password"}


# --- refusals, in AWS's words and shapes ---------------------------------------------------------

JSON_SERVICES = {"ecr"}
JSON_NAMES = {  # the same refusal has another name in the JSON services
    "AccessDenied": "AccessDeniedException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}


class QueryError(_RESTError):
    """An error as the query services (IAM, STS) send it."""

    def __init__(self, code: str, message: str, status: int = 403):
        super().__init__(code, message)
        self.code = status
        self.description = (
            "<ErrorResponse><Error><Type>Sender</Type>"
            f"<Code>{code}</Code><Message>{escape(message, quote=False)}</Message></Error>"
            "<RequestId>filled in by moto</RequestId></ErrorResponse>"
        )


def refuse(service: str, code: str, message: str, status: int = 403) -> NoReturn:
    if service in JSON_SERVICES:
        raise JsonRESTError(JSON_NAMES.get(code, code), message)
    raise QueryError(code, message, status)


# --- policies --------------------------------------------------------------------------------


class Unsupported(Exception):
    """A policy uses what this file does not evaluate; the request is then refused."""


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def like(pattern: str, text: str) -> bool:
    """IAM's wildcards: only * and ?, everything else is literal."""
    regex = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(regex, text, re.DOTALL) is not None


OPERATORS = {
    "StringEquals": lambda wanted, actual: wanted == actual,
    "StringLike": like,
}


def conditions_hold(conditions: dict[str, dict[str, Any]], facts: dict[str, str]) -> bool:
    """All must hold. A key that the request does not have never holds: this is what makes a
    missing external id a refusal, where moto lets it pass."""
    for operator, keys in conditions.items():
        compare = OPERATORS.get(operator)
        if compare is None:
            raise Unsupported(f"condition operator {operator}")
        for key, wanted in keys.items():
            actual = facts.get(key.lower())
            if actual is None or not any(compare(w, actual) for w in as_list(wanted)):
                return False
    return True


def principal_matches(principal: Any, account: str, exact: set[str]) -> str | None:
    """How a trust policy names the caller: "exact" (its ARN, or everybody), "account" or not."""
    names = ["*"] if principal == "*" else as_list(principal.get("AWS", []))
    if "*" in names or exact.intersection(names):
        return "exact"
    if account in names or f"arn:aws:iam::{account}:root" in names:
        return "account"
    return None


def trust_answer(role: Role, account: str, exact: set[str], facts: dict[str, str]) -> str | None:
    """ "deny", "exact", "account", or None where no statement is about this caller."""
    answer = None
    for statement in as_list(json.loads(role.assume_role_policy_document)["Statement"]):
        if unknown := {"NotAction", "NotPrincipal"}.intersection(statement):
            raise Unsupported(", ".join(unknown))
        if not any(like(a.lower(), "sts:assumerole") for a in as_list(statement["Action"])):
            continue
        how = principal_matches(statement["Principal"], account, exact)
        if how is None or not conditions_hold(statement.get("Condition", {}), facts):
            continue
        if statement["Effect"] == "Deny":
            return "deny"
        answer = "exact" if "exact" in (how, answer) else how
    return answer


# --- moto's request, with the checks replaced --------------------------------------------------


class Request(access_control.IAMRequest):
    """Every request passes through here once the seeding is done."""

    def __init__(self, *, headers: dict[str, str], action: str, **rest: Any):
        if "Authorization" not in headers:  # moto would fall over it
            message = "Request is missing Authentication Token"
            raise QueryError("MissingAuthenticationToken", message)
        super().__init__(headers=headers, action=action, **rest)

    def check_action_permitted(self, resource: str) -> None:
        self._resource = resource
        if self._action == "sts:AssumeRole":
            self._check_assume_role(resource)
        else:
            super().check_action_permitted(resource)

    def _is_assuming_role_operation(self, resource_arn: str) -> bool:
        return False  # _check_assume_role is the only trust check

    def _check_assume_role(self, role_arn: str) -> None:
        identity = self._identity_answer(role_arn)
        role = find_role(role_arn)
        # A role that does not exist is refused in the same words as one that does not trust us:
        # AWS does not tell strangers which roles there are.
        if role is None or identity == "deny":
            self._raise_access_denied()

        caller = self._access_key.arn
        exact = {caller}
        session = sts_backends[self.account_id]["aws"].get_assumed_role_from_access_key(
            getattr(self._access_key, "_access_key_id", "")
        )
        if session:  # a trust policy names a session by its role
            exact.add(session.role_arn)
        facts = {
            "aws:principalarn": session.role_arn if session else caller,
            "aws:principalaccount": self.account_id,
            "sts:rolesessionname": self._value("RoleSessionName") or "",
        }
        if (external_id := self._value("ExternalId")) is not None:
            facts["sts:externalid"] = external_id
        try:
            trust = trust_answer(role, self.account_id, exact, facts)
        except Unsupported as reason:
            print(f"refused: {role_arn}'s trust policy has {reason}", file=sys.stderr)
            trust = "deny"

        # Across accounts both sides must agree. Within one account a trust policy that names the
        # caller itself is enough; one that names the account leaves it to the identity policies.
        same_account = role_arn.split(":")[4] == self.account_id
        enough = identity == "allow" or (same_account and trust == "exact")
        if trust in (None, "deny") or not enough:
            self._raise_access_denied()
        self._check_duration(role, chained=session is not None)

    def _identity_answer(self, resource: str) -> str | None:
        answer = None
        for policy in self._access_key.collect_policies():
            result = access_control.IAMPolicy(policy).is_action_permitted(self._action, resource)
            if result == access_control.PermissionResult.DENIED:
                return "deny"
            if result == access_control.PermissionResult.PERMITTED:
                answer = "allow"
        return answer

    def _check_duration(self, role: Role, chained: bool) -> None:
        text = self._value("DurationSeconds")
        seconds = int(text) if text else 3600
        if chained and seconds > 3600:
            limit = "the 1 hour session limit for roles assumed by role chaining"
        elif seconds > int(role.max_session_duration or 3600):
            limit = "the MaxSessionDuration set for this role"
        else:
            return
        message = f"The requested DurationSeconds exceeds {limit}."
        refuse(self._service, "ValidationError", message, status=400)

    def _value(self, name: str) -> str | None:
        values = self._data.get(name)
        return values[0] if values else None  # moto keeps each request value in a list

    def _raise_access_denied(self) -> NoReturn:
        message = (
            f"User: {self._access_key.arn} is not authorized to perform: {self._action}"
            f" on resource: {self._resource}"
        )
        if self._action != "sts:AssumeRole":
            message += f" because no identity-based policy allows the {self._action} action"
        refuse(self._service, "AccessDenied", message)

    def _raise_signature_does_not_match(self) -> NoReturn:
        refuse(
            self._service,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check "
            "your AWS Secret Access Key and signing method. Consult the service documentation for "
            "details.",
        )

    def _raise_invalid_access_key(self, _: str) -> NoReturn:
        message = "The security token included in the request is invalid."
        refuse(self._service, "InvalidClientTokenId", message)


def find_role(arn: str) -> Role | None:
    parts = arn.split(":")
    if len(parts) != 6 or parts[4] not in REGISTRIES:
        return None
    try:
        return iam_backends[parts[4]]["aws"].get_role_by_arn(arn)
    except NotFoundException:
        return None


# --- ECR ---------------------------------------------------------------------------------------


def ecr_resource(self: ECRResponse) -> str:
    """moto checks ECR's permissions against `*`; AWS checks them against the repository."""
    name = self._get_param("repositoryName")
    if not name:
        return "*"
    return f"arn:aws:ecr:{self.region}:{self.current_account}:repository/{name}"


def get_authorization_token(self: ECRResponse) -> ActionResult:
    data = []
    for account in self._get_param("registryIds") or [self.current_account]:
        if account not in REGISTRIES:
            message = f"Invalid parameter at 'registryIds': there is no registry '{account}'"
            raise JsonRESTError("InvalidParameterException", message)
        registry = REGISTRIES[account]
        token = b64encode(f"AWS:{registry['password']}".encode()).decode()
        data.append(
            {
                "authorizationToken": token,
                "expiresAt": datetime.now(UTC) + timedelta(hours=12),
                "proxyEndpoint": f"http://{registry['host']}",
            }
        )
    return ActionResult({"authorizationData": data})


def repository_uri(self: Repository) -> str:
    """A repository's address is its registry's, as on AWS."""
    if self.registry_id in REGISTRIES:
        return f"{REGISTRIES[self.registry_id]['host']}/{self.name}"
    return self.__dict__["uri"]


def main() -> None:
    config_path, port = sys.argv[1:]
    with open(config_path, encoding="utf-8") as file:
        REGISTRIES.update(json.load(file)["registries"])

    access_control.IAMRequest = Request
    ECRResponse.get_authorization_token = get_authorization_token
    ECRResponse._determine_resource = ecr_resource
    # A setter too, because moto's own code assigns to it.
    Repository.uri = property(repository_uri, lambda self, uri: self.__dict__.update(uri=uri))

    moto.server.main(["-H", "127.0.0.1", "-p", port])


if __name__ == "__main__":
    main()
