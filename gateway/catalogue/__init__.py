"""The Llama models: what they are called everywhere, how large they are, who serves them, at what price, until when."""

from gateway.catalogue.catalogue import Catalogue, Host, Model
from gateway.catalogue.licence import Licence

__all__ = ["Catalogue", "Host", "Licence", "Model"]
