"""Roles, scopes and views."""

from __future__ import annotations

import pytest

from api.access import GRANTS, ROBOTS, Identity, May, Role, View


def identity(role: Role, *estates: str) -> Identity:
    return Identity("person:x", "X", role, frozenset(estates))


def test_every_role_has_its_grants_written_down() -> None:
    assert set(GRANTS) == set(Role)


@pytest.mark.parametrize(
    "role", [Role.OPS, Role.AUDITOR, Role.READER, Role.CANARY, Role.RESIDENT, Role.FAMILY]
)
def test_who_does_not_look_after_people_sees_no_names(role: Role) -> None:
    assert identity(role, "*").view is View.ANONYMOUS


@pytest.mark.parametrize("role", [Role.DUTY_OFFICER, Role.GRID_WORKER, Role.SUPERVISOR, Role.STREET_CENTRE])
def test_who_looks_after_people_sees_names(role: Role) -> None:
    assert identity(role, "*").view is View.NAMED


def test_an_account_without_estates_sees_none() -> None:
    assert not identity(Role.DUTY_OFFICER).scope.covers("e1", None)


def test_an_account_sees_its_estates_and_no_others() -> None:
    scope = identity(Role.DUTY_OFFICER, "e1").scope
    assert scope.covers("e1", None)
    assert not scope.covers("e2", None)


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.CANARY}))
def test_nobody_but_the_canarys_robot_is_shown_canaries(role: Role) -> None:
    assert not identity(role, "*").scope.covers("e1", "canary")


@pytest.mark.parametrize("synthetic", [None, "demo", "drill"])
def test_the_canarys_robot_is_shown_canaries_and_nothing_else(synthetic: str | None) -> None:
    scope = identity(Role.CANARY, "*").scope
    assert scope.covers("e1", "canary")
    assert not scope.covers("e1", synthetic)


@pytest.mark.parametrize("synthetic", [None, "demo", "drill"])
def test_demo_and_drill_are_shown_to_people_like_the_real_thing(synthetic: str | None) -> None:
    assert identity(Role.DUTY_OFFICER, "e1").scope.covers("e1", synthetic)


def test_no_robot_silences_or_reviews() -> None:
    for role in ROBOTS:
        assert not GRANTS[role] & {May.SILENCE, May.REVIEW}
