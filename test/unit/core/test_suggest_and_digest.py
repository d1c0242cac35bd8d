import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.digest import canonical_json, digest_of
from autoq.core.suggest import did_you_mean, nearest

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("word", "found"),
    [("conv_1", ["conv1"]), ("CONV1", ["conv1"]), ("add", ["block/add"]), ("xyz", []), ("*add*", ["block/add"])],
)
def test_nearest_is_close_in_spelling_or_contains_the_word(word: str, found: list[str]) -> None:
    assert nearest(word, ["conv1", "block/add", "softmax"], count=1) == found


def test_hint_lists_what_there_is_when_nothing_is_near() -> None:
    assert did_you_mean("xyz", ["a", "b"]) == "there are: a, b"
    assert did_you_mean("xyz", [f"name{i}" for i in range(20)]).endswith("name7, …")
    assert did_you_mean("xyz", []) == "there are none"


def test_hint_joins_several() -> None:
    assert did_you_mean("conv", ["conv1", "conv2"]) in (
        "did you mean 'conv1' or 'conv2'?",
        "did you mean 'conv2' or 'conv1'?",
    )


@given(st.text(), st.lists(st.text()))
def test_only_valid_names_are_suggested(word: str, names: list[str]) -> None:
    assert set(nearest(word, names)) <= set(names)


@given(st.text(min_size=1), st.lists(st.text()))
def test_a_valid_name_is_its_own_nearest(word: str, names: list[str]) -> None:
    assert nearest(word, [word, *names])[0].lower() == word.lower()


@given(plain)
def test_digest_is_sixteen_hexadecimal_digits(data: object) -> None:
    digest = digest_of(data)
    assert len(digest) == 16
    assert int(digest, 16) >= 0


@given(st.dictionaries(st.text(), plain), st.randoms())
def test_digest_does_not_depend_on_key_order(data: dict[str, object], random: object) -> None:
    items = list(data.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert digest_of(dict(items)) == digest_of(data)


@given(plain, plain)
def test_digests_are_equal_exactly_when_texts_are(one: object, other: object) -> None:
    assert (digest_of(one) == digest_of(other)) == (canonical_json(one) == canonical_json(other))


def test_digest_stays_what_it_was() -> None:
    assert digest_of({"a": [1, 2.5, "ü", None, True]}) == "60ccd85dff29e124"


def test_digest_refuses_what_json_lacks() -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest_of(float("nan"))


def test_digest_takes_file_names_that_are_not_utf8() -> None:
    assert digest_of(b"\xff.onnx".decode("utf-8", "surrogateescape")) != digest_of(".onnx")
