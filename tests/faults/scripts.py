"""The faults, by name: `cut-40` is the script `cut` with the argument 40."""

import asyncio
import email.utils
import json
import time
from collections.abc import Awaitable, Callable

from tests.faults import odd
from tests.faults.exchange import Exchange

Script = Callable[..., Awaitable[None]]
PAGE = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1>" + b"<p>cloud</p>" * 90_000 + b"</body></html>"
WINDOW = {  # what hosts say of a prompt that is too long: status, message, code
    "vllm": (400, "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.", ""),
    "sglang": (400, "The input (9000 tokens) is longer than the model's context length (8192 tokens).", ""),
    "openai": (400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
    "together": (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193.", ""),
    "llamacpp": (400, "the request exceeds the available context size", "exceed_context_size_error"),
    "bedrock": (400, "Input is too long for requested model.", ""),
    "ollama": (400, "the input length exceeds the context length", ""),
}


async def ok(x: Exchange, count: str = "60", prompt: str = "7") -> None:
    """All is well."""
    await x.answer(length=int(count), prompt=int(prompt))


async def other(x: Exchange, count: str = "60") -> None:
    """All is well, in another voice."""
    await x.answer(length=int(count), letter="v")


async def first(x: Exchange, *fault: str) -> None:
    """The first attempt fails so, later ones go well."""
    await (run(x, "-".join(fault)) if x.number == 1 else ok(x))


async def warm(x: Exchange, *fault: str) -> None:
    """The first attempt goes well, later ones fail so."""
    await (ok(x) if x.number == 1 else run(x, "-".join(fault)))


async def up(x: Exchange, *fault: str) -> None:
    """Well while the test says that it is up, else it fails so."""
    await (ok(x) if x.up() else run(x, "-".join(fault)))


async def down(x: Exchange, seconds: str) -> None:
    """503 for some seconds from the first attempt on, then well."""
    await (ok(x) if x.epoch >= float(seconds) else status(x, "503"))


async def flap(x: Exchange, seconds: str) -> None:
    """In turn down and up, for some seconds each."""
    await (ok(x) if int(x.epoch / float(seconds)) % 2 else status(x, "503"))


async def noprefill(x: Exchange) -> None:
    """Well, unless the last message is the assistant's."""
    messages = x.attempt.body.get("messages") or [{}]
    if messages[-1].get("role") == "assistant":
        await x.error(400, "Assistant response prefill is not supported by this model.")
    else:
        await ok(x)


async def status(x: Exchange, code: str) -> None:
    """An error of that status."""
    await x.error(int(code), f"The wall says {code}.")


async def html(x: Exchange, code: str = "500") -> None:
    """An HTML page of a megabyte."""
    await x.body(int(code), PAGE, "text/html")


async def ratelimit(x: Exchange, seconds: str = "") -> None:
    """429, asking for that many seconds, for two scaled ones, or for none."""
    seconds = f"{2 * x.scale:g}" if seconds == "scaled" else seconds
    await x.error(429, "Slow down.", "rate_limit_exceeded", **({"retry_after": seconds} if seconds else {}))


async def ratelimits(x: Exchange, kind: str) -> None:
    """429 with a Retry-After that is a date, in ms, nonsense or negative."""
    date = email.utils.formatdate(usegmt=True)
    later = email.utils.formatdate(time.time() + 600, usegmt=True)
    headers = {
        "date": {"date": date, "retry_after": later},
        "ms": {"retry_after_ms": "600000"},
        "garbage": {"retry_after": "soon; maybe"},
        "negative": {"retry_after": "-5"},
    }[kind]
    await x.error(429, "Slow down.", "rate_limit_exceeded", **headers)


async def quota(x: Exchange, code: str = "429") -> None:
    """The account has no money left."""
    await x.error(int(code), "You exceeded your current quota, check billing.", "insufficient_quota")


async def window(x: Exchange, dialect: str) -> None:
    """The prompt is too long, in some host's words."""
    code, message, name = WINDOW[dialect]
    await x.error(code, message, name, x_amzn_errortype="ValidationException")


async def filtered(x: Exchange) -> None:
    """The content filter refuses."""
    await x.error(400, "The prompt was refused by our content policy.", "content_filter")


async def filterfinish(x: Exchange, count: str = "5") -> None:
    """The content filter ends the answer after some words."""
    await x.answer(length=int(count), finish="content_filter")


async def gone(x: Exchange, code: str = "404") -> None:
    """The model is not there any more."""
    name = "model_not_found" if code == "404" else "model_decommissioned"
    await x.error(int(code), "The model has been decommissioned and is no longer supported.", name)


async def reset(x: Exchange, after: str = "start") -> None:
    """A reset before any answer, or after the head."""
    if after == "head":
        x.say()
        await x.begin()
    x.wire.reset()


async def cut(x: Exchange, count: str, letter: str = "w") -> None:
    """The connection is reset after some words; those before are left time to arrive."""
    await x.until(int(count), letter=letter)
    await x.pause(0.4)
    x.wire.reset()


async def close(x: Exchange, count: str) -> None:
    """The connection is closed, in good order, after some words."""
    await x.until(int(count))
    x.wire.close()


async def halfclose(x: Exchange, count: str) -> None:
    """Our side of the connection ends after some words, the other stays open."""
    await x.until(int(count))
    x.wire.half_close()
    await x.forever()


async def bytes_(x: Exchange, limit: str, count: str = "6") -> None:
    """The connection is closed after that many bytes of a short answer."""
    x.wire.limit = int(limit)
    await x.answer(length=int(count))


async def split(x: Exchange, size: str, count: str = "20") -> None:
    """A good answer in pieces of that many bytes, each in a write of its own."""
    x.say(length=int(count))
    x.attempt.billed = True
    await x.begin()
    whole = b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) if x.chunked else frame for frame in x.frames)
    for at in range(0, len(whole), int(size)):
        await x.wire.write(whole[at : at + int(size)])
        await asyncio.sleep(0)
    x.attempt.words = int(count)
    await x.finish()


