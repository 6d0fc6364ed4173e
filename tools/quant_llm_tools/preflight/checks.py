"""The checks of one agency, against an account and a hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from quant_llm.agency import AgencyConfig, ModelConfig, ModelLock, SourceConfig
from quant_llm.catalogue import choices, load_catalogue, most_instances
from quant_llm.engines import existing_image
from quant_llm_tools.preflight.row import CheckError, Row, Status, asked

LEAST_BOOTSTRAP = 6
"""What a template of the CDK's default synthesizer requires of the bootstrap stack, by its own rule."""

Locks = Mapping[str, ModelLock]
Demand = dict[str, dict[str, int]]
"""Instances by type, and within a type by agency."""


class Account(Protocol):
    """What is asked of an account; `aws.AwsAccount` says more. CheckError for no answer."""

    @property
    def account(self) -> str:
        """12 digits."""
        ...

    @property
    def endpoint_quotas(self) -> Mapping[str, int]:
        """By instance type."""
        ...

    def bootstrap_version(self) -> int | None:
        """None without a bootstrap stack."""
        ...

    def has_image(self, registry: str, repository: str, image: dict[str, str]) -> bool:
        """By `imageTag` or `imageDigest`."""
        ...

    def has_secret(self, name: str) -> bool:
        """By its name."""
        ...

    def has_policy(self, arn: str) -> bool:
        """By its ARN."""
        ...


Resolve = Callable[[str, str], str]
"""The commit that a revision of a repository stands for; CheckError when the hub does not tell."""


def demand_of(agencies: Sequence[tuple[AgencyConfig, Locks]]) -> Demand:
    """The most instances that agencies of one account and region ask for at once.

    A model whose type is left to the sizing counts once it is locked.
    """
    demand: Demand = {}
    for agency, locks in agencies:
        for model in agency.models:
            if instance_type := _instance_type(agency, model, locks):
                by_agency = demand.setdefault(instance_type, {})
                by_agency[agency.agency] = by_agency.get(agency.agency, 0) + most_instances(model)
    return demand


def _instance_type(agency: AgencyConfig, model: ModelConfig, locks: Locks) -> str | None:
    if model.instance_type != "auto":
        return model.instance_type
    choice = choices(agency, locks).get(model.name)
    return choice.chosen.instance.instance_type if choice and choice.chosen else None


def check_agency(
    agency: AgencyConfig, locks: Locks, *, demand: Demand, account: Account, resolve: Resolve
) -> Iterator[Row]:
    """The rows of an agency. `demand` is of all agencies of its account and region.

    Credentials of another account answer no question about this one: nothing else is asked of them then.
    """
    credentials = _credentials(agency, account)
    yield credentials
    if credentials.status is Status.OK:
        yield asked("bootstrap", f"version {LEAST_BOOTSTRAP} or later", lambda: _bootstrap(agency, account))
        if arn := agency.permissions_boundary:
            yield asked("boundary", arn, lambda: _boundary(account, arn))
        types = {_instance_type(agency, model, locks) for model in agency.models}
        for instance_type in sorted(filter(None, types)):
            yield _hosting(agency, account, instance_type)
            yield _quota(account, instance_type, demand[instance_type])
    for model in agency.models:
        if credentials.status is Status.OK:
            yield _image(account, model, agency.environment.region)
            if secret := model.token_secret:
                yield _secret(account, secret)
        lock = locks.get(model.name)
        yield _hub(model.source, lock.commit if lock else None, resolve)
        for adapter in model.adapters:
            yield _hub(adapter.source, lock.adapters[adapter.name].commit if lock else None, resolve)


def _credentials(agency: AgencyConfig, account: Account) -> Row:
    expected = agency.environment.account

    def answer() -> tuple[str, str]:
        try:
            found = account.account
        except CheckError as error:  # it needs no permission: who gets no answer can't deploy
            return str(error), f"log in to account {expected}: `aws sso login`, or set AWS_PROFILE"
        to_do = "" if found == expected else f"take credentials of account {expected}"
        return f"the credentials are of {found}", to_do

    return asked("credentials", f"account {expected}", answer)


def _bootstrap(agency: AgencyConfig, account: Account) -> tuple[str, str]:
    version = account.bootstrap_version()
    place = f"aws://{agency.environment.account}/{agency.environment.region}"
    to_do = "" if version and version >= LEAST_BOOTSTRAP else f"run `cdk bootstrap {place}`"
    return ("not bootstrapped" if version is None else f"version {version}"), to_do


def _boundary(account: Account, arn: str) -> tuple[str, str]:
    if account.has_policy(arn):
        return "there", ""
    return "there is no such policy", "create it, or correct `permissions_boundary`"


def _hosting(agency: AgencyConfig, account: Account, instance_type: str) -> Row:
    region = agency.environment.region

    def answer() -> tuple[str, str]:
        try:
            is_hosted, who = instance_type in account.endpoint_quotas, "Service Quotas"
        except CheckError:
            hosted = {one.instance_type for one in load_catalogue().hosted_in(region)}
            is_hosted, who = instance_type in hosted, "the catalogue (Service Quotas is not readable)"
        if is_hosted:
            return f"{who} has it", ""
        return f"{who} has no such type for endpoints", "take another type, or another region"

    return asked("hosting", f"{instance_type} in {region}", answer)


def _quota(account: Account, instance_type: str, by_agency: Mapping[str, int]) -> Row:
    needed = sum(by_agency.values())
    sums = " + ".join(f"{number} of {name}" for name, number in sorted(by_agency.items()))

    def answer() -> tuple[str, str]:
        quota = account.endpoint_quotas.get(instance_type, 0)
        to_do = f"request {needed} in Service Quotas for `{instance_type} for endpoint usage`, or lower `max`"
        return f"the quota is {quota}", "" if quota >= needed else to_do

    return asked("quota", f"{needed} of {instance_type} ({sums})", answer)


def _image(account: Account, model: ModelConfig, region: str) -> Row:
    uri = existing_image(model, region)
    if uri is None:
        return asked("image", model.name, lambda: (f"the stack builds it for {model.engine}", ""))
    host, _, rest = uri.partition("/")
    path, _, digest = rest.partition("@")
    repository, _, tag = path.partition(":")
    image = {"imageDigest": digest} if digest else {"imageTag": tag}

    def answer() -> tuple[str, str]:
        if account.has_image(host.split(".")[0], repository, image):
            return "there", ""
        to_do = "push it, or correct `image`" if model.image else "name an `image` of your own"
        return "there is no such image", to_do

    return asked("image", uri, answer)


def _secret(account: Account, name: str) -> Row:
    def answer() -> tuple[str, str]:
        if account.has_secret(name):
            return "there; its value was not read", ""
        return "there is no such secret", "create it with the hub's token, or correct `token_secret`"

    return asked("secret", name, answer)


def _hub(source: SourceConfig, locked: str | None, resolve: Resolve) -> Row:
    """`locked` is the commit in the lock; None without a current one."""
    question = f"{source.hub} at {source.revision}"

    def answer() -> tuple[str, str]:
        command = "lock" if source.quantised is None else "quantise"
        remedy = f"run `quantllm {command}` and commit the lock"
        if locked is None:
            return "there is no current lock", remedy
        commit = resolve(source.hub, source.revision)
        if commit == locked:
            return f"commit {commit[:12]}, as locked", ""
        # The deploy takes the locked commit, wherever the branch is now.
        try:
            resolve(source.hub, locked)
        except CheckError as error:
            return str(error), remedy
        return f"moved on to {commit[:12]}; the locked commit {locked[:12]} is still there", ""

    return asked("hub", question, answer)
