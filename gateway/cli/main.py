"""The command line: one file a verb, imported when it is called."""

import sys
from importlib.metadata import version

from cyclopts import App

HELP = """One endpoint in front of every place a team runs Llama models, routed by a policy file.

Start with `llama-gateway up`: it finds the servers of this machine and the keys in the environment, or starts a demo.
"""


def app() -> App:
    """The command line's tree."""
    root = App(name="llama-gateway", help=HELP, version=version("llama-gateway"), help_format="markdown")
    root.command("gateway.cli.up:up", name="up")
    root.command("gateway.cli.serve:serve", name="serve")
    root.command("gateway.cli.check:check", name="check")
    root.command("gateway.cli.explain:explain", name="explain")
    return root


def main() -> None:
    """The entry point; exit code 2 for wrong usage, and what the verb returns otherwise."""
    try:
        sys.exit(app()(result_action="return_value") or 0)
    except KeyboardInterrupt:
        sys.exit(130)