async def silent(x: Exchange) -> None:
    """Nothing at all."""
    await x.forever()


async def mute(x: Exchange) -> None:
    """A head, then nothing."""
    x.say()
    await x.begin()
    await x.forever()


async def stall(x: Exchange, count: str, seconds: str = "") -> None:
    """Nothing for some seconds after some words, or nothing ever."""
    await x.until(int(count))
    await (x.pause(float(seconds)) if seconds else x.forever())
    await x.speak(1 + int(count))


async def slow(x: Exchange, seconds: str, count: str = "60") -> None:
    """Seconds before the head, then all is well."""
    await x.pause(float(seconds))
    await ok(x, count)


async def drip(x: Exchange, milliseconds: str, count: str = "60") -> None:
    """A pause before each word."""
    x.say(length=int(count))
    x.attempt.billed = True
    await x.begin()
    for index in range(len(x.frames)):
        await x.pause(float(milliseconds) / 1000)
        await x.speak(index, index + 1)
    await x.finish()


async def beats(x: Exchange, count: str = "0") -> None:
    """Heartbeats only, for ever, after some words."""
    if int(count):
        await x.until(int(count))
    else:
        x.say()
        await x.begin()
    while True:
        await x.send(b": ping\n\n")
        await x.pause(1)


async def long(x: Exchange, count: str) -> None:
    """A longer Content-Length than there are bytes; then the connection is closed."""
    x.say(length=int(count))
    body = b"".join(x.frames)
    await x.head(length=len(body) + 50)
    await x.wire.write(body)
    x.wire.close()


async def short(x: Exchange, count: str) -> None:
    """A shorter Content-Length than there are bytes."""
    x.say(length=int(count))
    body = b"".join(x.frames)
    await x.head(length=len(body) - 40)
    await x.wire.write(body)
    x.wire.close()


async def event(x: Exchange, count: str, code: str = "") -> None:
    """An error under status 200, after some words; of a whole answer a plain 500."""
    if not x.stream:
        await x.error(500, "The engine died.", code)
        return
    await (x.until(int(count)) if int(count) else x.head())
    await x.send(x.speech.event(f"The engine died. [{x.attempt.secret}]", code))
    await x.finish()


async def gzipped(x: Exchange) -> None:
    """Says it is gzip, and is garbage."""
    x.say()
    await x.packed(b"".join(x.frames))


async def truncated(x: Exchange) -> None:
    """JSON that stops in its middle, in a body that is complete by its length."""
    body = json.dumps({"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": {}}]}).encode()
    await x.body(200, body[: len(body) // 2])


async def mistyped(x: Exchange) -> None:
    """A page under status 200, of the wrong type."""
    await x.body(200, PAGE[:2000], "text/html")


ALL: tuple[Script, ...] = (
    *(ok, other, first, warm, up, down, flap, noprefill, status, html, ratelimit, ratelimits, quota, window),
    *(filtered, filterfinish, gone, reset, cut, close, halfclose, bytes_, split, silent, mute, stall, slow, drip),
    *(beats, long, short, event, gzipped, truncated, mistyped),
)
SCRIPTS = {**{script.__name__.rstrip("_"): script for script in ALL}, **odd.SCRIPTS}


async def run(x: Exchange, name: str) -> None:
    """Do what a name says; a name that is no script is a mistake of the test."""
    script, *arguments = name.split("-")
    await SCRIPTS[script](x, *arguments)
