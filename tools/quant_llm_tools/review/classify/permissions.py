"""`permissions-broadened`: who may do what that they couldn't, in words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from quant_llm_tools.review.classify.comparison import GENERATED_NAMES, Comparison, StackSide
from quant_llm_tools.review.classify.likeness import Likes, names_one_of, without_names
from quant_llm_tools.review.classify.noise import no_effect
from quant_llm_tools.review.classify.statements import ASSUME, Atom, atoms
from quant_llm_tools.review.classify.words import count, listed, text_of
from quant_llm_tools.review.model import Change, ChangeClass

_WHY: Final = "Whoever is or takes over this principal has it from the deploy on."
_AT_ONCE: Final = "In force as soon as the policy is updated, before anything else can go wrong."
_TLS: Final = ("aws:SecureTransport", "s3:TlsVersion")
_BOUNDARY: Final = "PermissionsBoundary"
_ROLE: Final = "AWS::IAM::Role"
_REFERENCE: Final = re.compile(r"\$\{([^}]+)\}")
_ACCOUNT: Final = re.compile(r"\b\d{12}\b")
_POLICY_PROPERTIES: Final = (
    "PolicyDocument",
    "KeyPolicy",
    "RepositoryPolicyText",
    "ResourcePolicy",
    "Policy",
    "PolicyText",
    "Statement",
    "AssumeRolePolicyDocument",
    "Policies",
    "ManagedPolicyArns",
)


def permissions(comparison: Comparison, likes: Likes) -> Iterator[Change]:
    """What policies of all kinds let through that they didn't."""
    held_before, held_after = atoms(comparison.before), atoms(comparison.after)
    before = [atom for held in held_before.values() for atom in held]
    after = [atom for held in held_after.values() for atom in held]
    known = {_key(atom) for atom in before}
    for logical_id, held in held_after.items():
        new = [
            atom
            for atom in held
            if not atom.is_deny
            and _key(atom) not in known
            and not any(old.allows_all_of(atom) for old in before)
            and not (
                (logical_id not in comparison.before.resources or _is_of_something_new(atom, comparison))
                and likes.know(atom, comparison.stack, comparison.after)
            )
        ]
        if new:
            comparison.explain(logical_id, *_POLICY_PROPERTIES)
        yield from _broadened(comparison, new, before)
    yield from _denials_gone(comparison, before, after)
    yield from _boundaries(comparison)
    yield from _rest(comparison, held_before, held_after)


def sweeping(stack: str, side: StackSide) -> Iterator[Change]:
    """Of a stack that is new as a whole, the permissions without bounds, and those of other accounts."""
    for held in atoms(side).values():
        for principal, resource, condition, actions in _grouped(
            atom
            for atom in held
            if not atom.is_deny
            and (
                (atom.principal == "*" and not atom.condition)
                or (atom.is_identity and (atom.action == "*" or atom.action.endswith(":*")))
                or atom.action.startswith("everything")
                or (not atom.is_identity and _is_of_another_account(atom.principal, side))
            )
        ):
            yield Change(
                ChangeClass.PERMISSIONS_BROADENED,
                (stack,),
                held[0].source,
                _sentence(principal, actions, resource, condition, stack, side),
                _WHY,
                _AT_ONCE,
                None,
                _facts(principal, actions, resource, condition),
            )


def _is_of_another_account(principal: str, side: StackSide) -> bool:
    found = _ACCOUNT.search(principal)
    return bool(found and side.environment and found[0] != side.environment.account)


def _broadened(comparison: Comparison, new: list[Atom], before: list[Atom]) -> Iterator[Change]:
    for principal, resource, condition, actions in _grouped(new):
        narrower = {
            old.condition
            for old in before
            for action in actions
            if old.condition
            and old.principal == principal
            and not old.is_deny
            and old.action == action
            and old.resource == resource
        }
        sentence = _sentence(principal, actions, resource, condition, comparison.stack, comparison.after)
        if narrower:
            sentence += f", no longer only if {listed(sorted(narrower))}"
        yield comparison.change(
            ChangeClass.PERMISSIONS_BROADENED,
            new[0].source,
            sentence,
            why=_WHY,
            effect=_AT_ONCE,
            before={"condition": listed(sorted(narrower))} if narrower else None,
            after=_facts(principal, actions, resource, condition),
        )


def _denials_gone(comparison: Comparison, before: list[Atom], after: list[Atom]) -> Iterator[Change]:
    gone = [
        old
        for old in before
        if old.is_deny and not any(new.allows_all_of(old) for new in after if new.is_deny)
    ]
    held_by = {path: logical_id for logical_id, path in comparison.before.paths.items()}
    for principal, resource, condition, actions in _grouped(gone):
        source = next(old.source for old in gone if (old.principal, old.resource) == (principal, resource))
        if _thing(resource) not in _things(comparison.after):
            continue  # what was protected is gone as well, and told of as that
        comparison.explain(held_by[source], *_POLICY_PROPERTIES)
        if held_by[source] not in comparison.after.resources:
            comparison.explain(held_by[source])
        is_tls = any(key in condition for key in _TLS)
        who = _shown(principal, "anyone")
        yield comparison.change(
            ChangeClass.PROTECTION_WEAKENED if is_tls else ChangeClass.PERMISSIONS_BROADENED,
            source,
            f"requests without TLS, or with an old version of it, are no longer refused ({condition})"
            if is_tls
            else f"{who} is no longer denied {listed(actions)} on {_shown(resource, 'everything')}"
            + (f" if {condition}" if condition else ""),
            why="What was refused whatever else allows it depends on all other policies now.",
            effect=_AT_ONCE,
            before=_facts(principal, actions, resource, condition),
        )


