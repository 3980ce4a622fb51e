"""Runs the guide's commands in this process: the real command line, and a real admin plane without a socket."""

import asyncio
import shlex
import shutil
from pathlib import Path

import httpx
import pytest

from gateway import app
from gateway.cli.main import app as command_line
from gateway.cli.serve import live_policy
from gateway.config.settings import Settings

ADMIN_KEY = "admin-key-0123456789abcdef"


class Shell:
    """Runs one console block; `printed` is what a command prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.gateway: app.Gateway | None = None

    def printed(self, command: str) -> str:
        """Run a command."""
        words = [self.expanded(word) for word in shlex.split(command)]
        match words[0]:
            case "cp":
                shutil.copy(words[1], words[2])
                return ""
            case "curl":
                return asyncio.run(self.fetched(words[1:]))
            case "llama-gateway" if words[1] == "serve":
                assert words[2] == "--policy" and words[4:] == ["&"]
                live = live_policy(Settings(policy=Path(words[3])), 1)
                self.gateway = app.build(live, ADMIN_KEY)
                return self.capsys.readouterr().out
            case "llama-gateway":
                return self.told(words[1:])
        raise AssertionError(f"The guide has a command that its tests do not know: {command}")

    def expanded(self, word: str) -> str:
        """A word with the one variable that the guide's commands use."""
        return word.replace("$GATEWAY_ADMIN_KEY", ADMIN_KEY)

    def told(self, words: list[str]) -> str:
        """What a verb prints, or writes to a file."""
        file = words[words.index(">") + 1] if ">" in words else None
        words = words[: words.index(">")] if file else words
        command_line()(words, result_action="return_value")
        out = self.capsys.readouterr()
        if file:
            Path(file).write_text(out.out)
        return "" if file else out.out + out.err

    async def fetched(self, words: list[str]) -> str:
        """What the admin plane answers."""
        assert self.gateway is not None, "The guide asks a gateway that it has not started."
        method, headers = "GET", {}
        *options, url = [word for word in words if word != "-s"]
        for option, value in zip(options[::2], options[1::2], strict=True):
            if option == "-X":
                method = value
            else:
                assert option == "-H"
                name, _, text = value.partition(": ")
                headers[name] = text
        transport = httpx.ASGITransport(self.gateway.admin, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport) as client:
            response = await client.request(method, url, headers=headers)
        assert response.status_code < 300, response.text
        return response.text
