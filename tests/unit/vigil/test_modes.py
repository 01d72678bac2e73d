from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.making import NOW
from vigil.modes import Live, Modes, Word

PLACES = ((None, None), ("c1", None), (None, "e1"))
WORDS = st.lists(
    st.builds(
        lambda version, place, alerts, minutes: Word(
            "falls-waist", version, place[0], place[1], alerts=alerts, at=NOW + timedelta(minutes=minutes)
        ),
        st.sampled_from("abc"),
        st.sampled_from(PLACES),
        st.booleans(),
        st.integers(0, 1000),
    ),
    max_size=8,
    unique_by=lambda word: word.at,
)


def word(version: str, *, alerts: bool = True, after: int = 0, **place: str) -> Word:
    where = {"community": None, "estate": None} | place
    at = NOW + timedelta(minutes=after)
    return Word("falls-waist", version, where["community"], where["estate"], alerts=alerts, at=at)


def live(*words: Word, there: tuple[str, ...] = ("a", "b")) -> Live | None:
    return Modes(words).live("falls-waist", there, "c1", "e1")


def test_what_nobody_spoke_for_is_in_shadow() -> None:
    assert live() is None
    assert Modes([word("a")]).live("falls-wrist", ("a",), "c1", "e1") is None


def test_the_nearer_word_counts_whichever_came_later() -> None:
    assert live(word("a", estate="e1", alerts=False), word("a", after=5)) is None
    assert live(word("a", alerts=False), word("a", community="c1", after=-5)) == Live("a")
    assert live(word("a", estate="e2", alerts=False), word("a")) == Live("a")


def test_the_later_word_on_the_same_place_counts() -> None:
    assert live(word("a"), word("a", alerts=False, after=5)) is None
    assert live(word("a"), word("a", alerts=False, after=5), word("a", after=9)) == Live("a")


def test_the_version_that_was_let_last_alerts_and_taking_it_back_gives_the_older_its_voice_again() -> None:
    assert live(word("a"), word("b", after=5)) == Live("b")
    assert live(word("a"), word("b", after=5), word("b", alerts=False, after=9)) == Live("a")


def test_a_version_that_is_gone_is_stood_in_for_by_the_first_that_is_there() -> None:
    assert live(word("old")) == Live("a", stands_in=True)
    assert live(word("old"), there=()) == Live("", stands_in=True)


@given(WORDS, st.lists(st.sampled_from("abc"), unique=True))
def test_no_deployment_ends_protection(words: list[Word], there: list[str]) -> None:
    """Whichever files are there: somebody alerts, or nobody does, by what people said alone."""
    everywhere, some = live(*words, there=("a", "b", "c")), live(*words, there=tuple(there))
    assert (everywhere is None) == (some is None)


@given(WORDS)
def test_the_order_in_which_words_are_read_changes_nothing(words: list[Word]) -> None:
    assert live(*words) == live(*reversed(words))