def _boundaries(comparison: Comparison) -> Iterator[Change]:
    found: dict[tuple[str | None, str | None], list[str]] = {}
    for logical_id in comparison.kept(_ROLE):
        if _BOUNDARY in comparison.differing(logical_id):
            old, new = (
                text_of(side.properties(logical_id)[_BOUNDARY], side)
                if _BOUNDARY in side.properties(logical_id)
                else None
                for side in (comparison.before, comparison.after)
            )
            comparison.explain(logical_id, _BOUNDARY)
            found.setdefault((old, new), []).append(logical_id)
    for (old, new), roles in found.items():
        some = count(len(roles), "role")
        summary = (
            f"the permissions boundary of {some} goes"
            if new is None
            else f"{some} {'gets' if len(roles) == 1 else 'get'} a permissions boundary"
            if old is None
            else f"another permissions boundary for {some}: whether it allows more is not in the template"
        )
        yield comparison.change(
            ChangeClass.OPERATIONS_CHANGED if old is None else ChangeClass.PERMISSIONS_BROADENED,
            "Roles",
            summary,
            why="The boundary is what no policy of a role can go beyond.",
            effect=_AT_ONCE,
            before=old,
            after=new,
        )


def _rest(
    comparison: Comparison, held_before: dict[str, list[Atom]], held_after: dict[str, list[Atom]]
) -> Iterator[Change]:
    """Policies whose text differs and that let no more through: nothing changes, or something goes."""
    for logical_id in comparison.kept():
        names = [name for name in comparison.differing(logical_id) if name in _POLICY_PROPERTIES]
        if not names or comparison.is_explained(logical_id, names[0]):
            continue
        if any(
            _versions(comparison.before, logical_id, one) != _versions(comparison.after, logical_id, one)
            for one in names
        ):
            continue  # it decides what the variables in a policy mean
        old = {_key(atom): atom for atom in held_before[logical_id]}
        new = {_key(atom): atom for atom in held_after[logical_id]}
        comparison.explain(logical_id, *names)
        if old.keys() == new.keys():
            is_alone = set(comparison.differing(logical_id)) <= set(names)
            if is_alone and not comparison.is_explained(logical_id, GENERATED_NAMES):
                yield no_effect(comparison, logical_id, "the order or a generated name in a policy")
            continue
        things = _things(comparison.after)
        removed = comparison.before.endpoints.keys() - comparison.after.endpoints.keys()
        gone = [
            atom
            for key, atom in old.items()
            if key not in new
            and not any(other.allows_all_of(atom) for other in new.values())
            and _thing(atom.resource) in things
            and not names_one_of(atom.resource, comparison.stack, removed)
        ]
        for principal, resource, condition, actions in _grouped(gone):
            who = _shown(principal, "anyone")
            yield comparison.change(
                ChangeClass.OPERATIONS_CHANGED,
                comparison.path(logical_id),
                f"{who} may no longer {listed(actions)} on {_shown(resource, 'everything')}",
                why="Fewer permissions: what still needs them fails.",
                effect=_AT_ONCE,
                before=_facts(principal, actions, resource, condition),
            )


def _versions(side: StackSide, logical_id: str, name: str) -> object:
    document = side.properties(logical_id).get(name)
    return document.get("Version") if isinstance(document, Mapping) else None


def _grouped(found: Iterable[Atom]) -> Iterator[tuple[str, str, str, list[str]]]:
    groups: dict[tuple[str, str, str], list[str]] = {}
    for atom in found:
        groups.setdefault((atom.principal, atom.resource, atom.condition), []).append(atom.action)
    for (principal, resource, condition), actions in groups.items():
        yield principal, resource, condition, list(dict.fromkeys(actions))


def _key(atom: Atom) -> tuple[str, str, str, str, bool]:
    return atom.principal, atom.action, atom.resource, atom.condition, atom.is_deny


def _sentence(
    principal: str, actions: list[str], resource: str, condition: str, stack: str, side: StackSide
) -> str:
    who, what = _shown(without_names(principal, stack, side), "anyone"), without_names(resource, stack, side)
    if actions == [ASSUME]:
        sentence = f"{who} may assume the role {_shown(what, 'of any name')}"
    else:
        sentence = f"{who} may {listed(actions)} on {_shown(what, 'everything')}"
    return sentence + (f", only if {without_names(condition, stack, side)}" if condition else "")


def _facts(principal: str, actions: list[str], resource: str, condition: str) -> dict[str, object]:
    return {"principal": principal, "action": actions, "resource": resource, "condition": condition or None}


def _shown(text: str, for_star: str) -> str:
    return for_star if text == "*" else _REFERENCE.sub(r"\1", text)


def _things(side: StackSide) -> Collection[str]:
    """What the references in texts of this side can name."""
    return {_thing(text_of({"Ref": one}, side)) for one in side.resources} | {""}


def _thing(text: str) -> str:
    """The construct that a text refers to, `` where there is none."""
    found = _REFERENCE.search(text)
    return found[1] if found else ""


def _is_of_something_new(atom: Atom, comparison: Comparison) -> bool:
    old = _things(comparison.before)
    if _thing(atom.principal) not in old or _thing(atom.resource) not in old:
        return True
    models = comparison.after.endpoints.keys() - comparison.before.endpoints.keys()
    return names_one_of(atom.resource, comparison.stack, models)
