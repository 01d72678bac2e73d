"""Hashing and locking."""

from __future__ import annotations

from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from api.passwords import FREE_FAILURES, LONGEST_LOCK, Passwords, digest, lock_after, new_secret


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def test_the_right_password_is_recognised_and_a_wrong_one_is_not(passwords: Passwords) -> None:
    kept = passwords.hash("correct horse battery")
    assert passwords.verify(kept, "correct horse battery")
    assert not passwords.verify(kept, "correct horse batterY")


def test_what_is_kept_is_argon2id_and_does_not_hold_the_password(passwords: Passwords) -> None:
    kept = passwords.hash("correct horse battery")
    assert kept.startswith("$argon2id$")
    assert "horse" not in kept


def test_an_account_that_is_not_there_has_no_right_password(passwords: Passwords) -> None:
    assert not passwords.verify(None, "anything")


def test_a_broken_hash_lets_nobody_in(passwords: Passwords) -> None:
    assert not passwords.verify("broken", "broken")


def test_a_few_slips_lock_nobody_out() -> None:
    assert lock_after(FREE_FAILURES - 1) is None
    assert lock_after(FREE_FAILURES) == timedelta(minutes=1)


@given(st.integers(FREE_FAILURES, 10_000))
def test_locks_grow_and_end_within_the_quarter_of_an_hour(failures: int) -> None:
    now, after = lock_after(failures), lock_after(failures + 1)
    assert now is not None
    assert after is not None
    assert now <= after <= LONGEST_LOCK


def test_secrets_differ_and_only_their_digest_is_kept() -> None:
    one, other = new_secret(), new_secret()
    assert one != other
    assert len(digest(one)) == 32
    assert digest(one) != digest(other)
