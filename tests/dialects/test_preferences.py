"""What a request asks of the choice is read in OpenRouter's words, and what is not known is not passed over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.preferences import wish
from gateway.errors import InvalidRequest
from gateway.types import Preferences


def asked(**fields: Any) -> Preferences | None:
    return wish({"model": "m", **fields}).preferences


def test_body_that_asks_nothing_is_left_as_it_is() -> None:
    body = {"model": "llama3.1:8b", "messages": []}
    found = wish(body)
    assert (found.model, found.preferences) == ("llama3.1:8b", None)
    assert found.body is body


@pytest.mark.parametrize(("suffix", "sort"), [(":floor", "price"), (":nitro", "throughput")])
def test_suffix_sorts_and_is_not_sent(suffix: str, sort: str) -> None:
    found = wish({"model": f"llama3.1:8b{suffix}"})
    assert (found.model, found.body["model"]) == ("llama3.1:8b", "llama3.1:8b")
    assert found.preferences == Preferences(sort=sort)


def test_every_field_is_read_and_none_is_sent() -> None:
    provider = {
        "order": ["Together", "Groq"],
        "only": ["together", "GROQ"],
        "ignore": ["x"],
        "sort": {"by": "latency"},
        "max_price": {"prompt": "0.5", "completion": 2},
        "quantizations": ["fp8"],
        "require_parameters": True,
        "allow_fallbacks": False,
        "data_collection": "deny",
    }
    found = wish({"model": "m", "provider": provider, "models": ["a", "b:floor"]})
    assert found.body == {"model": "m"}
    assert found.preferences == Preferences(
        order=("together", "groq"),
        only=frozenset({"together", "groq"}),
        ignore=frozenset({"x"}),
        sort="latency",
        max_prompt_price=0.5,
        max_completion_price=2.0,
        quantizations=frozenset({"fp8"}),
        require_parameters=True,
        allow_fallbacks=False,
        data_collection="deny",
        models=("a", "b"),
    )


def test_null_is_as_if_it_were_not_there() -> None:
    assert asked(provider={"only": None}) == Preferences()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"provider": "together"}, "'provider' must be an object"),
        ({"provider": {"zdr": True}}, "'provider.zdr' is not known here; there are order, only"),
        ({"provider": {"only": "together"}}, "'provider.only' must be a list of at most 20 names"),
        ({"provider": {"only": [1]}}, "'provider.only' must be a list of names"),
        ({"provider": {"sort": "size"}}, "'provider.sort' must be one of price, latency, throughput"),
        ({"provider": {"max_price": {"prompt": "free"}}}, "'provider.max_price.prompt' must be US dollars"),
        ({"provider": {"max_price": {"prompt": True}}}, "'provider.max_price.prompt' must be US dollars"),
        ({"provider": {"max_price": {"prompt": -1}}}, "'provider.max_price.prompt' must be US dollars"),
        ({"provider": {"max_price": {"image": 1}}}, "'provider.max_price' must be an object"),
        ({"provider": {"allow_fallbacks": "no"}}, "'provider.allow_fallbacks' must be true or false"),
        ({"provider": {"data_collection": "maybe"}}, "'provider.data_collection' must be allow or deny"),
        ({"models": "a"}, "'models' must be a list"),
        ({"models": ["a"] * 21}, "'models' must be a list of at most 20 names"),
    ],
)
def test_wish_that_cannot_be_read_is_an_error(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=r"must|known") as caught:
        asked(**fields)
    assert says in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
KEYS = st.sampled_from(["order", "only", "sort", "max_price", "quantizations", "allow_fallbacks", "x"])


@given(st.text(min_size=1, max_size=10), st.none() | st.dictionaries(KEYS, JSON) | JSON, JSON)
def test_any_wish_is_read_or_refused(model: str, provider: Any, models: Any) -> None:
    try:
        found = wish({"model": model, "provider": provider, "models": models})
    except InvalidRequest as exc:
        assert exc.param
    else:
        assert found.body.keys().isdisjoint({"provider", "models"}) or found.preferences is None
