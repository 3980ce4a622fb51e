"""The benchmark: what a gateway's process costs in front of a fast upstream on loopback."""
