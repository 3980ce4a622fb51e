"""What every check of a policy may look at."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from gateway.catalogue import Catalogue
from gateway.config.nearest import did_you_mean, suggestion
from gateway.config.report import Report
from gateway.config.schema import PolicyFile
from gateway.config.shape import Shaped
from gateway.config.variables import refers


@dataclass(frozen=True, slots=True)
class Context:
    """A shaped policy file with what is known besides; `env` is None for a draft."""

    shaped: Shaped
    report: Report
    catalogue: Catalogue
    today: date
    env: Mapping[str, str] | None
    off: Mapping[str, str]  # backend -> its credential variable, which is unset

    @property
    def file(self) -> PolicyFile:
        """The file's content."""
        return self.shaped.file

    def unread(self, text: str | None) -> bool:
        """Whether a text refers to what a draft does not read, so that nothing can be said of it."""
        return self.env is None and text is not None and refers(text)

    def known(self, model: str) -> bool:
        """Whether a model is in the catalogue or declared in the file."""
        return model in self.file.models or self.catalogue.get(model) is not None

    def near_model(self, name: str, among: Iterable[str]) -> str:
        """The suggestion after an unknown model."""
        near = [] if self.report.crowded() else self.catalogue.nearest(name, among, 1)
        return suggestion(near[0]) if near else ""

    def near(self, word: str, options: Iterable[str]) -> str:
        """The suggestion after a name of the file's own."""
        return "" if self.report.crowded() else did_you_mean(word, options)
