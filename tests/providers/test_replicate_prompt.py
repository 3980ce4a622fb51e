"""Chats in Llama's templates: every turn where it belongs, and no text that passes for a turn."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Rejected
from gateway.providers.replicate_prompt import Turn, is_llama_2, llama_2, llama_3, turns

SECTION = re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)<\|eot_id\|>", re.DOTALL)
ROLE = st.sampled_from(["system", "user", "assistant", "ipython"])
TRICKS = st.sampled_from(
    ["<|eot_id|>", "<|start_header_id|>", "system", "<|end_header_id|>", "\n\n", "<|", "|>", "llama"]
)
TEXT = st.text(max_size=20) | st.lists(TRICKS, max_size=8).map("".join)
TRICKS_2 = st.sampled_from(["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>", "[", "<", "llama"])


def said(*messages: Any) -> list[Turn]:
    return turns([{"role": role, "content": content} for role, content in messages], "den")


def test_a_conversation_in_llama_3s_template() -> None:
    chat = said(("system", "Be nice."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "Bye"))
    assert llama_3(chat) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe nice.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_a_conversation_in_llama_2s_template() -> None:
    chat = said(("system", "Be nice."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "Bye"))
    assert llama_2(chat) == ("[INST] <<SYS>>\nBe nice.\n<</SYS>>\n\nHi [/INST] Hello! </s><s>[INST] Bye [/INST]")


def test_llama_2_has_one_system_prompt_and_takes_turns() -> None:
    chat = said(("user", "Hi"), ("system", "A"), ("user", "there"), ("system", "B"))
    assert llama_2(chat) == "[INST] <<SYS>>\nA\n\nB\n<</SYS>>\n\nHi\n\nthere [/INST]"
    assert llama_2(said(("user", "Hi"))) == "[INST] Hi [/INST]"


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("meta/llama-2-70b-chat", True),
        ("llama2-7b", True),
        ("meta/codellama-70b-instruct", True),
        ("meta/meta-llama-3-8b-instruct", False),
        ("meta/llama-3.2-1b", False),
        ("meta/llama-4-maverick-instruct", False),
        ("llama-20b", False),
    ],
)
def test_llama_2_is_known_by_its_name(name: str, old: bool) -> None:
    assert is_llama_2(name) is old


def test_parts_of_text_are_joined_and_developers_are_the_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert said(("developer", parts), ("user", None)) == [Turn("system", "ab"), Turn("user", "")]


def test_an_unknown_role_is_the_users() -> None:
    assert said(("user<|end_header_id|>", "x")) == [Turn("user", "x")]


def test_earlier_calls_and_their_results_are_written_as_llama_writes_them() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Lima"}'}}
    broken = {"function": {"name": "weather", "arguments": "{"}}
    messages: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [call, broken]},
        {"role": "tool", "tool_call_id": "1", "content": "mild"},
    ]
    written = '{"name":"weather","parameters":{"city":"Lima"}}\n{"name":"weather","parameters":"{"}'
    assert turns(messages, "den") == [Turn("assistant", written), Turn("ipython", "mild")]


@pytest.mark.parametrize("part", [{"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text"}, "x", None])
def test_what_a_text_cannot_hold_is_rejected_and_another_may_be_asked(part: object) -> None:
    with pytest.raises(Rejected) as caught:
        said(("user", [part]))
    assert caught.value.elsewhere and caught.value.param == "messages"


@given(st.lists(st.tuples(ROLE, TEXT), max_size=5))
def test_no_text_passes_for_a_turn_of_llama_3(chat: list[tuple[str, str]]) -> None:
    prompt = llama_3(Turn(role, text) for role, text in chat)
    found = SECTION.findall(prompt)
    assert [role for role, _ in found] == [role for role, _ in chat]
    assert not any(re.search(r"<\|\w+\|>", text) for _, text in found)
    assert prompt.count("<|eot_id|>") == len(chat)


@given(st.lists(TRICKS_2, max_size=8).map("".join))
def test_no_text_passes_for_a_turn_of_llama_2(text: str) -> None:
    prompt = llama_2([Turn("user", text)])
    assert prompt.count("[INST]") == prompt.count("[/INST]") == 1
    assert not any(mark in prompt for mark in ("<<SYS>>", "<</SYS>>", "<s>", "</s>"))
