"""The translation of Ollama's chats, without a server."""

import pytest

from gateway.demo.standins.llama import Piece
from gateway.demo.standins.ollama_chat import Timed, final, fit, llama_body, native_message


def turn(role: str, tokens: int) -> dict[str, str]:
    return {"role": role, "content": "abcd" * tokens}


def test_the_oldest_messages_go_first_and_the_system_message_stays() -> None:
    turns = [turn("system", 5), turn("user", 10), turn("assistant", 10), turn("user", 10)]
    assert fit(turns, 35) == turns
    assert fit(turns, 34) == [turns[0], *turns[2:]]
    assert fit(turns, 15) == [turns[0], turns[3]]


def test_a_last_message_that_is_too_long_by_itself_loses_its_beginning() -> None:
    assert fit([turn("system", 5), {"role": "user", "content": "x" * 100 + "end!"}], 6)[-1]["content"] == "end!"


def test_options_become_openai_parameters() -> None:
    options = {"num_predict": 7, "temperature": 0.1, "top_k": 3, "num_ctx": 100, "stop": ["x"]}
    body = llama_body(
        {"messages": [turn("user", 1)], "options": options},
    )
    assert (body["max_tokens"], body["temperature"], body["top_k"], body["stop"]) == (7, 0.1, 3, ["x"])
    assert "num_ctx" not in body


def test_an_unlimited_num_predict_sets_no_limit() -> None:
    assert "max_tokens" not in llama_body({"messages": [turn("user", 1)], "options": {"num_predict": -1}})


def test_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match='invalid format: "xml"'):
        llama_body({"messages": [turn("user", 1)], "format": "xml"})


def test_a_tool_call_cut_short_is_mere_content() -> None:
    call = {"id": "a", "function": {"name": "weather", "arguments": '{"city": "Par'}}
    assert native_message({"content": "", "tool_calls": [call]}) == {"role": "assistant", "content": '{"city": "Par'}


def test_zero_counts_are_left_out_as_go_does() -> None:
    piece = Piece({"choices": [{"finish_reason": "stop"}]}, {"prompt_tokens": 0, "completion_tokens": 2})
    assert final(piece, Timed(0, 9)) == {"done": True, "done_reason": "stop", "total_duration": 9, "eval_count": 2}


def test_what_must_not_be_cut_short_and_does_not_fit_is_refused() -> None:
    asked = {"messages": [{"role": "user", "content": "x" * 400}], "options": {"num_ctx": 50}}
    assert len(llama_body(asked)["messages"][0]["content"]) == 200
    with pytest.raises(ValueError, match="context length"):
        llama_body({**asked, "truncate": False})
